"""A process with quart_impl.server and an app of a few lines: `/?0.5` takes half a second to answer.

    python tests/quart_impl/tiny_server.py '{"chain": …, "key": …, "loop": "asyncio", "limits": {"linger_s": 0.3}}'

Says its port once connections are accepted, and "stopping" when its stop begins.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from quart import Quart, request

from certs import CertificateFiles, TlsPolicy, stdlib_server_context
from device_api.startup import listen
from quart_impl.server import ALPN, Limits, serve

app = Quart("tiny")


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


def say(line: object) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(options: dict[str, Any]) -> None:
    context = None
    if options["chain"]:
        files = CertificateFiles(Path(options["chain"]), Path(options["key"]))
        context = stdlib_server_context(files, TlsPolicy(alpn=ALPN))
    with listen("127.0.0.1", 0) as listener:
        serve(
            app,
            listener,
            tls=context,
            loop=options["loop"],
            limits=Limits(**options["limits"]),
            accepting=lambda: say(listener.getsockname()[1]),
            stopping=lambda: say("stopping"),
        )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
