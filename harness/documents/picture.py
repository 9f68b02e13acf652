"""The picture of a report's first screen, as a reader's browser shows it. It needs what the tests need."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Final

from playwright.sync_api import Error, sync_playwright

from harness.errors import UserError
from harness.outlines import REPORT_NAME
from harness.report import page
from harness.report.reading import RunFolder
from harness.report.writing import write_whole

WIDTH, HEIGHT = 1280, 800  # px: the screen that the first screen is made for
_PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome")
# Whoever runs this in a container or as root has no sandbox of the kernel's; the page is our own, and asks no network.
_QUIET: Final = ("--no-sandbox", "--hide-scrollbars")


def take(found: RunFolder, target: Path) -> None:
    """Write a picture (PNG) of the first screen of a run's report. Raises UserError."""
    chromium = next((path for name in _PROGRAMS if (path := shutil.which(name))), None)
    if chromium is None:
        raise UserError("the picture takes chromium, which is not installed", hint="apt install chromium")
    with tempfile.TemporaryDirectory() as folder:
        report = write_whole(Path(folder) / REPORT_NAME, page.render(found.run, found.blocks, found.lacks))
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=list(_QUIET))
                shown = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
                shown.goto(report.as_uri())
                shown.screenshot(path=target)
                browser.close()
        except (Error, OSError) as error:  # no such folder, a browser that does not start
            raise UserError(
                f"{target}: no picture could be taken ({error})", hint="does `chromium --version` work?"
            ) from error
