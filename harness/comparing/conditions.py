"""Whether two runs may be held against each other, and what changed between them.

Another machine or another plan: no. Upgraded software: that is what the comparison is for, and it is listed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from harness.trials import RunHeader

# What of the recorded environment makes it another machine. Not the kernel, which is upgraded like a package; not the
# numbers of the processors, which only say where on the machine server and generator ran.
_MACHINE: Final = ("processor", "processors", "virtual")
_MEMORY: Final = "memory_bytes"
_SAME_MEMORY: Final = 0.05  # a new kernel keeps a little more or less for itself

_SOFTWARE: Final = ("kernel", "python", "openssl", "packages", "governor")

# What says how long or in which order was measured, and not what: runs that differ in nothing else are comparable.
_HOW_LONG: Final = ("name", "seed", "blocks", "max_blocks", "half_width", "budget_s", "handshake_blocks", "capacity")


@dataclass(frozen=True, slots=True)
class Change:
    """Something that is not what it was."""

    what: str  # "packages hypercorn"
    before: str
    after: str

    def __str__(self) -> str:
        """Return "hypercorn 0.17.3 -> 0.18.0"."""
        return f"{self.what.removeprefix('packages ')} {self.before} \N{RIGHTWARDS ARROW} {self.after}"


def why_not(before: RunHeader, after: RunHeader, names: tuple[str, str] = ("A", "B")) -> str | None:
    """Return why two runs cannot be compared, in one line that calls them by these names; None: they can."""
    return _other_machine(before.environment, after.environment, names) or _other_plan(before, after, names)


def changed_software(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """List what was upgraded, in the order in which environments have it. Both: as in the header of a run."""
    return tuple(change for key in _SOFTWARE for change in _changes(key, before.get(key), after.get(key)))


def changed_plan(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """List in what two comparable plans differ: how long they measure, and in which order."""
    return tuple(
        Change(key, _said(before.get(key)), _said(after.get(key)))
        for key in _HOW_LONG
        if key != "capacity" and before.get(key) != after.get(key)
    )


def _other_machine(before: Mapping[str, Any], after: Mapping[str, Any], names: tuple[str, str]) -> str | None:
    first, second = names
    for key in _MACHINE:
        if before.get(key) != after.get(key):
            return f"another machine ({key}: {_said(before.get(key))} in {first}, {_said(after.get(key))} in {second})"
    was, is_now = before.get(_MEMORY), after.get(_MEMORY)
    if isinstance(was, int) and isinstance(is_now, int) and abs(is_now - was) > _SAME_MEMORY * was:
        return f"another machine (memory: {was / 2**30:.1f} GiB in {first}, {is_now / 2**30:.1f} GiB in {second})"
    was_given, is_given = _given(before), _given(after)
    if was_given != is_given:
        return f"the machine's processors were given out in another way ({first}: {was_given}; {second}: {is_given})"
    return None


def _given(environment: Mapping[str, Any]) -> str:
    """Say how many processors server and generator had, and whether they shared them."""
    server, generator = (set(environment.get(key) or ()) for key in ("server_cpus", "generator_cpus"))
    shared = ", shared" if server & generator else ""
    return f"{len(server)} for the server and {len(generator)} for the generator{shared}"


def _other_plan(before: RunHeader, after: RunHeader, names: tuple[str, str]) -> str | None:
    if before.plan_hash == after.plan_hash:
        return None
    differs = _first_difference(before.plan, after.plan, names)
    first, second = names
    hashes = f"{first} {before.plan_hash}, {second} {after.plan_hash}"
    return None if differs is None else f"another plan ({hashes}: {differs})"


def _first_difference(before: Mapping[str, Any], after: Mapping[str, Any], names: tuple[str, str]) -> str | None:
    first, second = names
    was, is_now = _cells(before), _cells(after)
    only_before = [cell for cell in was if cell not in is_now]
    only_after = [cell for cell in is_now if cell not in was]
    if only_before and only_after:
        return f"only {first} has {_listed(only_before)}, only {second} has {_listed(only_after)}"
    if only_before or only_after:
        return f"only {first if only_before else second} has {_listed(only_before or only_after)}"
    for key in sorted((before.keys() | after.keys()) - {"cell", *_HOW_LONG}):
        if before.get(key) != after.get(key):
            return f"{key} is {_said(before.get(key))} in {first}, {_said(after.get(key))} in {second}"
    return None


def _cells(plan: Mapping[str, Any]) -> tuple[str, ...]:
    cells = plan.get("cell")
    return tuple(map(_cell, cells)) if isinstance(cells, Sequence) else ()


def _cell(entry: object) -> str:
    """Return a cell of a plan's JSON as words that say all of it."""
    if not isinstance(entry, Mapping):
        return json.dumps(entry)
    first = [str(entry[key]) for key in ("deployment", "scenario") if key in entry]
    rest = [f"{key}={_said(entry[key])}" for key in sorted(entry.keys() - {"deployment", "scenario"})]
    return " ".join([*first, *rest])


def _listed(cells: Sequence[str]) -> str:
    others = len(cells) - 1
    return f"{cells[0]!r}" + (f" and {others} more" if others else "")


def _changes(key: str, before: object, after: object) -> Iterable[Change]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted({*before, *after}):
            yield from _changes(f"{key} {name}", before.get(name), after.get(name))
    elif before != after:
        yield Change(key, _said(before), _said(after))


def _said(value: object) -> str:
    return "absent" if value is None else value if isinstance(value, str) else json.dumps(value)
