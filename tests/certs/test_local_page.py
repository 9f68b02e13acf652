"""docs/certificates-local.md, typed from top to bottom, and the page in a browser that trusts nothing but the CA."""

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserType, Error, sync_playwright

from certs import CertificateFiles, KeyKind, TlsPolicy, ensure_certificate, stdlib_server_context
from certs.__main__ import main
from tests.certs.foreign import openssl
from tests.docs.pages import ROOT, blocks, console, files
from tests.requirements import require_program

pytestmark = pytest.mark.end_to_end

PAGE = ROOT / "docs" / "certificates-local.md"
SERVER = "python -m flask_impl"
PRINTED = "localhost:8443"
TIMEOUT_S = 30.0


@dataclass
class Reader:
    """Somebody with an empty folder who types what the page says."""

    folder: Path
    url: str = ""
    answers: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> Mapping[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("DEVICE_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{inherited['PATH']}"
        return inherited | {"HOME": str(self.folder), "PATH": path, "PYTHONPATH": str(ROOT)}

    def type(self, command: str) -> str:
        """What a command prints; its port is the running server's. Questions are answered with their defaults."""
        done = subprocess.run(
            ["sh", "-c", command.replace(PRINTED, self.url.removeprefix("https://") or PRINTED)],
            cwd=self.folder,
            env=self.environment,
            input="\n" * 10,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        self.answers[command] = done.stdout
        return done.stdout

    @contextlib.contextmanager
    def serving(self, command: str) -> Iterator[None]:
        """Start the device as the page says, but for its port."""
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        with (self.folder / "log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, *command.split()[1:], "--port", "0", "--ready-file", str(ready)],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        try:
            deadline_s = time.monotonic() + TIMEOUT_S
            while not ready.exists():
                assert process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline_s
                time.sleep(0.02)
            self.url = json.loads(ready.read_text())["url"].replace("127.0.0.1", "localhost")
            yield
        finally:
            process.terminate()
            assert process.wait(TIMEOUT_S) == 0


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Has typed all of the page; the last server that it says to start is gone."""
    for program, package in (("certutil", "libnss3-tools"), ("curl", "curl"), ("openssl", "openssl")):
        require_program(program, package)
    reader = Reader(tmp_path_factory.mktemp("reader"))
    with contextlib.ExitStack() as stack:
        for command in console(PAGE):
            if command.startswith(SERVER):
                stack.close()
                stack.enter_context(reader.serving(command))
            else:
                reader.type(command)
    return reader


class TestThePage:
    def test_what_is_printed_is_what_is_printed_there(self, reader: Reader) -> None:
        """But for names that are drawn, and days."""
        printed = [line for block in blocks(PAGE) if block.language == "console" for line in block.text.splitlines()]
        said = {line for answer in reader.answers.values() for line in masked(answer).splitlines()}
        shown = [line for line in printed if not line.startswith(("$ ", "    ")) and line]
        assert len(shown) >= 10
        for line in shown:
            assert masked(line) in said, line

    def test_curl_trusts_the_ca(self, reader: Reader) -> None:
        answers = [answer for command, answer in reader.answers.items() if command.startswith("curl ")]
        assert len(answers) == 2  # the second with a client's certificate
        for answer in answers:
            assert json.loads(answer)

    def test_the_server_knows_the_client(self, reader: Reader) -> None:
        assert "client certificate CN=router-7,O=Example" in (reader.folder / "log").read_text()

    def test_python_trusts_the_ca(self, reader: Reader) -> None:
        with reader.serving(SERVER):
            text = files(PAGE)["ask.py"].replace(PRINTED, reader.url.removeprefix("https://"))
            (reader.folder / "ask.py").write_text(text)
            assert reader.type("python ask.py") == "200\n200\n"

    def test_variables_do_without_a_change_to_the_program(self, reader: Reader) -> None:
        variables = re.findall(r"`(\w+=\.device/ca/ca\.pem)`", PAGE.read_text())
        with reader.serving(SERVER):
            for variable, library in zip(variables, ("requests", "httpx"), strict=True):
                program = f"import {library}; print({library}.get('{reader.url}/health').status_code)"
                assert reader.type(f'{variable} python -c "{program}"') == "200\n"

    def test_a_client_s_certificate_goes_into_the_browser_s_database(self, reader: Reader) -> None:
        (command,) = re.findall(r"`(pk12util [^`]+)`", PAGE.read_text())
        assert "PKCS12 IMPORT SUCCESSFUL" in reader.type(f"{command} -W choose-one")

    def test_the_timer_s_command_has_nothing_to_say(self, reader: Reader) -> None:
        (unit,) = (block.text for block in blocks(PAGE) if "ExecStart=" in block.text)
        (command,) = re.findall(r"^ExecStart=/opt/device/bin/(.+)$", unit, re.MULTILINE)
        assert reader.type(command) == ""


def masked(text: str) -> str:
    text = re.sub(r"\d{4}-\d\d-\d\d", "DAY", text)
    text = re.sub(r"\bCA [0-9a-f]{8}\b", "CA NUMBER", text)
    return re.sub(r"localhost:\d+", "localhost:PORT", text)


@pytest.fixture(scope="module")
def chromium() -> Iterator[BrowserType]:
    require_program("chromium", "chromium")
    with sync_playwright() as playwright:
        yield playwright.chromium


@pytest.fixture(scope="module")
def trusting(reader: Reader, chromium: BrowserType) -> Iterator[Browser]:
    """The browser of who has typed the page."""
    with browser_of(reader.folder, chromium) as browser:
        yield browser


class TestBrowser:
    """Debian's Chromium, in a home folder of its own."""

    def test_it_opens_the_page(self, reader: Reader, trusting: Browser) -> None:
        with reader.serving(SERVER):
            tab = trusting.new_page()
            answer = tab.goto(f"{reader.url}/health")
            assert answer is not None
            assert answer.status == 200
            details = answer.security_details()
            assert details is not None
            assert (details["issuer"] or "").startswith("https-digest-bench CA ")
            assert tab.evaluate("isSecureContext")
            tab.close()

    def test_not_before_it_was_told_to_trust_the_ca(
        self, reader: Reader, chromium: BrowserType, tmp_path: Path
    ) -> None:
        with reader.serving(SERVER), browser_of(tmp_path, chromium) as browser:
            assert refusal(browser, f"{reader.url}/health") == "ERR_CERT_AUTHORITY_INVALID"

    def test_what_the_guides_make_is_refused_though_it_is_trusted(self, reader: Reader, trusting: Browser) -> None:
        line = "req -x509 -newkey rsa:2048 -nodes -out g.pem -keyout g.key -subj /CN=localhost"
        openssl(*line.split(), folder=reader.folder)
        reader.type("certutil -d sql:$HOME/.pki/nssdb -A -t P,, -n guide -i g.pem")
        with https(CertificateFiles(reader.folder / "g.pem", reader.folder / "g.key")) as url:
            assert refusal(trusting, url) == "ERR_CERT_COMMON_NAME_INVALID"

    def test_ours_is_opened(self, reader: Reader, trusting: Browser) -> None:
        folder = reader.folder / "self-signed"
        assert main(["self-signed", "--kind", "rsa-2048", "--out", str(folder)]) == 0
        reader.type("certutil -d sql:$HOME/.pki/nssdb -A -t P,, -n ours -i self-signed/cert.pem")
        with https(CertificateFiles(folder / "cert.pem", folder / "key.pem")) as url:
            tab = trusting.new_page()
            answer = tab.goto(url)
            assert answer is not None
            assert answer.status == 200
            tab.close()

    def test_it_takes_no_ed25519(self, reader: Reader, trusting: Browser) -> None:
        with https(ensure_certificate(reader.folder / ".device", KeyKind.ED25519)) as url:
            assert refusal(trusting, url) == "ERR_SSL_VERSION_OR_CIPHER_MISMATCH"


@contextlib.contextmanager
def browser_of(home: Path, chromium: BrowserType) -> Iterator[Browser]:
    program = require_program("chromium", "chromium")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    browser = chromium.launch(executable_path=program, args=quiet, env={**os.environ, "HOME": str(home)})
    yield browser
    browser.close()


def refusal(browser: Browser, url: str) -> str:
    tab = browser.new_page()
    with pytest.raises(Error, match="net::ERR_") as caught:
        tab.goto(url)
    tab.close()
    (code,) = re.findall(r"net::(ERR_\w+)", str(caught.value).splitlines()[0])
    return str(code)


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the library's name)
        pass


class QuietServer(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A browser hangs up at will."""


@contextlib.contextmanager
def https(pair: CertificateFiles) -> Iterator[str]:
    server = QuietServer(("127.0.0.1", 0), Answering)
    server.socket = stdlib_server_context(pair, TlsPolicy()).wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"https://localhost:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
