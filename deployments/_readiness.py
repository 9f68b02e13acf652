"""When a server is ready: its application answers, over TLS that a client would trust.

The same for all servers. That the port accepts connections says little: gunicorn listens long before a worker
can answer, and with a broken key every handshake fails. Where clients have to show a certificate, or need a
key-exchange group that this Python's OpenSSL is too old for, the answer that we wait for is the refusal of us: it too
comes from the process that serves, ready to do so. An application behind a proxy is asked by itself first.
"""

import contextlib
import http.client
import socket
import ssl
import struct
import time
from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import Final

from deployments._together import Together
from deployments._types import Upstream

_TRY_S: Final = 3.0  # for one question; a server that is just loading its application takes about a second
_PAUSE_S: Final = 0.02
_PATH: Final = "/health"
# What OpenSSL calls the alerts for a client without a certificate, in TLS 1.3 (RFC 8446 6.2) and 1.2 (RFC 5246 7.4.6);
# the second also for one without a common group (RFC 8446 4.1.1); and what Go 1.19 sends in their place.
_REFUSALS: Final = frozenset(
    {"TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_HANDSHAKE_FAILURE", "SSLV3_ALERT_BAD_CERTIFICATE"}
)


class Refusal(Enum):
    """How a server refuses clients like us."""

    BY_ALERT = auto()  # or it hangs up: in the handshake
    BY_ANSWER = auto()  # 400, to each request


class NotReadyError(Exception):
    """It ended, or never answered. status: how it ended, None if it runs still. last: the last try's fate."""

    def __init__(self, status: int | None, last: str) -> None:
        super().__init__(last)
        self.status = status
        self.last = last


def wait_until_ready(
    process: Together,
    host: str,
    port: int,
    context: ssl.SSLContext | None,
    *,
    refusal: Refusal | None = None,
    timeout_s: float,
) -> None:
    """Ask until the application answers 200. context None: plain HTTP. Raises NotReadyError.

    refusal: it will not take us for a client, but answers others.
    """
    connect = partial(socket.create_connection, (host, port))
    if refusal is Refusal.BY_ALERT and context is not None:
        ask = partial(_knock, connect, context=context)
    else:
        ask = partial(_ask, connect, context=context, expected=200 if refusal is None else 400)
    # Another server may have taken the port, with a certificate of the same CA.
    _wait(process, ask, ours=lambda: process.listens_on(port), timeout_s=timeout_s)


def wait_until_app_answers(process: Together, upstream: Upstream, *, over_uwsgi: bool, timeout_s: float) -> None:
    """Ask an application where its proxy will, until it answers 200. Raises NotReadyError."""
    ask = _ask_by_uwsgi if over_uwsgi else _ask
    _wait(process, partial(ask, partial(_connect, upstream)), ours=lambda: True, timeout_s=timeout_s)


def _wait(process: Together, ask: Callable[..., str], *, ours: Callable[[], bool], timeout_s: float) -> None:
    """ours: whether it was one of `process` that answered."""
    deadline_s = time.monotonic() + timeout_s
    last = "not tried"
    while (left_s := deadline_s - time.monotonic()) > 0:
        status = process.wait(min(_PAUSE_S, left_s))
        if status is not None:
            raise NotReadyError(status, last)
        last = ask(timeout_s=min(_TRY_S, left_s))
        if last == "" and ours():
            return
    raise NotReadyError(process.poll(), last or "another process answered on this port")


def _connect(upstream: Upstream, *, timeout: float) -> socket.socket:
    if upstream.socket is None:
        return socket.create_connection((upstream.host, upstream.port), timeout=timeout)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(timeout)
        connection.connect(str(upstream.socket))
    except BaseException:
        connection.close()
        raise
    return connection


def _ask(
    connect: Callable[..., socket.socket],
    *,
    context: ssl.SSLContext | None = None,
    expected: int = 200,
    timeout_s: float,
) -> str:
    """Return what was wrong with the answer; empty: nothing."""
    try:
        with contextlib.closing(http.client.HTTPConnection("localhost", timeout=timeout_s)) as connection:
            connection.sock = connect(timeout=timeout_s)
            if context is not None:
                # The certificate names localhost, whatever address of this machine is served.
                connection.sock = context.wrap_socket(connection.sock, server_hostname="localhost")
            connection.request("GET", _PATH, headers={"Connection": "close"})
            answer = connection.getresponse()
            answer.read()
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"
    return "" if answer.status == expected else f"GET {_PATH} answered {answer.status}"


def _ask_by_uwsgi(connect: Callable[..., socket.socket], *, timeout_s: float) -> str:
    """As `_ask`, in uwsgi: a header of four octets, then names and values, each after its length."""
    variables = {
        "REQUEST_METHOD": "GET",
        "REQUEST_URI": _PATH,
        "PATH_INFO": _PATH,
        "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "0",
    }
    packed = b"".join(struct.pack("<H", len(word)) + word.encode() for pair in variables.items() for word in pair)
    try:
        with connect(timeout=timeout_s) as connection:
            connection.sendall(struct.pack("<BHB", 0, len(packed), 0) + packed)
            status_line = connection.makefile("rb").readline()
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    return "" if b" 200 " in status_line else f"GET {_PATH} answered {status_line!r}"


def _knock(connect: Callable[..., socket.socket], *, context: ssl.SSLContext, timeout_s: float) -> str:
    """Return what was wrong with the refusal of us; empty: nothing.

    asyncio's servers hang up without an alert. A reset is no refusal: a listener that is closed gives one too.
    """
    try:
        with (
            connect(timeout=timeout_s) as connection,
            context.wrap_socket(connection, server_hostname="localhost") as encrypted,
        ):
            let_in = encrypted.recv(1) != b""  # in TLS 1.3 the refusal comes after our side of the handshake
    except ssl.SSLError as error:
        refused = isinstance(error, ssl.SSLEOFError) or error.reason in _REFUSALS
        return "" if refused else f"{type(error).__name__}: {error}"
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    return "it let in a client that it should refuse" if let_in else ""
