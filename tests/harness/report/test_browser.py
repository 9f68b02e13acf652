"""The page in a real browser: it draws, asks nothing of any network, and fits a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, ViewportSize, expect, sync_playwright
from playwright.sync_api import Page as Tab

from harness.handshakes.figures import append_block
from harness.report import write_report
from tests.harness import synthetic
from tests.harness.handshakes.synthetic_blocks import blocks
from tests.harness.report.runs import QUART, hostile_run, quick_run, without
from tests.requirements import require_program

SIZES = {"phone": ViewportSize(width=390, height=844), "desk": ViewportSize(width=1280, height=800)}
Scheme = Literal["light", "dark"]
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@dataclass
class Heard:
    """What a browser complained of or asked for."""

    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = require_program("chromium", "chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=list(QUIET))
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = synthetic.write(tmp_path_factory.mktemp("run"), quick_run())
    for block in blocks():
        append_block(folder, block)
    return write_report(folder)


def opened(browser: Browser, path: Path, size: ViewportSize, scheme: Scheme = "light") -> tuple[Tab, Heard]:
    """Open a file and wait until everything is drawn."""
    tab = browser.new_page(viewport=size, color_scheme=scheme)
    heard = Heard()
    tab.on("console", lambda message: heard.complaints.append(message.text))
    tab.on("pageerror", lambda error: heard.complaints.append(str(error)))
    tab.on("request", lambda request: heard.requests.append(request.url))
    tab.goto(path.as_uri())
    tab.wait_for_selector("html[data-drawn]", state="attached")
    return tab, heard


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_draws_without_a_word_and_without_a_network(browser: Browser, report: Path, size: str, scheme: Scheme) -> None:
    tab, heard = opened(browser, report, SIZES[size], scheme)
    plots = tab.locator(".plot")
    assert plots.count() >= 7
    for number in range(plots.count()):
        assert plots.nth(number).locator("svg .mark-symbol path, svg .mark-rect path").count() > 0
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert heard.complaints == []
    assert heard.requests == [report.as_uri()]
    tab.close()


def test_the_decision_needs_no_scrolling_on_a_desk(browser: Browser, report: Path) -> None:
    tab, _ = opened(browser, report, SIZES["desk"])
    assert tab.evaluate("document.querySelector('p.trust').getBoundingClientRect().bottom") <= 800
    assert tab.locator(".decisions tbody tr").count() == 6
    tab.close()


def test_each_need_is_a_card_on_a_phone(browser: Browser, report: Path) -> None:
    tab, _ = opened(browser, report, SIZES["phone"])
    cards = tab.locator(".decisions tbody tr")
    assert cards.count() == 6
    for number in range(6):
        box = cards.nth(number).bounding_box()
        assert box is not None
        assert box["width"] > 330
    tab.close()


def test_plots_follow_the_window_and_the_scheme(browser: Browser, report: Path) -> None:
    tab, _ = opened(browser, report, SIZES["desk"])
    fill = "getComputedStyle(document.querySelector('#plot-handshake .mark-symbol path')).fill"
    light = tab.evaluate(fill)
    svg = tab.locator("#plot-handshake svg")
    expect(svg).to_have_attribute("width", re.compile(r"9\d\d"))
    tab.set_viewport_size(SIZES["phone"])
    expect(svg).to_have_attribute("width", re.compile(r"3[0-8]\d"))
    tab.emulate_media(color_scheme="dark")
    assert tab.evaluate(fill) != light
    tab.close()


def test_the_slider_shares_the_handshake(browser: Browser, report: Path) -> None:
    tab, heard = opened(browser, report, SIZES["desk"])
    total = tab.locator("#plot-time .mark-text.role-mark text[opacity='1']").first
    before = int(total.text_content() or "")
    slider = tab.locator("#plot-time-slider")
    slider.focus()
    slider.press("End")
    expect(tab.locator("output")).to_have_text("1,000")
    expect(total).not_to_have_text(str(before))
    assert int(total.text_content() or "") < before / 2
    assert heard.complaints == []
    tab.close()


def test_downloads_come_out_of_the_page(browser: Browser, report: Path) -> None:
    tab, _ = opened(browser, report, SIZES["desk"])
    with tab.expect_download() as download:
        tab.click("a[download='trials.csv']")
    text = Path(download.value.path()).read_text("utf-8")
    assert text.startswith("order,block,deployment")
    tab.close()


def test_a_thin_run_draws_without_complaint(browser: Browser, tmp_path: Path) -> None:
    run = without(quick_run(), lambda trial: trial.deployment == QUART or trial.block > 0)
    path = write_report(synthetic.write(tmp_path / "thin", run))
    tab, heard = opened(browser, path, SIZES["phone"])
    assert heard.complaints == []
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tab.close()


def test_markup_from_a_trial_stays_text(browser: Browser, tmp_path: Path) -> None:
    path = write_report(synthetic.write(tmp_path / "hostile", hostile_run()))
    dialogs: list[str] = []
    tab, heard = opened(browser, path, SIZES["desk"])
    tab.on("dialog", lambda dialog: dialogs.append(dialog.message))
    tab.locator("#plot-handshake .mark-symbol path").first.hover()
    expect(tab.locator("#vg-tooltip-element.visible")).to_be_visible()
    assert tab.locator("img").count() == 0
    assert (heard.complaints, dialogs) == ([], [])
    tab.close()
