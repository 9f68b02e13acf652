import subprocess
from pathlib import Path

import pytest

from digest_auth import Algorithm, UsersFileError, UserTable, hash_a1, htdigest_line
from tests.requirements import require_program

MD5_OF_X = "d" * 32
SHA_OF_X = "a" * 64


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

    def test_comments_and_empty_lines_are_passed_over(self) -> None:
        assert len(UserTable.parse(f"# users\n\na:r:{MD5_OF_X}\n")) == 1

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("admin", "line 1: expected user:realm:hash"),
            ("a:b:c:d", "line 1: expected user:realm:hash"),
            ("a:r:", "line 1: the third column is not a hash"),
            ("a:r:secret", "line 1: the third column is not a hash"),
            (f"a:r:{MD5_OF_X}\nb:r:{MD5_OF_X[1:]}", "line 2: a hash of MD5 has 32 digits, not 31"),
            (f"a:r:{{SHA-256}}{MD5_OF_X}", "a hash of SHA-256 has 64 digits, not 32"),
            (f"a:r:{{SHA-1}}{SHA_OF_X}", "{SHA-1} is no algorithm known here; use one of {SHA-256}, {MD5}"),
            (f"a:r:{MD5_OF_X}\na:r:{MD5_OF_X}", "line 2: MD5 of user 'a' stands twice; remove one"),
            (f'a"b:r:{MD5_OF_X}', "a user's name is 1 to 255 characters"),
            (f":r:{MD5_OF_X}", "a user's name is 1 to 255 characters"),
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
        (tmp_path / "users").write_bytes(b"\xff\xfe")
        with pytest.raises(UsersFileError, match="not UTF-8"):
            UserTable.read(tmp_path / "users")

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


@pytest.mark.parametrize("name", ["", "a:b", 'a"b', "a\\b", "a\nb", "x" * 256])
def test_a_name_that_no_line_can_carry_is_refused(name: str) -> None:
    with pytest.raises(UsersFileError, match="cannot be used"):
        htdigest_line(name, "r", "secret", Algorithm.MD5)
