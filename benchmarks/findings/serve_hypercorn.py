"""Hypercorn as it comes, with every timeout that it has: `python -m benchmarks.findings.serve_hypercorn PORT KEY`."""

import asyncio
import signal
import sys

from hypercorn import Config
from hypercorn.asyncio import serve

from benchmarks.findings.asgi_app import PATIENCE_S, app


async def main(port: int, key: str) -> None:
    """Serve until SIGTERM. key: a file that holds the certificate too."""
    config = Config.from_mapping(
        bind=f"127.0.0.1:{port}",
        certfile=key,
        keyfile=key,
        keep_alive_timeout=PATIENCE_S,
        ssl_handshake_timeout=PATIENCE_S,
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await serve(app, config, shutdown_trigger=stop.wait)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
