"""`python -m digest_auth`, as a person and a script run it."""

import io
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from digest_auth import Algorithm, UserTable, _algorithms, hash_a1
from digest_auth.__main__ import main, parser
from tests.requirements import require_program

ROOT = Path(__file__).parents[2]
COMMANDS = ("add", "password", "remove", "list", "check")
MD5_OF_X = "d" * 32
SHA_OF_X = "a" * 64
NFD_NAME = "Ja\u0308son"
NFC_NAME = "J\u00e4son"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    lines: list[str]
    errors: list[str]


@dataclass(frozen=True, slots=True)
class Shell:
    """A working directory with, sooner or later, a file `users` in it."""

    directory: Path
    monkeypatch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]

    @property
    def users(self) -> Path:
        return self.directory / "users"

    def write(self, *lines: str) -> None:
        self.users.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        self.users.chmod(0o600)

    def text(self) -> list[str]:
        return self.users.read_text("utf-8").splitlines()

    def run(self, *arguments: str, given: bytes = b"") -> Answer:
        """Within this process; `given` is what standard input holds."""
        self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        self.capture.readouterr()
        try:
            status = main(arguments)
        except SystemExit as left:  # as argparse leaves
            status = int(left.code or 0)
        out, errors = self.capture.readouterr()
        return Answer(status, out.splitlines(), errors.splitlines())

    def does(self, *arguments: str, password: str = "secret") -> list[str]:
        """What a command that succeeds without remarks says; one that asks for a password is given it."""
        answer = self.run(*arguments, given=f"{password}\n".encode())
        assert (answer.status, answer.errors) == (0, [])
        return answer.lines

    def error(self, *arguments: str, given: bytes = b"secret\n") -> str:
        """The one line that a command says which is misused; the file stays as it was."""
        before = self.users.read_bytes() if self.users.is_file() else None
        answer = self.run(*arguments, given=given)
        assert (answer.status, answer.lines, len(answer.errors)) == (2, [], 1)
        assert (self.users.read_bytes() if self.users.is_file() else None) == before
        assert answer.errors[0].startswith("python -m digest_auth: error: ")
        return answer.errors[0]

    def is_right(self, user: str, password: str, realm: str = "api") -> dict[Algorithm, bool]:
        table = UserTable.read(self.users)
        found = {algorithm: table.find(algorithm, realm, user) for algorithm in _algorithms.PLAIN_ALGORITHMS}
        return {a: ha1 == hash_a1(a, user, realm, password) for a, ha1 in found.items() if ha1 is not None}


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.chdir(tmp_path)
    return Shell(tmp_path, monkeypatch, capsys)


@pytest.fixture
def filled(shell: Shell) -> Shell:
    """alice with all that is usual, and old with MD5 alone, both of the realm api."""
    shell.does("add", "users", "alice", "--realm", "api", "--stdin")
    shell.does("add", "users", "old", "--algorithm", "MD5", "--stdin")
    return shell


