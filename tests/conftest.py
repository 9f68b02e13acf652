"""With REQUIRE_ALL=1 a skip is a failure: nothing that CI should have run may be passed over in silence."""

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("REQUIRE_ALL") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped, which REQUIRE_ALL=1 does not allow: {report.longrepr}"
    return report
