"""A users file is changed whole or not at all, one writer after another, and is never in more hands than before."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from digest_auth import PLAIN_ALGORITHMS, Algorithm, UsersFileError, UserTable
from digest_auth._users import htdigest_lines
from digest_auth._users_file import change_users_file

ROOT = Path(__file__).parents[2]
FIRST = "".join(f"{line}\n" for line in htdigest_lines("first", "r", "secret", PLAIN_ALGORITHMS))


def adding(user: str) -> Callable[[str], str]:
    lines = "".join(f"{line}\n" for line in htdigest_lines(user, "r", "secret", PLAIN_ALGORITHMS))
    return lambda text: text + lines


def python(program: str, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def permissions(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def names(path: Path) -> list[str]:
    return list(UserTable.read(path).names("r"))


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    path.write_text(FIRST)
    path.chmod(0o600)
    return path


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


class TestPermissions:
    """A hash is as good as its password: what is new is its owner's alone, what was narrower stays so."""

    def test_a_new_file_is_its_owner_s_alone(self, tmp_path: Path) -> None:
        with umask(0):
            assert change_users_file(tmp_path / "users", adding("a"), may_create=True) is None
        assert permissions(tmp_path / "users") == 0o600

    def test_what_is_written_is_so_from_the_first_byte_on(self, users: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        users.chmod(0o640)
        seen: list[int] = []
        sync = os.fsync

        def looked_at(descriptor: int) -> None:
            seen.append(os.fstat(descriptor).st_mode & 0o7777)
            sync(descriptor)

        monkeypatch.setattr(os, "fsync", looked_at)
        with umask(0):
            change_users_file(users, adding("a"))
        assert seen[0] == 0o600
        assert permissions(users) == 0o640

    @pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o440])
    def test_owner_s_and_group_s_stay(self, users: Path, mode: int) -> None:
        users.chmod(mode)
        assert change_users_file(users, adding("a")) is None
        assert permissions(users) == mode

    @pytest.mark.parametrize(("mode", "left"), [(0o644, 0o640), (0o666, 0o660), (0o604, 0o600)])
    def test_everybody_else_s_are_taken_away_and_said(self, users: Path, mode: int, left: int) -> None:
        users.chmod(mode)
        assert change_users_file(users, adding("a")) == mode
        assert permissions(users) == left

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    def test_root_leaves_a_file_its_owner_and_group(self, users: Path) -> None:
        os.chown(users, 1234, 2345)
        change_users_file(users, adding("a"))
        assert (users.stat().st_uid, users.stat().st_gid) == (1234, 2345)

    def test_an_owner_that_cannot_be_kept_is_a_refusal(self, users: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Otherwise the server, whose file it was, could read it no more."""
        owned_by(monkeypatch, uid=os.geteuid() + 1)
        with pytest.raises(UsersFileError, match="it belongs to another user"):
            change_users_file(users, adding("a"))
        assert users.read_text() == FIRST

    def test_a_group_that_cannot_be_kept_gives_nothing_to_another(
        self, users: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        users.chmod(0o640)
        owned_by(monkeypatch, gid=users.stat().st_gid + 1)
        change_users_file(users, adding("a"))
        assert permissions(users) == 0o600


def owned_by(monkeypatch: pytest.MonkeyPatch, *, uid: int | None = None, gid: int | None = None) -> None:
    """The file that is opened first seems somebody else's, and nothing can be given away."""
    look = os.fstat
    opened: list[int] = []

    def another_s(descriptor: int) -> os.stat_result:
        found = look(descriptor)
        opened.append(found.st_ino)
        if found.st_ino != opened[0]:
            return found
        fields = list(found)
        fields[4:6] = [found.st_uid if uid is None else uid, found.st_gid if gid is None else gid]
        return os.stat_result(fields)

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fstat", another_s)
    monkeypatch.setattr(os, "fchown", refuse)


class TestLinks:
    """A link goes on leading where it led."""

    def test_the_file_behind_it_is_changed(self, users: Path, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        link = tmp_path / "elsewhere" / "link"
        link.symlink_to(users)
        change_users_file(link, adding("a"))
        assert link.is_symlink()
        assert names(users) == ["first", "a"]

    def test_the_file_behind_it_is_made(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to("users")
        change_users_file(tmp_path / "link", adding("a"), may_create=True)
        assert (tmp_path / "link").is_symlink()
        assert names(tmp_path / "users") == ["a"]

    def test_one_that_leads_to_itself_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to("link")
        with pytest.raises(UsersFileError, match=r"cannot change the users file .*link: Too many levels"):
            change_users_file(tmp_path / "link", adding("a"), may_create=True)


class TestWholeOrNotAtAll:
    """Whatever happens to a writer, the old content or the new is there, and the next writer can go on."""

    @pytest.mark.parametrize("step", ["os.fsync", "os.fchmod", "os.open", "pathlib.Path.replace"])
    def test_a_killed_writer_leaves_the_old_content(self, users: Path, step: str) -> None:
        self.die_at(step, users)
        assert users.read_text() == FIRST
        self.assert_goes_on(users, ["first", "next"])

    @pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.hardlink_to"])
    def test_a_killed_maker_leaves_no_file(self, tmp_path: Path, step: str) -> None:
        self.die_at(step, tmp_path / "users")
        assert not (tmp_path / "users").exists()
        self.assert_goes_on(tmp_path / "users", ["next"])

    @staticmethod
    def die_at(step: str, users: Path) -> None:
        program = f"""
import os, pathlib, signal, sys
from digest_auth._users_file import change_users_file

def edit(text):
    {step} = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)  # from here on: the file is read and locked
    return text + "killed:r:" + "d" * 32 + "\\n"

change_users_file(pathlib.Path(sys.argv[1]), edit, may_create=True)
"""
        writer = python(program, users)
        assert writer.communicate() == ("", "")
        assert writer.returncode == -9

    @staticmethod
    def assert_goes_on(users: Path, expected: list[str]) -> None:
        change_users_file(users, adding("next"), may_create=True)
        assert names(users) == expected
        assert all(path.name.startswith(".users-") for path in users.parent.iterdir() if path != users)
        assert {permissions(path) for path in users.parent.iterdir()} == {0o600}

    def test_without_room_nothing_changes_and_nothing_is_left(self, users: Path) -> None:
        program = """
import pathlib, resource, sys
from digest_auth import UsersFileError
from digest_auth._users_file import change_users_file

resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    change_users_file(pathlib.Path(sys.argv[1]), lambda text: text + "# much\\n" * 10_000)
except UsersFileError as error:
    print(error)
"""
        out, errors = python(program, users).communicate()
        assert (out, errors) == (
            f"cannot change the users file {users}: File too large; make room there; nothing was changed\n",
            "",
        )
        assert users.read_text() == FIRST
        assert list(users.parent.iterdir()) == [users]

    def test_an_edit_that_fails_changes_nothing(self, users: Path) -> None:
        def fail(text: str) -> str:
            raise UsersFileError(f"no, not to {len(text)} characters")

        with pytest.raises(UsersFileError, match="no, not to"):
            change_users_file(users, fail)
        assert users.read_text() == FIRST
        assert list(users.parent.iterdir()) == [users]

    def test_an_edit_that_changes_nothing_leaves_the_very_file(self, users: Path) -> None:
        before = users.stat()
        change_users_file(users, lambda text: text)
        assert users.stat() == before


class TestWriters:
    """Several writers at once: none is lost, not even when all of them want to make the file."""

    def test_a_maker_that_another_one_outruns_adds_to_the_other_s(self, tmp_path: Path) -> None:
        users = tmp_path / "users"
        seen: list[str] = []

        def edit(text: str) -> str:
            seen.append(text)
            if not text:
                users.write_text(FIRST)
            return adding("second")(text)

        change_users_file(users, edit, may_create=True)
        assert seen == ["", FIRST]
        assert names(users) == ["first", "second"]

    def test_all_that_was_added_is_there(self, tmp_path: Path) -> None:
        program = """
import pathlib, sys
from digest_auth._users_file import change_users_file

path, name = pathlib.Path(sys.argv[1]), sys.argv[2]
sys.stdin.readline()
for number in range(15):
    change_users_file(path, lambda text: text + f"{name}-{number}:r:" + "d" * 32 + "\\n", may_create=True)
"""
        users = tmp_path / "users"
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", program, users, str(writer)],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
            )
            for writer in range(4)
        ]
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write(b"go\n")
            writer.stdin.close()
        seen = 0
        while any(writer.poll() is None for writer in writers):
            if users.exists():  # a reader, who takes no lock, sees whole files, which only grow
                now = len(UserTable.read(users))
                assert now >= seen
                seen = now
        assert [writer.returncode for writer in writers] == [0, 0, 0, 0]
        assert set(names(users)) == {f"{writer}-{number}" for writer in range(4) for number in range(15)}
        assert list(tmp_path.iterdir()) == [users]


class TestBadPaths:
    """What is no users file, or cannot be written, is said in one line."""

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(UsersFileError, match="no users file at"):
            change_users_file(tmp_path / "users", adding("a"))

    def test_a_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UsersFileError, match=r"there is no folder .*absent; make it first"):
            change_users_file(tmp_path / "absent" / "users", adding("a"), may_create=True)

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UsersFileError, match="Is a directory; name a file in it"):
            change_users_file(tmp_path, adding("a"), may_create=True)

    def test_a_file_for_a_folder(self, users: Path) -> None:
        with pytest.raises(UsersFileError, match="Not a directory"):
            change_users_file(users / "users", adding("a"), may_create=True)

    def test_a_pipe(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(UsersFileError, match="not a regular file"):
            change_users_file(tmp_path / "pipe", adding("a"))

    def test_a_file_that_is_no_text(self, users: Path) -> None:
        users.write_bytes(b"\x7fELF\xff\xfe")
        with pytest.raises(UsersFileError, match="not UTF-8 text"):
            change_users_file(users, adding("a"))
        assert users.read_bytes() == b"\x7fELF\xff\xfe"

    def test_a_name_of_the_greatest_length(self, tmp_path: Path) -> None:
        """The temporary file's name is no longer for it."""
        users = tmp_path / ("x" * 255)
        change_users_file(users, adding("a"), may_create=True)
        change_users_file(users, adding("b"))
        assert UserTable.read(users).find(Algorithm.SHA_256, "r", "b") is not None