class TestAdd:
    """Somebody new gets a line for each algorithm."""

    def test_it_makes_the_file_for_its_owner_alone(self, shell: Shell) -> None:
        assert shell.does("add", "users", "alice", "--realm", "api", "--stdin") == [
            "added 'alice' of realm 'api' in users: SHA-256, SHA-512-256"
        ]
        assert shell.users.stat().st_mode & 0o7777 == 0o600
        assert shell.is_right("alice", "secret") == {Algorithm.SHA_256: True, Algorithm.SHA_512_256: True}

    def test_the_next_one_goes_to_the_realm_that_all_are_in(self, filled: Shell) -> None:
        filled.does("add", "users", "bob", "--stdin")
        assert UserTable.read(filled.users).names("api") == ("alice", "old", "bob")

    def test_md5_has_to_be_asked_for(self, shell: Shell) -> None:
        shell.does("add", "users", "alice", "--realm", "api", "--algorithm", "SHA-256", "--algorithm", "MD5", "--stdin")
        assert shell.is_right("alice", "secret") == {Algorithm.SHA_256: True, Algorithm.MD5: True}

    def test_or_others_in_the_realm_have_it(self, filled: Shell) -> None:
        """A server that offers MD5 to some would otherwise refuse the new one for no visible reason."""
        filled.does("add", "users", "bob", "--stdin")
        filled.does("add", "users", "bob", "--realm", "other", "--stdin")
        assert Algorithm.MD5 in filled.is_right("bob", "secret")
        assert Algorithm.MD5 not in filled.is_right("bob", "secret", "other")

    def test_what_python_cannot_compute_is_left_out(self, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_algorithms, "_HAS_SHA_512_256", False)
        shell.does("add", "users", "alice", "--realm", "api", "--stdin")
        assert len(shell.text()) == 1
        assert "SHA-512-256 cannot be computed here" in shell.error(
            "add", "users", "bob", "--algorithm", "SHA-512-256", "--stdin"
        )

    def test_who_is_there_already_is_refused(self, filled: Shell) -> None:
        error = filled.error("add", "users", "alice", "--stdin")
        assert "user 'alice' is in realm 'api' already; give a new password with the command `password`" in error

    def test_another_realm_is_somebody_else(self, filled: Shell) -> None:
        filled.does("add", "users", "alice", "--realm", "other", "--stdin", password="another")
        assert all(filled.is_right("alice", "secret").values())
        assert all(filled.is_right("alice", "another", "other").values())

    def test_a_random_password_is_all_that_standard_output_holds(self, shell: Shell) -> None:
        answer = shell.run("add", "users", "ci", "--realm", "api", "--random")
        (password,) = answer.lines
        assert re.fullmatch(r"[\w-]{24}", password)
        assert answer.errors == ["added 'ci' of realm 'api' in users: SHA-256, SHA-512-256"]
        assert all(shell.is_right("ci", password).values())

    def test_a_file_that_everybody_could_read_is_theirs_no_more(self, filled: Shell) -> None:
        filled.users.chmod(0o644)
        answer = filled.run("add", "users", "bob", "--stdin", given=b"secret\n")
        assert answer.errors == [
            "note: everybody on this machine had access to users (permissions 0644); that was taken away"
        ]
        assert filled.users.stat().st_mode & 0o7777 == 0o640


class TestPassword:
    """Another password; the one before is good for nothing, with any algorithm."""

    def test_all_lines_are_of_the_new_one(self, filled: Shell) -> None:
        filled.does("password", "users", "alice", "--stdin", password="new")
        assert filled.is_right("alice", "new") == dict.fromkeys(_algorithms.PLAIN_ALGORITHMS, True)

    def test_who_had_md5_alone_gets_the_others(self, filled: Shell) -> None:
        assert filled.does("password", "users", "old", "--stdin", password="new") == [
            "set the password of 'old' of realm 'api' in users: SHA-256, SHA-512-256, MD5"
        ]
        assert all(filled.is_right("old", "new").values())

    def test_what_is_not_written_anew_goes_and_is_named(self, shell: Shell) -> None:
        shell.write(f"a:api:{MD5_OF_X}", f"a:api:{{SHA-3}}{SHA_OF_X}", f"a:api:{{SHA-256}}{SHA_OF_X}")
        answer = shell.run("password", "users", "a", "--algorithm", "SHA-256", "--stdin", given=b"new\n")
        assert (answer.status, answer.errors) == (0, ["note: removed with the password from before: MD5, SHA-3"])
        assert shell.is_right("a", "new") == {Algorithm.SHA_256: True}

    def test_what_others_wrote_stays_to_the_octet(self, shell: Shell) -> None:
        before = [
            "# staff",
            f"b:api:{{SHA-3}}{SHA_OF_X}",
            f"a:api:{MD5_OF_X}",
            "",
            f"c:r:{MD5_OF_X}\r",
            f"a:r:{MD5_OF_X}",
        ]
        shell.write(*before)
        shell.does("password", "users", "a", "--realm", "api", "--algorithm", "MD5", "--stdin")
        after = shell.users.read_bytes().decode().split("\n")
        assert after[:2] + after[3:] == [*before[:2], *before[3:], ""]
        assert after[2] == f"a:api:{hash_a1(Algorithm.MD5, 'a', 'api', 'secret').decode()}"

    def test_a_line_that_stands_twice_is_mended(self, shell: Shell) -> None:
        shell.write(f"a:api:{MD5_OF_X}", f"a:api:{MD5_OF_X}")
        shell.does("password", "users", "a", "--stdin")
        assert all(shell.is_right("a", "secret").values())

    def test_who_is_unknown_is_refused(self, filled: Shell) -> None:
        assert "no user 'Alice' in realm 'api'; the command `list` shows who there is" in filled.error(
            "password", "users", "Alice", "--stdin"
        )


