"""One request and its answer, between Hypercorn's stream and the ASGI application.

Hypercorn puts what arrives into a queue of ten pieces and waits for room in it, also to say that the client has gone:
an application that answers a large upload without reading it (401, 413) leaves its connection stuck for ever, as long
as the client keeps it. And it waits for a body without an end. So here:

1. Pieces are waited for no longer than `Limits` say, while the application waits for them. Then the client gets a 408,
   and the application is told that it has gone (`http.disconnect`), which it must be ready for at any time.
2. Once the answer is whole, or the client has gone, nobody waits for room: what still comes is thrown away.
3. What the application raises is its own affair and ends nothing but its request.
4. Who has gone cannot be answered: sending raises an OSError, as ASGI asks for, or an endless answer would go on.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Final, Self

from hypercorn.config import Config
from hypercorn.typing import AppWrapper, ASGIFramework, ASGIReceiveEvent, ASGISendEvent, Scope

from quart_impl.server._limits import Limits

_log = logging.getLogger("quart_impl.server")

_PIECES: Final = 8  # that wait for the application; each is at most what one read brings
_GONE: Final[ASGIReceiveEvent] = {"type": "http.disconnect"}
_SLOW: Final = b"the body of the request did not arrive in time\n"

SendToClient = Callable[[ASGISendEvent | None], Awaitable[None]]


class ClientGoneError(ConnectionError):
    """There is nobody to answer any more."""


class Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, send: SendToClient, limits: Limits, who: object) -> None:
        """send: Hypercorn's; None is the end. who: the client, for the log."""
        self._scope: Any = scope
        self._send = send
        self._limits = limits
        self._who = who
        self._pieces: deque[ASGIReceiveEvent] = deque()
        self._changed = asyncio.Event()  # a piece came or went, or it is over
        self._waited_s = 0.0  # for the client. The application's own time is not the client's slowness
        self._received = 0  # octets of the body
        self._whole = False  # whether the application has all of the body
        self._begun = False  # whether the answer has
        self._over = False  # whether nothing more is to be said to the client
        self._gone = False  # whether there is none

    async def put(self, piece: ASGIReceiveEvent) -> None:
        """Take a piece of the request, or the news that the client has gone; returns when there is room for more."""
        if piece["type"] == "http.disconnect":
            self._gone = self._gone or not self._over
            self._end()
        if self._over:
            return
        self._pieces.append(piece)
        self._changed.set()
        while len(self._pieces) >= _PIECES and not self._over:
            await self._change()

    async def run(self, app: ASGIFramework) -> None:
        """Let the application answer."""
        try:
            await app(self._scope, self._receive, self._say)
        except ClientGoneError:
            pass
        except Exception:  # noqa: BLE001 (whatever it is, it is logged and ends this request alone)
            _log.exception("%s: the application failed at %s %s", self._who, self._scope["method"], self._scope["path"])
        finally:
            self._end()
            await self._send(None)

    async def _receive(self) -> ASGIReceiveEvent:
        if not self._pieces and not self._over and not await self._comes():
            await self._time_out()
        if self._over:
            return _GONE
        piece = self._pieces.popleft()
        self._changed.set()
        if piece["type"] == "http.request":
            self._received += len(piece["body"])
            self._whole = not piece["more_body"]
        return piece

    async def _comes(self) -> bool:
        """Wait for a piece, or the end; False when it took too long."""
        if self._whole:  # only the client's end can come
            while not self._over:
                await self._change()
            return True
        loop = asyncio.get_running_loop()
        before_s = loop.time()
        limits = self._limits
        left_s = limits.body_idle_s + min(0.0, self._received / limits.body_rate - self._waited_s)
        try:
            async with asyncio.timeout(max(0.0, left_s)):
                while not self._pieces and not self._over:
                    await self._change()
        except TimeoutError:
            return False
        finally:
            self._waited_s += loop.time() - before_s
        return True

    async def _say(self, message: ASGISendEvent) -> None:
        if self._gone:
            raise ClientGoneError("the client has gone")
        if message["type"] == "http.response.start":
            self._begun = True
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._end()

    async def _time_out(self) -> None:
        _log.info("%s: timed out in the middle of a body", self._who)
        begun = self._begun
        self._gone = True
        self._end()
        if begun:
            await self._send(None)  # it ends unfinished, which must not look whole
            return
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(_SLOW))]
        await self._send({"type": "http.response.start", "status": 408, "headers": headers, "trailers": False})
        await self._send({"type": "http.response.body", "body": _SLOW, "more_body": False})

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _end(self) -> None:
        self._over = True
        self._pieces.clear()
        self._changed.set()


class Exchanges:
    """Everything that goes on for one connection's requests: what Hypercorn calls a task group."""

    def __init__(self, app: ASGIFramework, limits: Limits, who: object, extensions: Mapping[str, Any]) -> None:
        """extensions: what the connection adds to each request's scope."""
        self._app = app
        self._limits = limits
        self._who = who
        self._extensions = extensions
        self._tasks = asyncio.TaskGroup()

    async def spawn_app(
        self,
        app: AppWrapper,  # noqa: ARG002 (the interface is Hypercorn's)
        config: Config,  # noqa: ARG002 (as above)
        scope: Scope,
        send: SendToClient,
    ) -> Callable[[ASGIReceiveEvent], Awaitable[None]]:
        """Begin to answer a request; returns where its pieces are put."""
        scope["extensions"].update(self._extensions)  # type: ignore[typeddict-item]  # it is one of HTTP
        exchange = Exchange(scope, send, self._limits, self._who)
        self._tasks.create_task(exchange.run(self._app))
        return exchange.put

    def spawn(self, func: Callable[..., Coroutine[Any, Any, None]], *arguments: object) -> asyncio.Task[None]:
        """Begin something else, which ends with the connection."""
        return self._tasks.create_task(func(*arguments))

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._tasks.__aexit__(kind, error, traceback)
