"""The application that servers of ASGI apps are asked with, and how long they are told to wait."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:  # whoever measures a server's memory measures what it imports
    from hypercorn.typing import Scope

PATIENCE_S: Final = 2.0  # the server's, wherever it can be told

running: Final[Counter[str]] = Counter()  # requests that the app waits in, by path

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


async def app(scope: "Scope", receive: Receive, send: Send) -> None:
    """Answer with the method, at /late after a while; only /read reads a body; /wait and /flow are endless."""
    if scope["type"] != "http":
        return
    path, said = scope["path"], scope["method"].encode()
    running[path] += path in {"/wait", "/flow", "/late"}
    try:
        if path == "/read":
            while (await receive()).get("more_body"):
                pass
        if path == "/late":
            await asyncio.sleep(0.5)
        while path == "/wait" and (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while path == "/flow":
            await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
        said = str(running.total()).encode() if path == "/running" else said
        await send({"type": "http.response.body", "body": said, "more_body": path == "/broken"})
    finally:
        running[path] -= path in {"/wait", "/flow", "/late"}
