"""How deployments are called on the page, and which colour and shape each has, everywhere.

Flask is one hue and Quart another; within a family deployments differ by shade and by shape, so that colour alone
never tells two apart. The hues are CSS custom properties (page.css defines them for light, dark and print), so that
one drawing serves all three.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deployments import DeploymentError, DeploymentName, find
from harness import words
from harness.measured import Contender
from harness.report.charts import Series
from harness.report.content import Mark

# Vega's symbols, and the same as SVG paths in a box of 16 for the page's own legends.
SYMBOLS: Mapping[str, str] = {
    "circle": "M2 8a6 6 0 1 0 12 0a6 6 0 1 0 -12 0Z",
    "square": "M2.7 2.7h10.6v10.6h-10.6Z",
    "triangle-up": "M8 2L14.5 13.5H1.5Z",
    "diamond": "M8 1L14 8L8 15L2 8Z",
    "cross": "M6 2h4v4h4v4h-4v4h-4v-4h-4v-4h4Z",
    "triangle-down": "M8 14L1.5 2.5H14.5Z",
    "triangle-right": "M14 8L2.5 14.5V1.5Z",
    "triangle-left": "M2 8L13.5 1.5V14.5Z",
}
SHAPES = tuple(SYMBOLS)
LONGEST_CAUTION = 80  # characters; the whole warning stands in the section on abilities
SHADES = 4  # custom properties --flask-1 … --flask-4, --quart-1 …, --other-1 …


@dataclass(frozen=True, slots=True)
class Look:
    """How a contender is drawn."""

    colour: str  # a CSS colour: "var(--flask-1)"
    shape: str  # one of Vega's symbols


class Names:
    """Labels and looks of a run's contenders."""

    def __init__(self, contenders: Sequence[Contender]) -> None:
        self._deployments = Counter(contender.deployment for contender in contenders)
        seen: Counter[str] = Counter()
        looks: dict[Contender, Look] = {}
        for position, contender in enumerate(contenders):
            group = family(contender.deployment)
            looks[contender] = Look(
                colour=f"var(--{group}-{seen[group] % SHADES + 1})", shape=SHAPES[position % len(SHAPES)]
            )
            seen[group] += 1
        self._looks: Mapping[Contender, Look] = looks
        self.families = frozenset(seen)

    def label(self, contender: Contender) -> str:
        """Return the deployment's name, with threads and workers where the run has it with several of them."""
        if self._deployments[contender.deployment] < 2:
            return contender.deployment
        return f"{contender.deployment} ({set_up(contender)})"

    def look(self, contender: Contender) -> Look:
        """Return how it is drawn; always the same on a page."""
        return self._looks[contender]

    def labels(self, contenders: Sequence[Contender]) -> list[str]:
        """Return several labels."""
        return [self.label(contender) for contender in contenders]


def set_up(contender: Contender) -> str:
    """Return what runs the requests: "16 threads", "one event loop, 2 workers"."""
    threads = (
        _concurrency(contender.deployment) if contender.threads is None else words.count(contender.threads, "thread")
    )
    return threads if contender.workers == 1 else f"{threads}, {words.count(contender.workers, 'worker')}"


def family(deployment: str) -> str:
    """Return "flask", "quart" or "other": which hue a deployment has."""
    try:
        app = DeploymentName.parse(deployment).app
    except DeploymentError:
        return "other"  # a run of another version, or someone's own
    return app if app in {"flask", "quart"} else "other"


def server_of(deployment: str) -> str:
    """Return the name of a deployment's server; empty for what is no deployment's name."""
    try:
        return DeploymentName.parse(deployment).server
    except DeploymentError:
        return ""


def about(deployment: str) -> str:
    """Return half a line on what a deployment is; empty for one that this version does not know."""
    try:
        return find(deployment).summary
    except DeploymentError:
        return ""


def warning(deployment: str) -> str:
    """Return why a careful engineer would think twice of a deployment; empty where nothing is known to say."""
    try:
        return find(deployment).warning or ""
    except DeploymentError:
        return ""


def caution(deployment: str) -> str:
    """Return the first part of a deployment's warning, short enough for a cell; "…" where there is more of it."""
    whole = warning(deployment)
    first = whole.partition("; ")[0].partition(" (")[0]
    if len(first) > LONGEST_CAUTION:
        first = first[:LONGEST_CAUTION].rsplit(" ", 1)[0]
    return first if first == whole else f"{first.rstrip(',')} …"


def legend(contenders: Sequence[Contender], names: Names) -> tuple[Mark, ...]:
    """Return the legend of a plot that draws these contenders."""
    return tuple(mark(contender, names) for contender in contenders)


def mark(contender: Contender, names: Names) -> Mark:
    """Return how a contender is drawn, with what it is."""
    look = names.look(contender)
    return Mark(
        names.label(contender), look.colour, look.shape, about(contender.deployment), warning(contender.deployment)
    )


def series(contenders: Sequence[Contender], names: Names) -> tuple[Series, ...]:
    """Return the same for a plot."""
    return tuple(
        Series(names.label(contender), names.look(contender).colour, names.look(contender).shape)
        for contender in contenders
    )


def _concurrency(deployment: str) -> str:
    try:
        return find(deployment).threads.meaning
    except DeploymentError:
        return "no threads to set"
