"""A known addition to every request (device_api.added): burnt and waited before Flask sees it."""

import time
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Flask

from device_api.added import Added


def add_to_requests(app: Flask, added: Added) -> None:
    """Wrap an application, so that what it takes beside is nothing of the framework's."""
    inner = app.wsgi_app

    def wsgi_app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        added.burn()
        if added.delay_s:
            time.sleep(added.delay_s)
        return inner(environ, start_response)

    app.wsgi_app = wsgi_app  # type: ignore[method-assign]  # Flask's documented way to add a middleware
