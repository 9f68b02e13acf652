"""A TLS server that does next to nothing: a challenge for who shows no credentials, and one fixed answer for who does.

What a generator takes for a request is measured against it where nginx is not installed. One loop, no framework, no
parsing beyond what the answer depends on; it checks no Digest. Not for anything but that: it trusts its client.

    python -m harness.calibration.responder CHAIN KEY      prints its port, serves until it is ended

Imports the standard library only.
"""

from __future__ import annotations

import json
import select
import socket
import ssl
import sys
from collections.abc import Sequence
from typing import Final

ANSWER: Final = json.dumps({"ietf-system:system-state": {"clock": {"boot-datetime": "2026-11-24T07:00:00Z"}}})
CHALLENGE: Final = f'Digest realm="network-device", qop="auth", algorithm=SHA-256, nonce="{"0" * 48}"'

_HEADERS_END: Final = b"\r\n\r\n"
_LONGEST: Final = 65_536


def answer(status: str, *headers: str, body: str = ANSWER) -> bytes:
    """Return a whole answer."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/yang-data+json", f"Content-Length: {len(body)}", *headers]
    return ("\r\n".join(lines) + f"\r\n\r\n{body}").encode("ascii")


_OK: Final = answer("200 OK")
_CHALLENGED: Final = answer("401 Unauthorized", f"WWW-Authenticate: {CHALLENGE}")


class _Connection:
    """One client; requests come one after the other, each whole before its answer."""

    def __init__(self, connected: ssl.SSLSocket) -> None:
        self.socket = connected
        self._received = b""

    def go_on(self) -> bool:
        """Take what has come and answer it; say whether the connection stays."""
        try:
            while True:
                data = self.socket.recv(_LONGEST)  # shakes hands first, as far as it gets
                if not data:
                    return False
                self._received += data
                if self._received.endswith(_HEADERS_END):
                    asked, self._received = self._received, b""
                    self.socket.send(_OK if b"uthorization: Digest" in asked else _CHALLENGED)
        except ssl.SSLWantReadError:
            return len(self._received) <= _LONGEST
        except OSError:  # it hung up, with or without saying so
            return False


def serve(listening: socket.socket, context: ssl.SSLContext) -> None:
    """Serve for ever."""
    connections: dict[int, _Connection] = {}
    poll = select.epoll()
    poll.register(listening, select.EPOLLIN)
    while True:
        for number, _ in poll.poll():
            if number == listening.fileno():
                plain, _ = listening.accept()
                plain.setblocking(False)
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connected = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
                connections[connected.fileno()] = _Connection(connected)
                poll.register(connected, select.EPOLLIN)
            elif not connections[number].go_on():
                poll.unregister(number)
                connections.pop(number).socket.close()


def main(arguments: Sequence[str]) -> None:
    """Serve with the certificate chain and the key that are named."""
    chain, key = arguments
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(chain, key)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        print(listening.getsockname()[1], flush=True)  # noqa: T201 - who started it reads it
        serve(listening, context)


if __name__ == "__main__":
    main(sys.argv[1:])
