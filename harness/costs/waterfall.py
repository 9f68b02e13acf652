"""Parts beside the whole: whether they add up to what the whole request was measured to take.

The whole is measured by cells of its own (with TLS, with Digest, on an open connection or a new one), the parts by
others (`parts`). What the parts leave of it, or have too much, is unexplained: the noise of all cells, and what parts
do to each other, such as Digest to the caches of a server that also does TLS. Where a run has too few cells for that,
the parts are made of the whole and add up to it by construction; then nothing is called explained.

All figures of a waterfall are of the same blocks, those that have all of its cells, so that it can be drawn.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.costs.cells import Cells
from harness.costs.parts import Part, part_sums
from harness.costs.sums import Sum
from harness.measured import Contender, Measured, Scenario
from harness.statistics import Interval, mean_interval

_REQUEST = (Part.SERVER, Part.PROXY, Part.DIGEST, Part.RECORDS)
_NEEDED = frozenset({Part.DIGEST, Part.RECORDS, Part.TCP, Part.HANDSHAKE})


class WholeName(StrEnum):
    """What whole requests are measured, as they are called."""

    OPEN = "on an open connection"
    STORED = "on an open connection, from the datastore"
    NEW = "on a new connection"
    RESUMED = "on a resumed connection"


# The cell of each, with TLS and Digest, and the parts that it has beside those of every request.
_WHOLES: Mapping[WholeName, tuple[Scenario, tuple[Part, ...]]] = {
    WholeName.OPEN: (Scenario.KEEP_ALIVE, ()),
    WholeName.STORED: (Scenario.ONE_INTERFACE, (Part.DATASTORE,)),
    WholeName.NEW: (Scenario.FULL_HANDSHAKE, (Part.TCP, Part.HANDSHAKE)),
    WholeName.RESUMED: (Scenario.RESUMED_HANDSHAKE, (Part.TCP, Part.RESUMED)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A whole request: what it was measured to take, and what its parts leave of that. µs of server CPU."""

    name: WholeName
    parts: tuple[Part, ...]
    measured: Interval
    unexplained: Interval | None  # measured less the parts; None: they add up by construction
    share: Interval | None  # unexplained, as a share of the measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """One contender's parts, in the order in which they are stacked, and the wholes that they are parts of."""

    contender: Contender
    parts: Mapping[Part, Interval]
    wholes: Mapping[WholeName, Whole]  # OPEN is always there
    blocks: int

    @property
    def checked(self) -> tuple[Whole, ...]:
        """The wholes that their parts may, or may not, add up to."""
        return tuple(whole for whole in self.wholes.values() if whole.share is not None)


def waterfall(measured: Measured, contender: Contender) -> Waterfall | None:
    """Return a contender's waterfall.

    None unless some block has all cells of its Digest, its TLS records, a TCP connection and a TLS handshake.
    """
    cells = Cells.of(measured, contender)
    if cells is None:
        return None
    parts = part_sums(cells)
    if _NEEDED - parts.keys():
        return None
    parts.pop(Part.CHALLENGE, None)
    wholes = _wholes(cells, parts)
    blocks = _common_blocks(measured, [*parts.values(), *(whole for whole, _ in wholes.values())])
    found = {part: interval for part, each in parts.items() if (interval := each.interval(measured, blocks))}
    if len(found) < len(parts):
        return None
    return Waterfall(
        contender=contender,
        parts=found,
        wholes={
            name: checked
            for name, (whole, explained) in wholes.items()
            if (checked := _check(measured, name, whole, {part: parts[part] for part in explained}, blocks))
        },
        blocks=len(blocks),
    )


def _wholes(cells: Cells, parts: Mapping[Part, Sum]) -> dict[WholeName, tuple[Sum, tuple[Part, ...]]]:
    """Return each whole that was measured and all of whose parts were, with those."""
    found = {}
    request = tuple(part for part in _REQUEST if part in parts)
    for name, (scenario, further) in _WHOLES.items():
        condition = cells.base if scenario is Scenario.KEEP_ALIVE else cells.condition(scenario)
        if condition is not None and all(part in parts for part in further):
            found[name] = (Sum.cell(cells.contender, condition), (*request, *further))
    return found


def _common_blocks(measured: Measured, sums: Sequence[Sum]) -> Collection[int]:
    return set[int].intersection(*(set(each.by_block(measured)) for each in sums))


def _check(
    measured: Measured, name: WholeName, whole: Sum, parts: Mapping[Part, Sum], blocks: Collection[int]
) -> Whole | None:
    level = whole.interval(measured, blocks)
    if level is None:
        return None
    left = whole
    for part in parts.values():
        left -= part
    unexplained = share = None
    if not left.is_empty:
        unexplained = left.interval(measured, blocks)
        wholes, lefts = whole.by_block(measured), left.by_block(measured)
        shares = [lefts[block] / wholes[block] for block in sorted(blocks)]
        share = mean_interval(shares, fixed_blocks=measured.fixed_blocks)
    return Whole(name=name, parts=tuple(parts), measured=level, unexplained=unexplained, share=share)
