"""What the shared-memory store has beyond the contract: a file that others may have touched, forks, killed holders."""

import asyncio
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import pytest

from digest_auth import StoreUnavailableError, _replay_file, _replay_shm
from digest_auth._replay_file import WAYS, changing, open_table, size_octets, try_lock
from digest_auth._replay_shm import ShmReplayStore
from tests.digest_auth.stores.uses import NOW_US, Asked, Use, identity

if TYPE_CHECKING:
    from _typeshed import TraceFunction

SETS = 4
CAPACITY = SETS * WAYS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "digest-replay.table"


def opened(path: Path, capacity: int = CAPACITY) -> ShmReplayStore:
    return ShmReplayStore("table", capacity=capacity, folder=path.parent)


@pytest.fixture
def store(path: Path) -> Iterator[ShmReplayStore]:
    store = opened(path)
    yield store
    store.close()


def refusal(act: Callable[[], object]) -> str:
    """The one line of it."""
    with pytest.raises(StoreUnavailableError) as caught:
        act()
    message = str(caught.value)
    assert "\n" not in message
    return message


class TestFile:
    """One file of a known size, which its owner alone may read."""

    def test_it_is_where_the_name_says_with_mode_0600(self, store: ShmReplayStore, path: Path) -> None:
        assert store.path == path
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_it_has_all_its_pages_from_the_start(self, store: ShmReplayStore, path: Path) -> None:
        assert path.stat().st_size == size_octets(SETS)
        assert path.stat().st_blocks * 512 >= path.stat().st_size
        for n in range(10 * CAPACITY):
            assert Asked(store, None).use(f"{n}", 4096, issued_us=NOW_US + n)
        assert path.stat().st_size == size_octets(SETS)

    def test_the_default_table_fits_into_a_containers_usual_64_mb(self) -> None:
        assert size_octets(65_536 // WAYS) == 35_655_680 < 64 << 20

    def test_in_memory_unless_another_folder_is_named(self) -> None:
        name = f"test-{os.getpid()}"
        try:
            store = ShmReplayStore(name, capacity=1)
            assert store.path.parent == _replay_file.table_path("any", None).parent
            assert str(store.path.parent) == tempfile.gettempdir() or os.path.ismount(store.path.parent)
            store.close()
        finally:
            ShmReplayStore.remove(name)
        assert not store.path.exists()

    def test_removing_what_is_not_there_is_no_error(self, tmp_path: Path) -> None:
        ShmReplayStore.remove("table", folder=tmp_path)

    @pytest.mark.parametrize("name", ["", "a/b", "..\0", "ü", "a b", "x" * 101, "a\n"])
    def test_a_name_is_letters_digits_dots_dashes_and_underscores(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"^[^\n]*is no name of a replay table[^\n]*$"):
            ShmReplayStore(name, folder=tmp_path)

    def test_it_must_remember_something(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="at least one"):
            ShmReplayStore("table", capacity=0, folder=tmp_path)


class TestRefusedFiles:
    """What others may have made or changed is refused in one line: what, where, what to do."""

    def test_a_symbolic_link(self, path: Path) -> None:
        path.symlink_to(path.parent / "elsewhere")
        assert "is a symbolic link: remove it" in refusal(lambda: opened(path))
        assert not (path.parent / "elsewhere").exists()

    def test_no_regular_file(self, path: Path) -> None:
        os.mkfifo(path, 0o600)
        assert f"{path} is no regular file" in refusal(lambda: opened(path))

    def test_a_directory(self, path: Path) -> None:
        path.mkdir()
        assert f"{path} cannot be used (Is a directory)" in refusal(lambda: opened(path))

    def test_a_folder_that_is_not_there(self, path: Path) -> None:
        assert "cannot be used (No such file" in refusal(lambda: opened(path.parent / "none" / path.name))

    def test_a_mode_that_lets_others_in(self, path: Path) -> None:
        opened(path).close()
        path.chmod(0o644)
        assert "has mode 0644, not 0600" in refusal(lambda: opened(path))

    def test_another_users_file(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        opened(path).close()
        monkeypatch.setattr("os.geteuid", lambda: 12345)
        assert "belongs to user" in refusal(lambda: opened(path))

    def test_something_else(self, path: Path) -> None:
        path.write_bytes(b"a letter to somebody")
        path.chmod(0o600)
        assert "holds something else: remove it, or choose another name" in refusal(lambda: opened(path))
        assert path.read_bytes() == b"a letter to somebody"

    def test_a_torn_table(self, path: Path) -> None:
        opened(path).close()
        os.truncate(path, 5000)
        assert "is damaged: it has 5,000 octets" in refusal(lambda: opened(path))

    def test_another_capacity(self, store: ShmReplayStore, path: Path) -> None:
        expected = f"has room for {CAPACITY} nonces, not for {2 * CAPACITY}: give all servers that share it the same"
        assert expected in refusal(lambda: opened(path, 2 * CAPACITY))
        store.close()
        assert expected in refusal(lambda: opened(path, 2 * CAPACITY))

    def test_another_version(self, path: Path) -> None:
        opened(path).close()
        with path.open("r+b") as file:
            file.seek(8)
            file.write(b"\x63")
        assert "was made by another version" in refusal(lambda: opened(path))

    def test_no_room_is_an_error_at_the_start_and_leaves_nothing(self, path: Path) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_octets(SETS) - 1, hard))
        try:
            message = refusal(lambda: opened(path))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert f"needs {size_octets(SETS):,} octets that {path.parent} does not have" in message
        assert not path.exists()


