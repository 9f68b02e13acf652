"""The lowest times of a piece of work that does the same each time."""

from __future__ import annotations

import pytest

from harness.undisturbed import least_disturbed


@pytest.mark.parametrize(
    ("times", "expected"), [([7.0], 7.0), ([9.0, 7.0, 8.0, 7.5, 9.5], 7.0), ([5.0, 90.0, 6.0, 80.0, 70.0, 60.0], 5.5)]
)
def test_the_lowest_fifth(times: list[float], expected: float) -> None:
    assert least_disturbed(times) == expected


def test_what_disturbs_most_of_them_changes_nothing() -> None:
    quiet = [100.0 + number / 100 for number in range(15)]
    disturbed = [each * (1.8 if number > 2 else 1) for number, each in enumerate(quiet)]
    assert least_disturbed(disturbed) == least_disturbed(quiet)