class TestRemove:
    """All lines of a user go, nobody else's."""

    def test_it_says_which_lines_went(self, filled: Shell) -> None:
        filled.users.write_text("# staff\n" + filled.users.read_text())
        assert filled.does("remove", "users", "alice") == [
            "removed 'alice' of realm 'api' from users: SHA-256 (line 2), SHA-512-256 (line 3)"
        ]
        assert filled.text() == ["# staff", f"old:api:{hash_a1(Algorithm.MD5, 'old', 'api', 'secret').decode()}"]

    def test_it_says_when_nobody_is_left(self, filled: Shell) -> None:
        filled.does("remove", "users", "alice")
        answer = filled.run("remove", "users", "old")
        assert answer.errors == ["note: nobody is left in realm 'api'"]
        assert filled.users.read_text() == ""

    def test_who_is_unknown_is_refused(self, filled: Shell) -> None:
        assert "no user 'bob' in realm 'api'" in filled.error("remove", "users", "bob")


class TestList:
    """Who there is, and never a hash."""

    def test_it_shows_users_realms_and_algorithms(self, filled: Shell) -> None:
        filled.does("add", "users", "zoe", "--realm", "other", "--stdin")
        assert filled.does("list", "users") == [
            "USER   REALM  ALGORITHMS",
            "alice  api    SHA-256, SHA-512-256",
            "old    api    MD5",
            "zoe    other  SHA-256, SHA-512-256",
        ]
        assert filled.does("list", "users", "--realm", "other")[1:] == ["zoe   other  SHA-256, SHA-512-256"]

    def test_it_says_when_there_is_nobody(self, shell: Shell) -> None:
        shell.write("# nobody yet")
        assert shell.run("list", "users").errors == ["nobody is in users; next: python -m digest_auth add users USER"]

    def test_nothing_in_a_file_moves_the_cursor(self, shell: Shell) -> None:
        shell.write(f"a:\x1b[2J:{MD5_OF_X}", f"\u202ea:r:{MD5_OF_X}")
        assert shell.does("list", "users")[1:] == ["a        \\x1b[2J  MD5", "\\u202ea  r        MD5"]


