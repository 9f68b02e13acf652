"""The parts put together: loop, signals, lifespan, clock, and the order in which a server starts and stops."""

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Literal

from hypercorn.asyncio.lifespan import Lifespan
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.typing import ASGIFramework
from hypercorn.utils import LifespanFailureError, LifespanTimeoutError, wrap_app

from certs import CertificateError, ServerTls
from device_api.startup import StartupError
from quart_impl.server._accepting import Acceptor
from quart_impl.server._bounds import Bounds
from quart_impl.server._connection import Address, Connection, Service
from quart_impl.server._limits import Limits
from quart_impl.server._stopping import Stop
from quart_impl.server._tls import TlsPort

_log = logging.getLogger("quart_impl.server")

_TICK_S: Final = 0.1  # between two looks at all clients; a thousand take 0.2 ms
_LAST_WORDS_S: Final = 1.0  # for cancelled requests to end

LoopKind = Literal["asyncio", "uvloop"]


def serve(
    app: ASGIFramework,
    listener: socket.socket,
    *,
    tls: ServerTls[ssl.SSLContext] | ssl.SSLContext | None,
    connections: int = 1024,
    pending_connections: int = 256,
    loop: LoopKind = "asyncio",
    limits: Limits | None = None,
    accepting: Callable[[], None] = lambda: None,
    stopping: Callable[[], None] = lambda: None,
) -> None:
    """Serve an ASGI app until SIGTERM or SIGINT; return when running requests are answered, or `limits` are reached.

    listener: a socket that listens; it gets closed.
    tls: whose context is served, with `ALPN`; with a `ServerTls` SIGHUP reloads its files, which may not succeed: that
    is an error in the log, and the server goes on as before. None: HTTP in the clear.
    connections: how many are open at a time. Above that whoever has stalled for a second makes room, or has been idle
    longest; where there is nobody, new ones wait unaccepted.
    pending_connections: how many of them may not have sent a request yet. Above that the longest stalled goes.
    limits: on what one client can cost, and on the stop; see Limits.
    accepting: called once connections are accepted. stopping: called when the stop begins.

    Raises StartupError, and whatever `accepting` raises.
    """
    limits = limits or Limits()
    with asyncio.Runner(loop_factory=_loop_factory(loop)) as runner:
        runner.get_loop().set_exception_handler(_report)
        runner.run(
            _serve(
                app,
                listener,
                tls,
                Bounds(connections=connections, pending=pending_connections),
                limits,
                accepting=accepting,
                stopping=stopping,
            )
        )


class _Config(Config):
    """Hypercorn's configuration, as far as its protocols read it."""

    loglevel = "WARNING"
    keep_alive_max_requests = 2**63  # a limit costs HTTP/1.1 clients handshakes and HTTP/2 clients answers
    shutdown_timeout = 5


async def _serve(
    app: ASGIFramework,
    listener: socket.socket,
    tls: ServerTls[ssl.SSLContext] | ssl.SSLContext | None,
    bounds: Bounds,
    limits: Limits,
    *,
    accepting: Callable[[], None],
    stopping: Callable[[], None],
) -> None:
    loop = asyncio.get_running_loop()
    stop = Stop(limits)
    loop.add_signal_handler(signal.SIGTERM, stop.ask)  # a server may be told to stop while it starts
    loop.add_signal_handler(signal.SIGINT, stop.interrupt)
    loop.add_signal_handler(signal.SIGHUP, _reload, tls)
    config = _Config()
    service = Service(
        app=app,
        config=config,
        context=WorkerContext(None),
        limits=limits,
        watcher=bounds,
        tls=None if tls is None else TlsPort(tls.context if isinstance(tls, ServerTls) else tls),
    )

    def welcome(accepted: socket.socket, peer: Address) -> Connection:
        return Connection(service, accepted, peer)

    with contextlib.closing(listener):
        async with _lifespan(app, config, service.state):
            acceptor = Acceptor(listener, bounds, welcome)
            acceptor.open()
            clock = loop.create_task(_watch(bounds, acceptor))
            try:
                accepting()
                await stop.asked()
                stopping()
                acceptor.close()
                service.stopping = True
                await stop.see_off(bounds)
            finally:
                clock.cancel()
                acceptor.close()
                for connection in bounds.connections.copy():
                    connection.drop()
                await _end(service.tasks)


async def _watch(bounds: Bounds, acceptor: Acceptor) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(_TICK_S)
        now_s = loop.time()
        for connection in bounds.connections.copy():
            connection.look(now_s)
        acceptor.go_on()


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    if tasks:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=_LAST_WORDS_S)


@contextlib.asynccontextmanager
async def _lifespan(app: ASGIFramework, config: Config, state: dict[str, Any]) -> AsyncIterator[None]:
    """Let the app start, and end. Raises StartupError; that it ends badly is an error in the log."""
    lifespan = Lifespan(wrap_app(app, 0, "asgi"), config, asyncio.get_running_loop(), state)
    task = asyncio.create_task(lifespan.handle_lifespan())
    try:
        await lifespan.wait_for_startup()
        if task.done():
            task.result()
    except (LifespanFailureError, LifespanTimeoutError) as error:
        task.cancel()
        raise StartupError(str(error)) from error
    try:
        yield
    finally:
        try:
            await lifespan.wait_for_shutdown()
            task.cancel()
            await task
        except asyncio.CancelledError:
            pass
        except (LifespanFailureError, LifespanTimeoutError) as error:
            task.cancel()
            _log.error("%s", error)


def _reload(tls: ServerTls[ssl.SSLContext] | ssl.SSLContext | None) -> None:
    if not isinstance(tls, ServerTls):
        _log.info("SIGHUP: there are no certificate files to read again")  # but a service manager's reload is no end
        return
    try:
        tls.reload()
    except CertificateError as error:
        _log.error("%s (until then the certificate from before is served)", error)


def _loop_factory(kind: LoopKind) -> Callable[[], asyncio.AbstractEventLoop]:
    if kind == "asyncio":
        return asyncio.SelectorEventLoop
    import uvloop  # noqa: PLC0415 (not loaded for those who run the other loop)

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report what went wrong in the loop, but not that a client broke off."""
    if not isinstance(context.get("exception"), ConnectionError):
        loop.default_exception_handler(context)
