"""One client's connection: TCP to TLS to HTTP, what it is waited for, and its end.

It stands between the event loop's transport, which knows TCP alone, and Hypercorn's HTTP/1.1 and HTTP/2, which know
neither socket nor TLS; why asyncio's streams and Hypercorn's own connections do not stand here is in docs/hypercorn.md.
A connection is in one phase at a time, and each phase has its limit:

    HANDSHAKE   TLS is not agreed on            handshake_s  dropped
    FIRST       no request has come             head_s       closed
    HEAD        a part of a head has come       head_s       408, closed (HTTP/1)
    BUSY        a request is being answered     none: its body is Exchange's to wait for
    IDLE        the next request may come       idle_s       closed (HTTP/2: after a GOAWAY)
    PARTING     our last word is said           discard_s    dropped

In each of them a client that takes nothing of what is there for it is dropped after send_idle_s. `look`, which the
server calls a few times a second, holds clients to all this: one timer serves everybody.
"""

import asyncio
import contextlib
import enum
import fcntl
import logging
import socket
import struct
import termios
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias, cast

from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.typing import ASGIFramework, ConnectionState, WorkerContext

from quart_impl.server._exchange import Exchanges
from quart_impl.server._http1 import Http1
from quart_impl.server._http2 import GOAWAY, Http2
from quart_impl.server._limits import Limits
from quart_impl.server._refusal import refusal
from quart_impl.server._tls import PlainHttpError, TlsError, TlsPort

_log = logging.getLogger("quart_impl.server")

_AHEAD: Final = 65536  # octets that may wait for Hypercorn before the client has to
_SLICE: Final = 65536  # of an answer that are encrypted at a time: not all of a large one at once
_RECORD: Final = 16384  # the most that a TLS record holds (RFC 8446 section 5.1)
_STEPS: Final = 3  # of a handshake: the ClientHello, perhaps in two pieces, and the client's Finished
_ENDLESS: Final = float("inf")

Address: TypeAlias = tuple[str, int] | None


class Phase(enum.Enum):
    """What a client is waited for."""

    HANDSHAKE = enum.auto()
    FIRST = enum.auto()
    HEAD = enum.auto()
    BUSY = enum.auto()
    IDLE = enum.auto()
    PARTING = enum.auto()


class Watcher(Protocol):
    """Who wants to know of every connection."""

    def entered(self, connection: "Connection") -> None:
        """Another phase has begun, or there is progress in the handshake."""

    def gone(self, connection: "Connection") -> None:
        """It is no more, or will be in a moment."""


@dataclass(kw_only=True, slots=True)
class Service:
    """What all connections of a server have in common."""

    app: ASGIFramework
    config: Config
    context: WorkerContext
    limits: Limits
    watcher: Watcher
    tls: TlsPort | None
    state: dict[str, Any] = field(default_factory=dict)  # the application's, from its lifespan
    stopping: bool = False
    # What is received is used up at once, so that one buffer is enough for all connections.
    room: memoryview = field(default_factory=lambda: memoryview(bytearray(65536)))
    tasks: set[asyncio.Task[None]] = field(default_factory=set)  # one a connection; it may outlive the socket


