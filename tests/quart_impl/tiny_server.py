"""A process with quart_impl.server and an app of a few lines: `/?0.5` takes half a second to answer.

    python tests/quart_impl/tiny_server.py '{"chain": …, "key": …, "loop": "asyncio", "limits": {"linger_s": 0.3}}'

Says its port once connections are accepted, and "stopping" when its stop begins. More in the options: "client_ca", a
file; "connections" and "pending_connections"; "backlog", the length of the kernel's queue; "log", to have INFO on
stderr, level first.
"""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from quart import Quart, request

from certs import CertificateFiles, TlsPolicy, stdlib_server_tls
from device_api.startup import listen
from quart_impl.server import ALPN, Limits, serve

app = Quart("tiny")
app.config["MAX_CONTENT_LENGTH"] = None


running = 0


@app.get("/")
async def answer() -> str:
    global running  # noqa: PLW0603 (the shortest way to count)
    running += 1
    try:
        await asyncio.sleep(float(request.query_string or 0))
    finally:
        running -= 1
    return "answered"


@app.get("/running")
async def count() -> str:
    return str(running)


@app.post("/")
async def measure() -> str:
    """Read the body."""
    return str(len(await request.get_data()))


@app.post("/refused")
async def refuse() -> tuple[str, int]:
    """Do not read the body."""
    return "refused", 403


@app.get("/large")
async def large() -> AsyncIterator[bytes]:
    """As many MiB as the query says."""
    size = int(request.query_string)

    async def pieces() -> AsyncIterator[bytes]:
        global running  # noqa: PLW0603 (as above)
        running += 1
        try:
            for _ in range(16 * size):
                yield bytes(65536)
        finally:
            running -= 1

    return pieces()


@app.get("/broken")
async def broken() -> AsyncIterator[bytes]:
    """Begin an answer and fail."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"begun"
        raise RuntimeError("as a test wants it")

    return pieces()


@app.get("/method")
async def method() -> str:
    return request.method


@app.get("/tls")
async def tls() -> dict[str, Any]:
    extensions: dict[str, Any] = request.scope["extensions"]
    return extensions.get("tls") or {}


quart_app = app.asgi_app


async def endless_or_not(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """`/endless` answers without end, and does not look whether anybody is there: ASGI without Quart."""
    global running  # noqa: PLW0603 (as above)
    if scope["type"] != "http" or scope["path"] != "/endless":
        await quart_app(scope, receive, send)
        return
    running += 1
    try:
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": False})
        while True:
            await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
    finally:
        running -= 1


app.asgi_app = endless_or_not  # type: ignore[method-assign]  # as Quart's documentation has it


def say(line: object) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(options: dict[str, Any]) -> None:
    if options.get("log"):
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    tls = None
    if options["chain"]:
        files = CertificateFiles(Path(options["chain"]), Path(options["key"]))
        client_ca = options.get("client_ca")
        policy = TlsPolicy(alpn=ALPN, client_ca=None if client_ca is None else Path(client_ca))
        tls = stdlib_server_tls([files], policy)
    with listen("127.0.0.1", 0) as listener:
        if "backlog" in options:
            listener.listen(options["backlog"])  # again, to shorten the kernel's queue
        serve(
            app,
            listener,
            tls=tls,
            connections=options.get("connections", 1024),
            pending_connections=options.get("pending_connections", 256),
            loop=options["loop"],
            limits=Limits(**options["limits"]),
            accepting=lambda: say(listener.getsockname()[1]),
            stopping=lambda: say("stopping"),
        )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
