"""The application, put together: routes, the Digest hook, errors, and the lifespan."""

import asyncio
from typing import Final, cast

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from quart import Quart, Request, Response
from quart.globals import request_ctx
from quart.typing import ResponseTypes
from quart.wrappers import BaseRequestWebsocket
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import BaseConverter, MapAdapter

from device_api.added import Added
from device_api.bodies import MAX_BODY_BYTES
from device_api.device import LazyDevice
from device_api.errors import DeviceError, body_for_status
from device_api.settings import Settings
from device_api.targets import key_value
from quart_impl._added import add_to_requests
from quart_impl._answers import answer
from quart_impl._auth import add_authentication
from quart_impl._request import DeviceRequest, readable_scope
from quart_impl._routes import add_routes

_EXTENSION: Final = "device"


class KeyConverter(BaseConverter):
    """A list's key in a path: one segment, in which an encoded slash belongs to the key."""

    def to_python(self, value: str) -> str:
        """Decode what routing left encoded."""
        return key_value(value)


class DeviceQuart(Quart):
    """Quart, matching routes with the path of the target as it was sent."""

    request_class = DeviceRequest

    async def asgi_app(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve one request, or the lifespan."""
        await super().asgi_app(readable_scope(scope), receive, send)

    async def handle_request(self, request: Request) -> ResponseTypes:
        """Answer, and not before a small body has come, which no route may have asked for."""
        response = await super().handle_request(request)
        await cast("DeviceRequest", request).let_the_body_come()
        return response

    def create_url_adapter(self, request: BaseRequestWebsocket | None) -> MapAdapter | None:
        """Bind the map to `request.path`, the path as it was sent. The Host header decides nothing here.

        Quart's own raises, outside of any error handler, when a query is not UTF-8 or a Host is malformed.
        """
        if request is None:
            return super().create_url_adapter(None)
        return self.url_map.bind("", path_info=request.path, default_method=request.method, url_scheme=request.scheme)

    async def make_default_options_response(self) -> Response:
        """Answer OPTIONS with the methods in a fixed order, and no media type where there is no body."""
        response = answer(b"")
        del response.headers["Content-Type"]
        if request_ctx.url_adapter is not None:
            response.headers["Allow"] = ", ".join(sorted(request_ctx.url_adapter.allowed_methods()))
        return response

    async def startup(self) -> None:
        """Open the device first: what is wrong is then the lifespan's one line, without Quart's traceback."""
        await asyncio.to_thread(device(self).open)
        await super().startup()

    async def shutdown(self) -> None:
        """Let go of the device last, when nothing asks it any more."""
        try:
            await super().shutdown()
        finally:
            device(self).close()


def create_app(settings: Settings | None = None) -> Quart:
    """Make the application. settings: None reads `DEVICE_*` variables when the device is opened, not before."""
    app = DeviceQuart("quart_impl", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.url_map.converters["key"] = KeyConverter
    app.url_map.merge_slashes = False  # or `//` would be answered with a redirect, which no Digest client can follow
    lazy = app.extensions[_EXTENSION] = LazyDevice(settings)
    add_authentication(app, lazy)
    add_routes(app, lazy)
    app.register_error_handler(DeviceError, _answer_device_error)
    app.register_error_handler(HTTPException, _answer_http_error)
    added = Added.of(settings)
    if added is not None:
        add_to_requests(app, added)
    return app


def device(app: Quart) -> LazyDevice:
    """Return the device of an application that `create_app` made."""
    return cast("LazyDevice", app.extensions[_EXTENSION])


async def _answer_device_error(error: DeviceError) -> Response:
    response = answer(error.body(), error.status)
    response.headers.update(error.headers)
    return response


async def _answer_http_error(error: HTTPException) -> Response:
    """Answer what Quart refuses by itself. It has logged the traceback of what a route raised by then."""
    status = error.code or 500
    response = answer(body_for_status(status), status)
    if isinstance(error, MethodNotAllowed) and error.valid_methods is not None:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response
