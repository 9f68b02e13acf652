"""What pip has to install for one deployment: its part of this project's pinned requirements, with their hashes.

`uv pip compile` writes below each distribution who wants it ("# via flask"). Read backwards, that is the graph: so
what a deployment needs is found without asking an index, also for other versions of Python and other platforms.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deployments._errors import DeploymentError

_LOCKED: Final = Path(__file__).parents[2] / "requirements" / "run.txt"
_FIRST_LINE: Final = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?==")
_VIA: Final = re.compile(r"\s+#(?: via)?\s+(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*$")


@dataclass(frozen=True, slots=True)
class _Locked:
    text: str  # its lines, hashes and all
    wanted_by: frozenset[str]


def requirements(needs: Iterable[str], locked: Path = _LOCKED) -> str:
    """Return the lines for these distributions and all that they want in turn. Raises DeploymentError."""
    try:
        text = locked.read_text(encoding="utf-8")
    except OSError as error:
        raise DeploymentError(
            f"{locked}: cannot read which versions are pinned ({error.strerror}); export with the bench of the "
            "project's folder, which `make test` or `make report` installs"
        ) from error
    known = dict(_entries(text))
    chosen = {_normal(need) for need in needs}
    lacking = chosen - known.keys()
    if lacking:
        raise DeploymentError(f"{locked}: pins no {' and no '.join(sorted(lacking))}; `make lock` pins it")
    while more := {name for name, entry in known.items() if name not in chosen and entry.wanted_by & chosen}:
        chosen |= more
    return "".join(entry.text for name, entry in known.items() if name in chosen)


def _entries(text: str) -> Iterator[tuple[str, _Locked]]:
    """Yield each distribution of a file that `uv pip compile` wrote, in its order."""
    blocks: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines(keepends=True):
        if (first := _FIRST_LINE.match(line)) is not None:
            lines = blocks.setdefault(_normal(first["name"]), [])
        lines.append(line)
    for name, block in blocks.items():
        vias = (_VIA.match(line) for line in block)
        yield name, _Locked("".join(block), frozenset(_normal(via["name"]) for via in vias if via is not None))


def _normal(name: str) -> str:
    """Return a distribution's name as all who spell it differently compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
