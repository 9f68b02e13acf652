"""An open load made by several workers: each makes its share, all begin at one time.

Only the master knows how many workers there are, and only when all their users have been started: then it tells each
which of how many it is. A worker that comes later gets no share, and one that is lost takes its own with it, which
Locust says.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Final

from locust.rpc import Message
from locust.runners import MasterRunner, WorkerNode

from bench._arrivals import Arrivals, Schedule
from bench._options import OptionError

MESSAGE: Final = "share of the open load"  # from master to worker
_BEGIN_IN_S: Final = 0.3  # time for the message
_CLOCK_LIMIT_S: Final = 5.0  # by which the clocks of two machines may differ


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a worker is told. begin_s: time.time(), which machines have in common as far as their clocks agree."""

    index: int
    workers: int
    begin_s: float


def divide(workers: Iterable[WorkerNode], users: int, *, now_s: float) -> dict[str, Share]:
    """Return each worker's share by its id; one without users gets none.

    users: how many all of them have. Raises OptionError where they have not said so of all.
    """
    users_of = {worker.id: worker.user_count for worker in workers if worker.user_count}
    if sum(users_of.values()) != users:
        raise OptionError(
            f"--rate: {sum(users_of.values())} of {users} users were reported by their workers, so that nobody can tell"
            " among how many to divide it; start again"
        )
    return {
        worker: Share(index=index, workers=len(users_of), begin_s=now_s + _BEGIN_IN_S)
        for index, worker in enumerate(sorted(users_of))
    }


def send(master: MasterRunner, shares: dict[str, Share]) -> None:
    """Tell each worker its share."""
    for worker, share in shares.items():
        master.send_message(MESSAGE, asdict(share), worker)


def begin(message: Message, schedule: Schedule, arrivals: Arrivals, users: int) -> None:
    """Begin the share that was sent. users: of this worker. Raises OptionError where the clocks are too far apart."""
    share = Share(**message.data)
    ahead_s = share.begin_s - time.time()
    if abs(ahead_s) > _CLOCK_LIMIT_S:
        raise OptionError(
            f"--rate: the clocks of master and worker differ by {abs(ahead_s):.0f} s; set them, so that workers begin"
            " together"
        )
    mine = replace(schedule, index=share.index, workers=share.workers)
    arrivals.begin(mine, users, time.monotonic_ns() + round(ahead_s * 1e9))


def say_that_shares_stay(shares: dict[str, Share], workers: Iterable[WorkerNode]) -> None:
    """Warn where users were started anew during the run, on other workers than those that have shares."""
    if {worker.id for worker in workers if worker.user_count} != shares.keys():
        logging.getLogger(__name__).warning("--rate: still made by those workers that began with it: %d", len(shares))
