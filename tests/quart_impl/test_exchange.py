"""One request between Hypercorn and the application, without either."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from quart_impl.server import Limits
from quart_impl.server._exchange import Exchange

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

SCOPE = {"type": "http", "method": "POST", "path": "/"}
OK = ({"type": "http.response.start", "status": 200, "headers": []}, {"type": "http.response.body", "body": b"ok"})
LIMITS = Limits(body_idle_s=0.2, body_rate=1000)


def piece(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


class Stream:
    """An exchange, and what it has said to the client."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.said: list[Message | None] = []
        self.exchange = Exchange(SCOPE, self._hear, limits, "a client")  # type: ignore[arg-type]  # as much as is read

    async def _hear(self, message: Any) -> None:  # noqa: ANN401 (a TypedDict of many kinds)
        self.said.append(message)

    async def put(self, *pieces: Message) -> None:
        for one in pieces:
            await self.exchange.put(one)  # type: ignore[arg-type]  # plain dictionaries are right

    async def run(self, app: App) -> None:
        await self.exchange.run(app)  # type: ignore[arg-type]  # as above

    @property
    def status(self) -> int | None:
        return self.said[0]["status"] if self.said and self.said[0] is not None else None


async def read_all(_scope: Message, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    for message in OK:
        await send(message)


class TestBodies:
    def test_one_that_comes(self) -> None:
        async def act() -> Stream:
            stream = Stream()
            await stream.put(piece(b"a"), piece(b"", more=False))
            await stream.run(read_all)
            return stream

        assert asyncio.run(act()).said == [*OK, None]

    def test_one_that_does_not_come_is_a_408_and_the_application_is_told(self) -> None:
        told: list[Message] = []

        async def app(_scope: Message, receive: Receive, send: Send) -> None:
            while (message := await receive())["type"] == "http.request":
                pass
            told.append(message)
            for late in OK:
                await send(late)

        async def act() -> Stream:
            stream = Stream()
            await stream.put(piece(b"a"))
            await stream.run(app)
            return stream

        stream = asyncio.run(act())
        assert told == [{"type": "http.disconnect"}]
        assert stream.status == 408
        assert [message["type"] for message in stream.said if message] == ["http.response.start", "http.response.body"]

    def test_a_trickle_is_not_enough(self) -> None:
        async def act() -> Stream:
            stream = Stream()
            running = asyncio.create_task(stream.run(read_all))
            while not running.done():
                await stream.put(piece(b"a"))
                await asyncio.sleep(0.05)
            return stream

        assert asyncio.run(asyncio.wait_for(act(), 5)).status == 408

    def test_a_steady_one_may_take_longer(self) -> None:
        async def act() -> Stream:
            stream = Stream()
            running = asyncio.create_task(stream.run(read_all))
            for _ in range(8):
                await asyncio.sleep(0.05)
                await stream.put(piece(bytes(1000)))
            await stream.put(piece(b"", more=False))
            await running
            return stream

        assert asyncio.run(act()).status == 200

    def test_the_application_s_time_is_not_the_client_s(self) -> None:
        async def app(scope: Message, receive: Receive, send: Send) -> None:
            await asyncio.sleep(0.4)
            await read_all(scope, receive, send)

        async def act() -> Stream:
            stream = Stream()
            running = asyncio.create_task(stream.run(app))
            await asyncio.sleep(0.45)
            await stream.put(piece(b"a", more=False))
            await running
            return stream

        assert asyncio.run(act()).status == 200

    def test_an_answer_that_has_begun_is_broken_off(self) -> None:
        async def app(_scope: Message, receive: Receive, send: Send) -> None:
            await send(OK[0])
            while (await receive())["type"] == "http.request":
                pass

        async def act() -> Stream:
            stream = Stream()
            await stream.run(app)
            return stream

        assert asyncio.run(act()).said[:2] == [OK[0], None]


class TestRoom:
    def test_hypercorn_waits_for_the_application(self) -> None:
        async def act() -> None:
            stream = Stream()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await stream.put(*[piece(b"a")] * 100)
            read = 0

            async def app(_scope: Message, receive: Receive, _send: Send) -> None:
                nonlocal read
                for read in range(1, 5):  # noqa: B007 (counted)
                    await receive()

            await stream.run(app)
            assert read == 4

        asyncio.run(act())

    def test_but_not_for_one_that_has_answered(self) -> None:
        """Hypercorn alone waits for ever, and the connection with it."""

        async def app(_scope: Message, _receive: Receive, send: Send) -> None:
            for message in OK:
                await send(message)

        async def act() -> None:
            stream = Stream()
            putting = asyncio.create_task(stream.put(*[piece(b"a")] * 100, {"type": "http.disconnect"}))
            await asyncio.sleep(0)
            await stream.run(app)
            async with asyncio.timeout(1):
                await putting

        asyncio.run(act())


class TestEnds:
    def test_the_client_goes(self) -> None:
        async def act() -> Stream:
            stream = Stream()
            running = asyncio.create_task(stream.run(read_all))
            await stream.put(piece(b"a"), {"type": "http.disconnect"})
            await running
            return stream

        assert asyncio.run(act()).said == [None]  # what is said to nobody is not said

    def test_the_application_fails(self, caplog: pytest.LogCaptureFixture) -> None:
        async def app(_scope: Message, _receive: Receive, _send: Send) -> None:
            raise RuntimeError("its own fault")

        async def act() -> Stream:
            stream = Stream()
            await stream.run(app)
            return stream

        assert asyncio.run(act()).said == [None]
        (record,) = caplog.records
        assert record.getMessage() == "a client: the application failed at POST /"
        assert record.exc_info
