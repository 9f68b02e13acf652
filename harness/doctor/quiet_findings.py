"""Whether the machine is quiet enough to measure on. Pure: what was watched in, findings out.

Somebody else's load stands in the way where trials under it would be marked with a doubt: the limits are those of
harness.window. An uneven pace never does, for a run takes most of it off (harness.evening); what it costs is certainty.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from harness.doctor.findings import Finding, good, mind
from harness.doctor.watching import SLOWED, Busy, Pace, Watched, WatchedProcessor

# As in harness.window and harness.evening, which bring numpy and scipy with them: half a second of the five that this
# may take. A test holds them against each other.
NEIGHBOUR_LIMIT: Final = 0.2
STARVED_OTHERS: Final = 0.1
STOLEN_LIMIT: Final = 0.02
STOLEN_COST_LIMIT: Final = 0.1
SUSPENDED_LIMIT_S: Final = 0.01
PRIOR: Final = 0.75

NOTICED: Final = 0.05  # of a processor: less is what any system does
# Times as long. Seen in single seconds: 1.05 to 1.12 where nobody was in the way, 1.5 to 2.0 where somebody was.
EVEN: Final = 1.15
UNEVEN: Final = 1.3


def quiet_findings(watched: Watched) -> tuple[Finding, ...]:
    """Judge what went on."""
    return (
        *(_others(processor, watched) for processor in watched.processors),
        _stolen(watched),
        *(_pace(processor) for processor in watched.processors),
        *_suspended(watched.suspended_s),
    )


def _others(processor: WatchedProcessor, watched: Watched) -> Finding:
    subject = f"others on processor {processor.number} ({processor.role})"
    seen = f"they took {processor.others_share:.0%} of it in {watched.watched_s:.0f} s"
    if processor.others_share <= NOTICED:
        return good(subject, seen)
    limit = NEIGHBOUR_LIMIT if processor.role == "server" else STARVED_OTHERS
    too_much = processor.others_share > limit
    comes_of_it = (
        f"trials keep the server's CPU time alone where it is over {limit:.0%}: no rate, no latency"
        if too_much
        else f"over {limit:.0%} trials would lose their rates and latencies"
    )
    return mind(
        subject,
        seen + (f"; the busiest on the whole machine: {_named(watched.busiest)}" if watched.busiest else ""),
        f"end it or wait; {comes_of_it}",
        in_the_way=too_much,
    )


def _named(busiest: Iterable[Busy]) -> str:
    return ", ".join(f"{each.name} (process {each.pid}) {each.share:.0%}" for each in busiest)


def _stolen(watched: Watched) -> Finding:
    share = watched.stolen_share
    seen = f"other virtual machines took {share:.1%} of the processors, as far as the hypervisor tells"
    if share <= STOLEN_LIMIT:
        return good("stolen time", seen)
    kept = "nothing is left of trials" if share > STOLEN_COST_LIMIT else "only CPU times are left of trials"
    return mind(
        "stolen time",
        seen,
        f"{kept} in which it is so much: measure at another hour, or on a machine with processors of its own",
        in_the_way=True,
    )


def _pace(processor: WatchedProcessor) -> Finding:
    subject = f"pace of processor {processor.number} ({processor.role})"
    pace = processor.pace
    if pace is None:
        return mind(
            subject,
            "the pieces of work by which it is measured did not get to run",
            "something holds that processor: see what others took, and look again",
        )
    seen = (
        f"the slowest tenth of {pace.pieces:,} pieces of the same work took {pace.ratio:.2f} times as long as the "
        f"fastest, or longer; {pace.slowed_share:.0%} took over {SLOWED} times as long"
    )
    if pace.ratio <= EVEN:
        return good(subject, f"{seen}: even")
    return mind(subject, seen, " ".join(_meaning(pace, processor.role)))


def _meaning(pace: Pace, role: str) -> Iterator[str]:
    """Say in words what that does to intervals."""
    if role == "generator":
        yield "rates and latencies scatter with it, costs do not: take more blocks where those are what you ask for."
        return
    dearer = pace.ratio**PRIOR - 1
    yield f"The same request would cost up to {dearer:.0%} more in a trial that meets slow moments alone."
    yield "A run measures the pace beside each trial and takes most off, with ten blocks, or six of several cells;"
    if pace.ratio <= UNEVEN:
        yield "intervals stay a little wider than on a quiet processor."
    else:
        yield (
            "what is left still makes intervals wider, and differences of a few per cent stay ties: give the plan more "
            "blocks (max_blocks), measure at a quieter hour, or where no one else has a thread of the core."
        )


def _suspended(suspended_s: float) -> Iterator[Finding]:
    if suspended_s > SUSPENDED_LIMIT_S:
        yield mind(
            "sleep meanwhile",
            f"the machine slept for {suspended_s:.1f} s while it was watched",
            "trials in which it does are set aside: keep it awake, and look again",
            in_the_way=True,
        )
