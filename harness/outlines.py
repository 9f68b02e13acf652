"""What lies in a folder of runs, told from each one's first line alone: no trial is read, so it takes milliseconds."""

from __future__ import annotations

import json
import lzma
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness.trials import FILE_NAME, PACKED_NAME, RunHeader, header_from_json

RESULTS: Final = Path("results")  # where `bench run` makes its folders unless it is told otherwise
REPORT_NAME: Final = "report.html"


@dataclass(frozen=True, slots=True)
class Outline:
    """A run's folder, and how the run was begun."""

    folder: Path
    header: RunHeader

    @property
    def plan(self) -> str:
        """Name of its plan; empty where it has none."""
        return str(self.header.plan.get("name", ""))

    @property
    def cells(self) -> tuple[Mapping[str, Any], ...]:
        """What its plan measures, as the header has it; nothing of what is not understood."""
        cells = self.header.plan.get("cell")
        return tuple(cell for cell in cells if isinstance(cell, dict)) if isinstance(cells, list) else ()

    @property
    def deployments(self) -> tuple[str, ...]:
        """The deployments of its plan, each once, in the plan's order."""
        return tuple(dict.fromkeys(str(cell["deployment"]) for cell in self.cells if "deployment" in cell))

    @property
    def page(self) -> Path:
        """Where its report is, or would be."""
        return self.folder / REPORT_NAME


def outline(folder: Path) -> Outline | None:
    """Read the first line of a run's folder; None where there is no run that could be read."""
    try:
        if (folder / FILE_NAME).exists():
            with (folder / FILE_NAME).open("rb") as plain:
                line = plain.readline()
        else:
            with lzma.open(folder / PACKED_NAME) as packed:
                line = packed.readline()
        return Outline(folder, header_from_json(json.loads(line)))
    except (OSError, EOFError, lzma.LZMAError, ValueError, KeyError, TypeError):
        return None  # whoever reads the run itself says what is wrong with it


def outlines(results: Path) -> tuple[Outline, ...]:
    """Return the runs in a folder, the one that was begun last at the end; none where there is no such folder."""
    try:
        folders = [entry for entry in results.iterdir() if entry.is_dir()]
    except OSError:
        return ()
    found = [one for folder in folders if (one := outline(folder)) is not None]
    return tuple(sorted(found, key=lambda one: (one.header.started, one.folder.name)))
