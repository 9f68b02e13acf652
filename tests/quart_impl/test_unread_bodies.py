"""A small body comes before its request is answered, also where nobody reads it: some servers hang up on the rest.

Here the test is the server: it hands over a body when it likes, and sees when the answer begins.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from quart import Quart

from device_api.bodies import MAX_BODY_BYTES
from device_api.settings import Settings
from quart_impl import _request, create_app, device

PING = "/restconf/operations/network-device:ping"
PATIENCE_S = 20.0  # of the application here, unless a test says otherwise
SOON_S = 10.0  # by then what waits for nothing has been answered, on a busy machine too
A_WHILE_S = 0.3  # for which what waits is seen to wait

Message = dict[str, Any]


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Quart]:
    """With Digest: who shows no credentials is refused unread."""
    monkeypatch.setattr(_request, "UNREAD_WAIT_S", PATIENCE_S)
    made = create_app(Settings(state=tmp_path / "state"))
    device(made).open()
    yield made
    device(made).close()


class Exchange:
    """One request whose body comes piece by piece, as the test says."""

    def __init__(self, app: Quart, path: str, *headers: tuple[str, str]) -> None:
        self.sent: list[Message] = []
        self._pieces: asyncio.Queue[Message] = asyncio.Queue()
        scope: Message = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "https",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 443),
            "extensions": {},
        }
        self.answering = asyncio.ensure_future(app(scope, self._pieces.get, self._send))  # type: ignore[arg-type]  # plain dictionaries are right

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    def come(self, body: bytes, *, more: bool = False) -> None:
        self._pieces.put_nowait({"type": "http.request", "body": body, "more_body": more})

    async def status(self) -> int:
        await asyncio.wait_for(self.answering, SOON_S)
        status = self.sent[0]["status"]
        assert isinstance(status, int)
        return status

    async def waits(self) -> bool:
        """Whether it is not answered in a while."""
        done, _ = await asyncio.wait([self.answering], timeout=A_WHILE_S)
        return not done and not self.sent


@pytest.mark.parametrize(("path", "status"), [(PING, 401), ("/nothing", 401), ("/health", 405)])
@pytest.mark.parametrize("told", [("Content-Length", "8"), ("Transfer-Encoding", "chunked")])
def test_the_answer_waits_for_it(app: Quart, path: str, status: int, told: tuple[str, str]) -> None:
    async def exchange() -> None:
        asked = Exchange(app, path, told)
        asked.come(b"some", more=True)
        assert await asked.waits()
        asked.come(b"more")
        assert await asked.status() == status

    asyncio.run(exchange())


@pytest.mark.parametrize("told", [[], [("Content-Length", "0")], [("Content-Length", f"{MAX_BODY_BYTES + 1}")]])
def test_for_none_and_for_a_large_one_it_does_not(app: Quart, told: list[tuple[str, str]]) -> None:
    async def exchange() -> None:
        asked = Exchange(app, PING, *told)
        assert await asked.status() == 401

    asyncio.run(exchange())


def test_nor_for_one_in_chunks_that_turns_out_to_be_large(app: Quart) -> None:
    async def exchange() -> None:
        asked = Exchange(app, PING, ("Transfer-Encoding", "chunked"))
        for _ in range(2):
            asked.come(bytes(MAX_BODY_BYTES // 2 + 1), more=True)
        assert await asked.status() == 401

    asyncio.run(exchange())


def test_for_one_that_does_not_come_it_waits_a_moment(app: Quart, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_request, "UNREAD_WAIT_S", A_WHILE_S)

    async def exchange() -> float:
        began_s = time.monotonic()
        assert await Exchange(app, PING, ("Content-Length", "8")).status() == 401
        return time.monotonic() - began_s

    assert asyncio.run(exchange()) >= A_WHILE_S * 0.9


def test_not_for_a_client_that_has_gone(app: Quart) -> None:
    async def exchange() -> None:
        asked = Exchange(app, PING, ("Content-Length", "8"))
        asked._pieces.put_nowait({"type": "http.disconnect"})
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(asked.answering, SOON_S)
        assert asked.sent == []

    asyncio.run(exchange())
