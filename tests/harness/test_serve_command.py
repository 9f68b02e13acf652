"""`bench serve` and `bench list` as their user meets them."""

import json
import os
import re
import shlex
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import psutil
import pytest
from click.testing import CliRunner

import certs
import deployments
from device_api.ready import ReadyFile
from harness.commands.list import list_deployments
from tests.requirements import require_program

BENCH = str(Path(sys.executable).with_name("bench"))


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


class TestList:
    """Every deployment, with what it can do: a table for people, JSON for programs."""

    def test_json(self) -> None:
        result = CliRunner().invoke(list_deployments, ["--json"])
        rows = json.loads(result.output)
        assert [row["name"] for row in rows] == list(deployments.names())
        werkzeug = rows[0]
        assert werkzeug["abilities"]["handshake"] == "in the accept loop"
        assert werkzeug["abilities"]["resumption"] == {
            "tls_1_2_ticket": True,
            "tls_1_2_session_id": False,
            "tls_1_3_ticket": True,
        }
        assert werkzeug["versions"]["flask"].startswith("3.")

    def test_json_of_one(self) -> None:
        (row,) = json.loads(CliRunner().invoke(list_deployments, ["flask-threaded-pyopenssl", "--json"]).output)
        assert row["name"] == "flask-threaded-pyopenssl"
        assert row["abilities"]["reload"] == "watched, SIGHUP"
        exchange = row["abilities"]["key_exchange"]
        assert (exchange["default"], exchange["post_quantum_refusal"]) == ("X25519MLKEM768", None)

    def test_table(self) -> None:
        output = CliRunner().invoke(list_deployments).output
        lines = output.splitlines()
        rows = lines[: lines.index("")]
        for name in deployments.names():
            (line,) = (line for line in rows if line.startswith(f"{name} "))
            assert deployments.find(name).abilities.tls_stack in line
        assert lines[-2].startswith(f"{len(deployments.names())} deployments. ")
        assert any(line.startswith("flask-werkzeug: a development server") for line in lines)
        hypercorn = "quart-hypercorn-asyncio, quart-hypercorn-uvloop with several workers: at SIGTERM the first "
        assert any(line.startswith(hypercorn) for line in lines)
        stalled = "quart-gunicorn-asgi, quart-uvicorn, quart-uvicorn-uvloop: a client that stops"
        assert any(line.startswith(stalled) for line in lines)

    @pytest.mark.parametrize("width", [80, 120, 140, 200, 280])
    def test_a_terminal_gets_the_columns_that_fit(self, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
        """The first five in any case; of the others as many as need no folding."""
        monkeypatch.setenv("FORCE_COLOR", "1")  # what makes rich take its output for a terminal
        monkeypatch.setenv("COLUMNS", str(width))
        output = click.unstyle(CliRunner().invoke(list_deployments, color=True).output)
        table, _, _ = output.partition("\n\n")
        assert all(len(line) <= width for line in output.splitlines())
        assert "deployment " in table
        assert "SIGTERM" in table
        for wanted, heading in [(140, "post-quantum"), (200, "ALPN"), (280, "client certificate")]:
            assert (heading in table) == (width >= wanted)
        if width >= 120:
            assert len(table.splitlines()) == 1 + len(deployments.names())

    def test_why_not_post_quantum(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ssl, "OPENSSL_VERSION_INFO", (3, 0, 0, 22, 0))
        lines = CliRunner().invoke(list_deployments).output.splitlines()
        (line,) = (line for line in lines if line.startswith("post-quantum key exchange: "))
        assert line.startswith("post-quantum key exchange: by default with flask-threaded-pyopenssl, ")
        assert "; with stdlib it needs OpenSSL 3.5; this Python has 3.0.22; " in line
        assert "; with rustls it cannot be chosen: rustls takes no group" in line

    def test_where_all_have_post_quantum_nothing_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("deployments._stacks.why_not", lambda _stack, _group: None)
        assert "post-quantum key exchange" not in CliRunner().invoke(list_deployments).output

    @pytest.mark.parametrize("name", deployments.names())
    def test_one(self, name: str) -> None:
        lines = CliRunner().invoke(list_deployments, [name]).output.splitlines()
        assert lines[0] == f"{name}: {deployments.find(name).summary}"
        assert lines[-1] == f"Serve it: bench serve {name}"
        details = dict(re.split(r"  +", line.strip(), maxsplit=1) for line in lines[1:-1] if "  " in line)
        abilities = deployments.find(name).abilities
        assert details["client certificates"] == abilities.client_certificates.value
        openssl = abilities.key_exchange.openssl
        assert details["TLS by"] == abilities.tls_stack.value + ("" if openssl is None else f" with OpenSSL {openssl}")
        assert details["key-exchange group"] == f"{abilities.key_exchange.default} by default"

    def test_what_several_workers_change(self) -> None:
        def said(name: str) -> str:
            lines = CliRunner().invoke(list_deployments, [name]).output.splitlines()
            (line,) = (line for line in lines if line.startswith("several workers"))
            return re.split(r"  +", line.strip())[1]

        assert said("flask-gunicorn-gthread") == (
            "yes; every worker resumes all sessions; a killed one is replaced; "
            "at SIGTERM finishes what runs, exits with status 0"
        )
        assert said("flask-gunicorn-sync").startswith("yes; no session is resumed; ")
        assert said("quart-hypercorn-asyncio") == (
            "yes; a worker resumes its own sessions alone; a killed one ends the whole server; "
            "at SIGTERM cuts what runs, exits with status 0"
        )
        assert said("flask-werkzeug") == "no: app.run is one process; serve flask-gunicorn-gthread"

    def test_none_of_that_name(self) -> None:
        result = CliRunner().invoke(list_deployments, ["flask-werkzeugs"])
        assert isinstance(result.exception, deployments.DeploymentError)
        assert "did you mean flask-werkzeug?" in str(result.exception)


class Served:
    """`bench serve` in a process of its own, up."""

    def __init__(self, arguments: list[str], ready_file: Path) -> None:
        self.ready_file = ready_file
        self.process = subprocess.Popen(
            [BENCH, "serve", "--ready-file", str(ready_file), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if line.startswith("Ctrl-C"):
                return
        pytest.fail(f"it ended: {self.process.communicate()}")

    def line(self, start: str) -> str:
        (rest,) = (line.removeprefix(start) for line in self.lines if line.startswith(start))
        return rest


@pytest.fixture
def served(state: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Served]:
    serving = Served([request.param, "--port", "0", "--state", str(state)], tmp_path / "ready.json")
    yield serving
    serving.process.terminate()
    serving.process.communicate()


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.end_to_end
class TestServe:
    """In the foreground until told to end; then with status 0, whatever status the server itself ends with."""

    @pytest.mark.parametrize("served", ["flask-werkzeug"], indirect=True)
    def test_the_curl_line_works(self, served: Served) -> None:
        curl = require_program("curl", "curl")
        command = served.line("try: ").replace("curl", f"{shlex.quote(curl)} --silent --fail", 1)
        answer = subprocess.run(command, shell=True, check=True, capture_output=True, text=True)  # noqa: S602 (as told)
        assert "ietf-system:system-state" in answer.stdout

    def test_the_curl_line_works_when_more_is_asked_of_clients(self, state: Path, tmp_path: Path) -> None:
        curl = require_program("curl", "curl")
        shown = certs.issue_client_certificate(tmp_path / "clients", "router-7")
        ca = certs.ensure_ca(tmp_path / "clients")
        arguments = ["quart-uvicorn", "--port", "0", "--state", str(state), "--client-ca", str(ca), "--group", "P-384"]
        serving = Served(arguments, tmp_path / "ready.json")
        try:
            assert serving.line("clients need the key-exchange group ") == "P-384"
            assert serving.line("clients need a certificate of: ") == str(ca)
            line = serving.line("try: ").replace("curl", f"{shlex.quote(curl)} --silent --fail", 1)
            filled = line.replace("CLIENT.pem", str(shown.chain)).replace("CLIENT-KEY.pem", str(shown.key))
            answer = subprocess.run(filled, shell=True, check=True, capture_output=True, text=True)  # noqa: S602 (as told)
            without = line.replace(" --cert CLIENT.pem --key CLIENT-KEY.pem", "")
            assert subprocess.run(without, shell=True, check=False, capture_output=True).returncode != 0  # noqa: S602
        finally:
            serving.process.terminate()
            serving.process.communicate()
        assert "ietf-system:system-state" in answer.stdout

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    @pytest.mark.parametrize("served", ["flask-gunicorn-gthread", "quart-uvicorn"], indirect=True)
    def test_a_signal_ends_everything_and_it_exits_0(self, served: Served, number: signal.Signals) -> None:
        ready = ReadyFile.read(served.ready_file)
        assert ready.url == served.line("listening on ")
        assert [(process.role, process.pid) for process in ready.processes] == [("app", ready.pid)]
        assert ready.ca_file is not None
        assert ready.ca_file.exists()
        started = psutil.Process(served.process.pid).children(recursive=True)
        served.process.send_signal(number)
        output, errors = served.process.communicate(timeout=15)
        assert (served.process.returncode, output) == (0, "")
        assert re.fullmatch(r"(mind: .+\n)*stopping .+\n", errors)  # talk, and so not on standard output
        assert not served.ready_file.exists()
        assert all(gone(process.pid) for process in started)

    @pytest.mark.parametrize("served", ["quart-hypercorn-asyncio"], indirect=True)
    def test_a_server_that_ends_by_itself_is_reported(self, served: Served) -> None:
        os.kill(ReadyFile.read(served.ready_file).pid, signal.SIGKILL)
        _, errors = served.process.communicate(timeout=10)
        assert served.process.returncode == 1
        assert errors.splitlines()[-1] == "quart-hypercorn-asyncio ended by itself with status -9"
        assert not served.ready_file.exists()


def refused(*arguments: str) -> str:
    result = subprocess.run([BENCH, "serve", *arguments], check=False, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (2, "")
    return result.stderr


@pytest.mark.end_to_end
class TestRefused:
    """One line that says what and what to do; exit status 2; nothing was started."""

    def test_unknown_name(self) -> None:
        assert refused("flask-gunicorn-gthreat") == (
            "bench: error: no deployment is called 'flask-gunicorn-gthreat'; did you mean flask-gunicorn-gthread? "
            "`bench list` shows all\n"
        )

    def test_two_workers(self) -> None:
        assert refused("quart-hypercorn-own", "--workers", "2") == (
            "bench: error: quart-hypercorn-own cannot serve with 2 workers: python -m quart_impl is one process; "
            "serve quart-uvicorn\n"
        )

    def test_threads_for_an_event_loop(self, state: Path) -> None:
        assert refused("quart-uvicorn", "--threads", "4", "--state", str(state)) == (
            "bench: error: quart-uvicorn takes no number of threads: an ASGI server answers from one event loop; "
            "leave out --threads\n"
        )

    def test_a_ready_file_that_cannot_be_written(self, state: Path, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        place = tmp_path / "file" / "ready.json"
        result = subprocess.run(
            [BENCH, "serve", "flask-werkzeug", "--port", "0", "--state", str(state), "--ready-file", str(place)],
            check=False,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 2
        assert "cannot write the ready file" in result.stderr
        assert len(result.stderr.splitlines()) == 1
