"""The server: a listener, the I/O loop, the workers and an application, put together."""

import contextlib
import functools
import logging
import signal
import socket
import ssl
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, TypeAlias, Union
from wsgiref.types import WSGIApplication

from flask_impl.server._client import Client
from flask_impl.server._connection import Connection, PlainConnection, WantRead, wait
from flask_impl.server._environ import server_environ
from flask_impl.server._exchange import Exchange, Outcome
from flask_impl.server._limits import Limits
from flask_impl.server._loop import Loop
from flask_impl.server._stdlib import StdlibConnection
from flask_impl.server._workers import Workers

if TYPE_CHECKING:
    from OpenSSL import SSL

TlsContext: TypeAlias = Union[ssl.SSLContext, "SSL.Context"]

_log = logging.getLogger("flask_impl.server")

_BACKLOG: Final = 1024
_LAST_WORDS_S: Final = 1.0  # for threads whose clients were cut off at the end of the grace period
_STAY_S: Final = 0.005
"""How long a thread waits at a connection for the next request, if it has nothing better to do. A client that asks
again at once is then served without a hop between threads. A request that comes elsewhere just then, with all other
threads at work, is delayed by this much at most."""

_STAYING: Final = 4
"""How many threads may do so at a time. It pays with few busy connections, and costs with many, which the loop reads
in batches. CPU µs a request (bare application, TLS 1.3, one processor, medians of 3 interleaved blocks):

    busy connections       1     2     4     8    16    64
    nobody stays         101    68    46    35    32    30
    everybody stays       71    52    36    37    41    35
    as it is              70    52    39    37    32    28
"""

_CROWDED_S: Final = 0.1
"""For how long nobody stays once one more wanted to: then many connections are busy."""


class Server:
    """Serves one WSGI application on one address. `serve` is this with signals; use it unless you have your own.

    First `bind`, then `run` in any thread; `stop` from any other thread, or from a signal handler.
    """

    def __init__(
        self,
        application: WSGIApplication,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        listener: socket.socket | None = None,
        ssl_context: TlsContext | None = None,
        threads: int = 16,
        connections: int = 1024,
        limits: Limits | None = None,
        stopping: Callable[[], None] = lambda: None,
    ) -> None:
        """Parameters are those of `serve`. Raises TypeError for a context of neither kind."""
        self._host, self._port = host, port
        self._listener = listener
        self._tls = ssl_context is not None
        self._connect = _connector(ssl_context)
        self._connections = connections
        self._limits = limits or Limits()
        self._stopping = stopping
        self._workers = Workers(self._serve, threads)
        self._exchange = Exchange(application, self._limits, lambda: self._bound().stopping)
        self._loop: Loop | None = None
        self._stays: deque[None] = deque([None] * _STAYING)  # one entry a thread that may still stay
        self._crowded_until_s = 0.0

    def bind(self) -> tuple[str, int]:
        """Listen, unless a listener was given, and return address and port. Clients that come now wait for `run`.

        Raises OSError.
        """
        listener = self._listener or _listen(self._host, self._port)
        # Accepted sockets inherit it. Without it the first answer of a TLS connection waits 40 ms for an ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        host, port = listener.getsockname()[:2]
        self._exchange.environ = server_environ((host, port), tls=self._tls)
        self._loop = Loop(
            listener,
            self._connect,
            self._workers.put,
            limits=self._limits,
            connections=self._connections,
            stopping=self._stopping,
        )
        return host, port

    def run(self) -> None:
        """Serve until `stop`; returns when every request that had arrived is answered, or when its grace is over."""
        loop = self._bound()
        self._workers.start()
        try:
            loop.run()
        finally:
            busy = self._workers.stop(_LAST_WORDS_S)
            if busy:
                _log.warning("%d threads are still in the application; they end with the process", busy)

    def stop(self, grace_s: float = 10.0) -> None:
        """Ask `run` to return, and do not wait for that.

        No new connection is accepted. What has arrived is answered, also within the next second on open connections.
        What is not done after grace_s is cut off; a second call can shorten that, stop(0) cuts at once.
        """
        self._bound().stop(grace_s)

    def close(self) -> None:
        """Let go of the listener of a server that will not `run`; nothing is left to do after `run`."""
        self._bound().close()

    def _bound(self) -> Loop:
        if self._loop is None:
            raise RuntimeError("bind comes first")
        return self._loop

    def _serve(self, client: Client) -> None:
        """Answer a client as long as it asks; a worker's whole work."""
        loop = self._bound()
        try:
            self._converse(client, loop)
        except Exception:  # noqa: BLE001 (a defect of this server; the thread is needed for the next client)
            _log.exception("%s: the server failed", client)
            loop.drop(client)

    def _converse(self, client: Client, loop: Loop) -> None:
        workers = self._workers
        while (outcome := Outcome.BROKEN if loop.over else self._exchange.answer(client)) is Outcome.NEXT:
            client.rest()
            if client.reader.is_ready():  # a pipelined request
                if workers.waited_for:
                    workers.put(client)  # to the end of the queue: others have asked before
                    return
            elif not (self._comes_soon(client, loop) and loop.receive(client)):
                return
        if outcome is Outcome.CLOSE:
            loop.part(client)
        elif outcome is Outcome.LINGER:
            loop.linger(client)
        else:
            loop.drop(client)

    def _comes_soon(self, client: Client, loop: Loop) -> bool:
        """Wait a moment for the next request, if that seems worth it; if none comes, hand the client back."""
        now_s = time.monotonic()
        if now_s >= self._crowded_until_s and self._workers.spare and not loop.stopping:
            try:
                self._stays.pop()
            except IndexError:
                self._crowded_until_s = now_s + _CROWDED_S
            else:
                try:
                    wait(client.connection, WantRead.event, now_s + _STAY_S)
                except TimeoutError:
                    pass
                else:
                    return True
                finally:
                    self._stays.append(None)
        loop.watch(client)
        return False


