"""The Flask application by itself; what both implementations must do alike is in tests/contract."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask, g
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse, create_environ, run_wsgi_app

from device_api.routes import ROUTES
from device_api.settings import Settings
from device_api.state import read_credentials
from digest_auth import DigestClient
from flask_impl import create_app, device
from flask_impl._request import request_target

SYSTEM_STATE = "/restconf/data/ietf-system:system-state"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    made = create_app(Settings(state=tmp_path / "state", auth="none"))
    yield made
    device(made).close()


def test_it_has_the_route_table() -> None:
    rules = {
        (rule.endpoint, method, rule.rule.replace("<key:name>", "{name}"))
        for rule in create_app().url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert rules == {(route.name, route.method, route.path) for route in ROUTES}


def test_importing_it_touches_no_file(tmp_path: Path) -> None:
    program = "import flask_impl; assert flask_impl.app.name == 'flask_impl'"
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "DEVICE_PORT": "wrong"}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environ, check=True)
    assert list(tmp_path.iterdir()) == []


def test_without_authentication_everybody_may_come_in(app: Flask) -> None:
    assert app.test_client().get(SYSTEM_STATE).status_code == 200


class TestInternalErrors:
    """A 500 says nothing of its cause, which is in the log."""

    @pytest.fixture
    def answer(self, app: Flask, monkeypatch: pytest.MonkeyPatch) -> TestResponse:
        def fail() -> None:
            raise RuntimeError("the secret cause")

        monkeypatch.setattr(device(app).open(), "system_state", fail)
        return app.test_client().get(SYSTEM_STATE)

    def test_the_answer(self, answer: TestResponse) -> None:
        assert answer.status_code == 500
        assert answer.mimetype == "application/yang-data+json"
        assert answer.get_json()["ietf-restconf:errors"]["error"][0]["error-tag"] == "operation-failed"
        assert b"secret" not in answer.data

    @pytest.mark.usefixtures("answer")
    def test_the_log(self, caplog: pytest.LogCaptureFixture) -> None:
        assert "the secret cause" in "".join(record.exc_text or "" for record in caplog.get_records("setup"))


class TestOpening:
    """The first request opens the device; when that fails it is one line in the log and 503, never a traceback."""

    def test_a_device_that_cannot_be_opened(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        app = create_app(Settings(state=tmp_path, users=tmp_path / "nobody"))
        answers = [app.test_client().get(path) for path in (SYSTEM_STATE, "/health")]
        assert [answer.status_code for answer in answers] == [503, 503]
        assert answers[0].headers["Retry-After"] == "1"
        lines = [record.getMessage() for record in caplog.records if "users" in record.getMessage()]
        assert lines
        assert all("\n" not in line for line in lines)
        assert "Traceback" not in caplog.text

    def test_settings_come_from_the_environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DEVICE_STATE", str(tmp_path))
        monkeypatch.setenv("DEVICE_AUTH", "none")
        app = create_app()
        assert app.test_client().get(SYSTEM_STATE).status_code == 200
        device(app).close()


class TestRequestTarget:
    """Digest needs the target as it was sent; each server tells it elsewhere."""

    @pytest.mark.parametrize(
        ("environ", "target"),
        [
            ({"RAW_URI": "/a%2Fb?", "PATH_INFO": "/a/b"}, "/a%2Fb?"),
            ({"REQUEST_URI": "//a;b", "PATH_INFO": "/a;b"}, "//a;b"),
            ({"RAW_URI": "http://host/a", "REQUEST_URI": "/a"}, "http://host/a"),
            ({"PATH_INFO": "/a/b"}, None),
        ],
    )
    def test_where_it_is_found(self, environ: dict[str, str], target: str | None) -> None:
        assert request_target(environ) == target

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(st.text(st.characters(max_codepoint=255)))
    def test_no_target_is_an_internal_error(self, app: Flask, target: str) -> None:
        environ = create_environ("/") | {"RAW_URI": f"/{target}"}
        _, status, _ = run_wsgi_app(app, environ)
        assert status[:3] in {"200", "404", "405"}

    def test_a_server_that_does_not_tell_it_is_no_way_in(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = create_app(Settings(state=tmp_path))
        environ = create_environ(SYSTEM_STATE)
        del environ["RAW_URI"], environ["REQUEST_URI"]
        _, status, _ = run_wsgi_app(app, environ)
        assert status.startswith("500 ")
        assert "neither RAW_URI nor REQUEST_URI" in caplog.text
        device(app).close()


def test_refusals_are_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(Settings(state=tmp_path))
    device(app).open()
    caplog.set_level(logging.INFO)
    client = app.test_client()
    for authorization in (None, "Basic eDp5", "Digest nonsense", 'Digest username="x'):
        headers = {} if authorization is None else {"Authorization": authorization}
        assert client.get(SYSTEM_STATE, headers=headers).status_code in {400, 401}
    assert caplog.records == []
    device(app).close()


def test_the_user_is_known_to_the_rest_of_the_request(tmp_path: Path) -> None:
    app = create_app(Settings(state=tmp_path))
    users = []
    app.teardown_request(lambda _: users.append(g.get("user")))
    user, password = read_credentials(device(app).open().state.credentials_file)
    digest = DigestClient(user, password)
    client = app.test_client()
    digest.accept(client.get(SYSTEM_STATE).headers.getlist("WWW-Authenticate"))
    authorization = digest.authorization("GET", SYSTEM_STATE) or ""
    assert client.get(SYSTEM_STATE, headers={"Authorization": authorization}).status_code == 200
    assert users == [None, user]
    device(app).close()
