"""How a figure is said: units, digits, intervals, counts.

Figures arrive in SI-based base units (µs, requests per second, ratios) and leave as text that remembers what it was
made of; nothing else in the report formats a number. Two significant digits, three where the interval allows; an
interval never rounds to something that contradicts the verdict drawn from it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

from harness.statistics import Interval

THIN = "\u202f"  # narrow no-break space: between a number and its unit, and in ratios
TIMES = "\N{MULTIPLICATION SIGN}"
DASH = "\N{EN DASH}"  # between the ends of a range
NOT_KNOWN = DASH
FINE = 0.02  # an interval this narrow (half its width, relative) carries a third digit


class Said(str):
    """What is said of a measured number, and the number: text to read, and to save in a file for a program.

    It holds what the text tells and no more: a value, or the two ends of a range, or both. unit: of all three, whatever
    the text's own is ("µs" of "1.2 ms"); empty for ratios and counts. Part of a longer text it is text alone.
    """

    __slots__ = ("high", "low", "unit", "value")

    value: float | None
    low: float | None
    high: float | None
    unit: str

    def __new__(
        cls,
        text: str,
        value: float | None = None,
        *,
        low: float | None = None,
        high: float | None = None,
        unit: str = "",
    ) -> Self:
        """Say it so."""
        made = super().__new__(cls, text)
        made.value, made.low, made.high, made.unit = value, low, high, unit
        return made

    def noting(self, remark: str) -> Self:
        """Return the same with a remark behind it."""
        return self.__class__(self + remark, self.value, low=self.low, high=self.high, unit=self.unit)

    @classmethod
    def of(cls, interval: Interval, text: str, unit: str = "") -> Self:
        """Return text that says an interval: of too few blocks the estimate is all that is known."""
        if not interval.is_finite:
            return cls(text, interval.estimate if math.isfinite(interval.estimate) else None, unit=unit)
        return cls(text, interval.estimate, low=interval.low, high=interval.high, unit=unit)


def significant(value: float, digits: int = 2) -> Said:
    """Return the value rounded to so many significant digits, thousands grouped, without an exponent."""
    if not math.isfinite(value):
        return Said(NOT_KNOWN)
    if value == 0:
        return Said("0", 0.0)
    rounded = round(value, digits - 1 - _magnitude(value))  # may be a digit longer: 9.97 is 10
    return Said(at_decimals(rounded, digits - 1 - _magnitude(rounded)), value)


def at_decimals(value: float, decimals: int) -> Said:
    """Return the value rounded at a decimal place; negative places round whole numbers (-1: tens)."""
    rounded = round(value, decimals)
    text = f"{rounded:,.{max(0, decimals)}f}"
    if not rounded:
        text = text.lstrip("-")
    return Said(text.replace("-", "\u2212"), value)


def digits_for(interval: Interval) -> int:
    """Return how many significant digits the interval allows: three where it is narrow, otherwise two."""
    if not interval.is_finite or interval.estimate == 0:
        return 2
    return 3 if (interval.high - interval.low) / 2 <= FINE * abs(interval.estimate) else 2


def ratio(interval: Interval) -> Said:
    """Return "1.8 x" (with the sign), or "1.84 x" where the interval is narrow."""
    if not math.isfinite(interval.estimate):
        return Said(NOT_KNOWN)
    digits = digits_for(interval)
    if interval.excludes(1.0) and _rounds_to_one(interval.estimate, digits):
        digits = 3  # "1.0 times less" would deny the verdict
    return Said(f"{significant(interval.estimate, digits)}{THIN}{TIMES}", interval.estimate)


def ratio_range(interval: Interval) -> Said:
    """Return "1.7 - 1.9": more digits where fewer would touch a 1 that the interval excludes, or show no interval."""
    if not interval.is_finite:
        return Said("cannot tell")
    widest = max(interval.high, 1.0)
    decimals = 3 if interval.high < 0.2 else 2 if widest < 10 else 1 if widest < 100 else 0
    while (
        decimals < 4
        and interval.low < interval.high
        and round(interval.low, decimals) == round(interval.high, decimals)
    ):
        decimals += 1
    if interval.excludes(1.0):
        while decimals < 4 and (round(interval.low, decimals) <= 1.0 <= round(interval.high, decimals)):
            decimals += 1
    text = f"{at_decimals(interval.low, decimals)} {DASH} {at_decimals(interval.high, decimals)}"
    return Said(text, low=interval.low, high=interval.high)


def ratio_with_range(interval: Interval) -> Said:
    """Return "1.8 x (1.7 - 1.9)"."""
    return Said.of(interval, f"{ratio(interval)} ({ratio_range(interval)})")


def microseconds(value: float, digits: int = 2) -> Said:
    """Return a time given in µs with the unit that reads best: "230 µs", "1.2 ms", "3.4 s"."""
    if not math.isfinite(value):
        return Said(NOT_KNOWN)
    scale, unit = _time_unit(value, digits)
    return Said(f"{significant(value / scale, digits)}{THIN}{unit}", value, unit="µs")


def microseconds_between(interval: Interval) -> Said:
    """Return "412 ± 9 µs", both rounded at the place that the interval supports; too few blocks give no interval."""
    if not math.isfinite(interval.estimate):
        return Said(NOT_KNOWN)
    if not interval.is_finite:
        return Said.of(interval, f"{microseconds(interval.estimate)}, no interval", "µs")
    half = (interval.high - interval.low) / 2
    scale, unit = _time_unit(interval.estimate, 3)
    decimals = _decimals_of_error(half / scale, interval.estimate / scale)
    estimate = at_decimals(interval.estimate / scale, decimals)
    return Said.of(interval, f"{estimate} ±{THIN}{at_decimals(half / scale, decimals)}{THIN}{unit}", "µs")


def microseconds_range(low: float, high: float, digits: int = 2) -> Said:
    """Return "1.5 - 1.8 ms", each end with its own unit where they differ."""
    low_text, high_text = microseconds(low, digits), microseconds(high, digits)
    if low_text.value is None and high_text.value is None:
        return Said(NOT_KNOWN)
    unit = high_text.rpartition(THIN)[2]
    text = f"{low_text.removesuffix(f'{THIN}{unit}')} {DASH} {high_text}"
    return Said(text, low=low_text.value, high=high_text.value, unit="µs")


def per_second(interval: Interval) -> Said:
    """Return "4,100 /s"."""
    said = significant(interval.estimate, digits_for(interval))
    return Said(f"{said}{THIN}/s", said.value, unit="/s")


def rate(per_s: float | None) -> Said:
    """Return "4,100 /s" of a rate that was set, or a dash."""
    return Said(f"{significant(per_s, 3)}{THIN}/s", per_s, unit="/s") if per_s else Said(NOT_KNOWN)


def megabytes(size: float) -> Said:
    """Return "72 MB" of a size in bytes."""
    return Said(f"{significant(size / 1e6)}{THIN}MB", size / 1e6, unit="MB")


def between(interval: Interval, *, scale: float = 1.0, unit: str = "") -> Said:
    """Return the interval alone, both ends with the same, sufficient digits: "403 - 421". unit: after scaling."""
    if not interval.is_finite:
        return Said("cannot tell")
    half = (interval.high - interval.low) / 2 / scale
    decimals = _decimals_of_error(half, interval.estimate / scale)
    low, high = interval.low / scale, interval.high / scale
    return Said(f"{at_decimals(low, decimals)} {DASH} {at_decimals(high, decimals)}", low=low, high=high, unit=unit)


def percent(share: float) -> Said:
    """Return "3 %" or "0.4 %" for a share of 1."""
    if not math.isfinite(share):
        return Said(NOT_KNOWN)
    return Said(f"{significant(100 * share, 1 if abs(share) < 0.1 else 2)}{THIN}%", 100 * share, unit="%")


def count(number: int, singular: str, plural: str | None = None) -> str:
    """Return "1 trial", "48 trials"."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def listed(items: Sequence[str], *, last: str = "and") -> str:
    """Return "a", "a and b", "a, b and c"."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"


def shortened(items: Sequence[str], most: int) -> str:
    """Return the same, naming so many at most: "a, b and 5 others"."""
    if len(items) <= most:
        return listed(items)
    named = items[: most - 1]
    return listed([*named, count(len(items) - len(named), "other")])


def capitalised(text: str) -> str:
    """Return the text with its first letter raised and the others as they are."""
    return text[:1].upper() + text[1:]


def _magnitude(value: float) -> int:
    return math.floor(math.log10(abs(value)))


def _rounds_to_one(value: float, digits: int) -> bool:
    return round(value, digits - 1 - _magnitude(value)) == 1.0


def _time_unit(value_us: float, digits: int) -> tuple[float, str]:
    # What rounds to 1,000 µs is 1 ms.
    size = abs(round(value_us, digits - 1 - _magnitude(value_us))) if value_us else 0.0
    if size < 1e3:
        return 1.0, "µs"
    return (1e3, "ms") if size < 1e6 else (1e6, "s")


def _decimals_of_error(half: float, estimate: float) -> int:
    """Return the place of the error's first digit; of its second after a 1; at most the estimate's fourth."""
    finest = 3 - _magnitude(estimate) if estimate else 3
    if half <= 0:
        return finest
    place = -_magnitude(half)
    return min(finest, place + 1 if half * 10.0**place < 2 else place)
