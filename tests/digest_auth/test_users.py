import subprocess
from pathlib import Path

import pytest

from digest_auth import (
    PLAIN_ALGORITHMS,
    Algorithm,
    AlgorithmUnavailableError,
    UsersFileError,
    UserTable,
    _algorithms,
    hash_a1,
    htdigest_line,
)
from digest_auth._users import htdigest_lines
from tests.requirements import require_program

MD5_OF_X = "d" * 32
SHA_OF_X = "a" * 64

# RFC 7616 section 3.9.2 with erratum 4897; the hash printed there is SHA-512 cut short.
JASON = "J\u00e4s\u00f8n Doe"
JASONS_REALM = "api@example.org"
JASONS_USERHASH = "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
JASONS_USERHASH_AS_PRINTED = "488869477bf257147b804c45308cd62ac4e25eb717b12b298c79e62dcea254ec"


def table(*users: str, algorithms: tuple[Algorithm, ...] = PLAIN_ALGORITHMS, realm: str = "r") -> UserTable:
    return UserTable.parse("\n".join(line for u in users for line in htdigest_lines(u, realm, "secret", algorithms)))


@pytest.fixture
def without_sha_512_256(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_algorithms, "_HAS_SHA_512_256", False)


class TestUserTable:
    """htdigest files hold H(A1), never a password."""

    def test_a_line_is_found_again(self) -> None:
        table = UserTable.parse(htdigest_line("admin", "r", "secret", Algorithm.SHA_256))
        assert table.find(Algorithm.SHA_256, "r", "admin") == hash_a1(Algorithm.SHA_256, "admin", "r", "secret")

    @pytest.mark.parametrize(
        "key",
        [(Algorithm.MD5, "r", "admin"), (Algorithm.SHA_256, "other", "admin"), (Algorithm.SHA_256, "r", "Admin")],
    )
    def test_another_algorithm_realm_or_spelling_finds_nothing(self, key: tuple[Algorithm, str, str]) -> None:
        assert UserTable.parse(htdigest_line("admin", "r", "secret", Algorithm.SHA_256)).find(*key) is None

    def test_knows_anybody_asks_for_realm_and_algorithm(self) -> None:
        table = UserTable.parse(htdigest_line("admin", "r", "secret", Algorithm.SHA_256))
        assert table.knows_anybody("r", [Algorithm.MD5, Algorithm.SHA_256])
        assert not table.knows_anybody("r", [Algorithm.MD5])
        assert not table.knows_anybody("other", list(Algorithm))
        assert not UserTable({}).knows_anybody("r", list(Algorithm))

    def test_names_are_those_of_the_realm_in_the_order_of_the_file(self) -> None:
        text = f"zoe:r:{MD5_OF_X}\nadam:r:{MD5_OF_X}\neve:other:{MD5_OF_X}\nzoe:r:{{SHA-256}}{SHA_OF_X}\n"
        assert UserTable.parse(text).names("r") == ("zoe", "adam")

    def test_one_hash_serves_the_algorithm_and_its_sess_variant(self) -> None:
        known = table("admin", algorithms=(Algorithm.SHA_256,))
        assert known.find(Algorithm.SHA_256_SESS, "r", "admin") == known.find(Algorithm.SHA_256, "r", "admin")

    def test_comments_and_empty_lines_are_passed_over(self) -> None:
        assert len(UserTable.parse(f"# users\n\n  \na:r:{MD5_OF_X}\r\n")) == 1

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("admin", "line 1: expected user:realm:hash"),
            ("a:b:c:d", "line 1: expected user:realm:hash"),
            ("a:r:", "line 1: the third column is not a hash"),
            ("a:r:{SHA-256}", "line 1: the third column is not a hash"),
            ("a:r:secret", "line 1: the third column is not a hash"),
            (f"a:r:{MD5_OF_X.upper()}", "line 1: the third column is not a hash in lower-case"),
            (f"a:r:{MD5_OF_X}\nb:r:{MD5_OF_X[1:]}", "line 2: a hash of MD5 has 32 digits, not 31"),
            (f"a:r:{{SHA-256}}{MD5_OF_X}", "a hash of SHA-256 has 64 digits, not 32"),
            (
                f"a:r:{{SHA-1}}{SHA_OF_X}",
                "'{SHA-1}' is no algorithm known here; use one of {SHA-256}, {SHA-512-256}, {MD5}",
            ),
            (f"a:r:{{SHA-256-sess}}{SHA_OF_X}", "'{SHA-256-sess}' is no algorithm known here"),
            (f"a:r:{MD5_OF_X}\na:r:{MD5_OF_X}", "line 2: MD5 of user 'a' stands twice; remove one"),
            (f'a"b:r:{MD5_OF_X}', "a user's name is 1 to 255 octets"),
            (f":r:{MD5_OF_X}", "a user's name is 1 to 255 octets"),
            (f"a\u2028b:r:{MD5_OF_X}", "line 1: a user's name is 1 to 255 octets"),
            (f"a\x85b:r:{MD5_OF_X}", "line 1: a user's name is 1 to 255 octets"),
        ],
    )
    def test_a_wrong_line_is_named(self, text: str, message: str) -> None:
        with pytest.raises(UsersFileError) as caught:
            UserTable.parse(text, "users")
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(UsersFileError, match=r"no users file at .*absent"):
            UserTable.read(tmp_path / "absent")

    def test_a_folder_is_no_users_file(self, tmp_path: Path) -> None:
        with pytest.raises(UsersFileError, match="cannot read the users file"):
            UserTable.read(tmp_path)

    def test_a_file_that_is_not_text_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "users").write_bytes(b"# users\n\xff\xfe")
        with pytest.raises(UsersFileError, match=r"not UTF-8 text \(line 2\)"):
            UserTable.read(tmp_path / "users")

    def test_a_byte_order_mark_is_no_part_of_a_name(self, tmp_path: Path) -> None:
        (tmp_path / "users").write_text(f"\ufeffadmin:r:{MD5_OF_X}\n", "utf-8")
        with pytest.raises(UsersFileError, match="begins with a byte order mark"):
            UserTable.read(tmp_path / "users")

    @pytest.mark.parametrize("ha1", [b"", b"d" * 31, b"d" * 64])
    def test_a_hash_that_is_empty_or_of_another_length_lets_nobody_in(self, ha1: bytes) -> None:
        with pytest.raises(ValueError, match="not a hash of MD5 for 'admin'"):
            UserTable({(Algorithm.MD5, "r", "admin"): ha1})


