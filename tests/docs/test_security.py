"""docs/security.md, copied and typed: the files are served for real, and what is said of servers and clients is so."""

import re
from http.cookies import SimpleCookie
from pathlib import Path

import httpx
import pytest

import flask_impl.server
import quart_impl.server
from certs import openssl_configuration
from device_api.settings import PREFIX, Settings
from tests.docs.pages import ROOT, console, files
from tests.docs.workshop import furnish, run, serving
from tests.end_to_end.test_sslyze import PROFILE_GROUPS

pytestmark = pytest.mark.end_to_end

PAGE = ROOT / "docs" / "security.md"
LIMIT = re.compile(r"`(\w+)`, ([\d.]+)")
CLIENT = Path(".device/certificates/clients/router-7")

# The page's app.py is the other page's; this one has a session as well.
APP = """
from flask import Flask, session

app = Flask(__name__)
app.secret_key = "for a test"


@app.get("/")
def hello():
    session["seen"] = True
    return "Hello"
"""


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("security")
    furnish(folder, PAGE)
    (folder / "app.py").write_text(APP)
    return folder


def test_no_file_is_left_out() -> None:
    assert set(files(PAGE)) == {"headers.py", "flask_clients.py", "quart_clients.py"}


def test_headers_are_sent(furnished: Path, tmp_path: Path) -> None:
    with serving(furnished, tmp_path, "python headers.py") as server, server.client() as client:
        answer = client.get("/")
    assert answer.headers["strict-transport-security"] == "max-age=300"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    ((name, cookie),) = SimpleCookie(answer.headers["set-cookie"]).items()
    assert name == "__Host-session"
    assert (cookie["secure"], cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, True, "Lax", "/")
    assert not cookie["domain"]


@pytest.mark.parametrize("name", ["flask_clients.py", "quart_clients.py"])
def test_the_application_is_told_who_the_client_is(furnished: Path, tmp_path: Path, name: str) -> None:
    with serving(furnished, tmp_path, f"python {name}") as server:
        with server.client(certificate=tmp_path / CLIENT) as client:
            assert client.get("/").text == "CN=router-7,O=Example"
        with server.client() as stranger, pytest.raises(httpx.TransportError):
            stranger.get("/")


class TestLimits:
    """The table of limits is that of the code: `NAME`, DEFAULT in the column of the server that has it."""

    @pytest.mark.parametrize(
        ("column", "limits"), [(0, flask_impl.server.Limits()), (1, quart_impl.server.Limits())], ids=["flask", "quart"]
    )
    def test_they_are_the_defaults(self, column: int, limits: object) -> None:
        settings = Settings()
        cells = [line.split("|")[2:4][column] for line in PAGE.read_text().splitlines() if LIMIT.search(line)]
        named = [found for cell in cells for found in LIMIT.findall(cell)]
        assert named
        for name, default in named:
            owner, field = (settings, name.removeprefix(PREFIX).lower()) if name.startswith(PREFIX) else (limits, name)
            assert getattr(owner, field) == float(default), name


def test_the_groups_are_those_that_sslyze_passes(tmp_path: Path) -> None:
    (command,) = (command for command in console(PAGE) if command.startswith("python -c"))
    run(tmp_path, command)
    assert (tmp_path / "openssl.cnf").read_text() == openssl_configuration(PROFILE_GROUPS) + "\n"
