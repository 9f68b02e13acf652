"""docs/hypercorn.md says what Hypercorn does, and what ours does: both are asked again.

When Hypercorn has mended one of these, its cell is red here, and the page and perhaps a part of ours can go.
"""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.findings import question
from benchmarks.findings.hypercorn import FINDINGS, Server, find
from tests.docs.pages import ROOT

pytestmark = pytest.mark.end_to_end

ROW = re.compile(r"^\| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)
PAGE = (ROOT / "docs" / "hypercorn.md").read_text("utf-8")
SIZE = re.compile(r"(\d+) kB")


@pytest.mark.parametrize(("column", "which"), [(1, "hypercorn"), (2, "own")])
def test_the_table(column: int, which: str) -> None:
    said = {row[0]: row[column] for row in ROW.findall(PAGE)}

    def ask(finding: Callable[[Server], str]) -> tuple[str, str]:
        return question(finding), find(finding, which)

    with ThreadPoolExecutor(6) as pool:  # most of the time each of them waits for what does not come
        found = dict(pool.map(ask, FINDINGS))
    for asked, answer in found.items():
        size = SIZE.fullmatch(answer)
        if size is None:
            assert said[asked] == answer, asked
        else:  # by and large
            expected = SIZE.fullmatch(said[asked])
            assert expected is not None
            assert int(size[1]) <= 1.5 * int(expected[1]) + 10, asked
    assert len(found) == len(FINDINGS)
