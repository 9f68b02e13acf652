"""The page in a real browser: it draws, asks nothing of any network, and fits a phone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from playwright.sync_api import Page as Tab

from harness.report.decisions import NEEDS
from harness.report.page import write_report
from harness.words import TIMES
from tests.harness import synthetic
from tests.harness.report.browsing import SIZES, Scheme, opened
from tests.harness.report.runs import QUART, crowded_costs, crowded_plan, hostile_run, quick_run, without


@pytest.fixture(scope="module")
def report(quick_page: Path) -> Path:
    return quick_page


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


NEEDS_AT_ONCE = 6  # of the seven that there are, whatever the run: visible without scrolling on a desk


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the report of a run of every deployment that there is."""
    run = synthetic.run(crowded_plan(), costs=crowded_costs())
    return write_report(synthetic.write(tmp_path_factory.mktemp("crowded"), run))


def whole_rows(tab: Tab) -> list[dict[str, str]]:
    """Return the needs whose row stands within the window: name, choice, result, range and flip."""
    found: list[dict[str, str]] = tab.evaluate(
        """[...document.querySelectorAll('.decisions tbody tr:not(.unranked)')]
           .filter((row) => row.getBoundingClientRect().bottom <= innerHeight)
           .map((row) => {
             const cell = (name) => row.querySelector(`td[data-label="${name}"]`).innerText.trim();
             return { need: row.querySelector('th .strong').innerText, take: cell('take'),
                      result: cell('over the next best'), sure: cell('how sure'), flips: cell('flips when') };
           })"""
    )
    return found


def test_all_of_the_first_screen_fits_a_desk(browser: Browser, report: Path) -> None:
    tab, _ = opened(browser, report, SIZES["desk"])
    assert tab.evaluate("document.querySelector('p.trust').getBoundingClientRect().bottom") <= 800
    assert len(whole_rows(tab)) == len(NEEDS)
    tab.close()


@pytest.mark.parametrize("run", ["report", "crowded"])
def test_six_needs_are_decided_without_scrolling(browser: Browser, run: str, request: pytest.FixtureRequest) -> None:
    tab, _ = opened(browser, request.getfixturevalue(run), SIZES["desk"])
    shown = whole_rows(tab)
    assert len(shown) >= NEEDS_AT_ONCE
    for row in shown:
        assert re.match(r"(flask|quart)-", row["take"])
        assert re.match(rf"\d[\d.]*\s{TIMES} |a tie", row["result"])
        assert re.search(r"(flask|quart)-", row["result"]), "the runner-up has a name"
        assert re.search(r"\d\.\d+ \N{EN DASH} \d+\.?\d*", row["sure"])
        assert row["flips"]
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tab.close()


def test_a_newcomer_reads_what_to_take_and_what_an_interval_is(browser: Browser, report: Path) -> None:
    tab, _ = opened(browser, report, SIZES["desk"])
    row = tab.locator("#need-many-short-connections")
    expect(row.locator("td").first).to_contain_text("flask-threaded")
    expect(row).to_contain_text("less CPU")
    explained = tab.locator("p.missing")
    expect(explained).to_contain_text("95 % interval")
    assert explained.evaluate("(text) => text.getBoundingClientRect().bottom") <= 800
    tab.close()


@pytest.mark.parametrize("run", ["report", "crowded"])
def test_each_need_is_a_card_on_a_phone(browser: Browser, run: str, request: pytest.FixtureRequest) -> None:
    tab, _ = opened(browser, request.getfixturevalue(run), SIZES["phone"])
    cards = tab.locator(".decisions tbody tr:not(.unranked)")
    assert cards.count() == len(NEEDS)
    bottoms: list[float] = []
    for number in range(len(NEEDS)):
        box = cards.nth(number).bounding_box()
        assert box is not None
        assert box["width"] > 330
        assert all(box["y"] > bottom for bottom in bottoms)
        bottoms.append(box["y"] + box["height"])
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tab.close()


def test_every_section_has_an_address(browser: Browser, report: Path) -> None:
    tab, _ = opened(browser, report, SIZES["desk"])
    tab.emulate_media(reduced_motion="reduce")  # else it scrolls smoothly, and the next address comes in between
    for link in tab.locator("nav a").all():
        address = link.get_attribute("href") or ""
        tab.goto(f"{report.as_uri()}{address}")
        expect(tab.locator(":target")).to_be_in_viewport()
    tab.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_on_the_first_screen_stands_out(browser: Browser, crowded: Path, scheme: Scheme) -> None:
    """WCAG 2.2 AA, success criterion 1.4.3: a contrast of 4.5 to 1 for text of ordinary size."""
    tab, _ = opened(browser, crowded, SIZES["desk"], scheme)
    faint = tab.evaluate(
        """() => {
          const rgb = (colour) => colour.match(/[0-9.]+/g).slice(0, 3).map(Number);
          const luminance = (colour) => {
            const [r, g, b] = rgb(colour).map((each) => each / 255)
              .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const behind = (element) => {
            for (let each = element; each; each = each.parentElement) {
              const colour = getComputedStyle(each).backgroundColor;
              if (!/, 0\\)$/.test(colour)) return colour;
            }
            return 'rgb(255, 255, 255)';
          };
          const found = [];
          for (const element of document.querySelectorAll('header *, section[aria-labelledby=decision] *')) {
            if (![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
            const pair = [getComputedStyle(element).color, behind(element)].map(luminance).sort((a, b) => b - a);
            const contrast = (pair[0] + 0.05) / (pair[1] + 0.05);
            if (contrast < 4.5) found.push(`${element.textContent.trim()}: ${contrast.toFixed(2)}`);
          }
          return found;
        }"""
    )
    assert faint == []
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
    expect(tab.locator("output[for='plot-time-slider']")).to_have_text("1,000")
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
