"""The server: a listener, the I/O loop, the workers and an application, put together."""

import contextlib
import logging
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final
from wsgiref.types import WSGIApplication

import certs
from flask_impl.server._client import Client
from flask_impl.server._connection import WantRead, wait
from flask_impl.server._contexts import TlsContext, transport
from flask_impl.server._environ import server_environ
from flask_impl.server._exchange import Exchange, Outcome
from flask_impl.server._limits import Limits
from flask_impl.server._loop import Loop
from flask_impl.server._room import Room
from flask_impl.server._workers import Workers

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
        pending_connections: int = 256,
        limits: Limits | None = None,
        stopping: Callable[[], None] = lambda: None,
    ) -> None:
        """Parameters are those of `serve`. Raises TypeError and ValueError for values that cannot be."""
        for name, number in (
            ("threads", threads),
            ("connections", connections),
            ("pending_connections", pending_connections),
        ):
            if number < 1:
                raise ValueError(f"{name} is {number}; nobody could be served with less than 1")
        self._host, self._port = host, port
        self._listener = listener
        self._transport = transport(ssl_context)
        self._room = Room(connections, pending_connections)
        self._limits = limits or Limits()
        self._stopping = stopping
        self._workers = Workers(self._serve, threads)
        self._exchange = Exchange(application, self._limits, lambda: self._bound().stopping)
        self._loop: Loop | None = None
        self._stays: deque[None] = deque([None] * _STAYING)  # one entry a thread that may still stay
        self._crowded_until_s = 0.0

    def bind(self) -> tuple[str, int]:
        """Listen, unless a listener was given, and return address and port. Clients that come now wait for `run`.

        Raises OSError, or ValueError for what is no listener; it is closed then.
        """
        listener = self._listener or _listen(self._host, self._port)
        try:
            return self._bind(listener)
        except BaseException:
            listener.close()
            raise

    def _bind(self, listener: socket.socket) -> tuple[str, int]:
        if listener.family not in (socket.AF_INET, socket.AF_INET6) or not listener.getsockopt(
            socket.SOL_SOCKET, socket.SO_ACCEPTCONN
        ):
            raise ValueError("the listener is not a TCP socket that listens; call bind and listen on it first")
        # Accepted sockets inherit it. Without it the first answer of a TLS connection waits 40 ms for an ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        host, port = listener.getsockname()[:2]
        self._exchange.environ = server_environ((host, port), tls=self._transport.secure)
        self._loop = Loop(
            listener,
            self._transport.connect,
            self._workers.put,
            limits=self._limits,
            room=self._room,
            stopping=self._stopping,
        )
        return host, port

    def run(self) -> None:
        """Serve until `stop`; returns when every request that had arrived is answered, or when its grace is over."""
        loop = self._bound()
        try:
            self._workers.start()
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

    @property
    def renewable(self) -> bool:
        """Whether the certificates were given as something that can be read again: as files, or as a ServerTls."""
        return self._transport.renewable is not None

    def reload(self) -> None:
        """Ask to read the certificates again, and do not wait for that. Signal handlers may call this.

        What is wrong with them is a line in the log, and the certificates from before go on being served. No connection
        is touched. Raises ValueError where they are not `renewable`.
        """
        if not self.renewable:
            raise ValueError(
                "these certificates cannot be read again; give files, or a certs.ServerTls, as ssl_context"
            )
        self.hang_up()

    def hang_up(self) -> None:
        """Do what SIGHUP asks for: `reload`, or, where there is nothing to read again, go on."""
        # Not here: a signal may have come in the middle of a handshake that holds the lock on the certificates.
        self._bound().call_soon(self._reload)

    def _reload(self) -> None:
        tls = self._transport.renewable
        if tls is None:
            _log.info("SIGHUP: there are no certificate files to read again")
            return
        try:
            tls.reload()
        except certs.CertificateError as error:
            _log.error("%s (until then the certificate from before is served)", error)

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
    pending_connections: int = 256,
    limits: Limits | None = None,
    grace_s: float = 10.0,
    accepting: Callable[[str, int], None] = lambda _host, _port: None,
    stopping: Callable[[], None] = lambda: None,
) -> None:
    """Serve a WSGI application over HTTP/1.1, with TLS if there is a context, until SIGTERM or SIGINT.

    host, port: where to listen; port 0 is any free one. Or `listener`, a socket that listens already; it gets closed.
    ssl_context: None for plain HTTP, or
        an `ssl.SSLContext` or an `OpenSSL.SSL.Context`, which is used as it is;
        a pair of paths (certificate, key), PEM: TLS 1.2 and 1.3 with this project's policy, and a renewed certificate
        is served as soon as the files have changed, or at SIGHUP, without dropping anything;
        "adhoc": the same, with a certificate made on the spot that no client trusts. For development;
        a `certs.ServerTls`, for several certificates, client certificates or pyOpenSSL; SIGHUP reloads it.
    threads: how many requests the application works on at a time. Connections that wait do not take one.
    connections: how many are open at a time. pending_connections: how many of them may not have sent a request yet.
    Above that whoever has stalled longest makes room for a new one, or has been idle longest; see _room.
    limits: on what one client can cost; see Limits.
    grace_s: how long a stop may take. A second signal stops at once.
    accepting: called with address and port when connections are accepted. stopping: called when a stop begins.

    The application runs in several threads at a time. It finds the request target exactly as it was sent in RAW_URI,
    and what TLS agreed on under the names of Apache's mod_ssl: SSL_PROTOCOL, SSL_CIPHER, SSL_CLIENT_VERIFY ("NONE"
    without a client certificate, or "SUCCESS"), SSL_CLIENT_S_DN (its subject, RFC 4514), SSL_CLIENT_CERT (PEM).
    Raises OSError when it cannot listen, TypeError or ValueError in one line for an ssl_context (or another parameter)
    that cannot be, and what `accepting` raises.
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
        pending_connections=pending_connections,
        limits=limits,
        stopping=stopping,
    )
    address = server.bind()
    with contextlib.closing(server), _obeying_signals(server, grace_s):
        accepting(*address)
        server.run()


@contextlib.contextmanager
def _obeying_signals(server: Server, grace_s: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # Python allows no handlers here
        return
    grace = iter((grace_s,))

    def stop(_signal: int, _frame: object) -> None:
        server.stop(next(grace, 0.0))

    handlers: dict[signal.Signals, Callable[[int, object], None]] = {
        signal.SIGTERM: stop,
        signal.SIGINT: stop,
        signal.SIGHUP: lambda _signal, _frame: server.hang_up(),  # a service manager's reload must never be an end
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
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
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {host} port {port}: {error.strerror}") from error
    return listener
