"""The device API in Flask.

`flask_impl:app` is the application that WSGI servers are given; `python -m flask_impl` serves it with the server in
`flask_impl.server`. What a request means is decided in device_api; here are routes, the Digest hook and waiting, as any
Flask application has them. It must not know quart_impl, deployments or the harness. Tests and benchmarks import it;
deployments start it as a process. Importing touches no file: the state folder is opened by the first request, or by a
server beforehand (`device(app).open()`).
"""

from flask_impl._app import create_app, device

app = create_app()

__all__ = ["app", "create_app", "device"]