class TestStart:
    """Any number of processes may make the table at once."""

    def test_all_have_the_same_one(self, path: Path) -> None:
        program = (
            "import sys; from pathlib import Path; from digest_auth._replay_shm import ShmReplayStore; input();"
            f" print(ShmReplayStore('table', capacity={CAPACITY}, folder=Path(sys.argv[1])).epoch.hex())"
        )
        starting = [
            subprocess.Popen(
                [sys.executable, "-c", program, str(path.parent)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(6)
        ]
        for process in starting:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        epochs = {process.communicate()[0] for process in starting}
        assert len(epochs) == 1


class TestMadeAnew:
    """A table that may lack counts that were used is no table to go on with: another takes its name."""

    def test_one_whose_maker_was_killed(self, path: Path) -> None:
        path.write_bytes(bytes(5000))
        path.chmod(0o600)
        opened(path).close()
        assert path.stat().st_size == size_octets(SETS)

    def test_a_copy(self, store: ShmReplayStore, path: Path) -> None:
        before = store.epoch
        shutil.copy2(path, path.parent / "copy")
        assert Asked(store, None).use("n", 1)
        (path.parent / "copy").replace(path)
        store.check()
        assert store.epoch != before
        store.close()
        assert opened(path).epoch != before

    def test_one_from_before_the_machine_was_started(
        self, store: ShmReplayStore, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = store.epoch
        store.close()
        monkeypatch.setattr(_replay_file, "_boot", lambda: bytes(range(16)))
        again = opened(path)
        assert again.epoch != before
        again.close()


class TestLost:
    """Running servers see a lost table at a health check at once; what they cannot have back is down, not open."""

    def test_a_health_check_replaces_it(self, store: ShmReplayStore, path: Path) -> None:
        before = store.epoch
        path.unlink()
        store.check()
        assert store.epoch != before
        assert path.exists()

    def test_it_is_down_until_it_can_be_replaced(
        self, store: ShmReplayStore, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_replay_shm, "LOOK_EVERY_S", 0.0)
        store.check()
        path.unlink()
        path.write_bytes(b"a letter to somebody")
        path.chmod(0o600)
        assert "holds something else" in refusal(store.check)
        assert "holds something else" in refusal(lambda: Asked(store, None).use("n", 1))
        path.unlink()
        assert Asked(store, None).use("n", 1) is False  # of the epoch that was
        assert Asked(store, None).use("n", 1)

    def test_what_the_system_refuses_is_down_as_well(
        self, store: ShmReplayStore, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_replay_shm, "LOOK_EVERY_S", 0.0)
        store.check()
        path.parent.rename(path.parent.with_name("moved"))
        path.parent.touch()
        assert "cannot be used (Not a directory)" in refusal(store.check)
        assert "cannot be used (Not a directory)" in refusal(lambda: Asked(store, None).use("n", 1))

    def test_what_was_closed_is_down(self, store: ShmReplayStore) -> None:
        store.close()
        assert "was closed by this server" in refusal(lambda: Asked(store, None).use("n", 1))
        assert "was closed by this server" in refusal(store.check)


class TestForks:
    """A server may open its table before it forks its workers."""

    def test_a_child_and_its_parent_share_the_counts(self, store: ShmReplayStore) -> None:
        uses = [Use(store.epoch, identity("n"), NOW_US, count, NOW_US) for count in range(1, 4001)]
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            won = [use.count for use in uses if store.use(use)]
            os.write(writer, b" ".join(b"%d" % count for count in won))
            os._exit(0)
        os.close(writer)
        won = [use.count for use in uses if store.use(use)]
        with os.fdopen(reader) as answers:
            won += [int(count) for count in answers.read().split()]
        assert os.waitpid(child, 0)[1] == 0
        assert sorted(won) == list(range(1, 4001))

    def test_a_child_does_not_wait_for_threads_that_it_does_not_have(self, store: ShmReplayStore) -> None:
        taken, done = threading.Event(), threading.Event()
        file = open_table(store.path, SETS)

        def hold() -> None:
            with changing(), file.lock:
                taken.set()
                done.wait()

        holder = threading.Thread(target=hold)
        holder.start()
        taken.wait()
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            store.check()
            os._exit(0 if Asked(store, None).use("n", 1) else 1)
        assert os.waitpid(child, 0)[1] == 0
        done.set()
        holder.join()
        _replay_file.leave(file)
        assert not Asked(store, None).use("n", 1)


class TestKilledHolder:
    """Killed at any instruction of a use: nothing that was used comes back, and nobody is locked out."""

    def test_at_each_instruction_while_a_record_is_replaced(self, path: Path) -> None:
        died = 0
        while True:
            store = opened(path, WAYS)
            asked = Asked(store, None)
            assert all(asked.use(f"{n}", 1, issued_us=NOW_US + n) for n in range(WAYS))
            child = os.fork()
            if child == 0:
                _kill_at_instruction(died + 1)
                asked.use("new", 1, issued_us=NOW_US + WAYS)
                os._exit(0)
            ended = os.waitpid(child, 0)[1]
            if ended:
                assert os.WTERMSIG(ended) == signal.SIGKILL
            assert not any(asked.use(f"{n}", 1, issued_us=NOW_US + n) for n in range(WAYS))
            assert all(asked.use(f"{n}", 2, issued_us=NOW_US + n) for n in range(1, WAYS))
            in_time = asked.use("new", 1, issued_us=NOW_US + WAYS)
            assert not asked.use("new", 1, issued_us=NOW_US + WAYS)
            store.close()
            ShmReplayStore.remove("table", folder=path.parent)
            if not ended:
                assert not in_time
                break
            died += 1
        assert died > 100


def _kill_at_instruction(wanted: int) -> None:
    """Kill this process by the signal that nothing can catch, before an instruction of the code that writes."""
    seen = 0

    def trace(frame: FrameType, event: str, argument: object) -> "TraceFunction | None":
        nonlocal seen
        del argument
        if frame.f_code.co_name not in ("_mark", "_new_record"):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            seen += 1
            if seen == wanted:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


@pytest.fixture
def stopped_holder(store: ShmReplayStore) -> Iterator[None]:
    """A process that has the locks of all sets and does nothing."""
    descriptor = os.open(store.path, os.O_RDWR)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        for number in range(SETS):
            try_lock(descriptor, _replay_file.FIRST_SET_LOCK + number)
        os.write(writer, b".")
        signal.pause()
    os.read(reader, 1)
    yield
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for each in (descriptor, reader, writer):
        os.close(each)


@pytest.mark.usefixtures("stopped_holder")
class TestStoppedHolder:
    """A process that was stopped while it held a lock makes others refuse after a while; it does not hang them."""

    def test_the_store_is_down(self, store: ShmReplayStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_replay_shm, "PATIENCE_S", 0.05)
        assert "look for a stopped server" in refusal(lambda: Asked(store, None).use("n", 1))

    def test_an_event_loop_goes_on_meanwhile(self, store: ShmReplayStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_replay_shm, "PATIENCE_S", 0.05)

        async def turns_of_the_loop() -> int:
            asking = asyncio.ensure_future(
                store.use_async(Use(store.epoch, identity("n"), NOW_US, 1, NOW_US)),
            )
            turns = 0
            while not asking.done():
                turns += 1
                await asyncio.sleep(0)
            with pytest.raises(StoreUnavailableError):
                await asking
            return turns

        assert asyncio.run(turns_of_the_loop()) > 10


class TestOneProcess:
    """The kernel's locks exclude no threads, and go when the process closes any descriptor of the file."""

    def test_a_thread_waits_for_another(self, store: ShmReplayStore) -> None:
        file = open_table(store.path, SETS)
        answers: list[bool] = []
        other = threading.Thread(target=lambda: answers.append(Asked(store, None).use("n", 1)))
        with file.lock:
            other.start()
            other.join(0.05)
            assert other.is_alive()
        other.join()
        _replay_file.leave(file)
        assert answers == [True]

    def test_another_store_opens_and_closes_no_descriptor_while_a_lock_is_held(self, store: ShmReplayStore) -> None:
        file = open_table(store.path, SETS)

        def open_and_close() -> None:
            opened(store.path).close()

        other = threading.Thread(target=open_and_close)
        with file.lock:
            assert try_lock(file.descriptor, 1)
            other.start()
            other.join(0.1)
            child = os.fork()
            if child == 0:
                os._exit(int(try_lock(file.descriptor, 1)))
            assert os.waitpid(child, 0)[1] == 0
            assert other.is_alive()
        other.join()
        _replay_file.leave(file)
        assert Asked(store, None).use("n", 1)
