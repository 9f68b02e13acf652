"""The datastore is made and filled once, whoever comes first, and what is wrong with it is said in a line."""

import json
import multiprocessing
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from device_api import datastore as stored
from device_api.datastore import Datastore, check, read_interface, read_interfaces
from device_api.errors import NoSuchResourceError, UnavailableError
from device_api.media import encode
from device_api.model import INTERFACES_SCHEMA, ONE_INTERFACE_SCHEMA, PORTS, Interface
from device_api.settings import SettingsError
from tests.device_api.schemas import validate


def _open(folder: Path, url: str | None = None) -> Datastore:
    return Datastore.open(url, default=folder / "device.sqlite3", lock=folder / "lock", threads=4)


@pytest.fixture
def datastore(tmp_path: Path) -> Iterator[Datastore]:
    opened = _open(tmp_path)
    yield opened
    opened.close()


def _open_in_a_process(folder: Path, results: "multiprocessing.SimpleQueue[int]") -> None:
    opened = _open(folder)
    results.put(len(opened.run(read_interfaces)["ietf-interfaces:interfaces"]["interface"]))  # type: ignore[index]  # JSON
    opened.close()


class TestReading:
    def test_all_interfaces(self, datastore: Datastore) -> None:
        document = datastore.run(read_interfaces)
        validate(document, INTERFACES_SCHEMA)
        entries = json.loads(encode(document))["ietf-interfaces:interfaces"]["interface"]
        assert [entry["if-index"] for entry in entries] == list(range(1, PORTS + 1))
        assert len({entry["name"] for entry in entries} | {entry["phys-address"] for entry in entries}) == 2 * PORTS
        assert 9_000 < len(encode(document)) < 11_000

    def test_there_is_something_of_everything(self, datastore: Datastore) -> None:
        entries = json.loads(encode(datastore.run(read_interfaces)))["ietf-interfaces:interfaces"]["interface"]
        states = {(entry["enabled"], entry["admin-status"], entry["oper-status"]) for entry in entries}
        assert states == {(True, "up", "up"), (True, "up", "down"), (False, "down", "down")}

    def test_one_interface(self, datastore: Datastore) -> None:
        document = datastore.run(read_interface, "GigabitEthernet1/0/7")
        validate(document, ONE_INTERFACE_SCHEMA)
        (entry,) = json.loads(encode(document))["ietf-interfaces:interface"]
        assert (entry["name"], entry["if-index"], entry["speed"]) == ("GigabitEthernet1/0/7", 7, "1000000000")

    @pytest.mark.parametrize(
        "name", ["", "gigabitethernet1/0/7", "GigabitEthernet1/0/7 ", "' OR 1=1 --", "\0", "\ufffd"]
    )
    def test_no_such_interface(self, datastore: Datastore, name: str) -> None:
        with pytest.raises(NoSuchResourceError):
            datastore.run(read_interface, name)


class TestTransactions:
    @staticmethod
    def _describe(session: Session, text: str) -> None:
        session.execute(update(Interface).where(Interface.if_index == 1).values(description=text))

    def test_committed_at_the_end(self, datastore: Datastore) -> None:
        datastore.run(self._describe, "new")
        assert "new" in str(datastore.run(read_interface, "GigabitEthernet1/0/1"))

    def test_rolled_back_by_an_exception(self, datastore: Datastore) -> None:
        def work(session: Session) -> None:
            self._describe(session, "new")
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            datastore.run(work)
        assert "new" not in str(datastore.run(read_interface, "GigabitEthernet1/0/1"))

    def test_readers_do_not_wait_for_a_writer(self, datastore: Datastore) -> None:
        with datastore.begin() as session:
            self._describe(session, "new")
            assert "new" not in str(datastore.run(read_interface, "GigabitEthernet1/0/1"))

    def test_many_threads_read_at_once(self, datastore: Datastore) -> None:
        barrier = threading.Barrier(stored._MIN_CONNECTIONS)

        def read() -> None:
            with datastore.begin() as session:
                check(session)
                barrier.wait(10)  # all of them hold a connection now

        with ThreadPoolExecutor(stored._MIN_CONNECTIONS) as pool:
            readers = [pool.submit(read) for _ in range(stored._MIN_CONNECTIONS)]
        assert [reader.exception() for reader in readers] == [None] * len(readers)

    def test_a_database_that_is_broken_is_unavailable(self, datastore: Datastore, tmp_path: Path) -> None:
        with closing(sqlite3.connect(tmp_path / "device.sqlite3")) as connection:
            connection.execute("DROP TABLE interface")
        with pytest.raises(UnavailableError, match=r"^the datastore cannot be reached$"):
            datastore.run(read_interfaces)


