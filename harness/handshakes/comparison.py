"""Levels and ratios of what was measured, over the blocks: no figure is compared with one of another block.

A figure that its own proof refuses is not in here: `refused` says which and why.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from certs import KeyKind
from harness.handshakes.figures import Block, Cannot, Part, Stack, Subject
from harness.statistics import Interval, difference_interval, mean_interval, pair_blocks, ratio_interval


@dataclass(frozen=True, slots=True)
class Refused:
    """A figure that is not used."""

    block: int
    subject: Subject
    why: str


def reference(stack: Stack) -> Subject:
    """Return what the handshakes of a stack are compared with: TLS 1.3, full, RSA-2048."""
    return Subject(stack=stack, part=Part.FULL, version="1.3", key_kind=KeyKind.RSA_2048)


class Comparison:
    """The usable figures of some blocks."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        figures: defaultdict[Subject, dict[int, float]] = defaultdict(dict)
        refused = []
        for block in blocks:
            for figure in block.figures:
                if figure.refusal:
                    refused.append(Refused(block.number, figure.subject, figure.refusal))
                else:
                    figures[figure.subject][block.number] = figure.server_cpu_us
        self.blocks = len(blocks)
        self.figures: Mapping[Subject, Mapping[int, float]] = dict(figures)
        self.refused = tuple(refused)
        self.cannot: tuple[Cannot, ...] = tuple(dict.fromkeys(each for block in blocks for each in block.cannot))
        self.processors = tuple(dict.fromkeys(block.processor for block in blocks))
        self.openssl: Mapping[Stack, str] = {
            stack: version for block in blocks for stack, version in block.openssl.items()
        }
        self.clock_ns = max((block.clock_ns for block in blocks), default=0.0)

    def __contains__(self, subject: Subject) -> bool:
        return subject in self.figures

    def level(self, subject: Subject) -> Interval | None:
        """Return the mean over the blocks, µs; None where there is no usable figure."""
        figures = self.figures.get(subject)
        return mean_interval(list(figures.values())) if figures else None

    def ratio(self, left: Subject, right: Subject) -> Interval | None:
        """Return how many times right's cost left's is; None where they share no block."""
        pair = pair_blocks(self.figures.get(left, {}), self.figures.get(right, {}))
        return ratio_interval(*pair) if pair[0].size else None

    def added(self, left: Subject, right: Subject) -> Interval | None:
        """Return how much left costs over right, µs; None where they share no block."""
        pair = pair_blocks(self.figures.get(left, {}), self.figures.get(right, {}))
        return difference_interval(*pair) if pair[0].size else None

    def to_reference(self, subject: Subject) -> Interval | None:
        """Return its ratio to TLS 1.3 full with RSA-2048 of the same stack; exactly 1 for that itself."""
        return self.ratio(subject, reference(subject.stack))
