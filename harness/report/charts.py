"""The plots, as Vega-Lite made by Altair.

Every colour is a CSS custom property, so that a drawing follows light, dark and print without being drawn again. Widths
are the page's (`container`), heights are steps of what is drawn; the name of a line stands above it, which leaves the
whole width to the figures on a phone too. A plot holds no figure that its section's tables do not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

INK = "var(--ink)"
MUTED = "var(--muted)"
GRID = "var(--grid)"
PAPER = "var(--paper)"
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif'
NAME_PX = 20  # the name of a line, above what is drawn on it
DOT_PX = 14  # one series on a line
BAR_PX = 22
SMALL_PX = 190  # the height of one of several small plots
AXIS_PX = 41  # a horizontal axis with its title, below what is drawn
TITLE_PX = 21  # a vertical axis' title, above it
NUMBER = ",~f"  # thousands grouped, never an exponent
REQUESTS = "requests"  # the parameter: requests per connection
REQUEST_STEPS = (1, 2, 5, 10, 20, 50, 100, 1000)

Spec = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Series:
    """Something that is drawn several times: its name and how it looks."""

    label: str
    colour: str
    shape: str = "circle"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of one bar. `shared`: it is paid once a connection, and shown shared over the connection's requests."""

    bar: str
    part: str
    amount: float
    said: str
    shared: bool = False


@dataclass(frozen=True, slots=True)
class WholeBar:
    """What a bar's parts should add up to, as it was measured. `connection`: of it, paid once a connection."""

    bar: str
    each: float
    connection: float
    half: float = 0.0  # half the interval's width; at one request a connection: half_new
    half_new: float = 0.0


@dataclass(frozen=True, slots=True)
class Dot:
    """A figure with its interval, on a line of its own or beside others."""

    line: str
    series: str
    value: float
    low: float
    high: float
    said: str  # the tooltip


@dataclass(frozen=True, slots=True)
class Strip:
    """One kind of trial, block by block, on a line that it shares with others."""

    line: str
    series: str
    about: str  # the tooltip, before the block and the figure
    blocks: tuple[int, ...]
    values: tuple[float, ...]  # %


@dataclass(frozen=True, slots=True)
class FamilyDot:
    """A figure with its interval, on a line that others share; its hue is its family's."""

    line: str
    family: str  # "flask", "quart", "other"
    series: str
    value: float
    low: float
    high: float
    said: str  # the tooltip


@dataclass(frozen=True, slots=True)
class LoadPoint:
    """A figure at a number of clients."""

    series: str
    clients: int
    value: float
    low: float
    high: float
    said: str
    note: str = ""  # written above the point
    note_below: bool = False  # written below it instead


@dataclass(frozen=True, slots=True)
class RatePoint:
    """A figure at a rate of arrivals."""

    series: str
    rate_per_s: float
    value: float
    held: bool  # False: drawn hollow
    said: str
    note: str = ""  # written beside the point, at its left


