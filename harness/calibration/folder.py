"""What a calibration keeps beside its trials: `calibration.json`, the tries that are no trials.

Written whole after each of them, so that a calibration that was stopped goes on with what is missing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from harness.calibration.ceiling import Ceiling
from harness.calibration.stall import Stall
from harness.errors import UserError

FORMAT: Final = 1
FILE_NAME: Final = "calibration.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What was measured so far."""

    stalls: tuple[Stall, ...] = ()
    ceiling: Ceiling | None = None

    def with_stall(self, stall: Stall) -> Kept:
        """Return the same with another stall."""
        return replace(self, stalls=(*self.stalls, stall))

    def to_json(self) -> dict[str, Any]:
        """Return the file's object."""
        return {
            "format": FORMAT,
            "stalls": [asdict(stall) for stall in self.stalls],
            "ceiling": None if self.ceiling is None else asdict(self.ceiling),
        }


def read_kept(folder: Path) -> Kept:
    """Read what a folder has; nothing if there is no file. Raises UserError for a file that is no calibration."""
    path = folder / FILE_NAME
    try:
        return _from_json(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return Kept()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is no calibration's file ({error})", hint="delete it: what it held is measured again"
        ) from error


def _from_json(data: Mapping[str, Any]) -> Kept:
    if data["format"] != FORMAT:
        raise ValueError(f"format {data['format']!r}, this version reads {FORMAT}")
    ceiling = data["ceiling"]
    return Kept(
        stalls=tuple(Stall(**stall) for stall in data["stalls"]),
        ceiling=ceiling
        and Ceiling(
            server=ceiling["server"],
            ours_us=tuple(ceiling["ours_us"]),
            peer=ceiling["peer"],
            peer_us=tuple(ceiling["peer_us"]),
        ),
    )


def write_kept(folder: Path, kept: Kept) -> None:
    """Write it, whole or not at all. Raises UserError if the disk is full."""
    path = folder / FILE_NAME
    draft = path.with_suffix(".draft")
    try:
        with draft.open("w", encoding="utf-8") as file:
            json.dump(kept.to_json(), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror})", hint="make room; what finished before is kept"
        ) from error
