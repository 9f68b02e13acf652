"""A report's file, written whole or not at all: who opens it meanwhile sees the one before."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from harness.errors import UserError


def write_whole(target: Path, text: str) -> Path:
    """Write a text file whole or not at all; returns its path. Raises UserError if it cannot be written."""
    draft = ""
    try:
        handle, draft = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        Path(draft).chmod(0o644)
        Path(draft).replace(target)
    except OSError as error:
        raise UserError(
            f"{target} cannot be written ({error.strerror or error})",
            hint="make room, or choose another place with `bench report --output FILE`",
        ) from error
    finally:
        if draft:
            Path(draft).unlink(missing_ok=True)
    return target