def stacked_bars(
    parts: Sequence[Part], looks: Sequence[Series], *, title: str, wholes: Sequence[WholeBar] = ()
) -> Spec:
    """Draw one bar for each name, its parts stacked in the order of `looks`, the shortest bar first.

    The connection's parts are divided by the parameter `requests`. Wholes are drawn upon their bars, with intervals.
    """
    bars = list(dict.fromkeys(part.bar for part in parts))
    order = {series.label: position for position, series in enumerate(looks)}
    whole_of = {whole.bar: whole for whole in wholes}
    rows: list[dict[str, Any]] = [
        {
            "bar": part.bar,
            "part": part.part,
            "amount": max(0.0, part.amount),
            "shared": part.shared,
            "order": order[part.part],
            "said": part.said,
        }
        for part in parts
    ]
    for row in rows:  # one row of each bar carries its whole
        whole = whole_of.pop(row["bar"], None)
        if whole is not None:
            row.update(each_whole=whole.each, connection=whole.connection, half=whole.half, half_new=whole.half_new)
    totals = [math.fsum(max(0.0, part.amount) for part in parts if part.bar == bar) for bar in bars]
    totals += [whole.each + whole.connection + whole.half_new for whole in wholes]
    # The axis stays that of one request per connection, so that moving the slider moves the bars and not the scale.
    x_scale = alt.Scale(domain=[0, max(totals) * 1.08], nice=False)
    band = 2 * NAME_PX + BAR_PX  # the bar in the middle, its name above
    y = _named_lines("bar", sort=alt.EncodingSortField(field="each", op="sum", order="ascending"), band=band)
    base = (
        alt.Chart(_data(rows))
        .transform_calculate(each=f"datum.shared ? datum.amount / {REQUESTS} : datum.amount")
        .transform_joinaggregate(total="sum(each)", groupby=["bar"])
        .transform_calculate(
            whole=f"isValid(datum.each_whole) ? datum.each_whole + datum.connection / {REQUESTS} : null",
            reach=f"isValid(datum.half) ? datum.half + (datum.half_new - datum.half) / {REQUESTS} : 0",
        )
        .transform_calculate(
            low="isValid(datum.whole) ? datum.whole - datum.reach : null",
            high="isValid(datum.whole) ? datum.whole + datum.reach : null",
            end="max(datum.total, isValid(datum.whole) ? datum.whole + datum.reach : 0)",
            shown="isValid(datum.whole) ? datum.whole : datum.total",
        )
    )
    stacks = base.mark_bar(height=BAR_PX, stroke=PAPER, strokeWidth=1).encode(
        x=alt.X("each:Q", stack="zero", axis=_x_axis(title), scale=x_scale),
        y=y,
        color=_colours("part", looks),
        order=alt.Order("order:Q"),
        tooltip=alt.Tooltip("said:N"),
    )
    # One text a bar: the others of its rows stay invisible, for a filtered copy of the data would lose the bars' order.
    sums = base.mark_text(align="left", dx=8, fontSize=13).encode(
        x=alt.X("end:Q", scale=x_scale, axis=_x_axis(title)),
        y=y,
        text=alt.Text("shown:Q", format=",.0f"),
        color=alt.value(INK),
        opacity=alt.condition(alt.datum.order == 0, alt.value(1), alt.value(0)),
    )
    layers = [stacks, sums]
    if wholes:
        x_axis = _x_axis(title)
        layers.append(
            base.mark_rule(strokeWidth=2).encode(
                x=alt.X("low:Q", scale=x_scale, axis=x_axis), x2="high:Q", y=y, color=alt.value(INK)
            )
        )
        layers.append(
            base.mark_point(filled=True, size=60, opacity=1, shape="diamond", stroke=PAPER, strokeWidth=1).encode(
                x=alt.X("whole:Q", scale=x_scale, axis=x_axis), y=y, color=alt.value(INK)
            )
        )
    chart = alt.layer(*layers).add_params(alt.param(name=REQUESTS, value=1))
    return finished(chart, len(bars) * band)


def log_dots(points: Sequence[Dot], looks: Sequence[Series], *, title: str) -> Spec:
    """Draw a line for each name, in the order given, with a dot and its interval for each series, on a log axis."""
    lines = list(dict.fromkeys(point.line for point in points))
    used = [series for series in looks if any(point.series == series.label for point in points)]
    scale = _log_scale(points)
    x_axis = _x_axis(title, logarithmic=scale)
    band = NAME_PX + DOT_PX * len(used) + 4
    shared: dict[str, Any] = {
        "y": _named_lines("line", sort=lines, band=band),
        "yOffset": _below_name(used, band=band),
        "color": _colours("series", used),
        "tooltip": alt.Tooltip("said:N"),
    }
    base = alt.Chart(_data([_point_row(point, line=point.line) for point in points]))
    intervals = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", scale=scale, axis=x_axis), x2="high:Q", **shared)
    values = base.mark_point(filled=True, size=80, opacity=1).encode(
        x=alt.X("value:Q", scale=scale, axis=x_axis), shape=_shapes(used), **shared
    )
    return finished(alt.layer(intervals, values), len(lines) * band)


def family_colour(family: str) -> str:
    """Return the hue of a family of deployments."""
    return f"var(--{family}-1)"


