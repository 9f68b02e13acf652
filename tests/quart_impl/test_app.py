"""The Quart application by itself; what both implementations must do alike is in tests/contract."""

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quart import Quart, g

from device_api.routes import ROUTES
from device_api.settings import Settings
from device_api.state import read_credentials
from digest_auth import DigestClient
from quart_impl import create_app, device
from quart_impl._request import request_target

SYSTEM_STATE = "/restconf/data/ietf-system:system-state"

Message = dict[str, Any]  # or a scope, as the ASGI specification has them


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]


async def ask(app: Quart, target: str, *headers: tuple[str, str], raw_path: bool = True) -> Answer:
    """GET as an ASGI server asks: Quart's own test client decodes the path before the application can see it."""
    path, _, query = target.partition("?")
    scope: Message = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": path,
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 443),
        "extensions": {},
    }
    if raw_path:
        scope["raw_path"] = path.encode("latin-1")
    received: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]
    sent: list[Message] = []

    async def receive() -> Message:
        if not received:
            await asyncio.Event().wait()  # a client that stays
        return received.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)  # type: ignore[arg-type]  # plain dictionaries are right
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return Answer(sent[0]["status"], tuple((name.decode(), value.decode()) for name, value in sent[0]["headers"]), body)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Quart]:
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
    program = "import quart_impl; assert quart_impl.app.name == 'quart_impl'"
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "DEVICE_PORT": "wrong"}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environ, check=True)
    assert list(tmp_path.iterdir()) == []


def test_without_authentication_everybody_may_come_in(app: Quart) -> None:
    assert asyncio.run(ask(app, SYSTEM_STATE)).status == 200


class TestInternalErrors:
    """A 500 says nothing of its cause, which is in the log."""

    @pytest.fixture
    def answer(self, app: Quart, monkeypatch: pytest.MonkeyPatch) -> Answer:
        def fail() -> None:
            raise RuntimeError("the secret cause")

        monkeypatch.setattr(device(app).open(), "system_state", fail)
        return asyncio.run(ask(app, SYSTEM_STATE))

    def test_the_answer(self, answer: Answer) -> None:
        assert answer.status == 500
        assert answer.all("content-type") == ["application/yang-data+json"]
        assert json.loads(answer.body)["ietf-restconf:errors"]["error"][0]["error-tag"] == "operation-failed"
        assert b"secret" not in answer.body

    @pytest.mark.usefixtures("answer")
    def test_the_log(self, caplog: pytest.LogCaptureFixture) -> None:
        assert "the secret cause" in "".join(record.exc_text or "" for record in caplog.get_records("setup"))


class TestOpening:
    """The lifespan opens the device; when that fails it is the lifespan's one line, never a traceback."""

    @staticmethod
    async def _start(app: Quart) -> Message:
        events: list[Message] = [{"type": "lifespan.startup"}]
        sent: list[Message] = []

        async def receive() -> Message:
            return events.pop() if events else {"type": "lifespan.shutdown"}

        async def send(message: Message) -> None:
            sent.append(message)

        scope: Message = {"type": "lifespan", "asgi": {"version": "3.0"}}
        await app(scope, receive, send)  # type: ignore[arg-type]  # plain dictionaries are right
        return sent[0]

    def test_at_startup(self, app: Quart) -> None:
        assert asyncio.run(self._start(app)) == {"type": "lifespan.startup.complete"}
        assert device(app).opened is None, "closed at shutdown"

    def test_a_device_that_cannot_be_opened(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        app = create_app(Settings(state=tmp_path, users=tmp_path / "nobody"))
        started = asyncio.run(self._start(app))
        assert started["type"] == "lifespan.startup.failed"
        assert str(tmp_path / "nobody") in started["message"]
        assert "\n" not in started["message"]
        assert "Traceback" not in caplog.text

    def test_a_server_without_lifespan_opens_it_by_the_first_request(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = create_app(Settings(state=tmp_path, users=tmp_path / "nobody"))
        answers = [asyncio.run(ask(app, path)) for path in (SYSTEM_STATE, "/health")]
        assert [answer.status for answer in answers] == [503, 503]
        assert answers[0].all("retry-after") == ["1"]
        assert "Traceback" not in caplog.text


class TestRequestTarget:
    """Digest needs the target as it was sent."""

    @pytest.mark.parametrize(
        ("scope", "target"),
        [
            ({"raw_path": b"/a%2Fb", "query_string": b""}, "/a%2Fb"),
            ({"raw_path": b"//a", "query_string": b"b=%20"}, "//a?b=%20"),
            ({"raw_path": b"/\xff", "query_string": b"\xff"}, "/\xff?\xff"),
            ({"raw_path": None, "query_string": b""}, None),
            ({"path": "/a/b", "query_string": b""}, None),
        ],
    )
    def test_where_it_is_found(self, scope: Message, target: str | None) -> None:
        assert request_target(scope) == target  # type: ignore[arg-type]  # as much of one as it looks at

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(st.text(st.characters(max_codepoint=255)))
    def test_no_target_is_an_internal_error(self, app: Quart, target: str) -> None:
        assert asyncio.run(ask(app, f"/{target}")).status in {200, 404, 405}

    def test_a_server_that_does_not_tell_it_is_no_way_in(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = create_app(Settings(state=tmp_path))
        assert asyncio.run(ask(app, SYSTEM_STATE, raw_path=False)).status == 500
        assert "tells no raw_path" in caplog.text
        device(app).close()

    def test_a_query_that_is_not_utf_8_is_no_error(self, app: Quart) -> None:
        """Quart's own binding of the URL map raises, so that a stranger could make it answer 500."""
        assert asyncio.run(ask(app, f"{SYSTEM_STATE}?\xff")).status == 200

    def test_a_host_that_is_none_is_no_error(self, app: Quart) -> None:
        assert asyncio.run(ask(app, SYSTEM_STATE, ("Host", "a b/\\[::"))).status == 200


def test_refusals_are_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(Settings(state=tmp_path))
    device(app).open()
    caplog.set_level(logging.INFO)
    for authorization in ((), ("Basic eDp5",), ("Digest nonsense",), ("Digest a=b", "Digest a=b")):
        headers = [("Authorization", value) for value in authorization]
        assert asyncio.run(ask(app, SYSTEM_STATE, *headers)).status in {400, 401}
    assert [record for record in caplog.records if record.name != "asyncio"] == []
    device(app).close()


def test_the_user_is_known_to_the_rest_of_the_request(tmp_path: Path) -> None:
    app = create_app(Settings(state=tmp_path))
    users = []

    @app.teardown_request
    async def note(_error: BaseException | None) -> None:
        users.append(g.get("user"))

    user, password = read_credentials(device(app).open().state.credentials_file)
    digest = DigestClient(user, password)
    digest.accept(asyncio.run(ask(app, SYSTEM_STATE)).all("www-authenticate"))
    authorization = digest.authorization("GET", SYSTEM_STATE) or ""
    assert asyncio.run(ask(app, SYSTEM_STATE, ("Authorization", authorization))).status == 200
    assert users == [None, user]
    device(app).close()