class TestCheckFile:
    """What a server would refuse, or strangers could read, is wrong (status 1); the rest are notes (status 0)."""

    def test_a_fine_file(self, shell: Shell) -> None:
        shell.does("add", "users", "alice", "--realm", "api", "--stdin")
        assert shell.does("check", "users") == ["users: fine, users: 1"]

    @pytest.mark.parametrize(
        ("lines", "finding"),
        [
            (["admin"], "line 1: expected user:realm:hash"),
            (["# x", "", "a:r:"], "line 3: the third column is not a hash"),
            ([f"a:r:{{SHA-3}}{SHA_OF_X}"], "line 1: '{SHA-3}' is no algorithm known here"),
            ([f"a:r:{MD5_OF_X}", f"a:r:{{SHA-256}}{MD5_OF_X}"], "line 2: a hash of SHA-256 has 64 digits, not 32"),
            ([f'"a":r:{MD5_OF_X}'], "line 1: a user's name is 1 to 255 octets"),
            ([f"a:r:{MD5_OF_X}", "# x", f"a:r:{MD5_OF_X}"], "line 3: MD5 of user 'a' stands in line 1 too"),
            (["# nobody"], "it names nobody"),
        ],
    )
    def test_what_is_wrong_is_named_with_its_line(self, shell: Shell, lines: Sequence[str], finding: str) -> None:
        shell.write(*lines)
        answer = shell.run("check", "users")
        assert answer.status == 1
        assert any(line.startswith(f"WRONG  {finding}") for line in answer.lines)
        assert answer.lines[-1] == "users: 1 wrong"

    def test_each_wrong_line_is_named(self, shell: Shell) -> None:
        shell.write("x", f"a:r:{{SHA-256}}{SHA_OF_X}", "y")
        assert [line[:14] for line in shell.run("check", "users").lines[:-1]] == ["WRONG  line 1:", "WRONG  line 3:"]

    @pytest.mark.parametrize(
        ("lines", "note"),
        [
            ([f"a:r:{MD5_OF_X}"], "user 'a' of realm 'r' has MD5 without SHA-256"),
            (
                [f"a:r:{{SHA-256}}{SHA_OF_X}", f"b:r:{MD5_OF_X}", f"b:r:{{SHA-256}}{SHA_OF_X}"],
                "user 'a' of realm 'r' has no hash of MD5",
            ),
            ([f"a:r:{{SHA-256}}{SHA_OF_X}", f"a:r:{MD5_OF_X}"], "user 'a' of realm 'r': MD5 is not the first line"),
            ([f"{NFD_NAME}:r:{{SHA-256}}{SHA_OF_X}"], "line 1: the user's name is not in Unicode's form NFC"),
        ],
    )
    def test_what_could_be_better_is_a_note(self, shell: Shell, lines: Sequence[str], note: str) -> None:
        shell.write(*lines)
        found, last = shell.does("check", "users")
        assert found.startswith(f"note   {note}")
        assert last.startswith("users: fine")

    def test_what_python_cannot_compute_is_a_note(self, filled: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_algorithms, "_HAS_SHA_512_256", False)
        assert filled.does("check", "users")[0].startswith("note   line 2: SHA-512-256 cannot be computed")

    def test_a_last_line_that_is_not_ended_is_a_note(self, shell: Shell) -> None:
        shell.users.write_text(f"a:r:{{SHA-256}}{SHA_OF_X}")
        shell.users.chmod(0o600)
        assert shell.does("check", "users")[0].startswith("note   its last line is not ended")

    @pytest.mark.parametrize(
        ("mode", "status", "word"), [(0o640, 0, "note "), (0o604, 1, "WRONG"), (0o666, 1, "WRONG")]
    )
    def test_permissions(self, shell: Shell, mode: int, status: int, word: str) -> None:
        shell.write(f"a:r:{{SHA-256}}{SHA_OF_X}")
        shell.users.chmod(mode)
        answer = shell.run("check", "users")
        assert answer.status == status
        assert answer.lines[0].startswith(f"{word}  permissions {mode:04o} let ")

    def test_options_of_a_user_s_check_need_a_user(self, filled: Shell) -> None:
        assert "--stdin goes with a user" in filled.error("check", "users", "--stdin")


class TestCheckPassword:
    """Whether a password is right: status 0, or 1."""

    def test_right(self, filled: Shell) -> None:
        assert filled.does("check", "users", "alice", "--stdin") == [
            "the password is right for user 'alice' of realm 'api': SHA-256, SHA-512-256"
        ]

    @pytest.mark.parametrize("password", ["Secret", "secret ", " secret"])
    def test_wrong(self, filled: Shell, password: str) -> None:
        answer = filled.run("check", "users", "alice", "--stdin", given=f"{password}\n".encode())
        assert (answer.status, answer.errors) == (1, [])
        assert answer.lines == ["the password is wrong for user 'alice' of realm 'api'"]

    def test_right_for_some_alone(self, filled: Shell) -> None:
        sha = filled.text()[0]
        filled.write(f"alice:api:{MD5_OF_X}", sha)
        answer = filled.run("check", "users", "alice", "--stdin", given=b"secret\n")
        assert answer.status == 1
        assert answer.lines[0].startswith("the password is right for SHA-256 and wrong for MD5")

    def test_who_is_unknown_has_no_password(self, filled: Shell) -> None:
        answer = filled.run("check", "users", "bob", "--stdin", given=b"secret\n")
        assert (answer.status, answer.lines) == (1, ["no user 'bob' in realm 'api'"])

    def test_who_has_no_hash_that_can_be_computed(self, shell: Shell) -> None:
        shell.write(f"a:r:{{SHA-3}}{SHA_OF_X}")
        answer = shell.run("check", "users", "a", "--stdin", given=b"secret\n")
        assert (answer.status, answer.lines) == (1, ["user 'a' of realm 'r' has no hash that this Python can compute"])


