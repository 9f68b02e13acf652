"""A certificate that is replaced while our servers run: right, and in every wrong way that files can be replaced."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from benchmarks.rotation import NEW_WITHIN_S, Pair, ask, connect, measure
from certs import CertificateFiles, client_context
from tests.devices import DEVICES, RunningDevice, running_device

pytestmark = pytest.mark.end_to_end

LOOKS_S: Final = 0.25  # between two looks of a server at its files
PATIENCE_S: Final = 10.0


@pytest.mark.parametrize("device", DEVICES)
def test_a_tenth_of_the_benchmark(device: str, tmp_path: Path) -> None:
    outcome = measure(device, tmp_path, requests=1000, connections=50, rotations=2)
    assert outcome.requests >= 1000
    assert outcome.failures == ()
    assert max(outcome.worst_s.values()) <= NEW_WITHIN_S


@dataclass(frozen=True, slots=True)
class Served:
    """All of our servers, with one and the same pair of files."""

    pair: Pair
    servers: dict[str, RunningDevice]

    def shown(self) -> set[int]:
        """The serial numbers that a new client of each server sees; its request is answered as well."""
        trusting = client_context(self.pair.ca_file)
        serials = set()
        for server in self.servers.values():
            connection, visit = connect(server.address, trusting)
            with contextlib.closing(connection):
                ask(connection)
            serials.add(visit.serial)
        return serials

    def complaints(self) -> dict[str, list[str]]:
        """Lines of the logs that tell of something wrong."""
        return {
            name: [line for line in server.logged() if " WARNING " in line or " ERROR " in line or "Traceback" in line]
            for name, server in self.servers.items()
        }

    def hang_up(self) -> None:
        for server in self.servers.values():
            os.kill(server.process.pid, signal.SIGHUP)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    pair = Pair(tmp_path_factory.mktemp("tls"))
    options = ["--certificate", str(pair.files.chain), "--key", str(pair.files.key)]
    with contextlib.ExitStack() as stack:
        servers = {
            name: stack.enter_context(running_device(name, tmp_path_factory.mktemp(name), *options)) for name in DEVICES
        }
        yield Served(pair, servers)


Break = Callable[[CertificateFiles, CertificateFiles], None]  # of the files that are served, and of new ones


def chain_before_key(files: CertificateFiles, new: CertificateFiles) -> None:
    files.chain.write_bytes(new.chain.read_bytes())


def half_written(files: CertificateFiles, new: CertificateFiles) -> None:
    whole = new.chain.read_bytes()
    files.chain.write_bytes(whole[: len(whole) // 4])


def garbage(files: CertificateFiles, _new: CertificateFiles) -> None:
    files.key.write_bytes(b"\x00 no key \xff")


def deleted(files: CertificateFiles, _new: CertificateFiles) -> None:
    files.chain.unlink()
    files.key.unlink()


@pytest.mark.parametrize("break_files", [chain_before_key, half_written, garbage, deleted])
class TestBrokenRotation:
    """The certificate from before goes on being served, one line says what is wrong, and the right files end it."""

    def test_by_itself(self, served: Served, break_files: Break) -> None:
        before, new = served.pair.serial, served.pair.issued_aside()
        said_before = served.complaints()
        break_files(served.pair.files, new)
        began_s = time.monotonic()
        while not all(said_since(served, said_before).values()):
            assert served.shown() == {before}
            assert time.monotonic() < began_s + PATIENCE_S, "no warning"
        asked_until_s = time.monotonic() + 2 * LOOKS_S
        while time.monotonic() < asked_until_s:
            assert served.shown() == {before}
        for lines in said_since(served, said_before).values():
            (line,) = lines  # and not again at each look
            assert " WARNING certs: " in line
            assert str(served.pair.files.chain.parent) in line
        mend(served, new)

    def test_by_sighup(self, served: Served, break_files: Break) -> None:
        before, new = served.pair.serial, served.pair.issued_aside()
        said_before = served.complaints()
        break_files(served.pair.files, new)
        served.hang_up()
        deadline_s = time.monotonic() + PATIENCE_S
        while not all(said_since(served, said_before).values()):
            assert time.monotonic() < deadline_s, "no error"
            time.sleep(0.02)
        for lines in said_since(served, said_before).values():
            (line,) = lines
            assert " ERROR " in line
            assert str(served.pair.files.chain.parent) in line
        assert served.shown() == {before}
        served.pair.replace_by(new)
        served.hang_up()
        deadline_s = time.monotonic() + NEW_WITHIN_S
        while served.shown() != {served.pair.serial}:
            assert time.monotonic() < deadline_s


def said_since(served: Served, before: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: lines[len(before[name]) :] for name, lines in served.complaints().items()}


def mend(served: Served, new: CertificateFiles) -> None:
    """Put the new pair in place; every server shows it within a second."""
    said_before = served.complaints()
    served.pair.replace_by(new)
    replaced_s = time.monotonic()
    while served.shown() != {served.pair.serial}:
        assert time.monotonic() < replaced_s + NEW_WITHIN_S
    assert not any(said_since(served, said_before).values())
