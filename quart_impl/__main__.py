"""`python -m quart_impl`: the device on Quart and Hypercorn, over HTTPS; `--help` tells the rest."""

import contextlib
import sys
from typing import Final

from certs import stdlib_server_tls
from device_api.command_line import Program, run
from device_api.settings import Settings
from device_api.startup import announced, listen, starting
from quart_impl import create_app, device
from quart_impl.server import ALPN, serve

PROGRAM: Final = Program(
    name="python -m quart_impl",
    summary="Serve the simulated network device from Quart on Hypercorn, over HTTPS, with HTTP Digest.",
)


def serve_device(settings: Settings) -> None:
    """Serve a device until SIGTERM or SIGINT. Raises what `command_line.run` makes one line of."""
    with contextlib.ExitStack() as stack:
        startup = stack.enter_context(starting(settings))
        tls = None
        if startup.certificates:
            tls = stdlib_server_tls(startup.certificates, startup.tls_policy(alpn=ALPN))
        app = create_app(settings)
        opened = device(app).open()
        stack.callback(device(app).close)
        listener = stack.enter_context(listen(settings.host, settings.port))
        port = listener.getsockname()[1]
        serve(
            app,
            listener,
            tls=tls,
            connections=settings.connections,
            pending_connections=settings.pending_connections,
            accepting=lambda: stack.enter_context(announced(startup, port)),
            stopping=opened.drain,
        )


if __name__ == "__main__":
    sys.exit(run(PROGRAM, serve_device))
