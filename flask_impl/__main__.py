"""`python -m flask_impl`: the device on Flask and its threaded server, over HTTPS; `--help` tells the rest."""

import contextlib
import sys
from typing import Any, Final

from certs import ServerTls, pyopenssl_server_tls, stdlib_server_tls
from device_api.command_line import Program, run
from device_api.settings import Settings
from device_api.startup import Startup, announced, listen, starting
from flask_impl import create_app, device
from flask_impl.server import serve

PROGRAM: Final = Program(
    name="python -m flask_impl",
    summary="Serve the simulated network device from Flask on a threaded server, over HTTPS, with HTTP Digest.",
    tls_backends=("stdlib", "pyopenssl"),
    threaded=True,
)
_ALPN: Final = ("http/1.1",)


def serve_device(settings: Settings) -> None:
    """Serve a device until SIGTERM or SIGINT. Raises what `command_line.run` makes one line of."""
    with contextlib.ExitStack() as stack:
        startup = stack.enter_context(starting(settings))
        tls = _tls(startup)
        app = create_app(settings)
        opened = device(app).open()
        stack.callback(device(app).close)
        serve(
            app,
            listener=stack.enter_context(listen(settings.host, settings.port)),
            ssl_context=tls,
            threads=settings.threads,
            connections=settings.connections,
            pending_connections=settings.pending_connections,
            accepting=lambda _host, port: stack.enter_context(announced(startup, port)),
            stopping=opened.drain,
        )


def _tls(startup: Startup) -> ServerTls[Any] | None:
    if not startup.certificates:
        return None
    make = pyopenssl_server_tls if startup.settings.tls_backend == "pyopenssl" else stdlib_server_tls
    return make(startup.certificates, startup.tls_policy(alpn=_ALPN))


if __name__ == "__main__":
    sys.exit(run(PROGRAM, serve_device))
