"""What tests of the page share: a browser, and the pages of two kinds of run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from harness.handshakes.figures import append_block
from harness.report.page import write_report
from tests.harness import synthetic
from tests.harness.handshakes.synthetic_blocks import blocks
from tests.harness.report.browsing import chromium
from tests.harness.report.runs import crowded_costs, quick_run


# For a module, no longer: while it is there an event loop runs in this thread, and other tests start their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def quick_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a run of the plan quick, with handshakes in memory."""
    folder = synthetic.write(tmp_path_factory.mktemp("quick"), quick_run())
    for block in blocks():
        append_block(folder, block)
    return write_report(folder)


@pytest.fixture(scope="session")
def matrix_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a run of the plan matrix: every way to serve."""
    plan = replace(synthetic.plan("matrix"), window_s=0.1)
    run = synthetic.run(plan, costs=crowded_costs())
    return write_report(synthetic.write(tmp_path_factory.mktemp("matrix"), run))
