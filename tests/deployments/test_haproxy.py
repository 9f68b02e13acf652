"""What HAProxy does beside what every proxy does.

It gets a key without a copy, cuts nobody's kept connection, chooses among processes of an application, and can leave
TLS to them.
"""

import contextlib
import csv
import os
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import certs
import deployments
from benchmarks.rotation import ask, connect
from certs import KeyKind
from deployments import RunningServer, ServeOptions
from tests.deployments.clients import (
    TIMEOUT_S,
    address,
    await_successors,
    facing,
    family,
    renew,
    serial,
    shake_hands,
)
from tests.deployments.test_proxies import PROXY, forged, let_tell, told
from tests.deployments.test_serving import at_work

pytestmark = pytest.mark.end_to_end

NAME = "flask-waitress@haproxy"
PASSED_THROUGH = "quart-hypercorn-asyncio-tls@haproxy"
IDLE_S = 5.0  # timeout http-keep-alive
RELOADS = 3


@pytest.fixture
def own_state(tmp_path: Path) -> Path:
    """A state folder that no other test sees damaged."""
    return tmp_path / "state"


@pytest.fixture
def served(own_state: Path) -> Iterator[RunningServer]:
    with deployments.start(NAME, ServeOptions(state=own_state)) as server:
        yield server


@contextlib.contextmanager
def kept_connection(server: RunningServer) -> Iterator[ssl.SSLSocket]:
    """A connection on which one request was answered."""
    assert server.ca_file is not None
    connection, _ = connect(address(server), certs.client_context(server.ca_file))
    with contextlib.closing(connection):
        assert ask(connection)
        yield connection


def reload(server: RunningServer) -> None:
    """Until the worker from before has gone."""
    before = facing(server)
    server.reload()
    await_successors(server, before)


class TestKey:
    """It reads the files that are renewed, under names that it looks for."""

    def test_no_file_in_its_folder_holds_one(self, served: RunningServer, own_state: Path) -> None:
        files = certs.ensure_certificate(own_state, KeyKind.ECDSA_P256)
        links = {file.name: file.readlink() for file in served.folder.iterdir() if file.is_symlink()}
        assert links == {"certificate.pem": files.chain, "certificate.pem.key": files.key}
        written = [file for file in served.folder.iterdir() if not file.is_symlink()]
        assert not any("PRIVATE KEY" in file.read_text() for file in written)

    def test_half_of_a_new_pair_is_not_taken(self, served: RunningServer, own_state: Path) -> None:
        """The worker from before goes on, and a reload when the pair is whole finds it."""
        files = certs.ensure_certificate(own_state, KeyKind.ECDSA_P256)
        key, first, before = files.key.read_bytes(), serial(own_state), facing(served)
        other = certs.issue_client_certificate(own_state, "another")
        files.key.write_bytes(other.key.read_bytes())
        served.reload()
        began_s = time.monotonic()
        while "inconsistencies" not in served.log.read_text():
            assert time.monotonic() < began_s + TIMEOUT_S
            time.sleep(0.02)
        assert shake_hands(served).serial == first
        assert facing(served) == before
        files.key.write_bytes(key)
        renew(own_state)
        reload(served)
        assert shake_hands(served).serial == serial(own_state) != first


class TestKeptConnections:
    """Asked once more, and told to be closed: so that no request comes when HAProxy hangs up."""

    def test_no_request_is_lost_at_reloads(self, served: RunningServer) -> None:
        with at_work(served) as record:
            for _ in range(RELOADS):
                reload(served)
        assert record.failures == []

    def test_the_next_answer_after_a_reload_says_that_it_is_the_last(self, served: RunningServer) -> None:
        before = facing(served)
        with kept_connection(served) as connection:
            served.reload()
            began_s = time.monotonic()
            while len(facing(served)) < len(before) + 1:
                assert time.monotonic() < began_s + TIMEOUT_S
                time.sleep(0.02)
            time.sleep(0.1)  # for the old worker to be told; nothing outside can see that
            assert not ask(connection)

    def test_a_stop_waits_for_who_asks_no_more(self, served: RunningServer) -> None:
        with kept_connection(served):
            began_s = time.monotonic()
            assert served.stop() == 0
            assert time.monotonic() - began_s < IDLE_S + 2


@pytest.fixture(params=[NAME, PASSED_THROUGH])
def balanced(request: pytest.FixtureRequest, state: Path) -> Iterator[RunningServer]:
    """Two processes: of Waitress, which has no workers, or of a server that ends TLS."""
    with deployments.start(request.param, ServeOptions(state=state, workers=2)) as server:
        yield server


def requests_of_each(server: RunningServer) -> dict[str, int]:
    """How many HAProxy has given to each process, by the name that it has there."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.connect(str(server.folder / "haproxy.sock"))
        connection.sendall(b"show stat -1 4 -1\n")
        with connection.makefile(encoding="utf-8") as answer:
            rows = list(csv.DictReader(answer))
    return {row["svname"]: int(row["stot"]) for row in rows if row["svname"]}


def ask_anew(server: RunningServer, times: int) -> None:
    """One request on each of some connections; fails unless it is answered."""
    for _ in range(times):
        with kept_connection(server):
            pass


class TestBalance:
    """One port, and a process that answers for each worker that was asked for."""

    def test_they_are_told_apart(self, balanced: RunningServer) -> None:
        roles = [process.role for process in balanced.processes]
        assert roles == ["app", "app", "proxy"]
        assert balanced.pid == balanced.processes[0].pid
        assert len({process.pid for process in balanced.processes}) == 3

    def test_they_take_turns(self, balanced: RunningServer) -> None:
        before = requests_of_each(balanced)
        ask_anew(balanced, 6)
        after = requests_of_each(balanced)
        assert {name: after[name] - before[name] for name in after} == {"app1": 3, "app2": 3}

    def test_who_has_gone_is_passed_over(self, balanced: RunningServer) -> None:
        """Until somebody ends the rest: a deployment that is not whole counts as ended."""
        os.kill(balanced.processes[1].pid, signal.SIGKILL)
        assert balanced.wait(TIMEOUT_S) == -signal.SIGKILL
        ask_anew(balanced, 6)

    def test_nothing_is_left(self, balanced: RunningServer) -> None:
        everybody, folder = family(balanced), balanced.folder
        assert balanced.stop() == 0
        assert not [process for process in everybody if process.is_running()]
        assert not folder.exists()


class TestTlsPassedThrough:
    """It ends in the application, which is told of no client but HAProxy, and believes no word of one."""

    @pytest.fixture
    def served(self, state: Path, tmp_path: Path) -> Iterator[RunningServer]:
        with pytest.MonkeyPatch.context() as patch:
            let_tell(PASSED_THROUGH, tmp_path, patch)
            with deployments.start(PASSED_THROUGH, ServeOptions(state=state, workers=2)) as server:
                yield server

    def test_who_the_client_is(self, served: RunningServer) -> None:
        assert told(served)[:2] == [PROXY, "https"]
        assert told(served, forged("http")) == told(served)

    def test_each_process_has_a_folder(self, served: RunningServer) -> None:
        texts = {(served.folder / app / "hypercorn.conf.py").read_text() for app in ("app1", "app2")}
        assert len(texts) == 2  # which differ in the port
        assert not [file for file in served.folder.iterdir() if file.is_symlink()]  # HAProxy needs no key
