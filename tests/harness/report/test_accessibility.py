"""WCAG 2 A and AA, and what axe-core calls good practice; forced colours; tables that stay tables as cards."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect
from playwright.sync_api import Page as Tab

from tests.harness.report.browsing import SIZES, Scheme, opened

# The page's policy admits no script but its own; axe comes in by the debugger, which the policy does not bind.
RULES = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}


def violations(tab: Tab) -> list[str]:
    """Return what axe-core finds: the rule, and the first elements that break it."""
    found = Axe().run(tab, options=RULES).response["violations"]
    return [
        f"{rule['id']}: {rule['help']}: {node['html'][:160]} {node.get('failureSummary', '')[:300]}"
        for rule in found
        for node in rule["nodes"][:3]
    ]


def unfold(tab: Tab) -> None:
    """Open everything that is folded, and wait until what was packed is there."""
    folded = tab.locator("details:not([open]) > summary")
    while folded.count():
        folded.first.click()
    expect(tab.locator(".packed-html")).to_have_count(0)
    # Rows are all alike, and axe takes a minute for thousands of cells.
    tab.evaluate("for (const row of document.querySelectorAll('.data tbody tr:nth-child(n + 40)')) row.remove()")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("page", ["quick_page", "matrix_page"])
class TestAxeFindsNothing:
    def test_on_the_page(
        self, browser: Browser, page: str, size: str, scheme: Scheme, request: pytest.FixtureRequest
    ) -> None:
        tab, heard = opened(browser, request.getfixturevalue(page), SIZES[size], scheme)
        assert violations(tab) == []
        unfold(tab)
        assert violations(tab) == []
        assert heard.complaints == []
        tab.close()


def tables_of(tab: Tab) -> Iterator[Mapping[str, Any]]:
    """Yield the tables of the accessibility tree: what a screen reader is told."""
    session = tab.context.new_cdp_session(tab)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    by_id = {node["nodeId"]: node for node in nodes}

    def said(node: Mapping[str, Any], what: str) -> str:
        return str(node.get(what, {}).get("value", ""))

    def inside(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        for name in node.get("childIds", ()):
            child = by_id.get(name)
            if child is not None:
                yield child
                yield from inside(child)

    for node in nodes:
        if said(node, "role") == "table" and not node.get("ignored"):
            roles = [said(each, "role") for each in inside(node)]
            headings = [said(each, "name") for each in inside(node) if said(each, "role") == "columnheader"]
            yield {"name": said(node, "name"), "roles": roles, "headings": headings}


class TestCardsAreTables:
    """On a narrow screen three tables are shown as cards; a screen reader still reads rows, cells and headings."""

    @pytest.mark.parametrize(
        ("name", "headings"),
        [
            ("For each need", ["If you have (or want) …", "take", "over the next best"]),
            ("Server CPU of TLS and Digest", ["server CPU, ± 95 %"]),
            ("Predicted for your load", ["deployment", "half within", "99 % within"]),
        ],
    )
    def test_their_roles_are_those_of_a_wide_screen(
        self, browser: Browser, quick_page: Path, name: str, headings: list[str]
    ) -> None:
        seen = {}
        for size, viewport in SIZES.items():
            tab, _ = opened(browser, quick_page, viewport)
            expect(tab.locator("#what-if-panel")).to_be_visible()
            [seen[size]] = [table for table in tables_of(tab) if table["name"].startswith(name)]
            tab.close()
        wide, narrow = seen["desk"], seen["phone"]
        for role in ("row", "rowheader", "columnheader", "cell"):
            assert narrow["roles"].count(role) == wide["roles"].count(role) > 0, role
        assert narrow["headings"][: len(headings)] == headings


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as browsers compute them, "rgb(…)": WCAG 2, 1.4.11 wants 3 for graphics."""

    def luminance(colour: str) -> float:
        channels = [float(each) / 255 for each in re.findall(r"[\d.]+", colour)[:3]]
        red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
class TestForcedColours:
    """Windows' contrast themes replace the page's colours: what is drawn in them has to stay to be seen."""

    DRAWN = (
        (".decisions .strip .range", "stroke", ""),
        (".decisions .strip circle", "fill", ""),
        (".decisions .strip .one", "stroke", ""),
        (".decisions .symbol path", "stroke", ""),
        (".legend .symbol path", "stroke", ""),
        ("#plot-time .mark-rect path", "stroke", ""),
        ("#plot-handshake .mark-symbol path", "fill", ""),
        ("#plot-handshake .mark-text text", "fill", ""),
        (".what-if-bar", "backgroundColor", "::before"),
        (".what-if-bar", "backgroundColor", "::after"),
    )

    def test_everything_that_is_drawn_stands_out(self, browser: Browser, quick_page: Path, scheme: Scheme) -> None:
        tab, _ = opened(browser, quick_page, SIZES["desk"], scheme)
        tab.emulate_media(forced_colors="active", color_scheme=scheme)
        expect(tab.locator(".what-if-bar").first).to_be_attached()
        paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        faint = []
        for where, what, part in self.DRAWN:
            colours = tab.locator(where).evaluate_all(
                "(all, [what, part]) => all.map((one) => getComputedStyle(one, part || null)[what])", [what, part]
            )
            assert colours, where
            faint += [(where, part, colour) for colour in sorted(set(colours)) if contrast(colour, paper) < 3]
        assert faint == []
        tab.close()

    def test_sliders_move_and_show_where_they_are(self, browser: Browser, quick_page: Path, scheme: Scheme) -> None:
        tab, _ = opened(browser, quick_page, SIZES["desk"], scheme)
        tab.emulate_media(forced_colors="active", color_scheme=scheme)
        slider = tab.locator("#plot-time-slider")
        slider.scroll_into_view_if_needed()
        start = slider.screenshot()
        assert len(set(start)) > 1
        slider.press("End")
        expect(tab.locator("output[for='plot-time-slider']")).to_have_text("1,000")
        assert slider.screenshot() != start
        tab.close()
