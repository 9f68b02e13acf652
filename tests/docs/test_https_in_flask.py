"""docs/https-in-flask.md, copied and typed: each file is served for real, and what is said of it is so."""

import inspect
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from flask_impl.server import serve
from tests.docs.pages import ROOT, blocks, console, files, only
from tests.docs.workshop import Server, certificate_of, free_port, furnish, run, serving, wait_until_it_listens
from tests.requirements import require_program

pytestmark = pytest.mark.end_to_end

PAGE = ROOT / "docs" / "https-in-flask.md"

VERIFIED = {
    "serve.py": "python serve.py",
    "context.py": "python context.py",
    "pyopenssl.py": "python pyopenssl.py",
    "gunicorn.conf.py": "gunicorn app:app",
    "a pair": "flask run --port 8443 --cert tls/chain.pem --key tls/key.pem",
    "an import": "python -m flask run --port 8443 --cert context:context",
}
TESTED_ELSEWHERE_HERE = {"app.py", "behind.py", "activated.py", "redirect.py"}


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("https-in-flask")
    furnish(folder, PAGE)
    return folder


def test_no_file_is_left_out() -> None:
    assert set(files(PAGE)) == {name for name in VERIFIED if name.endswith(".py")} | TESTED_ELSEWHERE_HERE


def test_the_defaults_of_serve_are_those_that_are_printed() -> None:
    (printed,) = (block.text for block in blocks(PAGE) if block.text.startswith("serve(app, "))
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(serve).parameters.items()
        if f"{name}=" in printed
    }
    assert len(defaults) > 5
    assert eval(printed, {"serve": lambda _app, **values: values, "app": None}) == defaults  # noqa: S307 (our page)


@pytest.mark.parametrize("command", VERIFIED.values(), ids=VERIFIED)
def test_is_served_over_verified_https(furnished: Path, tmp_path: Path, command: str) -> None:
    port = free_port()
    with (
        serving(furnished, tmp_path, command.replace("8443", str(port)), ports={"8443": port}) as server,
        server.client() as client,
    ):
        assert client.get("/").text == "Hello over https, 127.0.0.1\n"


class TestTenLines:
    def test_they_are_ten(self) -> None:
        lines = [line for name in ("app.py", "serve.py") for line in files(PAGE)[name].splitlines()]
        assert len([line for line in lines if line and not line.startswith("#")]) == 10

    def test_what_curl_prints_is_printed(self, furnished: Path, tmp_path: Path) -> None:
        require_program("curl", "curl")
        (first, *_) = (block.text for block in blocks(PAGE) if block.language == "console")
        printed = first.splitlines()[-1]
        (curl, *_) = (command for command in console(PAGE) if command.startswith("curl"))
        with serving(furnished, tmp_path, "python serve.py") as server:
            assert run(tmp_path, f"{curl.replace('8443', str(server.port))} --silent") == f"{printed}\n"


