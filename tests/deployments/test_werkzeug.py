"""docs/deployments.md says what Werkzeug's accepting thread waits for: it is asked again.

When Werkzeug has mended it, a cell is red here, and the warning of flask-werkzeug can go.
"""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.findings import question
from benchmarks.findings.werkzeug import FINDINGS, find
from tests.docs.pages import ROOT

pytestmark = pytest.mark.end_to_end

ROW = re.compile(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
PAGE = (ROOT / "docs" / "deployments.md").read_text("utf-8")
SECONDS = re.compile(r"after \d+ s")  # the kernel's timers, and what the machine is late


COLUMNS = ("comes", "threads", "queue")


def test_the_table() -> None:
    said = {row[0]: row[1:] for row in ROW.findall(PAGE)}
    with ThreadPoolExecutor(len(COLUMNS) * len(FINDINGS)) as pool:  # most of the time each of them waits
        asked = {finding: [pool.submit(find, finding, which) for which in COLUMNS] for finding in FINDINGS}
    for finding, answers in asked.items():
        found = [SECONDS.sub("after some s", each.result()) for each in answers]
        assert found == [SECONDS.sub("after some s", cell) for cell in said[question(finding)]], question(finding)
