import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest_auth import HeaderError
from digest_auth._header import MAX_HEADER_LENGTH, challenges, credentials, quote


class TestCredentials:
    """`Authorization: Digest` by RFC 9110's grammar, with the latitude that seen clients need."""

    @pytest.mark.parametrize(
        ("value", "parameters"),
        [
            ('Digest a="1", b=2', {"a": "1", "b": "2"}),
            ('digest A="1"', {"a": "1"}),
            ('DIGEST  a = "1" ,b\t=\t2', {"a": "1", "b": "2"}),
            ('Digest ,, a="1",, ,b=2,', {"a": "1", "b": "2"}),
            ('Digest a=""', {"a": ""}),
            (r'Digest a="say \"hi\" \\ bye"', {"a": r'say "hi" \ bye'}),
            ('Digest a="x, y=z"', {"a": "x, y=z"}),
            (
                'Digest nc="00000001", qop="auth", algorithm="MD5"',
                {"nc": "00000001", "qop": "auth", "algorithm": "MD5"},
            ),
            ("Digest username*=UTF-8''J%C3%A4s", {"username*": "UTF-8''J%C3%A4s"}),
        ],
    )
    def test_is_read(self, value: str, parameters: dict[str, str]) -> None:
        assert credentials(value) == parameters

    @pytest.mark.parametrize("value", ["", "Basic YTpi", "Bearer x", "Digestive a=b", "Negotiate"])
    def test_of_another_scheme_is_none(self, value: str) -> None:
        assert credentials(value) is None

    @pytest.mark.parametrize(
        "value",
        [
            "Digest a",
            "Digest a=",
            'Digest a="1',
            'Digest a="1"b="2"',
            "Digest a=1 b=2",
            'Digest "a"=1',
            "Digest a=b=c",
            'Digest a="1", Digest b="2"',
            "Digest a=\x00",
            'Digest a="\\',
        ],
    )
    def test_against_the_grammar_is_an_error(self, value: str) -> None:
        with pytest.raises(HeaderError, match="not a list"):
            credentials(value)

    @pytest.mark.parametrize("value", ["Digest a=1, a=2", 'Digest a=1, A="1"'])
    def test_a_parameter_that_stands_twice_is_an_error(self, value: str) -> None:
        with pytest.raises(HeaderError, match="twice"):
            credentials(value)

    def test_too_long_is_an_error(self) -> None:
        with pytest.raises(HeaderError, match="longer than 8192"):
            credentials('Digest a="' + "x" * MAX_HEADER_LENGTH + '"')

    @given(st.text(st.characters(max_codepoint=255), max_size=300))
    def test_anything_at_all_is_read_or_a_header_error(self, rest: str) -> None:
        try:
            parameters = credentials("Digest " + rest)
        except HeaderError:
            return
        assert parameters is not None

    @given(st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"], include_characters="\t"), max_size=50))
    def test_what_was_quoted_comes_back(self, text: str) -> None:
        assert credentials(f"Digest a={quote(text)}, b=1") == {"a": text, "b": "1"}

    @pytest.mark.parametrize("control", ["\r", "\n", "\0", "\x1f", "\x7f", "\\\n"])
    def test_control_characters_are_no_value(self, control: str) -> None:
        with pytest.raises(HeaderError):
            credentials(f'Digest a="x{control}y"')

    def test_the_message_repeats_nothing_that_was_sent(self) -> None:
        with pytest.raises(HeaderError) as caught:
            credentials('Digest response="s3cret" junk')
        assert "s3cret" not in str(caught.value)


class TestChallenges:
    """`WWW-Authenticate`: one challenge a line, or several in one."""

    @pytest.mark.parametrize(
        ("lines", "found"),
        [
            (['Digest realm="a", nonce="1"'], [{"realm": "a", "nonce": "1"}]),
            (
                ['Digest realm="a", nonce="1"', 'Digest realm="a", nonce="2"'],
                [{"realm": "a", "nonce": "1"}, {"realm": "a", "nonce": "2"}],
            ),
            (
                ['Basic realm="b", Digest realm="a", nonce="1", Digest realm="c"'],
                [{"realm": "a", "nonce": "1"}, {"realm": "c"}],
            ),
            (['Negotiate, Digest realm="a"'], [{"realm": "a"}]),
            (['Digest realm="a", Negotiate'], [{"realm": "a"}]),
            (['Basic realm="b"'], []),
            (["", " , "], []),
            (['Digest realm="a", nonce="1", !!"'], [{"realm": "a", "nonce": "1"}]),
        ],
    )
    def test_are_found(self, lines: list[str], found: list[dict[str, str]]) -> None:
        assert list(challenges(lines)) == found

    @given(st.lists(st.text(st.characters(max_codepoint=255), max_size=200), max_size=3))
    def test_reading_never_raises(self, lines: list[str]) -> None:
        assert all(re.fullmatch(r"\S*", name) for challenge in challenges(lines) for name in challenge)
