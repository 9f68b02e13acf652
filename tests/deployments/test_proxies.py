"""What an application behind a proxy is told of a client: its address and the scheme, whatever the client says itself.

Clients come from an address of their own here, 127.0.0.2, for a client of the proxy's machine would be told from the
proxy by nothing. That is no matter of the tests alone: what reaches an application's TCP port from the proxy's address
has to be believed, and every process of the machine has that address. Where that is too much, a UNIX socket is between
the two, and its permissions say who may be the proxy.
"""

import http.client
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

import certs
import deployments
from deployments import RunningServer, ServeOptions
from deployments._types import Front
from tests.deployments.clients import PING, SYSTEM_STATE, TIMEOUT_S, client

pytestmark = pytest.mark.end_to_end

HEALTH = "/health"
TOLD = "x-told"
PROXY = "127.0.0.1"
CLIENT = "127.0.0.2"
ELSEWHERE = "203.0.113.9"

# Both applications, as every Python that starts now will find them: they answer what they were told besides.
FLASK_TELLS = """
import flask

finish = flask.Flask.process_response

def tell(app, *arguments):
    response = finish(app, *arguments)
    response.headers["x-told"] = f"{flask.request.remote_addr} {flask.request.scheme} {flask.request.host}"
    return response

flask.Flask.process_response = tell
"""
QUART_TELLS = """
import quart

finish = quart.Quart.process_response

async def tell(app, *arguments):
    response = await finish(app, *arguments)
    response.headers["x-told"] = f"{quart.request.remote_addr} {quart.request.scheme} {quart.request.host}"
    return response

quart.Quart.process_response = tell
"""

FRONTS = {
    name: found
    for name in deployments.names()
    if (found := deployments.find(name).front) is not None and not found.passes_tls  # which says nothing: test_haproxy
}

CHECKING = [
    name for name, found in FRONTS.items() if found.checks_peer
]  # with the others whoever gets there is believed
SOCKETS = [name for name, found in FRONTS.items() if found.over_socket]


def forged(scheme: str) -> list[tuple[str, str]]:
    """All that a proxy might say, said by a client that would pass for another one, and for one of another scheme."""
    return [
        ("X-Forwarded-For", ELSEWHERE),
        ("X-Forwarded-For", f"{ELSEWHERE}, {PROXY}"),
        ("X-Forwarded-Proto", scheme),
        ("X-Forwarded-Protocol", "ssl" if scheme == "https" else "plain"),
        ("X-Forwarded-Ssl", "on" if scheme == "https" else "off"),
        ("X-Forwarded-Host", "elsewhere.example"),
        ("X-Forwarded-Port", "1"),
        ("X-Forwarded-Prefix", "/elsewhere"),
        ("X-Real-IP", ELSEWHERE),
        ("Forwarded", f"for={ELSEWHERE};proto={scheme};host=elsewhere.example"),
        ("X_Forwarded_For", ELSEWHERE),  # which a WSGI environment would not tell from the first
        ("X_Forwarded_Proto", scheme),
    ]


def told(server: RunningServer, headers: list[tuple[str, str]] | None = None) -> list[str]:
    """What the application was told of a client: address, scheme and host."""
    verify: ssl.SSLContext | bool = certs.client_context(server.ca_file) if server.ca_file else True
    from_there = httpx.HTTPTransport(verify=verify, local_address=CLIENT, trust_env=False)
    with httpx.Client(base_url=server.url, transport=from_there, timeout=TIMEOUT_S, trust_env=False) as asking:
        answer = asking.get(HEALTH, headers=headers)
    assert answer.status_code == 200
    return answer.headers[TOLD].split()


def front(server: RunningServer) -> Front:
    return FRONTS[str(server.name)]


def listeners(server: RunningServer) -> set[tuple[str, int]]:
    """Where the application itself accepts TCP connections."""
    root = psutil.Process(server.pid)
    return {
        (connection.laddr.ip, connection.laddr.port)
        for process in (root, *root.children(recursive=True))
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }


