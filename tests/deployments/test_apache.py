"""What is Apache's own: threads that stalled handshakes take, bodies in chunks, the Python and the user of mod_wsgi."""

import contextlib
import http.client
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import deployments
from certs import TlsVersion
from deployments import DeploymentError, RunningServer, ServeOptions
from deployments._registry import Described, _described
from deployments._types import Program
from deployments.servers import mod_wsgi
from tests.deployments.clients import PING, TIMEOUT_S, address, ask_health, client_context

MOD_WSGI = "flask-mod_wsgi"
APACHES = [
    name for name in deployments.names() if "apache2" in {program.name for program in deployments.find(name).programs}
]
RECORD = b"\x16\x03\x01\x02\x00\x01\x00"  # the first octets of a ClientHello, and no more
MOST = 220  # two processes have 128 threads each
ALL = 270


@pytest.mark.end_to_end
@pytest.mark.parametrize("name", APACHES)
def test_a_body_in_chunks(name: str, state: Path) -> None:
    question = {"network-device:input": {"destination": "192.0.2.1", "count": 1, "interval-ms": 1}}
    body = json.dumps(question).encode()
    with deployments.start(name, ServeOptions(state=state, tls="off", auth="none")) as server:
        asking = http.client.HTTPConnection(*address(server), timeout=TIMEOUT_S)
        headers = {"Content-Type": "application/yang-data+json"}
        asking.request("POST", PING, iter([body[:10], body[10:]]), headers, encode_chunked=True)
        answer = asking.getresponse()
        assert answer.status == 200
        assert b"network-device:output" in answer.read()
        asking.close()


@pytest.mark.end_to_end
class TestStalledHandshakes:
    """Each takes a thread."""

    def test_as_long_as_threads_are_left_they_stop_nobody(self, state: Path) -> None:
        with deployments.start(MOD_WSGI, ServeOptions(state=state)) as server, stalled(server, MOST):
            assert ask_health(server, context=client_context(server, TlsVersion.TLS_1_3)).status == 200

    def test_one_for_each_thread_stops_all_others(self, state: Path) -> None:
        """Until they have gone: that they are cut off after 10 s is not waited for here."""
        with deployments.start(MOD_WSGI, ServeOptions(state=state)) as server:
            context = client_context(server, TlsVersion.TLS_1_3)
            with stalled(server, ALL):
                began_s = time.monotonic()
                while is_answered(server):  # the last of them is perhaps not there yet
                    assert time.monotonic() < began_s + TIMEOUT_S
            assert ask_health(server, context=context).status == 200


@contextlib.contextmanager
def stalled(server: RunningServer, count: int) -> Iterator[None]:
    """So many clients that have begun a handshake."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection(address(server), TIMEOUT_S))
            connection.sendall(RECORD)
        yield


def is_answered(server: RunningServer) -> bool:
    """Within the time that would do for ten handshakes."""
    try:
        ask_health(server, context=client_context(server, TlsVersion.TLS_1_3), timeout_s=0.5)
    except TimeoutError:
        return False
    return True


class TestPython:
    """mod_wsgi's is the system's, and takes the packages of this one if the minor version is the same."""

    def test_another_minor_version_is_refused_in_one_line(self, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        embedded = mod_wsgi._PYTHON
        monkeypatch.setattr(mod_wsgi, "_PYTHON", "3.99")
        with pytest.raises(DeploymentError) as caught:
            deployments.start(MOD_WSGI, ServeOptions(state=state))
        assert str(caught.value) == (
            f"flask-mod_wsgi has Python {embedded} in it, which cannot use the packages of this Python 3.99; "
            f"apt-get install python{embedded}-venv, and install bench in an environment of python{embedded}"
        )

    def test_a_module_that_is_not_installed_is_missing(self, tmp_path: Path) -> None:
        absent = Program("mod_wsgi", "its-package", str(tmp_path / "mod_wsgi.so"))
        described: Described = _described(replace(deployments.find(MOD_WSGI), programs=(absent,)))
        assert described.missing == ("mod_wsgi",)
        assert described.deployment.install == "apt-get install its-package; pip install flask"


@pytest.mark.end_to_end
def test_the_state_belongs_to_who_serves_it(tmp_path: Path) -> None:
    """mod_wsgi refuses to serve as root; where it does, nobody else gets at what root's state holds."""
    with deployments.start(MOD_WSGI, ServeOptions(state=tmp_path / "state")):
        files = [file for file in (tmp_path / "state").rglob("*") if file.is_file()]
        assert any("sqlite" in file.name for file in files)
        assert {file.stat().st_uid for file in files} == {os.geteuid()}
