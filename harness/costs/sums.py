"""Signed sums of cells: what every cost, every whole and every prediction of CPU time is.

    TLS records a request  =  keep-alive with TLS - keep-alive without

A sum is taken within each block, where the machine's drift falls on all of its cells alike; the mean of those figures
and its t interval are the cost. Adding sums adds their factors cell by cell, and what cancels is gone: a sum that is
empty holds by construction, whatever was measured, and so is no check of anything.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from harness.costs.cells import without_tls
from harness.measured import Condition, Contender, Measured, cpu_us
from harness.statistics import Interval, mean_interval

_NOTHING = 1e-9  # a factor this small is what rounding left of one that cancelled

Cell = tuple[Contender, Condition]


@dataclass(frozen=True, slots=True)
class Sum:
    """Cells, each with its factor; none is there twice and no factor is 0."""

    terms: tuple[tuple[Cell, float], ...]

    @classmethod
    def of(cls, terms: Iterable[tuple[Cell, float]]) -> Sum:
        """Add factors up cell by cell."""
        factors: dict[Cell, float] = {}
        for cell, factor in terms:
            factors[cell] = factors.get(cell, 0.0) + factor
        return cls(tuple((cell, factor) for cell, factor in factors.items() if abs(factor) > _NOTHING))

    @classmethod
    def cell(cls, contender: Contender, condition: Condition) -> Sum:
        """Return the CPU a request of one cell."""
        return cls((((contender, condition), 1.0),))

    def __add__(self, other: Sum) -> Sum:
        return Sum.of((*self.terms, *other.terms))

    def __sub__(self, other: Sum) -> Sum:
        return self + -1.0 * other

    def __rmul__(self, factor: float) -> Sum:
        return Sum.of((cell, factor * own) for cell, own in self.terms)

    @property
    def is_empty(self) -> bool:
        """Whether everything cancelled: it is 0 whatever was measured."""
        return not self.terms

    def by_block(self, measured: Measured) -> dict[int, float]:
        """Return the sum in µs in every block that has all of its cells."""
        figures = [(factor, measured.figures(*cell, cpu_us)) for cell, factor in self.terms]
        blocks = set[int].intersection(*(set(by_block) for _, by_block in figures)) if figures else set[int]()
        return {block: math.fsum(factor * by_block[block] for factor, by_block in figures) for block in sorted(blocks)}

    def interval(self, measured: Measured, blocks: Collection[int] | None = None) -> Interval | None:
        """Return its mean over the blocks with the 95 % interval; None unless a block has all of its cells.

        blocks: to look at; all.
        """
        found = self.by_block(measured)
        values = [value for block, value in found.items() if blocks is None or block in blocks]
        return mean_interval(values, fixed_blocks=measured.fixed_blocks) if values else None


@dataclass(frozen=True, slots=True)
class Term:
    """A condition, and its sign in a cost of one contender."""

    sign: int
    condition: Condition


def combine(measured: Measured, contender: Contender, terms: Sequence[Term]) -> Interval | None:
    """Return the sum of signed cells of one contender, block by block; None unless a block has them all."""
    return Sum.of(((contender, term.condition), term.sign) for term in terms).interval(measured)


def connection_terms(new: Condition, base: Condition, plain_new: Condition | None) -> list[Term]:
    """Return the cells of a connection's cost over that of a request.

    new: a connection for every request. plain_new: the same without TLS, to leave out what TCP takes; None: left in.
    """
    terms = [Term(1, new), Term(-1, base)]
    if plain_new is not None:
        terms += [Term(-1, plain_new), Term(1, without_tls(base))]
    return terms
