"""How a generator pushes: closed, so many clients that each wait for their answer, or open, so many arrivals a second.

A closed load slows down with the server that it measures: while a server stands still, nobody asks, and the second that
it stood is one slow request for each client (coordinated omission; Gil Tene's wrk2 describes it). Under an open load
requests come when they come, as from many clients that know nothing of each other, and each latency runs from the
moment at which the request was to be sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Arrivals(StrEnum):
    """When the requests of an open load come."""

    POISSON = "poisson"  # at random, each regardless of the others: exponential gaps
    CONSTANT = "constant"  # evenly


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Load:
    """How hard the generator pushes.

    clients: of a closed load, each sending when its last answer is there; of an open one, how many connections take the
    arrivals in turn (a request that finds all of them busy waits, and its wait counts).
    rate_per_s: arrivals a second of all clients together; 0: a closed load.
    """

    clients: int
    rate_per_s: float = 0.0
    arrivals: Arrivals = Arrivals.POISSON  # means nothing in a closed load

    @property
    def is_open(self) -> bool:
        """Whether requests come at a rate of their own."""
        return self.rate_per_s > 0

    @property
    def name(self) -> str:
        """`c8`, or for an open load `r200/s c64`, `r200/s-constant c64`."""
        if not self.is_open:
            return f"c{self.clients}"
        evenly = "-constant" if self.arrivals == Arrivals.CONSTANT else ""
        return f"r{self.rate_per_s:g}/s{evenly} c{self.clients}"
