"""What the machine itself did differently in the two runs, as far as it is known, so that it can be taken off.

A processor that runs 4 % slower today makes every server 4 % slower. Three yardsticks tell:

- the *reference*: the CPU time of a fixed piece of work, measured beside each trial on the server's processor
  (`harness.reference`). It tells the processor's speed, and little of what neighbours do to the caches. It is a hash
  by OpenSSL, so it is the same work in both runs only where OpenSSL, Python and the bench are; with another version it
  is not used. All readings of a run are made by one process, which may be a per cent or two faster or slower than the
  next, and no number of blocks makes that smaller. So the reference is believed only where the cells bear it out: if
  the two runs lie closer together with it taken off, or if it hardly differs. Otherwise nothing is taken off.
- a *deployment* that did not change, measured in the same blocks: it tells all that the machine did, and what the two
  have in common (Python, TLS, the load generator) with it. The user has to say which: that it did not change is nothing
  that figures could tell.
- *none*: the figures as they are.

CPU figures are divided by their block's yardstick. Rates and latencies are not: a request that waits takes as long on a
slow processor as on a fast one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from harness.comparing.figures import ByBlock, Cells, Figure, by_block, geometric_mean, together
from harness.comparing.welch import Shift, shift
from harness.errors import UserError, unknown_name

AUTO: Final = "auto"  # the reference where both runs have it, else none
REFERENCE: Final = "reference"
NONE: Final = "none"

_HARDLY: Final = 0.01  # on the log scale: a third of the usual margin
_BENCH: Final = "https-digest-bench"


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What figures are divided by, block by block."""

    name: str  # REFERENCE, NONE or a deployment
    before: ByBlock = field(default_factory=dict)
    after: ByBlock = field(default_factory=dict)
    is_believed: bool = True  # False: the cells did not do what it did
    why_none: str = ""  # why the reference is not used, where nobody asked for none

    @property
    def is_used(self) -> bool:
        """Whether anything is taken off."""
        return self.name != NONE and self.is_believed

    @property
    def is_deployment(self) -> bool:
        """Whether it is one of the deployments that were measured: that one is then not judged."""
        return self.name not in {NONE, REFERENCE}

    @property
    def shift(self) -> Shift:
        """How much more CPU time the yardstick took in the second run, whether it is believed or not."""
        return shift([*self.before.values()], [*self.after.values()])

    def take_off(self, before: ByBlock, after: ByBlock) -> tuple[dict[int, float], dict[int, float]]:
        """Divide the figures of both runs by their blocks' yardstick; a block without one is left out."""
        if not self.is_used:
            return dict(before), dict(after)
        return _divided(before, self.before), _divided(after, self.after)


def choose(
    wanted: str,
    before: Cells,
    after: Cells,
    environments: tuple[Mapping[str, Any], Mapping[str, Any]],
    names: tuple[str, str] = ("A", "B"),
) -> Yardstick:
    """Return the yardstick that was asked for. names: of the runs. Raises UserError if the runs do not have it."""
    if wanted == NONE:
        return Yardstick(NONE)
    if wanted not in {AUTO, REFERENCE}:
        return _deployment(wanted, before, after)
    lacking = _why_no_reference(before, after, environments, names)
    if not lacking:
        found = Yardstick(REFERENCE, _references(before), _references(after))
        return found if wanted == REFERENCE else replace(found, is_believed=_is_borne_out(found, before, after))
    if wanted == REFERENCE:
        raise UserError(f"the reference is no yardstick for these runs: {lacking}", hint="leave --yardstick out")
    return Yardstick(NONE, why_none=lacking)


def _is_borne_out(reference: Yardstick, before: Cells, after: Cells) -> bool:
    """Say whether the cells as a whole moved as the reference did, or it hardly moved at all."""
    taken_off = reference.shift.estimate
    if abs(taken_off) <= _HARDLY:
        return True
    cells = sorted(before.keys() & after.keys())
    figures = together([(by_block(before[cell], Figure.CPU), by_block(after[cell], Figure.CPU)) for cell in cells])
    if not all(figures):
        return True  # nothing is compared
    moved = shift(*([*side.values()] for side in figures)).estimate
    return abs(moved - taken_off) <= abs(moved)


def _why_no_reference(
    before: Cells,
    after: Cells,
    environments: tuple[Mapping[str, Any], Mapping[str, Any]],
    names: tuple[str, str],
) -> str:
    if environments[0].get("python") != environments[1].get("python"):
        return "with another Python its work is another"
    if environments[0].get("openssl") != environments[1].get("openssl"):
        return "with another OpenSSL its work is another"
    if _bench(environments[0]) != _bench(environments[1]):
        return "with another version of the bench its work may be another"
    for name, cells in zip(names, (before, after), strict=True):
        if _blocks(cells) - _references(cells).keys():
            return f"not every block of {name} has it"
    return ""


def _bench(environment: Mapping[str, Any]) -> object:
    packages = environment.get("packages")
    return packages.get(_BENCH) if isinstance(packages, Mapping) else None


def _references(cells: Cells) -> dict[int, float]:
    """Return each block's reference: the geometric mean of those beside its usable trials."""
    found: defaultdict[int, list[float]] = defaultdict(list)
    for trials in cells.values():
        for trial in trials:
            if trial.costs_are_sound and trial.reference_us:
                found[trial.block].append(trial.reference_us)
    return {block: geometric_mean(values) for block, values in found.items()}


def _blocks(cells: Cells) -> set[int]:
    return {trial.block for trials in cells.values() for trial in trials if trial.costs_are_sound}


def _deployment(name: str, before: Cells, after: Cells) -> Yardstick:
    known = _deployments(before) & _deployments(after)
    if name not in known:
        raise unknown_name("yardstick", name, {*known, AUTO, REFERENCE, NONE})
    if known == {name}:
        raise UserError(f"{name} is the only deployment of these runs", hint="it cannot be held against itself")
    figures = [
        (by_block(before[cell], Figure.CPU), by_block(after[cell], Figure.CPU))
        for cell in sorted(before.keys() & after.keys())
        if before[cell][0].deployment == name
    ]
    found = Yardstick(name, *together(figures))
    if not (found.before and found.after):
        raise UserError(f"{name} has no usable trial in one of the runs", hint="take another yardstick, or none")
    return found


def _deployments(cells: Cells) -> set[str]:
    return {trials[0].deployment for trials in cells.values()}


def _divided(figures: ByBlock, yardstick: ByBlock) -> dict[int, float]:
    return {block: value / yardstick[block] for block, value in figures.items() if block in yardstick}
