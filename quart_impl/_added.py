"""A known addition to every request (device_api.added): burnt and waited before Quart sees it."""

import asyncio

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from quart import Quart

from device_api.added import Added


def add_to_requests(app: Quart, added: Added) -> None:
    """Wrap an application, so that what it takes beside is nothing of the framework's."""
    inner = app.asgi_app

    async def asgi_app(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] != "lifespan":
            added.burn()
            if added.delay_s:
                await asyncio.sleep(added.delay_s)
        await inner(scope, receive, send)

    app.asgi_app = asgi_app  # type: ignore[method-assign]  # Quart's documented way to add a middleware