def serve(
    application: WSGIApplication,
    *,
    host: str = "127.0.0.1",
    port: int = 8443,
    listener: socket.socket | None = None,
    ssl_context: TlsContext | None = None,
    threads: int = 16,
    connections: int = 1024,
    limits: Limits | None = None,
    grace_s: float = 10.0,
    accepting: Callable[[str, int], None] = lambda _host, _port: None,
    stopping: Callable[[], None] = lambda: None,
) -> None:
    """Serve a WSGI application over HTTP/1.1, with TLS if there is a context, until SIGTERM or SIGINT.

    host, port: where to listen; port 0 is any free one. Or `listener`, a socket that listens already; it gets closed.
    ssl_context: of the standard library (`ssl.SSLContext`), of pyOpenSSL (`OpenSSL.SSL.Context`), or None: no TLS.
    threads: how many requests the application works on at a time. Connections that wait do not take one.
    connections: how many are open at a time. Above that whoever has stalled for a second makes room, or has been idle
    longest; where there is nobody, new ones wait unaccepted.
    limits: on what one client can cost; see Limits.
    grace_s: how long a stop may take. A second signal stops at once.
    accepting: called with address and port when connections are accepted. stopping: called when a stop begins.

    The application runs in several threads at a time. It finds the request target exactly as it was sent in RAW_URI.
    Raises OSError when it cannot listen, TypeError for a context of neither kind, and what `accepting` raises.
    Signals are left alone where this is not the main thread: use Server there, and its `stop`.
    """
    server = Server(
        application,
        host=host,
        port=port,
        listener=listener,
        ssl_context=ssl_context,
        threads=threads,
        connections=connections,
        limits=limits,
        stopping=stopping,
    )
    address = server.bind()
    with contextlib.closing(server), _stopped_by_signals(server, grace_s):
        accepting(*address)
        server.run()


@contextlib.contextmanager
def _stopped_by_signals(server: Server, grace_s: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # Python allows no handlers here
        return
    grace = iter((grace_s,))

    def stop(_signal: int, _frame: object) -> None:
        server.stop(next(grace, 0.0))

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _connector(context: TlsContext | None) -> Callable[[socket.socket], Connection]:
    """Return what makes a Connection of an accepted socket."""
    if context is None:
        return PlainConnection
    if isinstance(context, ssl.SSLContext):
        return functools.partial(StdlibConnection, context=context)
    if "OpenSSL.SSL" in sys.modules:  # otherwise it cannot be one of pyOpenSSL's, which is dear to import
        from OpenSSL import SSL  # noqa: PLC0415 (only where it is used)

        from flask_impl.server._pyopenssl import PyOpenSslConnection  # noqa: PLC0415 (as above)

        if isinstance(context, SSL.Context):
            return functools.partial(PyOpenSslConnection, context=context)
    raise TypeError(f"ssl_context is neither ssl.SSLContext nor OpenSSL.SSL.Context but {type(context).__name__}")
