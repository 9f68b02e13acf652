"""The runs that stand side by side: each with a letter, a name and what its own report decides and costs."""

from __future__ import annotations

import itertools
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from harness.costs import Costs, costs
from harness.errors import UserError
from harness.measured import Measured
from harness.report.decisions import Decision, decide
from harness.report.naming import Names
from harness.report.reading import RunFolder

MOST: Final = len(string.ascii_uppercase)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the runs."""

    letter: str  # "A" is what the others are held against
    name: str  # its folder's, as short as tells it from the others'
    found: RunFolder
    measured: Measured
    names: Names
    decisions: tuple[Decision, ...]
    costs: tuple[Costs, ...]


def sides(folders: Sequence[RunFolder]) -> tuple[Side, ...]:
    """Give each run its letter. Raises UserError for a run that is there twice, or for more runs than letters."""
    if len(folders) > MOST:
        raise UserError(f"{len(folders)} runs are too many to stand side by side", hint=f"{MOST} at most")
    for first, second in itertools.combinations(folders, 2):
        if first.run == second.run:
            raise UserError(
                f"{first.folder} and {second.folder} hold the same run", hint="give different runs, the earlier first"
            )
    return tuple(
        _side(letter, name, found)
        for letter, name, found in zip(string.ascii_uppercase, _names(folders), folders, strict=False)
    )


def _side(letter: str, name: str, found: RunFolder) -> Side:
    measured = Measured(found.run)
    return Side(letter, name, found, measured, Names(measured.contenders), decide(measured), costs(measured))


def _names(folders: Sequence[RunFolder]) -> list[str]:
    short = [found.folder.resolve().name for found in folders]
    return short if len(set(short)) == len(short) else [str(found.folder) for found in folders]