def family_dots(points: Sequence[FamilyDot], looks: Sequence[Series], *, title: str) -> Spec:
    """Draw a line for each name, in the order given, with all of its series beside each other, on a log axis.

    A series is told by its shape (`looks`), a family by its hue.
    """
    lines = list(dict.fromkeys(point.line for point in points))
    families = list(dict.fromkeys(point.family for point in points))
    scale = _log_scale(points)
    x_axis = _x_axis(title, logarithmic=scale)
    band = NAME_PX + DOT_PX + 2
    hues = alt.Scale(domain=families, range=[family_colour(family) for family in families])
    shared: dict[str, Any] = {
        "y": _named_lines("line", sort=lines, band=band),
        "color": alt.Color("family:N", scale=hues, legend=None),
        "tooltip": alt.Tooltip("said:N"),
    }
    base = alt.Chart(_data([_point_row(point, line=point.line, family=point.family) for point in points]))
    down = band / 2 - DOT_PX / 2 - 1  # from the line's middle to below its name
    intervals = base.mark_rule(strokeWidth=2, yOffset=down).encode(
        x=alt.X("low:Q", scale=scale, axis=x_axis), x2="high:Q", **shared
    )
    values = base.mark_point(filled=True, size=70, opacity=1, yOffset=down).encode(
        x=alt.X("value:Q", scale=scale, axis=x_axis), shape=_shapes(looks), **shared
    )
    return finished(alt.layer(intervals, values), len(lines) * band)


def strips(those: Sequence[Strip], looks: Sequence[Series], *, title: str) -> Spec:
    """Draw a line for each name with all of its figures, each series below the other, around a rule at zero.

    There are as many figures as trials: what those of a kind share stands once, and their tooltips are put together
    when they are drawn.
    """
    lines = list(dict.fromkeys(one.line for one in those))
    x_axis = _x_axis(title)
    band = NAME_PX + DOT_PX * len(looks) + 4
    rows = [
        {
            "line": one.line,
            "series": one.series,
            "about": one.about,
            "block": list(one.blocks),
            "value": list(one.values),
        }
        for one in those
    ]
    figures = (
        alt.Chart(_data(rows))
        .transform_flatten(["block", "value"])
        .transform_calculate(said="datum.about + ', block ' + datum.block + ': ' + format(datum.value, '.2r') + ' %'")
        .mark_point(filled=True, size=45, opacity=0.75)
        .encode(
            x=alt.X("value:Q", axis=x_axis),
            y=_named_lines("line", sort=lines, band=band),
            yOffset=_below_name(looks, band=band),
            color=_colours("series", looks),
            shape=_shapes(looks),
            tooltip=alt.Tooltip("said:N"),
        )
    )
    zero = alt.Chart(_data([{"zero": 0}])).mark_rule(color=MUTED, strokeDash=[2, 3])
    return finished(alt.layer(zero.encode(x=alt.X("zero:Q", axis=x_axis)), figures), len(lines) * band)


def against_clients(
    points: Sequence[LoadPoint],
    looks: Sequence[Series],
    *,
    title: str,
    domain: tuple[float, float] | None = None,
) -> Spec:
    """Draw a figure against the number of clients (a log axis): from zero, or on a log axis over `domain`."""
    used = [series for series in looks if any(point.series == series.label for point in points)]
    loads = sorted({point.clients for point in points})
    rows = [
        {**_point_row(point), "clients": point.clients, "note": point.note, "below": point.note_below}
        for point in points
    ]
    x_scale = alt.Scale(type="log", domain=[loads[0] / 1.6, loads[-1] * 1.6], nice=False)
    x_axis = alt.Axis(title="clients (log axis)", values=loads, grid=False, format=NUMBER, labelFlush=False)
    if domain is None:
        y_scale, y_axis = alt.Scale(zero=True, nice=True), _y_axis(title)
    else:
        y_scale = alt.Scale(type="log", domain=list(domain), nice=False)
        y_axis = _y_axis(f"{title} (log axis)", values=_log_ticks(*domain))
    shared: dict[str, Any] = {
        "x": alt.X("clients:Q", scale=x_scale, axis=x_axis),
        "color": _colours("series", used),
        "tooltip": alt.Tooltip("said:N"),
    }
    base = alt.Chart(_data(rows))
    y = alt.Y("value:Q", scale=y_scale, axis=y_axis)
    layers = [
        base.mark_line(strokeWidth=2).encode(y=y, **shared),
        base.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q", scale=y_scale, axis=y_axis), y2="high:Q", **shared),
        base.mark_point(filled=True, size=80, opacity=1).encode(y=y, shape=_shapes(used), **shared),
    ]
    for below in sorted({point.note_below for point in points}):
        text = alt.condition(alt.datum.below == below, alt.Text("note:N"), alt.value(""))
        notes = base.mark_text(dy=14 if below else -13, fontSize=12)
        end = alt.Y("low:Q" if below else "high:Q", scale=y_scale, axis=y_axis)
        layers.append(notes.encode(y=end, x=shared["x"], text=text, color=alt.value(INK)))
    return finished(alt.layer(*layers), SMALL_PX, above=TITLE_PX)


