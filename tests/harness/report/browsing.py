"""A page in a tab of a real browser, and what the browser said of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, ViewportSize, sync_playwright
from playwright.sync_api import Page as Tab

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


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's Chromium for the block."""
    path = require_program("chromium", "chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(QUIET))
        yield started
        started.close()


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
