"""What is asked of the predictor: a load, and how far away its clients are."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.errors import UserError

MIN_RATE_PER_S = 0.001
MAX_RATE_PER_S = 1e6
MAX_RTT_MS = 60_000.0
MAX_CORES = 4096
MAX_CLIENTS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Requests at random moments, from clients that know nothing of each other. Raises UserError for nonsense.

    requests_per_connection: None: connections stay open for ever. slow_share: of the requests that wait in the device
    for a tenth of a second, 0 to 1. clients: how many there are, each with one request at a time; None: enough. cores:
    that the server has; None: as few as keep them from being busier than 80 %. resumed: connections resume a TLS
    session.
    """

    rate_per_s: float
    requests_per_connection: int | None = None
    rtt_ms: float = 0.0
    slow_share: float = 0.0
    clients: int | None = None
    cores: int | None = None
    resumed: bool = False

    def __post_init__(self) -> None:
        _between("the rate", self.rate_per_s, MIN_RATE_PER_S, MAX_RATE_PER_S, "requests a second")
        _between("the round-trip time", self.rtt_ms, 0.0, MAX_RTT_MS, "ms")
        _between("the share of slow requests", self.slow_share, 0.0, 1.0, "")
        for what, value, most in (
            ("the number of requests per connection", self.requests_per_connection, math.inf),
            ("the number of clients", self.clients, MAX_CLIENTS),
            ("the number of cores", self.cores, MAX_CORES),
        ):
            if value is not None:
                _between(what, value, 1, most, "")

    @property
    def new_share(self) -> float:
        """Which share of the requests comes on a new connection."""
        return 0.0 if self.requests_per_connection is None else 1 / self.requests_per_connection


def _between(what: str, value: float, low: float, high: float, unit: str) -> None:
    if not low <= value <= high:
        reach = f"from {low:g} to {high:g}" if math.isfinite(high) else f"{low:g} or more"
        raise UserError(f"{what} is {value:g}", hint=f"it must be {reach} {unit}".rstrip())
