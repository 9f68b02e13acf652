"""Granian's script, and the function that puts request targets together where it hands over none."""

import contextlib
import select
import socket
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.types import WSGIEnvironment

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from OpenSSL import SSL

import certs
import deployments
from certs import KeyKind
from deployments import AskedOfClients, DeploymentError, ServeOptions
from device_api.targets import key_value, routing_path
from flask_impl._request import request_target
from harness.groups import group_name
from tests.deployments.clients import PING, REPLACED_S, address, await_successors, client, facing, shake_hands
from tests.deployments.test_rendering import rendered

NAMES = ["flask-granian", "quart-granian"]
BESIDE_S = 2.5  # of the 3.5 s after a reload in which old and new workers serve

OCTETS = st.text(st.characters(max_codepoint=0xFF))

FLASK_CLIENTS = '''\
"""flask-granian. Start it with: python serve.py"""

from pathlib import Path

from granian import Granian
from granian.constants import Interfaces, SSLProtocols

# Loaded here, for all workers, which are forked from this process: one that takes another's place is up at once.
import application

if __name__ == "__main__":
    Granian(
        f"{application.__name__}:app",
        address="127.0.0.1",
        port=8443,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=16,
        respawn_failed_workers=True,
        workers_kill_timeout=5,  # s; otherwise one client can hold a stop or a reload up for ever
        ssl_cert=Path("/c/chain.pem"),
        ssl_key=Path("/c/key.pem"),
        ssl_protocol_min=SSLProtocols.tls13,
        ssl_ca=Path("/c/clients.pem"),
        ssl_client_verify=False,
    ).serve()
'''
QUART_PLAIN = '''\
"""quart-granian. Start it with: python serve.py"""

from granian import Granian
from granian.constants import Interfaces, Loops

# Loaded here, for all workers, which are forked from this process: one that takes another's place is up at once.
import quart_impl

if __name__ == "__main__":
    Granian(
        f"{quart_impl.__name__}:app",
        address="127.0.0.1",
        port=8443,
        interface=Interfaces.ASGI,
        workers=3,
        loop=Loops.uvloop,
        respawn_failed_workers=True,
        workers_kill_timeout=5,  # s; otherwise one client can hold a stop or a reload up for ever
    ).serve()
'''


class TestScript:
    """What is started, as its reader can take it home."""

    def test_flask(self) -> None:
        result = rendered("flask-granian", tls="1.3", asked=AskedOfClients(Path("/c/clients.pem"), required=False))
        assert result.command == (sys.executable, "serve.py")
        assert result.files["serve.py"] == FLASK_CLIENTS
        assert "application.py" in result.files

    def test_quart(self) -> None:
        result = rendered("quart-granian", tls="off", workers=3)
        assert result.files["serve.py"] == QUART_PLAIN
        assert "application.py" not in result.files

    @pytest.mark.parametrize("name", NAMES)
    def test_older_tls_beside_the_newest(self, name: str) -> None:
        assert "ssl_protocol_min=SSLProtocols.tls12," in rendered(name).files["serve.py"]


@pytest.mark.parametrize("name", NAMES)
class TestRefused:
    """What rustls cannot be told is refused before anything starts."""

    def test_tls_1_2_alone(self, name: str, state: Path) -> None:
        with pytest.raises(DeploymentError) as caught:
            deployments.check(name, ServeOptions(state=state, tls="1.2"))
        instead = {"flask-granian": "flask-gunicorn-gthread", "quart-granian": "quart-uvicorn"}[name]
        assert str(caught.value) == (
            f"{name} cannot serve TLS 1.2 alone: Granian is told of the lowest version only; "
            f"choose TLS 1.3 or 1.2+1.3, or serve {instead}"
        )
        deployments.check(instead, ServeOptions(state=state, tls="1.2"))

    @pytest.mark.parametrize("group", ["P-256", "X25519MLKEM768"])
    def test_another_group(self, name: str, state: Path, group: str) -> None:
        with pytest.raises(DeploymentError) as caught:
            deployments.check(name, ServeOptions(state=state, group=group))
        assert str(caught.value).startswith(f"group {group} cannot be chosen: rustls takes no group: choose another")


