"""A recording that is still being written, for what is measured without a trial."""

from __future__ import annotations

from pathlib import Path

from harness.recording import Slice, read_recording


def slices_so_far(record: Path) -> tuple[Slice, ...]:
    """Return the whole slices that are there; none before the recording's first line. Raises RecordingError."""
    try:
        begun = b"\n" in record.read_bytes()
    except FileNotFoundError:
        return ()
    return read_recording(record).slices if begun else ()
