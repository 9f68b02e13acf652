"""Werkzeug's threaded server, as it comes or changed: `python -m benchmarks.findings.serve_werkzeug PORT KEY WHICH`."""

import logging
import socket
import ssl
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final

from werkzeug.serving import ThreadedWSGIServer


def app(_environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]) -> Iterable[bytes]:
    """Answer at once."""
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


class LongQueue(ThreadedWSGIServer):
    """One change: the queue."""

    request_queue_size = 1024  # the kernel takes no more than net.core.somaxconn, usually 4096


class HandshakesInThreads(ThreadedWSGIServer):
    """One change: a connection's thread shakes hands, when it first reads."""

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection, and no more."""
        connection, address = socket.socket.accept(self.socket)
        if self.ssl_context is not None:
            connection = self.ssl_context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address


SERVERS: Final = {"comes": ThreadedWSGIServer, "threads": HandshakesInThreads, "queue": LongQueue}


def main(port: int, key: str, which: str) -> None:
    """Serve as `app.run(ssl_context=…)` of Flask does. key: a file that holds the certificate too."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(key)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    SERVERS[which]("127.0.0.1", port, app, ssl_context=context).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
