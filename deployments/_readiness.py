"""When a server is ready: its application answers, over TLS that a client would trust.

The same for all servers. That the port accepts connections says little: gunicorn listens long before a worker
can answer, and with a broken key every handshake fails. Where clients have to show a certificate, or need a
key-exchange group that this Python's OpenSSL is too old for, the answer that we wait for is the refusal of us: it too
comes from the process that serves, ready to do so.
"""

import contextlib
import http.client
import socket
import ssl
import time
from functools import partial
from typing import Final

from deployments._together import Together

_TRY_S: Final = 3.0  # for one question; a server that is just loading its application takes about a second
_PAUSE_S: Final = 0.02
_PATH: Final = "/health"
# What OpenSSL calls the alerts for a client without a certificate, in TLS 1.3 (RFC 8446 6.2) and 1.2 (RFC 5246 7.4.6);
# the second also for one without a common group (RFC 8446 4.1.1).
_REFUSALS: Final = frozenset({"TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_HANDSHAKE_FAILURE"})


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
    refuses: bool = False,
    timeout_s: float,
) -> None:
    """Ask until the application answers 200. context None: plain HTTP. Raises NotReadyError.

    refuses: it will not take us for a client, but answers others.
    """
    ask = partial(_knock, context=context) if refuses and context is not None else partial(_ask, context=context)
    deadline_s = time.monotonic() + timeout_s
    last = "not tried"
    while (left_s := deadline_s - time.monotonic()) > 0:
        status = process.wait(min(_PAUSE_S, left_s))
        if status is not None:
            raise NotReadyError(status, last)
        last = ask(host, port, timeout_s=min(_TRY_S, left_s))
        # Another server may have taken the port, with a certificate of the same CA.
        if last == "" and process.listens_on(port):
            return
    raise NotReadyError(process.poll(), last or "another process answered on this port")


def _ask(host: str, port: int, *, context: ssl.SSLContext | None, timeout_s: float) -> str:
    """Return what was wrong with the answer; empty: nothing."""
    try:
        with contextlib.closing(http.client.HTTPConnection(host, port, timeout=timeout_s)) as connection:
            connection.sock = socket.create_connection((host, port), timeout=timeout_s)
            if context is not None:
                # The certificate names localhost, whatever address of this machine is served.
                connection.sock = context.wrap_socket(connection.sock, server_hostname="localhost")
            connection.request("GET", _PATH, headers={"Connection": "close"})
            answer = connection.getresponse()
            answer.read()
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"
    return "" if answer.status == 200 else f"GET {_PATH} answered {answer.status}"


def _knock(host: str, port: int, *, context: ssl.SSLContext, timeout_s: float) -> str:
    """Return what was wrong with the refusal of us; empty: nothing.

    asyncio's servers hang up without an alert. A reset is no refusal: a listener that is closed gives one too.
    """
    try:
        with (
            socket.create_connection((host, port), timeout=timeout_s) as connection,
            context.wrap_socket(connection, server_hostname="localhost") as encrypted,
        ):
            let_in = encrypted.recv(1) != b""  # in TLS 1.3 the refusal comes after our side of the handshake
    except ssl.SSLError as error:
        refused = isinstance(error, ssl.SSLEOFError) or error.reason in _REFUSALS
        return "" if refused else f"{type(error).__name__}: {error}"
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    return "it let in a client that it should refuse" if let_in else ""
