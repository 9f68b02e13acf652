"""The server that this project has around Hypercorn's HTTP: `python -m benchmarks.findings.serve_own PORT KEY`."""

import socket
import ssl
import sys

from benchmarks.findings.asgi_app import PATIENCE_S, app
from quart_impl.server import ALPN, Limits, serve


def main(port: int, key: str) -> None:
    """Serve. key: a file that holds the certificate too."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(key)
    context.set_alpn_protocols(ALPN)
    limits = Limits(
        handshake_s=PATIENCE_S, head_s=PATIENCE_S, idle_s=PATIENCE_S, body_idle_s=PATIENCE_S, send_idle_s=PATIENCE_S
    )
    serve(app, socket.create_server(("127.0.0.1", port)), tls=context, limits=limits)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
