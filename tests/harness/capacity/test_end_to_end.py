"""A search on a real server: each finished step is kept, the next follows from it, and the report says how far it came.

The capacity itself is nothing to assert: it is the machine's, and here it is shared with other tests.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.capacity.reading import searches_in
from harness.trials import read_run
from tests.harness.test_run_end_to_end import Bench, all_gone

pytestmark = pytest.mark.end_to_end

PLAN = """\
name = "searching"
seed = 1
blocks = 1
window_s = 1
budget_s = 10

[[cell]]
deployment = "flask-threaded"
scenario = "keep-alive"
clients = 16

[[capacity]]
deployment = "flask-threaded"
scenario = "keep-alive"
clients = 16
p99_ms = 50
"""


def sitting(bench: Bench, trials: int) -> str:
    """Let a run come so far, stop it, and return what it said."""
    children = bench.until_trials(trials)
    bench.send(signal.SIGTERM)
    status, _, err = bench.finish()
    assert status == 128 + signal.SIGTERM, err
    assert all_gone(children)
    return err


def test_stopped_gone_on_with_and_reported(tmp_path: Path) -> None:
    (tmp_path / "searching.toml").write_text(PLAN, encoding="utf-8")
    # A search has at least three trials, on however loud a machine.
    said = sitting(Bench(tmp_path, "searching.toml"), 2)
    assert "capacity of flask-threaded keep-alive c16 p99<50ms" in said
    folder = next(tmp_path.glob("results/*"))
    before = read_run(folder).trials
    sitting(Bench(tmp_path, "--resume", str(folder)), 3)
    run = read_run(folder)
    assert len(run.trials) > len(before)
    assert run.trials[: len(before)] == before

    (searched,) = searches_in(run)
    assert "another version" not in searched.unfinished
    assert [trial.block for trial in searched.trials] == list(range(len(run.trials) - 1))
    assert all(trial.load.is_open and trial.window_s > 0.9 for trial in searched.trials)
    closed, first = run.trials[0], searched.trials[0]
    assert first.load.rate_per_s == pytest.approx(0.93 * closed.requests_per_s, rel=0.005)
    assert first.lateness_us  # once for each arrival, which is what a backlog is counted by

    report = subprocess.run(
        [Path(sys.executable).parent / "bench", "report", str(folder)], capture_output=True, text=True, check=True
    )
    assert str(folder) in report.stdout
    assert "How does it bend under load?" in (folder / "report.html").read_text("utf-8")