class TestRealm:
    """A realm is a part of each hash, so it is never guessed."""

    def test_the_first_user_s_has_to_be_given(self, shell: Shell) -> None:
        assert "users names nobody yet; say which realm is meant with --realm" in shell.error(
            "add", "users", "alice", "--stdin"
        )

    @pytest.mark.parametrize("command", ["add", "password", "remove", "check"])
    def test_with_several_it_has_to_be_given(self, filled: Shell, command: str) -> None:
        filled.does("add", "users", "zoe", "--realm", "other", "--stdin")
        assert "users has users in 'api', 'other'; say which realm" in filled.error(command, "users", "zoe")


class TestNames:
    """Names that a line or a header cannot carry are refused; Unicode's form is NFC (RFC 7616 section 4)."""

    @pytest.mark.parametrize("name", ["", "a:b", 'a"b', "a\\b", "a\nb", "#a", "a\x7f", "x" * 256, "a\udcff"])
    def test_refused(self, shell: Shell, name: str) -> None:
        assert "user's name" in shell.error("add", "users", name, "--realm", "api", "--stdin")
        assert "realm" in shell.error("add", "users", "a", "--realm", name, "--stdin")

    def test_a_composed_name_is_written_and_found(self, shell: Shell) -> None:
        answer = shell.run("add", "users", NFD_NAME, "--realm", "api", "--stdin", given=b"secret\n")
        assert answer.errors == [f"note: the name was brought into Unicode's form NFC: {NFC_NAME!r}"]
        assert all(shell.is_right(NFC_NAME, "secret").values())
        shell.does("check", "users", NFD_NAME, "--stdin")

    def test_a_name_that_others_wrote_is_found_as_it_is(self, shell: Shell) -> None:
        shell.write(f"{NFD_NAME}:api:{MD5_OF_X}")
        assert shell.run("remove", "users", NFD_NAME).status == 0

    def test_one_that_begins_with_a_dash_stands_behind_two(self, shell: Shell) -> None:
        shell.does("add", "--realm", "api", "--stdin", "users", "--", "-a")
        assert shell.is_right("-a", "secret")


class TestStandardInput:
    """One line, as UTF-8."""

    @pytest.mark.parametrize("given", [b"secret\n", b"secret\r\n", b"secret", b"secret\nmore\n"])
    def test_the_line_without_its_end_is_the_password(self, shell: Shell, given: bytes) -> None:
        assert shell.run("add", "users", "a", "--realm", "api", "--stdin", given=given).status == 0
        assert all(shell.is_right("a", "secret").values())

    @pytest.mark.parametrize("password", [" a b ", "p:a", "Circle of Life", "\u00e4\u20ac", "x" * 4096])
    def test_all_characters_of_it_count(self, shell: Shell, password: str) -> None:
        shell.does("add", "users", "a", "--realm", "api", "--stdin", password=password)
        assert all(shell.is_right("a", password).values())

    def test_it_is_composed(self, shell: Shell) -> None:
        answer = shell.run("add", "users", "a", "--realm", "api", "--stdin", given=f"{NFD_NAME}\n".encode())
        assert answer.errors == ["note: the password was brought into Unicode's form NFC, in which clients send it"]
        assert all(shell.is_right("a", NFC_NAME).values())

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (b"", "the password is empty"),
            (b"\n", "the password is empty"),
            (b"\r\nsecret\n", "the password is empty"),
            (b"a\xff\n", "the password on standard input is not UTF-8"),
            (b"a\x00b\n", "the password has a control character"),
            (b"a\tb\n", "the password has a control character"),
            (b"x" * 4097, "longer than 4096 octets"),
        ],
    )
    def test_bad_input(self, shell: Shell, given: bytes, message: str) -> None:
        assert message in shell.error("add", "users", "a", "--realm", "api", "--stdin", given=given)

    def test_it_is_not_asked_of_a_terminal(self, shell: Shell) -> None:
        """There it would be shown."""
        with terminal() as (ours, theirs):
            process = start("add", "users", "a", "--realm", "api", "--stdin", stdin=theirs, cwd=shell.directory)
            _, errors = process.communicate(timeout=20)
        assert process.returncode == 2
        assert errors.startswith("python -m digest_auth: error: standard input is a terminal")
        assert ours > 0


