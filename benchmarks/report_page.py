"""The report's page, as heavy as it gets: how soon there is something to see, and how soon the sliders answer.

The page is of a made-up run: every deployment that there is under everything of the plan full, six blocks. Headless
Chromium opens it from disk, each try in a context of its own. First contentful paint is the browser's own figure
(Performance API). A slider's answer is the time from its event until the frame after it is done, for each stop of each.
Goal: the first paint within 1 s, 95 % of the answers within 100 ms, medians of the tries; the page under 3 MB. 3 s a
try, and half a minute for making the page.

    python -m benchmarks.report_page [--tries N] [--fresh]
"""

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

from benchmarks.tries import Tries, parser
from harness.report.page import write_report
from tests.harness import synthetic
from tests.harness.report.browsing import SIZES, chromium
from tests.harness.report.runs import crowded_costs, everything_plan

PAINT_GOAL_MS, ANSWER_GOAL_MS, PAGE_GOAL_BYTES = 1000, 100, 3_000_000

PAINT = """() => new Promise((resolve) => {
  const found = (entries) => entries.find((entry) => entry.name === 'first-contentful-paint')?.startTime;
  const there = found(performance.getEntriesByType('paint'));
  if (there !== undefined) resolve(there);
  else new PerformanceObserver((list) => {
    const late = found(list.getEntries());
    if (late !== undefined) resolve(late);
  }).observe({ type: 'paint', buffered: true });
})"""

# A task that is posted within a frame runs once the frame is done.
ANSWERS = """async () => {
  const frame = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 0)));
  const took = [];
  for (const slider of document.querySelectorAll('input[type=range]')) {
    slider.scrollIntoView({ behavior: 'instant' });
    await frame();
    for (let stop = 0; stop <= Number(slider.max); stop += 1) {
      slider.value = stop;
      const began = performance.now();
      slider.dispatchEvent(new Event('input', { bubbles: true }));
      await frame();
      took.push(performance.now() - began);
    }
  }
  return took;
}"""


def one_try(browser: Browser, page: Path) -> dict[str, Any]:
    """Open the page and move each slider over all of its stops."""
    context = browser.new_context(viewport=SIZES["desk"])
    tab = context.new_page()
    tab.goto(page.as_uri())
    paint_ms: float = tab.evaluate(PAINT)
    tab.wait_for_selector("html[data-drawn]", state="attached")
    drawn_ms: float = tab.evaluate("performance.now()")
    tab.wait_for_selector("#what-if-panel[data-ready]")
    answers_ms: list[float] = tab.evaluate(ANSWERS)
    context.close()
    return {
        "page_bytes": page.stat().st_size,
        "first_paint_ms": round(paint_ms, 1),
        "all_drawn_ms": round(drawn_ms, 1),
        "answers": len(answers_ms),
        "answer_ms_p50": round(statistics.median(answers_ms), 1),
        "answer_ms_p95": round(statistics.quantiles(answers_ms, n=20)[-1], 1),
        "answer_ms_max": round(max(answers_ms), 1),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Try, print and compare with the goals. 1 when one was missed."""
    options = parser(__doc__, tries=10).parse_args(arguments)
    tries = Tries("report_page", fresh=options.fresh)
    if len(tries.done) < options.tries:
        with tempfile.TemporaryDirectory() as folder, chromium() as browser:
            run = synthetic.run(everything_plan(), costs=crowded_costs())
            page = write_report(synthetic.write(Path(folder) / "run", run))
            for number in tries.missing(options.tries):
                tries.keep(one_try(browser, page))
                print(f"{number + 1}: {tries.done[-1]}", flush=True)
    is_met = True
    for what, unit, goal in (
        ("page_bytes", "bytes", PAGE_GOAL_BYTES),
        ("first_paint_ms", "ms", PAINT_GOAL_MS),
        ("answer_ms_p95", "ms", ANSWER_GOAL_MS),
    ):
        values = [each[what] for each in tries.done]
        middle = statistics.median(values)
        is_met &= middle <= goal
        said = "met" if middle <= goal else "MISSED"
        print(f"{what:<15} {middle:,.0f} {unit} (up to {max(values):,.0f})   goal at most {goal:,}: {said}")
    return int(not is_met)


if __name__ == "__main__":
    raise SystemExit(main())
