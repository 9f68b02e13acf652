"""How the Hypercorn server stops so that no client notices: what Hypercorn 0.18 leaves out, around it, not patched in.

Hypercorn as it comes cuts running requests at SIGTERM under TLS (docs/hypercorn-graceful-stop.md). Three things mend
that, all of them needed:

1. Before Hypercorn is told to stop, the clients are, and running requests are waited for: an ASGI wrapper and
   Hypercorn's `shutdown_trigger` do that. HTTP/1.1 answers say `connection: close`. HTTP/2 connections get a GOAWAY,
   at once if nothing runs on them, else after the answer or when they begin something new: a GOAWAY beside running
   requests is right by the RFC, but makes some clients (httpx) give them up.
2. A connection that ends badly ends all the same. Hypercorn waits for its connections with one `gather`, which the
   first exception ends for all of them, cancelling every request that still runs.
3. A TLS client that does not answer close_notify is cut off after a moment. Hypercorn waits for its connections to
   close even when they are cancelled, so that such a client holds the stop for asyncio's 30 seconds.

2 and 3 need the connections, which Hypercorn keeps to itself: an event loop whose `create_server` watches them has
them without touching Hypercorn. Nothing here knows Quart, the device or where the server listens.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from typing import Final, Literal, cast

from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveCallable,
    ASGISendCallable,
    ASGISendEvent,
    Scope,
)

_log = logging.getLogger(__name__)

LoopKind = Literal["asyncio", "uvloop"]
LoopFactory = Callable[[], asyncio.AbstractEventLoop]

# RFC 9113 section 6.8: stream 2**31 - 1 with NO_ERROR says "I am shutting down: finish what runs, begin nothing new".
# Hypercorn writes whole frames at a time, so this one never comes to stand in the middle of another.
_GOAWAY: Final = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x7f\xff\xff\xff\x00\x00\x00\x00"


_Client = tuple[str, int] | None  # host and port, as ASGI has them


class _Peer:
    """A connection, as far as stopping goes."""

    def __init__(self, connection: asyncio.WriteTransport | None = None) -> None:
        self._connection = connection
        tls = None if connection is None else connection.get_extra_info("ssl_object")
        self.http2 = tls is not None and tls.selected_alpn_protocol() == "h2"
        self.running = 0  # requests
        self._has_asked = False
        self._told = False

    def begins(self) -> None:
        """Count a request."""
        self._has_asked = True
        self.running += 1

    def ends(self) -> None:
        """Count a request no more."""
        self.running -= 1

    def say_goaway(self) -> None:
        """Ask an HTTP/2 client, once, to begin nothing new; one of HTTP/1 is asked in its answers.

        Before its first request Hypercorn's SETTINGS may still be on their way, and they must be the first frame.
        """
        if self.http2 and self._has_asked and not self._told and self._connection is not None:
            self._told = True
            self._connection.write(_GOAWAY)

    def cut_off(self) -> None:
        """End the connection without waiting for its client."""
        if self._connection is not None:
            self._connection.abort()


class GracefulStop:
    """The stop of one server: begun by SIGTERM or SIGINT, hastened by a second SIGINT (an impatient Ctrl-C).

    linger_s: how long kept connections stay open for a request that is already on its way.
    requests_s: how long running requests are waited for, the linger included.
    close_s: how long a client may then take to close its connection.
    """

    def __init__(self, *, linger_s: float, requests_s: float, close_s: float) -> None:
        self._linger_s = linger_s
        self._requests_s = requests_s
        self._close_s = close_s
        self._asked = asyncio.Event()
        self._hurried = False
        self._changed = asyncio.Event()  # a request ended, a connection ended, or somebody is in a hurry
        self._running = 0  # requests
        self._peers: dict[_Client, _Peer] = {}
        self._servers: list[asyncio.AbstractServer] = []

    def wrap(self, app: ASGIFramework) -> ASGIFramework:
        """Return the app, its requests counted; once stopping, each is the last of its HTTP/1 connection."""

        async def counted(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            peer = self._peers.get(scope["client"]) or _Peer()  # gone already: then nobody needs telling
            peer.begins()
            self._running += 1
            if self._asked.is_set():
                peer.say_goaway()  # it did not know
            try:
                await app(scope, receive, send if peer.http2 else self._saying_close(send))
            finally:
                self._running -= 1
                peer.ends()
                if self._asked.is_set() and not peer.running:
                    peer.say_goaway()  # what it had begun is answered by now
                self._changed.set()

        return counted

    def loop_factory(self, kind: LoopKind, *, accepting: Callable[[], None]) -> LoopFactory:
        """Return what makes the event loop; `accepting` is called when its server accepts connections."""
        if kind == "asyncio":
            return _watching_loop(asyncio.SelectorEventLoop, self, accepting)
        import uvloop  # noqa: PLC0415 (not loaded for those who run the other loop)

        return _watching_loop(uvloop.Loop, self, accepting)

    def listen_to_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let SIGTERM and SIGINT begin the stop from now on: a server may be told to stop while it starts."""
        loop.add_signal_handler(signal.SIGTERM, self._asked.set)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)

    async def trigger(self, stopping: Callable[[], None]) -> None:
        """Return when Hypercorn may stop: asked to, and no request runs any more or time is up.

        `stopping` is called as soon as somebody asks.
        """
        loop = asyncio.get_running_loop()
        await self._asked.wait()
        stopping()
        deadline = loop.time() + self._requests_s
        for server in self._servers:
            server.close()  # accepts nobody any more; what it accepted goes on
        for peer in self._peers.values():
            if not peer.running:
                peer.say_goaway()
        await self._wait(lambda: not self._peers, until=min(deadline, loop.time() + self._linger_s))
        await self._wait(lambda: not self._running, until=deadline)
        if self._running:
            _log.warning("stopping; requests still running after %g s: %d", self._requests_s, self._running)
        loop.call_later(self._close_s, self._cut_off)

    def serving(self, server: asyncio.AbstractServer) -> None:
        """Take note of a server; called by the loop that made it."""
        self._servers.append(server)

    def opened(self, client: _Client, connection: asyncio.WriteTransport) -> None:
        """Take note of a connection; called by its protocol."""
        self._peers[client] = _Peer(connection)

    def closed(self, client: _Client) -> None:
        """Forget a connection; called by its protocol."""
        self._peers.pop(client, None)
        self._changed.set()

    def _interrupt(self) -> None:
        self._hurried = self._asked.is_set()
        self._asked.set()
        self._changed.set()

    def _saying_close(self, send: ASGISendCallable) -> ASGISendCallable:
        async def send_last(message: ASGISendEvent) -> None:
            if self._asked.is_set() and message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        return send_last

    async def _wait(self, enough: Callable[[], bool], *, until: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                while not (enough() or self._hurried):
                    self._changed.clear()
                    await self._changed.wait()

    def _cut_off(self) -> None:
        for peer in list(self._peers.values()):
            peer.cut_off()


class _Connection(asyncio.StreamReaderProtocol):
    """The streams that asyncio makes for Hypercorn, watched, and never ending with an exception.

    Hypercorn reads the end of a stream as it reads an error, so that nothing is lost by leaving out the latter.
    """

    _stop: GracefulStop
    _client: _Client = None

    def watch(self, stop: GracefulStop) -> None:
        self._stop = stop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        address = transport.get_extra_info("peername")  # an IPv6 one has four parts
        if isinstance(address, tuple):
            self._client = (address[0], address[1])
        self._stop.opened(self._client, cast("asyncio.WriteTransport", transport))
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (see above)
        self._stop.closed(self._client)
        super().connection_lost(None)


class _StoppedServer:
    """A server for whose connections Hypercorn does not wait before it tells them to end.

    `Server.wait_closed` waits for connections since Python 3.12; Hypercorn calls it too early for that.
    """

    def __init__(self, server: asyncio.AbstractServer) -> None:
        self._server = server

    def close(self) -> None:
        self._server.close()

    async def wait_closed(self) -> None:
        pass


def _watching_loop(
    base: type[asyncio.AbstractEventLoop], stop: GracefulStop, accepting: Callable[[], None]
) -> LoopFactory:
    class WatchingLoop(base):  # type: ignore[misc, valid-type]  # which base is known when it runs
        async def create_server(
            self, protocol_factory: Callable[[], asyncio.StreamReaderProtocol], *args: object, **options: object
        ) -> _StoppedServer:
            def watched() -> asyncio.StreamReaderProtocol:
                protocol = protocol_factory()
                protocol.__class__ = _Connection  # asyncio.start_server lets nobody choose it
                cast("_Connection", protocol).watch(stop)
                return protocol

            server = await super().create_server(watched, *args, **options)
            stop.serving(server)
            accepting()
            return _StoppedServer(server)

    return WatchingLoop