class TestPrompt:
    """On a terminal the password is asked for twice, and not shown."""

    def test_typed_twice(self, shell: Shell) -> None:
        status, seen, errors = typed(shell, ["secret\n", "secret\n"], "add", "users", "a", "--realm", "api")
        assert (status, errors) == (0, "")
        assert "New password: " in seen
        assert "Again: " in seen
        assert "secret" not in seen
        assert all(shell.is_right("a", "secret").values())

    @pytest.mark.parametrize(
        ("answers", "message"),
        [
            (["secret\n", "Secret\n"], "the two passwords differ; nothing was changed"),
            (["\n"], "the password is empty; give one"),
            (["\x04"], "the password is empty; give one"),
        ],
    )
    def test_bad_input(self, shell: Shell, answers: Sequence[str], message: str) -> None:
        status, _, errors = typed(shell, answers, "add", "users", "a", "--realm", "api")
        assert (status, errors) == (2, f"python -m digest_auth: error: {message}\n")
        assert not shell.users.exists()

    def test_once_to_check(self, filled: Shell) -> None:
        status, seen, _ = typed(filled, ["secret\n"], "check", "users", "alice")
        assert status == 0
        assert "Password: " in seen

    def test_interrupted(self, shell: Shell) -> None:
        status, _, errors = typed(shell, ["\x03"], "add", "users", "a", "--realm", "api")
        assert (status, errors) == (130, "python -m digest_auth: interrupted\n")
        assert not shell.users.exists()

    def test_it_needs_a_terminal(self, shell: Shell) -> None:
        with start("add", "users", "a", "--realm", "api", stdin=subprocess.DEVNULL, cwd=shell.directory) as process:
            _, errors = process.communicate(timeout=20)
        assert process.returncode == 2
        assert errors == (
            "python -m digest_auth: error: there is no terminal to ask for a password on; give it with --stdin\n"
        )

    def test_nobody_is_asked_in_vain(self, filled: Shell) -> None:
        """Standard input is no terminal here, and what is wrong is said before that."""
        assert "is in realm 'api' already" in filled.error("add", "users", "alice")
        assert "no user 'bob'" in filled.error("password", "users", "bob")


def start(*arguments: str, stdin: int, cwd: Path) -> "subprocess.Popen[str]":
    """A process of its own session, whose terminal is at most its standard input."""
    return subprocess.Popen(
        [sys.executable, "-m", "digest_auth", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    try:
        yield ours, theirs
    finally:
        os.close(ours)
        os.close(theirs)


# Makes its standard input the terminal of its session, as a shell's is, and runs the command line.
ON_ITS_TERMINAL = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from digest_auth.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def typed(shell: Shell, answers: Sequence[str], *arguments: str) -> tuple[int, str, str]:
    """Run a command on a terminal, type an answer at each prompt; its status, what was seen there, its errors."""
    with terminal() as (ours, theirs):
        process = subprocess.Popen(
            [sys.executable, "-c", ON_ITS_TERMINAL, *arguments],
            cwd=shell.directory,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        seen = ""
        for answer in answers:
            prompts = seen.count(": ")
            while seen.count(": ") == prompts:
                seen += os.read(ours, 1000).decode()
            os.write(ours, answer.encode())
        _, errors = process.communicate(timeout=20)
    return process.returncode, seen, errors


class TestMisuse:
    """One line that says what, where and what to do; status 2."""

    @pytest.mark.parametrize("command", ["password", "remove", "check"])
    def test_a_missing_file(self, shell: Shell, command: str) -> None:
        assert "no users file at users; name another, or make one" in shell.error(command, "users", "a")

    @pytest.mark.parametrize("command", COMMANDS)
    def test_a_folder(self, shell: Shell, command: str) -> None:
        shell.users.mkdir()
        arguments = [command, "users"] if command == "list" else [command, "users", "a", "--realm", "api"]
        assert "cannot read the users file users: not a regular file" in shell.error(*arguments)

    @pytest.mark.parametrize("command", COMMANDS)
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"\x7fELF\x01\xff\n", "not UTF-8 text (line 1)"),
            (b"root:x:0:0:root:/root:/bin/bash\n", "line 1: expected user:realm:hash"),
            (b"\xef\xbb\xbfa:r:" + b"d" * 32, "begins with a byte order mark"),
        ],
    )
    def test_a_file_of_something_else(self, shell: Shell, command: str, content: bytes, message: str) -> None:
        """It is better not changed."""
        shell.users.write_bytes(content)
        arguments = [command, "users"] if command == "list" else [command, "users", "a", "--realm", "api"]
        assert message in shell.error(*arguments)

    def test_a_folder_that_is_missing(self, shell: Shell) -> None:
        assert "there is no folder absent; make it first" in shell.error(
            "add", "absent/users", "a", "--realm", "api", "--stdin"
        )

    @pytest.mark.parametrize("command", COMMANDS)
    def test_a_file_that_may_not_be_read(self, filled: Shell, command: str) -> None:
        filled.users.chmod(0)
        arguments = [command, "users"] if command == "list" else [command, "users", "a", "--realm", "api"]
        with unprivileged():
            answer = filled.run(*arguments, given=b"secret\n")
        assert (answer.status, answer.lines, len(answer.errors)) == (2, [], 1)
        assert "Permission denied" in answer.errors[0]

    def test_a_line_break_in_a_name_stays_on_its_line(self, shell: Shell) -> None:
        assert r"no users file at a\nb" in shell.error("list", "a\nb")

    def test_a_password_among_the_arguments_is_refused_and_not_repeated(self, filled: Shell) -> None:
        error = filled.error("password", "users", "alice", "hunter2")
        assert "hunter2" not in error
        assert "it is asked for, or read with --stdin" in error

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((), "COMMAND"),
            (("frobnicate",), "invalid choice"),
            (("add",), "FILE, USER"),
            (("add", "users", "a", "--stdin", "--random"), "not allowed with"),
            (("add", "users", "a", "--algorithm", "SHA-1"), "invalid choice: 'SHA-1'"),
            (("add", "users", "a", "--rand"), "unknown option"),
        ],
    )
    def test_wrong_arguments(self, shell: Shell, arguments: Sequence[str], message: str) -> None:
        assert message in shell.error(*arguments)