def against_rate(
    points: Sequence[RatePoint],
    looks: Sequence[Series],
    *,
    title: str,
    highest_per_s: float,
    domain: tuple[float, float],
    limit: float,
    capacity: tuple[float, str] | None = None,
) -> Spec:
    """Draw a figure on a log axis over `domain` against the rate, from zero to `highest_per_s`.

    limit: a horizontal rule, which no line may cross. capacity: a vertical one, and what is written at its top.
    """
    rows = [
        {
            "series": point.series,
            "rate": point.rate_per_s,
            "value": point.value,
            "held": point.held,
            "said": point.said,
            "note": point.note,
        }
        for point in points
    ]
    x_scale = alt.Scale(domain=[0, highest_per_s], nice=False)
    x_axis = alt.Axis(title="requests/s that come", tickCount=5, grid=False, format=NUMBER, labelFlush=False)
    y_scale = alt.Scale(type="log", domain=list(domain), nice=False, clamp=True)
    y_axis = _y_axis(f"{title} (log axis)", values=_log_ticks(*domain))
    x, y = alt.X("rate:Q", scale=x_scale, axis=x_axis), alt.Y("value:Q", scale=y_scale, axis=y_axis)
    shared: dict[str, Any] = {"x": x, "y": y, "color": _colours("series", looks)}
    base = alt.Chart(_data(rows))
    tip = alt.Tooltip("said:N")
    rule = alt.Chart(_data([{"value": limit}])).mark_rule(color=MUTED, strokeDash=[2, 3]).encode(y=y)
    layers = [
        rule,
        base.mark_line(strokeWidth=2).encode(**shared),
        base.mark_point(size=60, opacity=1, strokeWidth=1.5).encode(
            **shared,
            shape=_shapes(looks),
            fill=alt.condition(alt.datum.held, _fills("series", looks), alt.value(PAPER)),
            tooltip=tip,
        ),
        base.mark_text(dx=-8, align="right", fontSize=12).encode(x=x, y=y, text="note:N", color=alt.value(INK)),
    ]
    if capacity is not None:
        mark = alt.Chart(_data([{"rate": capacity[0], "value": domain[1], "note": capacity[1]}]))
        layers.append(mark.mark_rule(color=INK, strokeWidth=1.5).encode(x=x))
        right = capacity[0] < highest_per_s / 4
        layers.append(
            mark.mark_text(
                align="left" if right else "right", baseline="top", dx=6 if right else -6, fontSize=12
            ).encode(x=x, y=y, text="note:N", color=alt.value(INK))
        )
    return finished(alt.layer(*layers), SMALL_PX, above=TITLE_PX)


def finished(chart: alt.Chart | alt.LayerChart | alt.FacetChart, height: int, *, above: int = 0) -> Spec:
    """Return the specification of a chart that is as wide as its place on the page, and how high that is in all.

    height: of what the axes enclose; above: of what stands over it. The page reserves the whole before it draws, so
    that nothing moves below it.
    """
    spec: Spec = (
        chart.properties(
            width="container", height=height, autosize=alt.AutoSizeParams(type="fit-x", contains="padding")
        )
        .configure(background="transparent", font=FONT, padding=2)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK,
            titleColor=MUTED,
            gridColor=GRID,
            domainColor=GRID,
            tickColor=GRID,
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
            titlePadding=8,
            labelLimit=0,
            titleLimit=0,
        )
        .to_dict()
    )
    spec["usermeta"] = {"height": above + height + AXIS_PX}
    return spec


