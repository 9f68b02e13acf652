"""A users file is read again when it changes, and what cannot be used changes nothing."""

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from digest_auth import Algorithm, UsersFileError, UserTable, htdigest_line
from digest_auth import _users_watched as module
from digest_auth._users import read_octets
from digest_auth._users_watched import WATCH_S, WatchedUsers

REALM = "r"


def line(user: str, password: str = "secret") -> str:
    return htdigest_line(user, REALM, password, Algorithm.SHA_256) + "\n"


@dataclass
class Clock:
    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


class Watch:
    """A users file, and one who looks at it each time the clock allows."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "users"
        self.path.write_text(line("first"))
        self.clock = Clock()
        self.users = WatchedUsers(self.path, clock=self.clock)

    def replace(self, text: str) -> None:
        new = self.path.with_name("new")
        new.write_text(text)
        new.replace(self.path)

    def look(self) -> UserTable:
        self.clock.now_s += WATCH_S
        return self.users.current()

    def names(self) -> list[str]:
        return list(self.look().names(REALM))


@pytest.fixture
def watch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Watch:
    caplog.set_level(logging.WARNING, "digest_auth")
    return Watch(tmp_path)


@pytest.fixture
def at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as long unchanged at once."""
    monkeypatch.setattr(module, "_AT_REST_NS", -1)


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every reading of a file from here on."""
    seen: list[Path] = []

    def counted(path: Path) -> bytes:
        seen.append(path)
        return read_octets(path)

    monkeypatch.setattr(module, "read_octets", counted)
    return seen


class TestChange:
    """Whoever is added, changed or removed is so at the next look."""

    def test_a_replaced_file_is_read(self, watch: Watch) -> None:
        watch.replace(line("first") + line("second"))
        assert watch.names() == ["first", "second"]

    def test_a_file_written_in_place_is_read(self, watch: Watch) -> None:
        watch.path.write_text(line("other"))
        assert watch.names() == ["other"]

    def test_a_link_that_leads_elsewhere_is_followed(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text(line("a"))
        (tmp_path / "b").write_text(line("b"))
        (tmp_path / "users").symlink_to("a")
        clock = Clock()
        users = WatchedUsers(tmp_path / "users", clock=clock)
        (tmp_path / "new").symlink_to("b")
        (tmp_path / "new").replace(tmp_path / "users")
        clock.now_s += WATCH_S
        assert users.current().names(REALM) == ("b",)

    def test_the_last_user_removed_is_removed(self, watch: Watch) -> None:
        """An empty file is a good one: it says that nobody may come in."""
        watch.replace("# nobody\n")
        assert watch.names() == []

    def test_what_did_not_change_is_the_same_table(self, watch: Watch) -> None:
        before = watch.users.current()
        watch.replace(watch.path.read_text())
        assert watch.look() is before

    def test_a_table_once_given_out_stays_as_it_was(self, watch: Watch) -> None:
        before = watch.users.current()
        watch.replace(line("other"))
        watch.look()
        assert before.names(REALM) == ("first",)

    def test_changes_within_the_granularity_of_the_clock_are_not_missed(
        self, watch: Watch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Same length, same inode, and a file system that tells seconds: what is read last was written last."""

        def coarse(path: Path) -> tuple[int, ...]:
            second = path.stat().st_ctime_ns // 10**9 * 10**9
            return path.stat().st_size, second, second

        monkeypatch.setattr(module, "_stamp_of", coarse)
        for password in map(str, range(100)):
            watch.path.write_text(line("name", password))
            watch.look()
            watch.path.write_text(line("name", password + "again"))
            watch.path.write_text(line("name", password + "at last"))
            expected = UserTable.parse(line("name", password + "at last")).find(Algorithm.SHA_256, REALM, "name")
            assert watch.look().find(Algorithm.SHA_256, REALM, "name") == expected

    @pytest.mark.usefixtures("at_rest")
    def test_a_time_of_modification_that_is_put_back_does_not_hide_a_change(self, watch: Watch) -> None:
        before = watch.path.stat()
        watch.path.write_text(line("secon"))
        os.utime(watch.path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert (watch.path.stat().st_size, watch.path.stat().st_ino) == (before.st_size, before.st_ino)
        assert watch.names() == ["secon"]


@pytest.mark.usefixtures("at_rest")
class TestHowOften:
    """A request that does not look pays for a clock; a look that finds nothing new reads nothing."""

    def test_not_before_its_time(self, watch: Watch, readings: list[Path]) -> None:
        watch.replace(line("other"))
        watch.clock.now_s += WATCH_S * 0.99
        assert watch.users.current().names(REALM) == ("first",)
        assert readings == []

    def test_a_file_at_rest_is_not_read_again(self, watch: Watch, readings: list[Path]) -> None:
        watch.look()
        readings.clear()
        watch.look()
        assert readings == []

    def test_nobody_waits_for_another_one_s_reading(self, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def slow(path: Path) -> bytes:
            begun.set()
            assert go_on.wait(10)
            return path.read_bytes()

        watch.replace(line("other"))
        monkeypatch.setattr(module, "read_octets", slow)
        watch.clock.now_s += WATCH_S
        reader = threading.Thread(target=watch.users.current)
        reader.start()
        assert begun.wait(10)
        assert watch.users.current().names(REALM) == ("first",)
        go_on.set()
        reader.join()
        assert watch.users.current().names(REALM) == ("other",)


def vanish(path: Path) -> None:
    path.unlink()


def become_something_else(path: Path) -> None:
    path.write_text("first:secret\n")


def become_no_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def become_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


class TestFaults:
    """The table from before stays; the log has one line for a fault, not one for a request or a look."""

    @pytest.mark.parametrize(
        "break_it", [vanish, become_something_else, become_no_text, become_a_folder, become_a_pipe]
    )
    def test_who_could_come_in_still_can(
        self, watch: Watch, caplog: pytest.LogCaptureFixture, break_it: Callable[[Path], None]
    ) -> None:
        break_it(watch.path)
        assert [watch.names() for _ in range(10)] == [["first"]] * 10
        (record,) = caplog.records
        assert (record.name, record.levelname) == ("digest_auth", "WARNING")
        assert str(watch.path) in record.message

    def test_a_file_caught_while_it_is_written_is_no_news(self, watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
        watch.path.write_text(line("other")[:20])
        assert watch.names() == ["first"]
        watch.path.write_text(line("other"))
        assert watch.names() == ["other"]
        assert caplog.records == []

    def test_a_mended_file_is_read_and_the_next_fault_is_told_again(
        self, watch: Watch, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(2):
            watch.replace("broken\n")
            watch.look()
            watch.look()
            watch.replace(line("other"))
            assert watch.names() == ["other"]
        assert len(caplog.records) == 2

    def test_a_file_that_comes_back_as_it_was_is_good_again(self, watch: Watch) -> None:
        aside = watch.path.with_name("aside")
        watch.path.rename(aside)
        watch.look()
        watch.look()
        aside.rename(watch.path)
        watch.look()
        watch.replace(line("other"))
        assert watch.names() == ["other"]

    @pytest.mark.usefixtures("at_rest")
    def test_a_broken_file_at_rest_is_not_read_again(self, watch: Watch, readings: list[Path]) -> None:
        watch.replace("broken\n")
        watch.look()
        watch.look()
        readings.clear()
        watch.look()
        assert readings == []

    def test_no_hash_is_logged(self, watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
        twice = line("first")
        watch.replace(twice + twice)
        watch.look()
        watch.look()
        assert "stands twice" in caplog.text
        assert twice.strip()[-64:] not in caplog.text

    def test_a_first_reading_must_succeed(self, tmp_path: Path) -> None:
        with pytest.raises(UsersFileError, match="no users file at"):
            WatchedUsers(tmp_path / "users")


def test_a_change_of_the_working_directory_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "users").write_text(line("first"))
    monkeypatch.chdir(tmp_path)
    clock = Clock()
    users = WatchedUsers(Path("users"), clock=clock)
    monkeypatch.chdir("/")
    (tmp_path / "users").write_text(line("other"))
    clock.now_s += WATCH_S
    assert users.current().names(REALM) == ("other",)