class Connection(asyncio.BufferedProtocol):
    """One client."""

    def __init__(self, service: Service, accepted: socket.socket, peer: Address) -> None:
        self._service = service
        self._limits = service.limits
        self._loop = asyncio.get_running_loop()
        self._socket = accepted  # the transport's; only ever looked at here
        self._peer = peer
        self._transport: asyncio.Transport | None = None
        self._tls = None if service.tls is None else service.tls.connection()
        self._http: Http1 | Http2 | None = None
        self._is_http1 = True
        self._arrived: deque[bytes] = deque()  # for Hypercorn
        self._ahead = 0  # octets of it
        self._ended = False  # whether nothing more arrives
        self._news = asyncio.Event()  # something has arrived, or will not
        self._over = asyncio.Event()  # Hypercorn need not read on
        self._dropped = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._corked: list[bytes | memoryview] = []  # of answers, until the loop's next turn
        self._corked_size = 0
        self._written = 0  # octets that the transport was given
        self._told = False  # an HTTP/2 client, that it should begin nothing new
        self._complained = False  # of its TLS
        self._taken = 0  # of what is there for the client, at the last look
        self.since_s = self._taken_s = self._loop.time()  # of the phase, or of progress in the handshake
        self._steps = 0
        self.phase = Phase.HANDSHAKE
        self._deadline_s = self.since_s + self._limits.handshake_s

    def __str__(self) -> str:
        return "a local client" if self._peer is None else f"{self._peer[0]} port {self._peer[1]}"

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._dropped:
            self._transport.abort()
        elif self._tls is None:
            self._begin_http()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 (the loop's interface)
        return self._service.room

    def buffer_updated(self, nbytes: int) -> None:
        data = self._service.room[:nbytes]
        if self.phase is Phase.PARTING:
            return
        if self._tls is None:
            self._take(bytes(data))
            return
        if self.phase is Phase.HANDSHAKE:
            self._make_progress()
        try:
            plain = self._tls.receive(data)
        except PlainHttpError as error:
            self._complain(str(error))
            self._write(refusal(400, "this port speaks HTTPS; use https:// in the URL"))
            self.part()
            return
        except TlsError as error:
            self._complain(str(error))
            self._write(self._tls.take_outgoing())
            self.part()
            return
        self._write(self._tls.take_outgoing())
        if self._tls.established and self.phase is Phase.HANDSHAKE:
            self._begin_http()
        if self._tls.told_no_renegotiation():
            self._complain("asked for renegotiation, which was refused")
        if plain:
            self._take(plain)
        if self._tls.ended:
            self._end()

    def eof_received(self) -> bool:
        if self.phase is Phase.HANDSHAKE:
            _log.debug("%s: left during the TLS handshake", self)  # as port scanners and health checks do
            self.drop()
        elif self.phase is Phase.PARTING:
            self._close()
        else:
            self._end()
        return True

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.phase is Phase.HANDSHAKE and exc is not None:
            _log.debug("%s: left during the TLS handshake: %s", self, exc)
        self._transport = None
        self._end()
        self._over.set()
        self._writable.set()
        self._service.watcher.gone(self)

    # What the server calls.

    def look(self, now_s: float) -> None:
        """Hold the client to its limits."""
        if self._transport is None:
            return
        waiting, taken = self._progress()
        if not waiting or taken != self._taken:
            self._taken, self._taken_s = taken, now_s
            if waiting and self.phase is Phase.PARTING:
                self._deadline_s = max(self._deadline_s, now_s + self._parting_s())
        elif now_s >= self._taken_s + self._limits.send_idle_s:
            _log.info("%s: dropped, as it takes nothing of its answer", self)
            self.drop()
            return
        if now_s >= self._deadline_s:
            self._expire()

    def stop(self) -> None:
        """Begin to part as friends: an HTTP/2 client with nothing running is told now, others with their answers."""
        if self.phase is Phase.PARTING:
            self._deadline_s = min(self._deadline_s, self._loop.time() + self._limits.close_s)
        elif self.phase is Phase.IDLE:
            self._say_goaway()

    def dismiss(self) -> None:
        """Part, unless a request runs or is just arriving; one that takes its time for that is not waited for."""
        if self.phase is Phase.HANDSHAKE:
            self.drop()
        elif self.phase is Phase.HEAD and self.since_s + self._limits.linger_s <= self._loop.time():
            self._expire()
        elif self.phase in (Phase.FIRST, Phase.IDLE) and not self._has_news():
            self._say_goaway()
            self.part()

    def waits_for_us(self) -> bool:
        """Say whether it is not the client that keeps us waiting. Not for busy ones."""
        return self.phase is not Phase.PARTING and self._has_news()

    def part(self) -> None:
        """Say that nothing more comes, and wait for the client's end, not for long."""
        if self.phase is Phase.PARTING or self._transport is None or self._transport.is_closing():
            return
        self._uncork()
        if self._tls is not None:
            self._tls.end()
            self._write(self._tls.take_outgoing())
        self._enter(Phase.PARTING, self._parting_s())
        had_ended = self._ended
        self._arrived.clear()
        self._end()
        self._over.set()
        self._tls = None
        if had_ended:
            self._close()
            return
        with contextlib.suppress(OSError):  # the client was faster
            self._transport.write_eof()
        self._transport.resume_reading()

    def make_room(self) -> None:
        """Go away for somebody else, if possible with a word, but without waiting."""
        if self.phase is Phase.IDLE and self._transport is not None:
            self._say_goaway()
            self._uncork()
            if self._tls is not None:
                self._tls.end()
                self._write(self._tls.take_outgoing())
            if not self._transport.get_write_buffer_size():  # to close would wait for a client that takes nothing
                self._end()
                self._close()
                return
        self.drop()

    def drop(self) -> None:
        """Go away without a word."""
        self._dropped = True
        self._end()
        self._over.set()
        if self._transport is not None:
            self._transport.abort()
        self._service.watcher.gone(self)

    # Octets.

    def _make_progress(self) -> None:
        """Take note of a step in the handshake. A good client takes few; each further octet of a dribble is none."""
        if self._steps < _STEPS:
            self._steps += 1
            self.since_s = self._loop.time()
            self._service.watcher.entered(self)

    def _take(self, plain: bytes) -> None:
        """Keep what has arrived for Hypercorn."""
        self._arrived.append(plain)
        self._ahead += len(plain)
        self._news.set()
        if self.phase is Phase.IDLE and self._is_http1:
            self._enter(Phase.HEAD, self._limits.head_s)
        elif self.phase is Phase.FIRST and self._is_http1:
            self.phase = Phase.HEAD  # due since the handshake
        if self._ahead > _AHEAD and self._transport is not None:
            self._transport.pause_reading()

    def _end(self) -> None:
        """Nothing more will arrive."""
        self._ended = True
        self._news.set()

    async def _receive(self) -> bytes:
        """Return what has arrived; nothing at the end."""
        while not self._arrived:
            if self._ended:
                return b""
            self._news.clear()
            await self._news.wait()
        data = self._arrived.popleft() if len(self._arrived) == 1 else b"".join(self._arrived)
        self._arrived.clear()
        if self._ahead > _AHEAD and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        self._ahead = 0
        return data

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None and self.phase is not Phase.PARTING:
            self._written += len(data)
            self._transport.write(data)

    def _write_plain(self, data: bytes | memoryview) -> None:
        """Send soon. Hypercorn gives head and body apart, which would be two records, two system calls, two packets."""
        if not self._corked:
            self._loop.call_soon(self._uncork)
        self._corked.append(data)
        self._corked_size += len(data)
        if self._corked_size >= _RECORD:
            self._uncork()

    def _uncork(self) -> None:
        if not self._corked:
            return
        data = b"".join(self._corked)
        self._corked.clear()
        self._corked_size = 0
        if self._tls is not None:
            try:
                self._tls.send(data)
            except TlsError as error:
                _log.info("%s: %s", self, error)
                self.drop()
                return
            data = self._tls.take_outgoing()
        self._write(data)

    async def _send(self, event: Event) -> None:
        """What Hypercorn calls to be heard."""
        if isinstance(event, RawData):
            await self._send_data(event.data)
        elif isinstance(event, Closed):
            self.part()
        elif isinstance(event, Updated):
            self._note(idle=event.idle)

    async def _send_data(self, data: bytes) -> None:
        # HTTP/2's frames are small, and others may be sent while this waits: they are never sliced.
        size = _SLICE if self._is_http1 else max(1, len(data))
        for start in range(0, len(data), size):
            if self.phase is Phase.PARTING or self._transport is None:
                await asyncio.sleep(0)  # whoever answers without end must get to know that there is nobody
                return
            self._write_plain(memoryview(data)[start : start + size] if len(data) > size else data)
            await self._writable.wait()
            if len(data) >= _RECORD:
                await asyncio.sleep(0)  # a long answer to a fast reader leaves the others their turn

    def _progress(self) -> tuple[bool, int]:
        """Whether something waits for the client, and how much it has taken so far.

        What the client's side has acknowledged counts: the kernel takes a megabyte more than a client reads.
        """
        transport = self._transport
        if transport is None:
            return False, 0
        if buffered := transport.get_write_buffer_size():
            unsent = struct.unpack("i", fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0]
            return True, self._written - buffered - unsent
        if isinstance(self._http, Http2) and self._http.unsent():
            return True, self._http.sent()
        return False, 0

    def _has_news(self) -> bool:
        """Say whether something of a request has arrived, even if the loop has not come to read it."""
        if self._arrived:
            return True
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    # HTTP.

    def _begin_http(self) -> None:
        self._enter(Phase.FIRST, self._limits.head_s)
        extensions = {}
        if self._tls is not None:
            self._is_http1 = self._tls.protocol != "h2"
            extensions["tls"] = self._tls.extension()
            name = extensions["tls"]["client_cert_name"]
            if name is not None:
                _log.info("%s: client certificate %s", self, name)
        task = self._loop.create_task(self._converse(extensions))
        self._service.tasks.add(task)
        task.add_done_callback(self._service.tasks.discard)

    async def _converse(self, extensions: dict[str, Any]) -> None:
        if self._transport is None or self.phase is Phase.PARTING:
            return  # it was the client's last word as well
        service = self._service
        try:
            async with Exchanges(service.app, self._limits, self, extensions) as exchanges:
                http = self._http = self._speak(exchanges)
                await http.initiate()
                # Hypercorn may keep its reader waiting for as long as an answer takes. To tell the application that
                # the client has gone cannot wait for that.
                reading = exchanges.spawn(self._read, http)
                await self._over.wait()
                reading.cancel()
                await http.handle(Closed())
                self.part()  # now: the application may take its time
        except Exception:  # noqa: BLE001 (a defect of this server; the other clients should not suffer from it)
            _log.exception("%s: the server failed", self)
        finally:
            self.part()

    async def _read(self, http: Http1 | Http2) -> None:
        try:
            while data := await self._receive():
                await http.handle(RawData(data))
        finally:
            self._over.set()

    def _speak(self, exchanges: Exchanges) -> Http1 | Http2:
        service = self._service
        arguments = (
            service.app,
            service.config,
            service.context,
            exchanges,
            ConnectionState(service.state.copy()),
            self._tls is not None,
            self._peer,
            _address(self._socket.getsockname()),
            self._send,
        )
        if self._is_http1:
            return Http1(*arguments, limits=self._limits, closing=self._is_closing)
        return Http2(*arguments)

    def _is_closing(self) -> bool:
        return self._service.stopping and not self._arrived

    def _note(self, *, idle: bool) -> None:
        """Hypercorn has begun, or done, what it was asked."""
        if self.phase is Phase.PARTING:
            return
        if not idle:
            if self.phase is not Phase.BUSY:
                self._enter(Phase.BUSY, _ENDLESS)
            if self._service.stopping:
                self._say_goaway()  # it did not know
        elif self.phase is Phase.BUSY:
            self._enter(Phase.IDLE, self._limits.idle_s)
            if self._service.stopping:
                self._say_goaway()

    def _complain(self, reason: str) -> None:
        """Warn of this client's TLS, once: what follows, follows from it."""
        _log.log(logging.INFO if self._complained else logging.WARNING, "%s: %s", self, reason)
        self._complained = True

    def _say_goaway(self) -> None:
        if isinstance(self._http, Http2) and not self._told:
            self._told = True
            self._write_plain(GOAWAY)

    # Phases.

    def _enter(self, phase: Phase, limit_s: float) -> None:
        self.phase = phase
        self.since_s = self._loop.time()
        self._deadline_s = self.since_s + limit_s
        self._service.watcher.entered(self)

    def _parting_s(self) -> float:
        return self._limits.close_s if self._service.stopping else self._limits.discard_s

    def _expire(self) -> None:
        if self.phase is Phase.HANDSHAKE:
            self._complain("TLS handshake timed out")
            self.drop()
        elif self.phase is Phase.HEAD:
            _log.info("%s: timed out in the middle of a request", self)
            self._write_plain(refusal(408, "the request did not arrive in time"))
            self.part()
        elif self.phase is Phase.PARTING:
            self.drop()
        else:
            self._say_goaway()
            self.part()

    def _close(self) -> None:
        """Let go once everything is sent."""
        if self._transport is not None:
            self._transport.close()


def _address(found: object) -> Address:
    """Return host and port as ASGI has them; None for a UNIX socket."""
    return (found[0], found[1]) if isinstance(found, tuple) else None
