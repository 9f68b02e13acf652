"""Serve an ASGI app with Hypercorn: our TLS context, limits on slow and silent clients, a stop that cuts nobody off.

Hypercorn's own command line stays the way that its users know (`hypercorn quart_impl:app`); this is the server behind
`python -m quart_impl`. It knows no device: whoever calls it brings app, socket and context.
"""

import asyncio
import functools
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config, Sockets
from hypercorn.typing import ASGIFramework
from hypercorn.utils import LifespanFailureError

from device_api.startup import StartupError
from quart_impl._stopping import GracefulStop, LoopKind

ALPN = ("h2", "http/1.1")
"""What Hypercorn can speak over TLS, for the context's ALPN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long anybody may keep the server waiting, in seconds."""

    handshake_s: float = 10.0
    idle_s: float = 15.0  # without a request, from the handshake on or since the last answer; also for its header
    linger_s: float = 1.0  # when stopping: for a request that is already on its way on a kept connection
    requests_s: float = 8.0  # when stopping: for running requests, the linger included
    close_s: float = 1.0  # when stopping: for clients to close, after that


def serve(
    app: ASGIFramework,
    listener: socket.socket,
    *,
    ssl_context: ssl.SSLContext | None,
    loop: LoopKind = "asyncio",
    limits: Limits | None = None,
    accepting: Callable[[], None] = lambda: None,
    stopping: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGTERM or SIGINT, then return when running requests are answered (or `limits` are reached).

    `accepting` is called once connections are accepted, `stopping` when the stop begins. Raises StartupError, and
    whatever `accepting` raises.
    """
    limits = limits or Limits()
    stop = GracefulStop(linger_s=limits.linger_s, requests_s=limits.requests_s, close_s=limits.close_s)
    config = _Config(listener, ssl_context, limits)
    with asyncio.Runner(loop_factory=stop.loop_factory(loop, accepting=accepting)) as runner:
        runner.get_loop().set_exception_handler(_report)
        stop.listen_to_signals(runner.get_loop())
        try:
            trigger = functools.partial(stop.trigger, stopping)
            runner.run(hypercorn_serve(stop.wrap(app), config, shutdown_trigger=trigger, mode="asgi"))
        except LifespanFailureError as error:
            raise StartupError(str(error)) from error


class _Config(Config):
    """Hypercorn's configuration with a socket and a TLS context that somebody else made."""

    loglevel = "WARNING"  # where it listens is said by whoever called us
    read_timeout = None  # Hypercorn's would end a long answer as well
    keep_alive_max_requests = 2**63  # a limit costs HTTP/1.1 clients handshakes and HTTP/2 clients answers
    shutdown_timeout = 5

    def __init__(self, listener: socket.socket, context: ssl.SSLContext | None, limits: Limits) -> None:
        self._listener = listener
        self._context = context
        self.ssl_handshake_timeout = limits.handshake_s
        self.keep_alive_timeout = limits.idle_s
        # Longer than clients have for closing, so that it never cuts off what they still may finish.
        self.graceful_timeout = limits.close_s + 1
        self.backlog = 1024

    @property
    def ssl_enabled(self) -> bool:
        return self._context is not None

    def create_ssl_context(self) -> ssl.SSLContext | None:
        return self._context

    def create_sockets(self) -> Sockets:
        self._listener.setblocking(False)
        secure, insecure = ([self._listener], []) if self.ssl_enabled else ([], [self._listener])
        return Sockets(secure, insecure, [])


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Report what went wrong in the loop, but not what a client can bring about: breaking off, a failed handshake.

    Nor that a connection's task was cancelled at the end of a stop, on which asyncio's streams stumble up to 3.11.
    """
    if not isinstance(context.get("exception"), (ConnectionError, ssl.SSLError, asyncio.CancelledError)):
        loop.default_exception_handler(context)
