"""How the server stops so that no client notices.

Whoever is connected when the stop begins has arrived, also those in the kernel's queue. Then:

1. Nobody new is accepted. Clients are told that this is the end: HTTP/1.1 ones in their answers (`connection: close`);
   HTTP/2 ones by GOAWAY, at once if nothing runs on their connection, else after the answer or when they begin
   something new. A GOAWAY beside running requests is right by the RFC, but makes some clients (httpx) give them up.
2. For `linger_s` kept connections stay open: a request may be on its way on them.
3. Connections on which nothing runs or has begun to arrive are closed, and the others waited for: `requests_s` in all.
4. What still runs is cut off, and counted in the log.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from quart_impl.server._bounds import Bounds
from quart_impl.server._connection import Phase
from quart_impl.server._limits import Limits

_log = logging.getLogger("quart_impl.server")

_AGAIN_S: Final = 0.05  # until connections are looked at again, if nothing happens before


class Stop:
    """A server's stop: asked for by a signal, hastened by a second interrupt (an impatient Ctrl-C)."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._asked = asyncio.Event()
        self._hurried = asyncio.Event()

    def ask(self) -> None:
        """Begin to stop."""
        self._asked.set()

    def interrupt(self) -> None:
        """Begin to stop; the second time, wait for nothing."""
        if self._asked.is_set():
            self._hurried.set()
        self._asked.set()

    async def asked(self) -> None:
        """Return when the stop begins."""
        await self._asked.wait()

    async def see_off(self, bounds: Bounds) -> None:
        """Return when every connection has ended: as both sides expect, or because time was up."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        deadline_s = began_s + self._limits.requests_s
        for connection in bounds.connections.copy():
            connection.stop()
        await self._wait(bounds, lambda: not bounds.connections, until_s=began_s + self._limits.linger_s)
        while bounds.connections and loop.time() < deadline_s and not self._hurried.is_set():
            for connection in bounds.connections.copy():
                connection.dismiss()
            await self._wait(bounds, lambda: False, until_s=min(deadline_s, loop.time() + _AGAIN_S))
        running = sum(connection.phase is Phase.BUSY for connection in bounds.connections)
        if running:
            _log.warning("stopping; requests still running after %.1f s: %d", loop.time() - began_s, running)
        for connection in bounds.connections.copy():
            connection.drop()

    async def _wait(self, bounds: Bounds, enough: Callable[[], bool], *, until_s: float) -> None:
        hurried = asyncio.ensure_future(self._hurried.wait())
        try:
            while not enough() and not self._hurried.is_set():
                bounds.changed.clear()
                changed = asyncio.ensure_future(bounds.changed.wait())
                left_s = until_s - asyncio.get_running_loop().time()
                done, _ = await asyncio.wait(
                    (hurried, changed), timeout=max(0.0, left_s), return_when="FIRST_COMPLETED"
                )
                changed.cancel()
                if not done:
                    return
        finally:
            hurried.cancel()
