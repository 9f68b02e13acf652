"""A relay on this machine that puts a known distance between a real client and a real server.

    with Relay("127.0.0.1", port, rtt_us=50_000) as relay:
        ...  # connect to 127.0.0.1, relay.port

What one side sends arrives at the other half a round trip later, in order, however much it is; TCP's own handshake
takes its round trip too (see `delay`). It is a process of its own, and says how late it was itself.

Not Linux's netem: that would delay the packets themselves, acknowledgements included, but needs a kernel built with it
and the rights to set it up, which containers and many virtual machines lack. So what hangs on TCP's acknowledgements is
not to be seen here: slow start, Nagle's algorithm, loss.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from harness.line_process import LineProcess

ADDRESS: Final = "127.0.0.1"
_ANSWER_LIMIT_S: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lateness:
    """How much later than due the relay forwarded what it had: its own error, of one direction."""

    parcels: int
    mean_us: float
    p50_us: float
    p99_us: float
    max_us: float


class Relay:
    """A running relay; leaving it as a context manager ends it. Raises ProcessFailedError."""

    def __init__(self, host: str, port: int, *, rtt_us: float, cpus: Collection[int] = ()) -> None:
        """Start it. host, port: of the server, on this machine. rtt_us: of the network that it plays.

        cpus: the processors that it stays on; none named: any.
        """
        if rtt_us < 0:
            raise ValueError("a round trip cannot take less than no time")
        self.rtt_us = rtt_us
        self._process = LineProcess(
            "harness.network.relaying", name=f"the relay to {host}:{port}", answer_limit_s=_ANSWER_LIMIT_S
        )
        try:
            hello = self._process.ask({"host": host, "port": port, "delay_us": rtt_us / 2, "cpus": sorted(cpus)})
        except BaseException:
            self._process.close()
            raise
        self.port = int(hello["port"])

    def take_lateness(self) -> Lateness:
        """Return how late it was since this was asked last."""
        told = self._process.ask(None)
        return Lateness(
            parcels=int(told["parcels"]),
            mean_us=float(told["late_us_mean"]),
            p50_us=float(told["late_us_p50"]),
            p99_us=float(told["late_us_p99"]),
            max_us=float(told["late_us_max"]),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.close()
