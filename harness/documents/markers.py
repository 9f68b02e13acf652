"""Where a measured block begins and ends in a Markdown document.

A block stands between two lines of their own, `<!-- measured: PLAN BLOCK -->` and `<!-- end -->`: PLAN is the name of
the plan whose run it is made of, so that one document may hold blocks of several runs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.errors import UserError, unknown_name

END = "<!-- end -->"
_BEGIN = re.compile(r"<!-- measured: (?P<plan>\S+) (?P<block>\S+) -->")


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A document with its blocks made anew, and how many they were."""

    text: str
    blocks: int


def rewrite(text: str, plan: str, blocks: Mapping[str, str], *, source: str) -> Rewritten:
    """Put a run's blocks where the document wants them; other plans' blocks stay. source names it in errors.

    Raises UserError for a block without its end, an end without its block, or a block that no run has.
    """
    kept: list[str] = []
    inside = ""  # the marker that began the block
    is_ours, number_of_ours = False, 0
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        where, marker = f"{source}, line {number}", line.strip()
        begins = _BEGIN.fullmatch(marker)
        if inside and begins:
            raise UserError(f"{where}: {inside} has no end", hint=f"put {END} on a line of its own after it")
        if begins:
            inside, is_ours = marker, begins["plan"] == plan
            kept.append(line)
            if is_ours:
                if begins["block"] not in blocks:
                    raise unknown_name("measured block", begins["block"], blocks, where=where)
                kept.append(f"\n{blocks[begins['block']].strip()}\n\n")
                number_of_ours += 1
        elif marker == END:
            if not inside:
                raise UserError(f"{where}: {END} ends no block", hint="delete it, or mark where the block begins")
            inside, is_ours = "", False
            kept.append(line)
        elif not is_ours:
            kept.append(line)
    if inside:
        raise UserError(f"{source}: {inside} has no end", hint=f"put {END} on a line of its own after it")
    return Rewritten("".join(kept), number_of_ours)
