"""What was found of one thing, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Standing(StrEnum):
    """How one thing stands."""

    GOOD = "good"
    MIND = "mind"  # it can be measured like this; the figures suffer, or something is refused
    MISSING = "missing"  # it is not installed


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of what is told."""

    subject: str
    standing: Standing
    seen: str
    advice: str = ""  # what to do, and what for; empty: nothing
    in_the_way: bool = False  # before it is put right nothing can be measured that would be worth keeping


def good(subject: str, seen: str) -> Finding:
    """Nothing has to be done."""
    return Finding(subject, Standing.GOOD, seen)


def mind(subject: str, seen: str, advice: str, *, in_the_way: bool = False) -> Finding:
    """Something is to be known before measuring, or to be put right."""
    return Finding(subject, Standing.MIND, seen, advice, in_the_way)


def missing(subject: str, seen: str, advice: str, *, in_the_way: bool = False) -> Finding:
    """Something is to be installed."""
    return Finding(subject, Standing.MISSING, seen, advice, in_the_way)


def obstacles(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Return what stands in the way of measuring, by subject, each once."""
    return tuple(dict.fromkeys(finding.subject for finding in findings if finding.in_the_way))
