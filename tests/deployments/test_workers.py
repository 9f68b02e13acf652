"""Every deployment that can have several worker processes, with two: one table of used nonces, and what is claimed.

Which worker answers is the kernel's choice, unless all others are stopped (SIGSTOP) while a connection is made: they
accept from one socket, or `connect` tries until the kernel has chosen the one that runs. A proxy keeps connections to
them, which are no more when it has been told to reload: then the one that runs gets the new ones.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import certs
import deployments
from certs import TlsVersion
from deployments import DeploymentError, KilledWorker, Reload, RunningServer, ServeOptions, SeveralWorkers
from device_api.state import read_credentials
from digest_auth import DigestClient, ShmReplayStore
from tests.deployments.clients import (
    PING,
    SYSTEM_STATE,
    TIMEOUT_S,
    address,
    ask_health,
    await_successors,
    client_context,
    connect,
    facing,
    family,
    renew,
    serial,
    shake_hands,
)

pytestmark = pytest.mark.end_to_end

SEVERAL = {
    name: several for name in deployments.names() if (several := deployments.find(name).workers.several) is not None
}
ONE = [name for name in deployments.names() if name not in SEVERAL]

CONNECTIONS = 4  # with each worker
REQUESTS = 25  # on each connection
ACKNOWLEDGED_S = 0.03  # Linux delays an acknowledgement by 40 ms
INTERVAL_MS = 600
FINISHED = 1  # intervals that a request takes which is to be finished
CUT = 8  # one that is to be cut: the idle worker has to be out first


@pytest.fixture(scope="module", params=SEVERAL)
def served(request: pytest.FixtureRequest, state: Path) -> Iterator[RunningServer]:
    """With two workers, both of which have answered."""
    with started(request.param, state) as server:
        yield server


@contextlib.contextmanager
def started(name: str, state: Path) -> Iterator[RunningServer]:
    with deployments.start(name, ServeOptions(state=state, workers=2)) as server:
        for worker in workers(server):
            with only(server, worker):
                ask_health(server, context=client_context(server, TlsVersion.TLS_1_3))
        yield server


def claimed(server: RunningServer) -> SeveralWorkers:
    return SEVERAL[str(server.name)]


def workers(server: RunningServer) -> list[psutil.Process]:
    """The processes that serve: all that the first one started but Python's resource tracker and uWSGI's router.

    Where a proxy chooses among several that were started one beside the other, it is these.
    """
    if is_balanced(server):
        return [psutil.Process(each.pid) for each in server.processes if each.role == "app"]
    found = []
    for child in psutil.Process(server.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            if not any(helper in " ".join(child.cmdline()) for helper in ("resource_tracker", "uWSGI http")):
                found.append(child)
    return daemons(server) or found


def daemons(server: RunningServer) -> list[psutil.Process]:
    """The processes that serve beside Apache's, which shake hands; none but with mod_wsgi.

    They take turns, by a lock whose owner gives it to whoever waits: which is next is nobody's choice, and where one is
    stopped all wait. So of two that are asked once after the other each has been.
    """
    found = []
    for child in psutil.Process(server.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            if "(wsgi:" in " ".join(child.cmdline()):
                found.append(child)
    return found


def is_balanced(server: RunningServer) -> bool:
    front = deployments.find(server.name).front
    return front is not None and front.balances


def met(server: RunningServer) -> list[psutil.Process]:
    """The processes that shake hands with clients: the workers, or those of the proxy in front of them."""
    if beside := daemons(server):
        return [process for process in facing(server)[1:] if process not in beside]
    front = deployments.find(server.name).front
    if front is None or front.passes_tls:
        return workers(server)
    return facing(server)[1:] or facing(server)


@contextlib.contextmanager
def only(server: RunningServer, chosen: psutil.Process) -> Iterator[None]:
    """Let one worker, of the application or of the proxy, accept what connects meanwhile."""
    serve = workers(server)
    if chosen in serve and is_balanced(server):
        with passed_over(server, [number for number, worker in enumerate(serve, 1) if worker != chosen]):
            yield
        return
    if chosen in daemons(server):
        yield
        return
    others = [worker for worker in (serve if chosen in serve else met(server)) if worker != chosen]
    for other in others:
        other.suspend()
    try:
        began_s = time.monotonic()
        while any(other.status() != psutil.STATUS_STOPPED for other in others):  # it only has the signal, until it runs
            assert time.monotonic() < began_s + TIMEOUT_S
            time.sleep(0.001)
        if chosen not in met(server):
            forget_connections(server, others)
        yield
    finally:
        for other in others:
            other.resume()


@contextlib.contextmanager
def passed_over(server: RunningServer, numbers: list[int]) -> Iterator[None]:
    """Let a proxy that can be told so leave some processes of the application alone."""

    def tell(state: str) -> None:
        for number in numbers:
            with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
                connection.settimeout(TIMEOUT_S)
                connection.connect(str(server.folder / "haproxy.sock"))
                connection.sendall(f"set server app/app{number} state {state}\n".encode())
                assert connection.recv(1024).strip() == b""  # else what is wrong

    tell("maint")
    try:
        yield
    finally:
        tell("ready")


def forget_connections(server: RunningServer, workers: list[psutil.Process]) -> None:
    """Let the proxy give up the connections that it keeps to some workers."""
    before = facing(server)
    server.reload()
    await_successors(server, before)
    if facing(server) == before:  # Caddy: what it keeps from before, it uses no more
        return
    began_s = time.monotonic()
    while any(
        connection.status == psutil.CONN_ESTABLISHED
        for worker in workers
        for connection in worker.net_connections(kind="tcp")
    ):
        assert time.monotonic() < began_s + TIMEOUT_S
        time.sleep(0.01)


class Connection:
    """One that is kept where the server keeps it; every request is signed by a client that many connections share."""

    def __init__(self, server: RunningServer, digest: DigestClient) -> None:
        assert server.ca_file is not None
        trusting = certs.client_context(server.ca_file)
        self._connection = http.client.HTTPSConnection(*address(server), context=trusting, timeout=TIMEOUT_S)
        self._connection.sock = trusting.wrap_socket(connect(server), server_hostname="localhost")
        self._digest = digest

    def send(
        self, authorization: str | None, method: str = "GET", target: str = SYSTEM_STATE, body: bytes | None = None
    ) -> tuple[int, list[str]]:
        """Return the status of a request, and its challenges."""
        headers = {"Content-Type": "application/yang-data+json"} if body else {}
        if authorization is not None:
            headers["Authorization"] = authorization
        self._connection.request(method, target, body, headers=headers)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status, answer.headers.get_all("WWW-Authenticate", [])

    def ask(self) -> int:
        """The status of a new request."""
        return self.send(self._digest.authorization("GET", SYSTEM_STATE))[0]

    def ping(self, count: int) -> int | None:
        """The status of a request that takes so many intervals; None: it was cut."""
        question = {"network-device:input": {"destination": "192.0.2.1", "count": count, "interval-ms": INTERVAL_MS}}
        try:
            return self.send(self._digest.authorization("POST", PING), "POST", PING, json.dumps(question).encode())[0]
        except (OSError, http.client.HTTPException):
            return None

    def close(self) -> None:
        self._connection.close()


def challenged(server: RunningServer) -> DigestClient:
    """A client that holds a nonce which nobody has used."""
    digest = DigestClient(*read_credentials(server.credentials_file))
    with contextlib.closing(Connection(server, digest)) as connection:
        status, challenges = connection.send(None)
    assert status == 401
    assert digest.accept(challenges)
    return digest


def header(digest: DigestClient) -> str:
    authorization = digest.authorization("GET", SYSTEM_STATE)
    assert authorization is not None
    return authorization


def status_at(server: RunningServer, worker: psutil.Process, authorization: str) -> tuple[int, bool]:
    """What one worker makes of a header on a connection of its own: the status, and whether the nonce is stale."""
    with only(server, worker), contextlib.closing(Connection(server, DigestClient("", ""))) as connection:
        status, challenges = connection.send(authorization)
    return status, any("stale=true" in challenge for challenge in challenges)


class TestOneTable:
    """What one worker has seen, all know."""

    def test_one_nonce_is_good_with_all(self, served: RunningServer) -> None:
        """200 requests on eight connections, four with each worker: not one needless 401."""
        digest = challenged(served)
        statuses: list[int] = []
        with contextlib.ExitStack() as stack:
            connections = []
            for worker in workers(served):
                with only(served, worker):
                    for _ in range(CONNECTIONS):
                        connection = Connection(served, digest)
                        stack.callback(connection.close)
                        statuses.append(connection.ask())
                        connections.append(connection)
                    if len(served.processes) > 1:  # a reload comes, which would close them, or wait for them
                        for connection in connections:
                            connection.close()

            if len(served.processes) > 1:
                connections = [stack.enter_context(contextlib.closing(Connection(served, digest))) for _ in connections]

            def work(connection: Connection) -> None:
                statuses.extend(connection.ask() for _ in range(REQUESTS - 1))

            threads = [threading.Thread(target=work, args=(connection,)) for connection in connections]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert statuses == [200] * (2 * CONNECTIONS * REQUESTS)

    def test_a_used_header_is_refused_by_all(self, served: RunningServer) -> None:
        """By the worker that let it in, and by the other, as often as it is tried."""
        first, second = workers(served)
        used = header(challenged(served))
        assert status_at(served, first, used) == (200, False)
        for worker in (second, first) * 3:
            assert status_at(served, worker, used) == (401, True)


class TestAnswers:
    """As fast as with one worker."""

    def test_none_waits_for_an_acknowledgement(self, served: RunningServer) -> None:
        """Uvicorn's workers are given a socket that lacks TCP_NODELAY: nearly every answer came 40 ms late."""
        durations_s = []
        with contextlib.closing(Connection(served, challenged(served))) as connection:
            for _ in range(21):
                began_s = time.monotonic()
                assert connection.ask() == 200
                durations_s.append(time.monotonic() - began_s)
        assert statistics.median(durations_s) < ACKNOWLEDGED_S


