"""The device API in Quart.

`quart_impl:app` is the application that ASGI servers are given; `python -m quart_impl` serves it with the server in
`quart_impl.server`. What a request means is decided in device_api; here are routes, the Digest hook and waiting, as any
Quart application has them. It must not know flask_impl, deployments or the harness. Tests and benchmarks import it;
deployments start it as a process. Importing touches no file: the state folder is opened when the server starts the
application (ASGI lifespan), or beforehand (`device(app).open()`).
"""

from quart_impl._app import create_app, device

app = create_app()

__all__ = ["app", "create_app", "device"]