class TestHashedNames:
    """userhash=true: a client sends H(user:realm), and the table says who that is (RFC 7616 section 3.4.4)."""

    def test_the_rfc_s_vector(self) -> None:
        known = table(JASON, realm=JASONS_REALM)
        assert known.find_hashed(Algorithm.SHA_512_256, JASONS_REALM, JASONS_USERHASH) == JASON
        assert known.find_hashed(Algorithm.SHA_512_256_SESS, JASONS_REALM, JASONS_USERHASH.upper()) == JASON
        assert known.find_hashed(Algorithm.SHA_512_256, JASONS_REALM, JASONS_USERHASH_AS_PRINTED) is None

    def test_each_algorithm_and_realm_has_hashes_of_its_own(self) -> None:
        known = table(JASON, realm=JASONS_REALM)
        assert known.find_hashed(Algorithm.SHA_256, JASONS_REALM, JASONS_USERHASH) is None
        assert known.find_hashed(Algorithm.SHA_512_256, "other", JASONS_USERHASH) is None

    def test_who_has_no_hash_of_the_algorithm_is_unknown_in_it(self) -> None:
        known = table(JASON, realm=JASONS_REALM, algorithms=(Algorithm.SHA_256,))
        assert known.find_hashed(Algorithm.SHA_512_256, JASONS_REALM, JASONS_USERHASH) is None


