"""Section: what breaks it? The place of the fault table."""

from __future__ import annotations

from harness.report.content import Section

ANCHOR, QUESTION = "faults", "What breaks it?"


def section() -> Section:
    """Say that nothing was broken on purpose, and where the page tells of what broke by itself."""
    return Section(
        ANCHOR,
        QUESTION,
        "Not measured: this run broke nothing on purpose. No client stalled, no worker was killed, no certificate ran "
        "out and no store was down while it measured.",
        notes=(
            (
                "Requests that failed by themselves keep a deployment from being chosen: the table on the first screen "
                "names it with their number, and the table of all trials gives their reasons."
            ),
            (
                "What a silent client or a renewed certificate does to each deployment stands in the section on "
                "abilities: seen in tests, without a figure."
            ),
        ),
    )
