"""The request, with its target as it was sent, and the path that follows from it.

ASGI hands over the target in two parts, `raw_path` and `query_string`; the one thing lost is a `?` with nothing behind
it, which the Digest check bears. A server may leave `raw_path` out: Digest cannot be checked there.
"""

import asyncio
import contextlib
from typing import Any, Final, cast

import quart
from hypercorn.typing import Scope, WWWScope
from werkzeug.exceptions import RequestEntityTooLarge

from device_api.bodies import UNREAD_WAIT_S, comes_before_the_answer
from device_api.targets import routing_path


def request_target(scope: WWWScope) -> str | None:
    """Return the request target as it was sent, each character an octet; None where the server does not tell."""
    raw_path: bytes | None = scope.get("raw_path")
    if raw_path is None:
        return None
    query = scope["query_string"]
    return (raw_path + b"?" + query if query else raw_path).decode("latin-1")


def readable_scope(scope: Scope) -> Scope:
    """Return the scope of a request with a path that Quart can read.

    Quart reads a path that does not begin with a slash (absolute-form) by `urlparse`, outside of any error handler:
    with `https://[` as target, or with `?` where the server lets that in, anybody could have a 500. The path that
    counts is DeviceRequest's, which comes from `raw_path`.
    """
    if scope["type"] == "lifespan" or scope["path"].startswith("/"):
        return scope
    return cast("Scope", {**scope, "path": "/"})


class DeviceRequest(quart.Request):
    """A request whose `path` keeps an encoded slash apart from a real one (device_api.targets)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 (handed on as they come)
        super().__init__(*args, **kwargs)
        self.target = request_target(self.scope)
        if self.target is not None:
            self.path = routing_path(self.target)

    async def read_body(self) -> bytes:
        """Return the whole body. Raises RequestEntityTooLarge."""
        return await self.get_data(cache=True, as_text=False, parse_form_data=False)

    async def let_the_body_come(self) -> None:
        """Wait for a small body that nobody has read, a moment at most (device_api.bodies)."""
        # Not `in self.headers`, which raises and catches where there is none, and is several times as dear.
        chunked = any(name == b"transfer-encoding" for name, _ in self.scope["headers"])
        if comes_before_the_answer(self.content_length, chunked=chunked):
            with contextlib.suppress(TimeoutError, RequestEntityTooLarge):  # slow, or not so small
                async with asyncio.timeout(UNREAD_WAIT_S):
                    await self.body


# quart.request, known to be one of ours.
request: Final = cast("DeviceRequest", quart.request)