@pytest.fixture(scope="module", params=FRONTS)
def served(
    request: pytest.FixtureRequest, state: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    with pytest.MonkeyPatch.context() as patch:
        let_tell(request.param, tmp_path_factory.mktemp("tells"), patch)
        with deployments.start(request.param, ServeOptions(state=state)) as server:
            yield server


def let_tell(name: str, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Every Python that starts from now on finds the application changed."""
    (folder / "sitecustomize.py").write_text(FLASK_TELLS if name.startswith("flask") else QUART_TELLS)
    patch.setenv("PYTHONPATH", str(folder))


class TestWhoTheClientIs:
    """Told by the proxy alone: digest's throttle counts by the address."""

    def test_address_and_scheme(self, served: RunningServer) -> None:
        assert told(served)[:2] == [CLIENT, "https"]

    def test_a_client_cannot_say_otherwise(self, served: RunningServer) -> None:
        assert told(served, forged("http")) == told(served)

    @pytest.mark.parametrize("name", FRONTS)
    def test_without_tls(self, name: str, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        let_tell(name, tmp_path, monkeypatch)
        with deployments.start(name, ServeOptions(state=state, tls="off")) as server:
            honest = told(server)
            assert honest[:2] == [CLIENT, "http"]
            assert told(server, forged("https")) == honest


class TestBodies:
    """They arrive whole, whether the client says how long they are or not."""

    QUESTION = b'{"network-device:input": {"destination": "192.0.2.1", "count": 1, "interval-ms": 1}}'

    @pytest.mark.parametrize("chunked", [False, True])
    def test_a_body(self, served: RunningServer, *, chunked: bool) -> None:
        content = iter((self.QUESTION[:20], self.QUESTION[20:])) if chunked else self.QUESTION
        with client(served) as knows:
            knows.get(SYSTEM_STATE)  # so that the next one is signed at once: it can be sent but once
            answer = knows.post(PING, content=content, headers={"Content-Type": "application/yang-data+json"})
        assert answer.status_code == 200
        assert answer.json()["network-device:output"]["packets-sent"] == 1


class TestPastTheProxy:
    """Nobody from another machine gets there; on this one it is a matter of the address, or of permissions."""

    def test_it_listens_on_loopback_alone(self, served: RunningServer) -> None:
        found = listeners(served)
        assert {ip for ip, _ in found} == (set() if front(served).over_socket else {PROXY})

    @pytest.mark.parametrize("served", CHECKING, indirect=True, scope="module")
    def test_another_address_is_not_believed(self, served: RunningServer) -> None:
        ((_, port),) = listeners(served)
        assert told_past_the_proxy(port, CLIENT) == [CLIENT, "http"]

    @pytest.mark.parametrize("served", CHECKING, indirect=True, scope="module")
    def test_the_proxys_address_is_believed(self, served: RunningServer) -> None:
        """Else the test above could not fail."""
        ((_, port),) = listeners(served)
        assert told_past_the_proxy(port, PROXY) == [ELSEWHERE, "https"]

    @pytest.mark.parametrize("served", SOCKETS, indirect=True, scope="module")
    def test_others_may_not_open_its_socket(self, served: RunningServer) -> None:
        (socket,) = (file for file in served.folder.iterdir() if file.is_socket())
        assert stat.S_IMODE(socket.stat().st_mode) & stat.S_IRWXO == 0


def told_past_the_proxy(port: int, address: str) -> list[str]:
    """What the application was told of a client that comes to its own port, and says that it is another one."""
    asking = http.client.HTTPConnection(PROXY, port, timeout=TIMEOUT_S, source_address=(address, 0))
    asking.request("GET", HEALTH, headers={"X-Forwarded-For": ELSEWHERE, "X-Forwarded-Proto": "https"})
    answer = asking.getresponse()
    answer.read()
    asking.close()
    assert answer.status == 200
    return answer.headers[TOLD].split()[:2]


@pytest.mark.parametrize("name", FRONTS)
def test_a_path_with_marks_of_its_language(name: str, tmp_path: Path) -> None:
    """No part of it is taken for anything else. What a language cannot say at all is refused: test_rendering."""
    state = tmp_path / 'it\'s "here" \\n; #x'
    with (
        deployments.start(name, ServeOptions(state=state)) as server,
        client(server, authenticated=False) as stranger,
    ):
        assert stranger.get(HEALTH).status_code == 200