@contextmanager
def unprivileged() -> Iterator[None]:
    """What root may do anyway is no test."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(before)


class TestProcess:
    """As it is started: streams that are closed, full or not UTF-8 are no reason for a traceback."""

    def test_a_reader_that_has_seen_enough(self, filled: Shell) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [sys.executable, "-m", "digest_auth", "list", "users"],
            cwd=filled.directory,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
        )
        os.close(writing)
        assert (done.returncode, done.stderr) == (0, b"")

    def test_a_full_disk(self, filled: Shell) -> None:
        status, errors = self.sh(filled, "$RUN list users > /dev/full")
        assert (status, errors) == (
            2,
            "python -m digest_auth: error: standard output cannot be written: No space left on device\n",
        )

    def test_streams_that_are_closed(self, filled: Shell) -> None:
        assert self.sh(filled, "$RUN list users >&- 2>&-") == (0, "")
        status, errors = self.sh(filled, "$RUN password users alice --stdin <&-")
        assert (status, errors) == (2, "python -m digest_auth: error: the password is empty; give one\n")

    def test_a_terminal_that_knows_ascii_alone(self, shell: Shell) -> None:
        shell.write(f"{NFC_NAME}:api:{{SHA-256}}{SHA_OF_X}")
        with subprocess.Popen(
            [sys.executable, "-m", "digest_auth", "list", "users"],
            cwd=shell.directory,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
            stdout=subprocess.PIPE,
        ) as process:
            out, _ = process.communicate(timeout=20)
        assert (process.returncode, out.splitlines()[1]) == (0, rb"J\xe4son  api    SHA-256")

    def test_a_writer_that_waits_can_be_interrupted(self, filled: Shell) -> None:
        """Ctrl-C is status 130, also while another one holds the lock."""
        program = (
            "import fcntl, sys; fcntl.flock(held := open(sys.argv[1]), fcntl.LOCK_EX); print(flush=True);"
            " sys.stdin.read()"
        )
        holder = subprocess.Popen(
            [sys.executable, "-c", program, filled.users], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with holder:
            assert holder.stdout is not None
            holder.stdout.readline()
            waiting = start("remove", "users", "alice", stdin=subprocess.DEVNULL, cwd=filled.directory)
            try:
                while not re.search(rf"-> FLOCK .* {waiting.pid} ", Path("/proc/locks").read_text("ascii")):
                    assert waiting.poll() is None
                waiting.send_signal(signal.SIGINT)
                _, errors = waiting.communicate(timeout=20)
            finally:
                waiting.kill()
        assert (waiting.returncode, errors) == (130, "python -m digest_auth: interrupted\n")
        assert all(filled.is_right("alice", "secret").values())

    @staticmethod
    def sh(shell: Shell, line: str) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=shell.directory,
            env={**os.environ, "PYTHONPATH": str(ROOT), "RUN": f"{sys.executable} -m digest_auth"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr


class TestApache:
    """Apache's htdigest and this command line work on one file; what htdigest does to our lines is known."""

    @staticmethod
    def htdigest(shell: Shell, user: str, password: str) -> None:
        subprocess.run(
            [require_program("htdigest", "apache2-utils"), shell.users, "api", user],
            input=f"{password}\n{password}\n",
            text=True,
            check=True,
            capture_output=True,
        )

    def test_it_changes_the_md5_line_and_leaves_ours(self, shell: Shell) -> None:
        shell.write("# staff")
        for user in ("alice", "bob"):
            shell.does(
                "add", "users", user, "--realm", "api", "--algorithm", "MD5", "--algorithm", "SHA-256", "--stdin"
            )
        before = shell.text()
        self.htdigest(shell, "bob", "new")
        assert shell.is_right("bob", "new") == {Algorithm.MD5: True, Algorithm.SHA_256: False}
        assert shell.text()[:3] + shell.text()[4:] == before[:3] + before[4:]

    def test_its_half_changed_user_is_told_by_check_and_mended_by_password(self, shell: Shell) -> None:
        shell.does("add", "users", "a", "--realm", "api", "--algorithm", "MD5", "--algorithm", "SHA-256", "--stdin")
        self.htdigest(shell, "a", "new")
        assert (
            "right for MD5 and wrong for SHA-256"
            in shell.run("check", "users", "a", "--stdin", given=b"new\n").lines[0]
        )
        shell.does("password", "users", "a", "--stdin", password="new")
        assert all(shell.is_right("a", "new").values())

    def test_md5_added_later_comes_first(self, shell: Shell) -> None:
        shell.does("add", "users", "a", "--realm", "api", "--stdin")
        both = ("--algorithm", "SHA-256", "--algorithm", "MD5")
        assert shell.run("password", "users", "a", *both, "--stdin", given=b"secret\n").status == 0
        self.htdigest(shell, "a", "new")
        assert shell.is_right("a", "new") == {Algorithm.MD5: True, Algorithm.SHA_256: False}

    def test_without_an_md5_line_it_overwrites_the_first_of_ours(self, shell: Shell) -> None:
        """It looks at user and realm alone. The help of `add` says so."""
        shell.does("add", "users", "a", "--realm", "api", "--stdin")
        self.htdigest(shell, "a", "new")
        assert shell.is_right("a", "new") == {Algorithm.MD5: True, Algorithm.SHA_512_256: False}

    def test_whom_it_adds_is_known_here(self, filled: Shell) -> None:
        self.htdigest(filled, "new", "pass word")
        assert filled.does("check", "users", "new", "--stdin", password="pass word") == [
            "the password is right for user 'new' of realm 'api': MD5"
        ]

    def test_a_last_line_that_was_not_ended_is_not_lost(self, shell: Shell) -> None:
        """htdigest alone would lose it; we end it, if only we write before."""
        shell.users.write_text(f"last:api:{MD5_OF_X}")
        shell.users.chmod(0o600)
        shell.does("add", "users", "a", "--stdin")
        self.htdigest(shell, "b", "secret")
        assert UserTable.read(shell.users).names("api") == ("last", "a", "b")


class TestHelp:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_shows_examples_that_can_be_parsed(self, shell: Shell, command: str) -> None:
        text = shell.run(command, "--help").lines
        examples = [line for line in text if line.strip().startswith(("python -m digest_auth", "password=$("))]
        assert examples
        for example in examples:
            words = re.sub(r"^password=\$\(|\)$|  .*$|<.*", "", example.strip()).split()
            assert words[:3] == ["python", "-m", "digest_auth"]
            parser().parse_args(words[3:])

    def test_the_program_names_every_command(self, shell: Shell) -> None:
        text = "\n".join(shell.run("--help").lines)
        assert all(f"\n    {command} " in text for command in COMMANDS)
