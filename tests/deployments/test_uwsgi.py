"""What is uWSGI's own: the Python in it, its one key-exchange group, bodies in chunks, the socket behind its router."""

import json
import os
import site
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

import certs
import deployments
from deployments import DeploymentError, RunningServer, ServeOptions
from deployments.servers import uwsgi
from tests.deployments.clients import PING, TIMEOUT_S, address, client, family

pytestmark = pytest.mark.end_to_end

NAME = "flask-uwsgi"
TELLS = """
import flask

answer = flask.Flask.__call__

def call(app, environ, start_response):
    def start(status, headers, *more):
        seen = f"{environ['wsgi.url_scheme']} {environ['REMOTE_ADDR']}"
        return start_response(status, [*headers, ("x-seen", seen)], *more)
    return answer(app, environ, start)

flask.Flask.__call__ = call
"""


@pytest.fixture(scope="module")
def served(state: Path) -> Iterator[RunningServer]:
    with deployments.start(NAME, ServeOptions(state=state, auth="none")) as server:
        yield server


class TestPython:
    """It is the system's, and takes the packages of this one if the minor version is the same."""

    def test_another_minor_version_is_refused_in_one_line(self, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(uwsgi, "_PYTHON", "3.99")
        with pytest.raises(DeploymentError) as caught:
            deployments.start(NAME, ServeOptions(state=state))
        start, _, end = str(caught.value).partition(", which cannot use the packages of this Python 3.99; ")
        assert start.startswith("flask-uwsgi has Python 3.")
        version = start.rpartition(" in it")[0].rpartition(" ")[2]
        assert end == f"install bench in an environment of python{version.rpartition('.')[0]}"


class TestGroup:
    """P-256, whatever OpenSSL has and its configuration says; that TestGroups and TestServed see on the wire."""

    def test_it_is_the_only_one(self) -> None:
        exchange = deployments.find(NAME).abilities.key_exchange
        assert (exchange.default, exchange.groups) == ("P-256", ("P-256",))
        assert deployments.group_of(deployments.TlsStack.UWSGI, deployments.USUAL_GROUP) == "P-256"

    def test_another_is_refused(self, state: Path) -> None:
        with pytest.raises(DeploymentError) as caught:
            deployments.start(NAME, ServeOptions(state=state, group="X25519"))
        assert str(caught.value) == (
            "group X25519 cannot be chosen: uWSGI sets P-256: choose another group (`bench list` shows who has it)"
        )


class TestBodies:
    """With a length they arrive; in chunks they do not, as the warning says."""

    @pytest.mark.parametrize(("chunked", "status"), [(False, 200), (True, 400)])
    def test_arrives(self, served: RunningServer, *, chunked: bool, status: int) -> None:
        question = {"destination": "192.0.2.1", "count": 1, "interval-ms": 1}
        body = json.dumps({"network-device:input": question}).encode()
        head = [f"POST {PING} HTTP/1.1", "Host: localhost", "Content-Type: application/yang-data+json"]
        head.append("Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}")
        sent = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body
        assert served.ca_file is not None
        trusting = certs.client_context(served.ca_file)
        with (
            socket.create_connection(address(served), TIMEOUT_S) as plain,
            trusting.wrap_socket(plain, server_hostname="localhost") as encrypted,
        ):
            encrypted.sendall("\r\n".join([*head, "", ""]).encode() + sent)
            assert encrypted.recv(65536).startswith(f"HTTP/1.1 {status} ".encode())


def test_nobody_passes_the_router_by(served: RunningServer) -> None:
    """Whoever could speak to the workers themselves would say what address and scheme he comes from."""
    listening = {
        connection.laddr.port
        for process in family(served)
        for connection in process.net_connections(kind="tcp")
        if connection.status == "LISTEN"
    }
    assert listening == {address(served)[1]}
    assert stat.S_IMODE((served.folder / "app.sock").stat().st_mode) == 0o600


@pytest.mark.parametrize(("tls", "scheme"), [("1.2+1.3", "https"), ("off", "http")])
def test_what_clients_say_of_themselves_is_not_believed(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tls: str, scheme: str
) -> None:
    """Nobody stands in front: uWSGI as it comes takes the scheme that a client says."""
    (tmp_path / "sitecustomize.py").write_text(TELLS)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), *site.getsitepackages())))
    forged = {"X-Forwarded-Proto": "gopher", "X-Forwarded-SSL": "on", "X-Forwarded-For": "192.0.2.7", "Forwarded": "a"}
    options = ServeOptions(state=state, tls=tls, auth="none")
    with deployments.start(NAME, options) as server, client(server, authenticated=False) as anyone:
        assert anyone.get("/health", headers=forged).headers["x-seen"] == f"{scheme} 127.0.0.1"


def test_an_answer_to_a_body_that_nobody_reads_is_not_lost(state: Path) -> None:
    """Without post-buffering one of three was, of bodies of this size."""
    with deployments.start(NAME, ServeOptions(state=state)) as server, client(server, authenticated=False) as stranger:
        assert {stranger.post(PING, content=b"a" * 900_000).status_code for _ in range(20)} == {401}