@pytest.fixture(scope="module")
def development_server(furnished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(furnished, tmp_path_factory.mktemp("app"), "python app.py") as server:
        yield server


class TestDevelopmentServer:
    def test_its_adhoc_certificate_is_good_for_no_name(self, development_server: Server) -> None:
        """Not even for a client that is told to trust this very certificate."""
        trusting = ssl.create_default_context(cadata=certificate_of(development_server.port))
        with (
            httpx.Client(verify=trusting, trust_env=False) as client,
            pytest.raises(httpx.ConnectError, match="Hostname mismatch"),
        ):
            client.get(f"https://localhost:{development_server.port}/")

    def test_a_silent_client_stops_all_others(self, development_server: Server) -> None:
        url = f"https://localhost:{development_server.port}/"
        trusting = ssl.create_default_context(cadata=certificate_of(development_server.port))
        trusting.check_hostname = False
        with httpx.Client(verify=trusting, trust_env=False) as client:
            with (
                socket.create_connection(("127.0.0.1", development_server.port)),
                pytest.raises(httpx.TimeoutException),
            ):
                client.get(url, timeout=1.0)
            assert client.get(url, timeout=10.0).status_code == 200  # it has left

    def test_a_silent_client_stops_nobody_at_serve(self, furnished: Path, tmp_path: Path) -> None:
        with (
            serving(furnished, tmp_path, "python serve.py") as server,
            socket.create_connection(("127.0.0.1", server.port)),
            server.client() as client,
        ):
            assert client.get("/", timeout=1.0).status_code == 200

    def test_each_reload_makes_another_adhoc_certificate(self, furnished: Path, tmp_path: Path) -> None:
        ours = tmp_path / "ours"
        shutil.copytree(furnished, ours)
        text = files(PAGE)["app.py"].replace('"adhoc")', '"adhoc", debug=True)')
        (ours / "app.py").write_text(text)
        with serving(ours, tmp_path / "copy", "python app.py") as server:
            before = certificate_of(server.port)
            (reloaded,) = server.process.children()
            app = tmp_path / "copy" / "app.py"
            app.write_text(app.read_text() + "\n")
            reloaded.wait(10)
            wait_until_it_listens(server.process, server.port, server.log)
            assert certificate_of(server.port) != before

    def test_flask_itself_does_not_import_a_context(self, furnished: Path) -> None:
        with pytest.raises(AssertionError, match="File 'context:context' does not exist"):
            run(furnished, "flask run --cert context:context")


class TestGuides:
    """What they print fails, in the words that the page quotes."""

    def test_no_such_protocol(self) -> None:
        failed = subprocess.run(
            [sys.executable, "-c", "from OpenSSL import SSL; SSL.Context(SSL.PROTOCOL_TLSv1_2)"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert failed.stderr.splitlines()[-1] in PAGE.read_text()

    def test_no_such_context_in_werkzeug(self, furnished: Path) -> None:
        code = "from OpenSSL import SSL; from app import app; app.run(ssl_context=SSL.Context(SSL.TLS_SERVER_METHOD))"
        failed = subprocess.run(
            [sys.executable, "-c", code], cwd=furnished, capture_output=True, text=True, check=False
        )
        assert failed.stderr.splitlines()[-1] in PAGE.read_text()


class TestBehindNginx:
    def test_the_application_is_told_whom_the_proxy_speaks_for(self, furnished: Path, tmp_path: Path) -> None:
        nginx = require_program("nginx", "nginx-light")
        https, http, behind = free_port(), free_port(), free_port()
        app, proxy = tmp_path / "app", tmp_path / "nginx"
        with serving(furnished, app, "python behind.py", ports={"8080": behind}) as server:
            text = only(PAGE, "nginx")
            for printed, ours in {
                "listen 443": f"listen 127.0.0.1:{https}",
                "listen 80": f"listen 127.0.0.1:{http}",
                "127.0.0.1:8080": f"127.0.0.1:{behind}",
                "/etc/letsencrypt/live/device.example/fullchain.pem": str(app / "tls/chain.pem"),
                "/etc/letsencrypt/live/device.example/privkey.pem": str(app / "tls/key.pem"),
                "device.example": "localhost",
            }.items():
                assert printed in text
                text = text.replace(printed, ours)
            temporary = "".join(
                f"{kind}_temp_path {proxy}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            proxy.mkdir()
            (proxy / "nginx.conf").write_text(
                f"daemon off; pid {proxy}/pid; error_log stderr; events {{}}\n"
                f"http {{ access_log off; {temporary} {text} }}"
            )
            with serving(
                proxy, tmp_path / "run", f"{nginx} -p {proxy} -e stderr -c {proxy}/nginx.conf", ports={"443": https}
            ) as front:
                fronted = Server(front.process, https, front.log, server.ca)
                with fronted.client() as client:
                    forged = {"X-Forwarded-For": "192.0.2.66", "X-Forwarded-Proto": "http"}
                    assert client.get("/", headers=forged).text == "Hello over https, 127.0.0.1\n"
                plain = httpx.get(f"http://localhost:{http}/a%2Fb?c", trust_env=False)
                assert plain.status_code == 308
                assert plain.headers["location"] == "https://localhost/a%2Fb?c"


class TestPortsOfRoot:
    def test_a_socket_of_systemds_is_served(self, furnished: Path, tmp_path: Path) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as listener:
            ports = {"443": listener.getsockname()[1]}
            with (
                serving(furnished, tmp_path, "python activated.py", ports=ports, fd=listener.fileno()) as server,
                server.client() as client,
            ):
                assert client.get("/").text == "Hello over https, 127.0.0.1\n"

    def test_redirects_to_https(self, furnished: Path, tmp_path: Path) -> None:
        with serving(furnished, tmp_path, "python redirect.py", ports={"8080": free_port(), "8443": 443}) as server:
            answer = httpx.get(f"http://localhost:{server.port}/a b//@c.example?d=e&f", trust_env=False)
        assert answer.status_code == 308
        assert answer.headers["location"] == "https://localhost:443/a%20b//%40c.example?d=e&f"