class TestClaims:
    """What `bench list` says of several workers is so."""

    @pytest.mark.parametrize("version", TlsVersion)
    def test_whose_sessions_a_worker_resumes(self, served: RunningServer, version: TlsVersion) -> None:
        resumption = deployments.find(served.name).abilities.resumption
        resumes = resumption.tls_1_2_ticket or resumption.tls_1_2_session_id
        if version is TlsVersion.TLS_1_3:
            resumes = resumption.tls_1_3_ticket
        first, second = met(served)[0], met(served)[-1]  # a proxy of one process has one memory
        context = client_context(served, version)
        with only(served, first):
            session = ask_health(served, context=context).session
            assert ask_health(served, context=context, session=session).resumed == resumes
        with only(served, second):
            answer = ask_health(served, context=context, session=session)
        assert answer.status == 200
        assert answer.resumed == claimed(served).resumed_by_all

    def test_each_notices_a_renewed_certificate(self, served: RunningServer, state: Path) -> None:
        before = serial(state)
        renew(state)
        assert serial(state) != before
        if deployments.find(served.name).abilities.reload is Reload.RESTART:
            assert shake_hands(served).serial != serial(state)
            return
        if deployments.find(served.name).abilities.reload not in {Reload.WATCHED, Reload.WATCHED_OR_SIGHUP}:
            replaced = facing(served)
            served.reload()
            await_successors(served, replaced)
        for worker in met(served):
            began_s = time.monotonic()
            with only(served, worker):
                while shake_hands(served).serial != serial(state):
                    assert time.monotonic() < began_s + 1.0
                    time.sleep(0.02)

    def test_a_killed_worker(self, served: RunningServer, state: Path) -> None:
        """Its successor refuses what was used before, and knows the nonce; or nobody is left."""
        if claimed(served).killed_worker is KilledWorker.ENDS_ALL:
            with started(str(served.name), state) as another:
                os.kill(workers(another)[0].pid, signal.SIGKILL)
                assert another.wait(TIMEOUT_S) is not None
            return
        first, second = workers(served)
        digest = challenged(served)
        used = header(digest)
        assert status_at(served, first, used) == (200, False)
        os.kill(first.pid, signal.SIGKILL)
        began_s = time.monotonic()
        while not (new := [worker for worker in workers(served) if worker not in (first, second)]):
            assert time.monotonic() < began_s + TIMEOUT_S
            time.sleep(0.02)
        for worker in (new[0], second):
            assert status_at(served, worker, used) == (401, True)
            assert status_at(served, worker, header(digest)) == (200, False)

    def test_a_stop(self, served: RunningServer) -> None:
        """While one worker answers a slow request, the other nothing: finished or cut as claimed; nothing is left."""
        finishes = claimed(served).stop_finishes_requests
        outcome: list[int | None] = []
        digest, processes, folder = challenged(served), family(served), served.folder
        table = ShmReplayStore(folder.name)
        table.close()

        def ask() -> None:
            with contextlib.closing(Connection(served, digest)) as connection:
                outcome.append(connection.ping(FINISHED if finishes else CUT))

        request = threading.Thread(target=ask)
        request.start()
        time.sleep(INTERVAL_MS / 2000)  # nothing outside can see that the device is in the middle of a ping
        status = served.stop()
        request.join()
        assert status == claimed(served).stop_status
        assert outcome == [200 if finishes else None]
        assert not [process for process in processes if process.is_running()]
        assert not folder.exists()
        assert not table.path.exists()


@pytest.mark.parametrize("name", ONE)
def test_who_is_one_process_says_what_to_serve_instead(name: str, state: Path) -> None:
    with pytest.raises(DeploymentError) as caught:
        deployments.start(name, ServeOptions(state=state, workers=2))
    said = str(caught.value)
    assert said.startswith(f"{name} cannot serve with 2 workers: ")
    instead = said.rpartition("; serve ")[2]
    assert instead in SEVERAL
    assert instead.partition("-")[0] == name.partition("-")[0]