def _data(rows: list[dict[str, Any]]) -> alt.InlineData:
    return alt.InlineData(values=rows)


def _point_row(point: Dot | FamilyDot | LoadPoint, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - what Vega takes: any JSON
    # An interval that is not known is not drawn: its rule has no length.
    low = point.low if math.isfinite(point.low) else point.value
    high = point.high if math.isfinite(point.high) else point.value
    return {"series": point.series, "value": point.value, "low": low, "high": high, "said": point.said, **more}


def _named_lines(field: str, *, sort: Any, band: int) -> alt.Y:  # noqa: ANN401 - a list or an EncodingSortField
    """Return an axis of lines, each `band` high, with its name in the band's upper part."""
    axis = alt.Axis(
        title=None,
        domain=False,
        ticks=False,
        labelAlign="left",
        labelPadding=0,
        labelOffset=NAME_PX // 2 - band / 2,
        labelFontSize=13,
        zindex=1,
    )
    return alt.Y(f"{field}:N", sort=sort, axis=axis, scale=alt.Scale(padding=0))


def _below_name(looks: Sequence[Series], *, band: int) -> alt.YOffset:
    scale = alt.Scale(range=[NAME_PX, band - 2], padding=0.5)
    return alt.YOffset("series:N", sort=[series.label for series in looks], scale=scale)


def _x_axis(title: str, *, logarithmic: alt.Scale | None = None) -> alt.Axis:
    if logarithmic is None:
        return alt.Axis(title=title, tickCount=6, format=NUMBER, titleAnchor="start", domain=False)
    low, high = logarithmic.domain
    return alt.Axis(
        title=f"{title} (log axis)", values=_log_ticks(low, high), format=NUMBER, titleAnchor="start", domain=False
    )


def _y_axis(title: str, *, values: Sequence[float] | None = None) -> alt.Axis:
    more: dict[str, Any] = {"tickCount": 5} if values is None else {"values": list(values)}
    return alt.Axis(
        title=title,
        format=NUMBER,
        domain=False,
        ticks=False,
        titleAngle=0,
        titleAlign="left",
        titleAnchor="end",
        titleBaseline="bottom",
        titleX=0,
        titleY=-8,
        **more,
    )


def _log_scale(points: Iterable[Dot | FamilyDot | LoadPoint]) -> alt.Scale:
    low, high = log_domain(points)
    return alt.Scale(type="log", domain=[low, high], nice=False)


def log_domain(points: Iterable[Dot | FamilyDot | LoadPoint]) -> tuple[float, float]:
    """Return a log axis that holds all points with their intervals, and a little room."""
    known = list(points)
    lows = [value for point in known for value in (point.low, point.value) if math.isfinite(value) and value > 0]
    highs = [value for point in known for value in (point.high, point.value) if math.isfinite(value) and value > 0]
    if not lows:
        return 1.0, 10.0
    return min(lows) / 1.25, max(highs) * 1.25


def _log_ticks(low: float, high: float) -> list[float]:
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high / low < 1000 else (1,)
    ticks = [step * 10.0**exponent for exponent in exponents for step in steps]
    return [tick for tick in ticks if low <= tick <= high]


def _colours(field: str, looks: Sequence[Series]) -> alt.Color:
    scale = alt.Scale(domain=[series.label for series in looks], range=[series.colour for series in looks])
    return alt.Color(f"{field}:N", scale=scale, legend=None)


def _fills(field: str, looks: Sequence[Series]) -> alt.Fill:
    scale = alt.Scale(domain=[series.label for series in looks], range=[series.colour for series in looks])
    return alt.Fill(f"{field}:N", scale=scale, legend=None)


def _shapes(looks: Sequence[Series]) -> alt.Shape:
    scale = alt.Scale(domain=[series.label for series in looks], range=[series.shape for series in looks])
    return alt.Shape("series:N", scale=scale, legend=None)
