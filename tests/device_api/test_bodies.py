"""What a peer sends as JSON is read strictly, and never raises anything but an error of the 400 family."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_api.bodies import (
    MAX_BODY_BYTES,
    comes_before_the_answer,
    decode,
    members,
    require_json,
    whole_number,
)
from device_api.errors import (
    InvalidValueError,
    MalformedMessageError,
    MissingElementError,
    UnknownElementError,
    UnsupportedMediaTypeError,
)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{} {}",
        b'{"a": 1, "a": 1}',
        b'{"b": {"a": 1, "a": 2}}',
        b"NaN",
        b"[-Infinity]",
        b"\xff",
        b"\xef\xbb\xbf{}",
        '{"a": 1}'.encode("utf-16"),
        b"[" * MAX_BODY_BYTES,
        b'{"a":' * (MAX_BODY_BYTES // 5),
        b"1" * 5000,
    ],
    ids=lambda body: repr(body[:12]),
)
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        decode(body)


@given(st.binary())
def test_whatever_the_octets_only_a_malformed_message_comes_of_them(body: bytes) -> None:
    with contextlib.suppress(MalformedMessageError):
        decode(body)


def test_json_is_read() -> None:
    assert decode('{"ä": [1, 2.5, null, true, "\\ud83d\\ude00"]}'.encode()) == {"ä": [1, 2.5, None, True, "😀"]}


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/xml", "application/yang-data+xml", "*/*"])
def test_other_media_types_are_refused(media_type: str) -> None:
    with pytest.raises(UnsupportedMediaTypeError):
        require_json(media_type)


@pytest.mark.parametrize("media_type", ["application/yang-data+json", "application/json"])
def test_json_is_let_in(media_type: str) -> None:
    require_json(media_type)


class TestMembers:
    def test_those_known_are_returned(self) -> None:
        assert members({"a": 1, "b": 2}, "/x", required=("a",), optional=("b",)) == {"a": 1, "b": 2}

    def test_one_missing_is_named(self) -> None:
        with pytest.raises(MissingElementError) as caught:
            members({}, "/x:y", required=("a",))
        assert caught.value.path == "/x:y/a"

    def test_one_unknown_is_named(self) -> None:
        with pytest.raises(UnknownElementError) as caught:
            members({"a": 1, "m:b": 2}, "/x:y", required=("a",))
        assert caught.value.path == "/x:y/m:b"

    @pytest.mark.parametrize("name", ["", "a/b", "\ud800", "a" * 65, "<b>", "a b", "\n"])
    def test_what_is_no_identifier_is_not_repeated(self, name: str) -> None:
        with pytest.raises(UnknownElementError) as caught:
            members({name: 1}, "/x:y", required=())
        assert caught.value.path == "/x:y"

    @pytest.mark.parametrize("value", [None, [], "x", 1, True])
    def test_anything_but_an_object_is_refused(self, value: object) -> None:
        with pytest.raises(InvalidValueError) as caught:
            members(value, "", required=())
        assert caught.value.path == "/"


@pytest.mark.parametrize("value", [0, 11, True, 1.0, "1", None, [1], 10**30])
def test_only_a_whole_number_within_bounds_is_one(value: object) -> None:
    with pytest.raises(InvalidValueError, match="whole number from 1 to 10"):
        whole_number(value, "/x", least=1, most=10)


def test_the_bounds_belong_to_the_numbers_allowed() -> None:
    assert [whole_number(value, "/x", least=1, most=10) for value in (1, 10)] == [1, 10]


@pytest.mark.parametrize(
    ("length", "chunked", "waited_for"),
    [
        (None, False, False),  # there is none
        (0, False, False),
        (1, False, True),
        (MAX_BODY_BYTES, False, True),
        (MAX_BODY_BYTES + 1, False, False),
        (None, True, True),
    ],
)
def test_which_bodies_come_before_the_answer(*, length: int | None, chunked: bool, waited_for: bool) -> None:
    assert comes_before_the_answer(length, chunked=chunked) is waited_for