class TestOpening:
    def test_sqlite_is_in_wal_mode(self, datastore: Datastore, tmp_path: Path) -> None:
        datastore.run(check)
        with closing(sqlite3.connect(tmp_path / "device.sqlite3")) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    def test_what_was_changed_is_kept(self, tmp_path: Path) -> None:
        first = _open(tmp_path)
        first.run(TestTransactions._describe, "kept")
        first.close()
        second = _open(tmp_path)
        assert "kept" in str(second.run(read_interfaces))
        second.close()

    def test_a_start_cut_short_is_finished(self, tmp_path: Path) -> None:
        _open(tmp_path).close()
        with closing(sqlite3.connect(tmp_path / "device.sqlite3")) as connection, connection:
            connection.execute("DELETE FROM schema_version")
            connection.execute("DELETE FROM interface")
        again = _open(tmp_path)
        assert "TenGigabitEthernet1/1/4" in str(again.run(read_interfaces))
        again.close()

    def test_processes_that_start_at_once_fill_it_once(self, tmp_path: Path) -> None:
        context = multiprocessing.get_context("spawn")
        results: multiprocessing.SimpleQueue[int] = context.SimpleQueue()
        processes = [context.Process(target=_open_in_a_process, args=(tmp_path, results)) for _ in range(4)]
        for process in processes:
            process.start()
        assert [results.get() for _ in processes] == [PORTS] * 4
        for process in processes:
            process.join()

    def test_another_file_by_url(self, tmp_path: Path) -> None:
        _open(tmp_path, f"sqlite:///{tmp_path}/other.sqlite3").close()
        assert (tmp_path / "other.sqlite3").exists()
        assert not (tmp_path / "device.sqlite3").exists()

    @pytest.mark.parametrize(
        ("url", "complaint"),
        [
            ("nonsense", "not a database URL"),
            ("nosuchdatabase://host/db", "not a database URL"),
            ("sqlite://", "in memory would be another database in each thread"),
            ("sqlite:///:memory:", "in memory would be another database in each thread"),
            ("sqlite+aiosqlite:///x", "an asynchronous driver"),
            ("mysql+pymysql://me:secret@host/db", "its driver is not installed"),
            ("sqlite:////nowhere/at/all.sqlite3", "unable to open database file"),
        ],
    )
    def test_a_url_that_cannot_be_used(self, tmp_path: Path, url: str, complaint: str) -> None:
        with pytest.raises(SettingsError) as caught:
            _open(tmp_path, url)
        line = str(caught.value)
        assert complaint in line
        assert line.startswith("--datastore (DEVICE_DATASTORE): ")
        assert "\n" not in line
        assert "secret" not in line

    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "device.sqlite3").write_text("not a database, by some hundred characters " * 10)
        with pytest.raises(SettingsError, match="file is not a database"):
            _open(tmp_path)

    def test_tables_of_another_version(self, tmp_path: Path) -> None:
        _open(tmp_path).close()
        with closing(sqlite3.connect(tmp_path / "device.sqlite3")) as connection, connection:
            connection.execute("UPDATE schema_version SET version = 2")
        with pytest.raises(SettingsError, match="tables of version 2, not 1"):
            _open(tmp_path)