@pytest.mark.end_to_end
class TestReload:
    """What its warning says, and what it does not cost."""

    def test_cuts_who_is_just_connecting(self, state: Path) -> None:
        """Whoever comes meanwhile is taken by the new worker, which is up before the old one goes."""
        with deployments.start("quart-granian", ServeOptions(state=state, auth="none")) as server:
            before = facing(server)
            with socket.create_connection(address(server), REPLACED_S) as silent:
                server.reload()
                while not select.select([silent], [], [], 0)[0]:
                    with contextlib.suppress(SSL.Error, ConnectionError):  # one may be as unlucky as the silent one
                        shake_hands(server)
                with contextlib.suppress(ConnectionResetError):
                    assert silent.recv(1) == b""
            shake_hands(server)
            await_successors(server, before)
            assert len(facing(server)) == len(before)

    def test_costs_no_client_its_nonce(self, state: Path) -> None:
        """Two requests on new connections, challenge and answer, which old and new worker may share."""
        question = {"network-device:input": {"destination": "192.0.2.1", "count": 1, "interval-ms": 1}}
        headers = {"content-type": "application/yang-data+json"}
        with deployments.start("flask-granian", ServeOptions(state=state)) as server:
            before = facing(server)
            server.reload()
            began_s = time.monotonic()
            statuses: list[int] = []
            while time.monotonic() < began_s + BESIDE_S:
                # Granian cuts connections that are being made, as its warning says; that is not the question here.
                with contextlib.suppress(httpx.RemoteProtocolError, httpx.ConnectError), client(server) as knows:
                    statuses.append(knows.post(PING, json=question, headers=headers).status_code)
                if len(facing(server)) == len(before):  # its successor is not there yet
                    statuses.clear()
        assert set(statuses) == {200}

    def test_with_a_broken_certificate_ends_it(self, tmp_path: Path) -> None:
        with deployments.start("quart-granian", ServeOptions(state=tmp_path, auth="none")) as server:
            chain = certs.ensure_certificate(tmp_path, KeyKind.ECDSA_P256).chain
            chain.write_text("-----BEGIN CERTIFICATE-----\n")
            server.reload()
            assert server.wait(REPLACED_S) == 1


@pytest.mark.end_to_end
@pytest.mark.parametrize("name", NAMES)
def test_a_client_that_would_rather_have_another_group(name: str, state: Path) -> None:
    """It offers X25519MLKEM768 first, as `shake_hands` does wherever its OpenSSL leads with it."""
    with deployments.start(name, ServeOptions(state=state)) as server:
        assert group_name(shake_hands(server).group) == "X25519"
    with deployments.start("flask-threaded-pyopenssl", ServeOptions(state=state, group=None)) as server:
        assert group_name(shake_hands(server).group) == "X25519MLKEM768"


def target(path: str, query: str = "") -> str:
    """What the application is told, by what Granian hands over of a target: the decoded path, the query as it is."""
    module: dict[str, Any] = {}
    exec(rendered("flask-granian").files["application.py"], module)  # noqa: S102 (what Granian does)
    told: list[WSGIEnvironment] = []

    class Application:
        @staticmethod
        def app(environ: WSGIEnvironment, _start: object) -> None:
            told.append(environ)

    module["flask_impl"] = Application
    module["app"]({"PATH_INFO": path, "QUERY_STRING": query}, None)
    found = request_target(told[0])
    assert found is not None
    return found


class TestTarget:
    """The one target of a path in which nothing is escaped but what has to be: what most clients send."""

    @pytest.mark.parametrize(
        ("path", "query", "expected"),
        [
            ("/restconf/data/ietf-system:system-state", "", "/restconf/data/ietf-system:system-state"),
            ("/a", "b=%2F&c", "/a?b=%2F&c"),
            ("/a", "?", "/a??"),
            ("//a/../;b=c,d", "", "//a/../;b=c,d"),
            ("/a b%2F?#", "", "/a%20b%252F%3F%23"),
            ("/caf\xc3\xa9", "", "/caf%C3%A9"),
            ("*", "", "*"),
            ("", "", "/"),
        ],
    )
    def test_is_put_together(self, path: str, query: str, expected: str) -> None:
        assert target(path, query) == expected

    @given(path=OCTETS.filter(bool), query=OCTETS)
    @example(path="/a?b", query="")
    @example(path="/a%3Fb", query="c?d")
    def test_says_what_it_was_made_of(self, path: str, query: str) -> None:
        """So what Digest compares is what is served: path and query can be read in no other way."""
        said = target(path, query)
        before, _, after = said.partition("?")
        assert (unquote_to_bytes(before), after) == (path.encode("latin-1"), query)

    @given(path=OCTETS.map("/".__add__))
    def test_routes_see_the_path_that_was_sent(self, path: str) -> None:
        routed = key_value(routing_path(target(path)))
        assert routed == path.encode("latin-1").decode(errors="replace")