class TestLacking:
    """Who has no hash of an algorithm that is offered cannot come in with a client that chooses it."""

    def test_it_names_user_and_algorithms(self) -> None:
        text = "\n".join(
            [
                *htdigest_lines("old", "r", "secret", [Algorithm.MD5]),
                *htdigest_lines("new", "r", "secret", [Algorithm.SHA_256, Algorithm.MD5]),
                *htdigest_lines("elsewhere", "other", "secret", [Algorithm.MD5]),
            ]
        )
        offered = [Algorithm.SHA_256, Algorithm.SHA_512_256_SESS, Algorithm.SHA_256]
        assert UserTable.parse(text).lacking("r", offered) == {
            "old": (Algorithm.SHA_256, Algorithm.SHA_512_256),
            "new": (Algorithm.SHA_512_256,),
        }

    def test_nobody_lacks_what_all_have(self) -> None:
        assert table("a", "b").lacking("r", list(Algorithm)) == {}


@pytest.mark.usefixtures("without_sha_512_256")
class TestAlgorithmThatPythonLacks:
    """Its lines do no harm, and nobody comes in with them."""

    TEXT = f"a:r:{{SHA-512-256}}{SHA_OF_X}\nb:r:{MD5_OF_X}\n"

    def test_its_lines_are_read_and_not_used(self) -> None:
        known = UserTable.parse(self.TEXT)
        assert known.find(Algorithm.SHA_512_256, "r", "a") is None
        assert known.names("r") == ("b",)

    def test_no_line_of_it_can_be_made(self) -> None:
        with pytest.raises(AlgorithmUnavailableError, match="SHA-512-256 cannot be computed here"):
            htdigest_line("a", "r", "secret", Algorithm.SHA_512_256)


class TestLines:
    """What is written is read again by this package and by Apache's programs."""

    def test_the_vectors_of_rfc_7616(self) -> None:
        """Section 3.9.1's user, whose H(A1) gives the responses printed there (test_vectors)."""
        md5, sha_256 = htdigest_lines(
            "Mufasa", "http-auth@example.org", "Circle of Life", [Algorithm.SHA_256, Algorithm.MD5_SESS]
        )
        assert md5 == "Mufasa:http-auth@example.org:3d78807defe7de2157e2b0b6573a855f"
        assert sha_256 == (
            "Mufasa:http-auth@example.org:{SHA-256}7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232"
        )

    def test_md5_comes_first_whatever_was_asked_for(self) -> None:
        """Apache's programs look at the first line of a user alone."""
        lines = htdigest_lines("a", "r", "secret", [*PLAIN_ALGORITHMS, Algorithm.MD5])
        assert [line.partition("r:")[2].rpartition("}")[0] for line in lines] == ["", "{SHA-256", "{SHA-512-256"]

    def test_what_apache_htdigest_writes_is_read(self, tmp_path: Path) -> None:
        htdigest = require_program("htdigest", "apache2-utils")
        users = tmp_path / "users"
        subprocess.run(
            [htdigest, "-c", users, "network-device", "admin"],
            input="pass word\npass word\n",
            text=True,
            check=True,
            capture_output=True,
        )
        expected = hash_a1(Algorithm.MD5, "admin", "network-device", "pass word")
        assert UserTable.read(users).find(Algorithm.MD5, "network-device", "admin") == expected

    @pytest.mark.parametrize(
        "name",
        ["", "a:b", 'a"b', "a\\b", "a\nb", "a\x00b", "a\x7fb", "a\x85b", "a\u2029b", "a\udcffb", "x" * 256, "é" * 128],
    )
    def test_a_name_that_no_line_can_carry_is_refused(self, name: str) -> None:
        with pytest.raises(UsersFileError, match=r"the user's name .* cannot be used"):
            htdigest_line(name, "r", "secret", Algorithm.MD5)
        with pytest.raises(UsersFileError, match=r"the realm .* cannot be used"):
            htdigest_line("a", name, "secret", Algorithm.MD5)

    def test_a_name_that_would_make_its_line_a_comment_is_refused(self) -> None:
        with pytest.raises(UsersFileError, match="would be a comment"):
            htdigest_line("#admin", "r", "secret", Algorithm.MD5)

    @pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "a b", "J\u00e4s\u00f8n Doe", "a@b", "{SHA-256}"])
    def test_other_names_are_read_as_they_were_written(self, name: str) -> None:
        assert UserTable.parse(htdigest_line(name, "r", "secret", Algorithm.SHA_256)).names("r") == (name,)
