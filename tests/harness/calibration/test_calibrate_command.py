"""`bench calibrate` as it is typed, with real trials; for the ceiling and the stopped server something stands in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.calibration.ceiling import Ceiling, CeilingFailedError
from harness.calibration.folder import FILE_NAME, read_kept
from harness.calibration.stall import Stall
from harness.cli import run_command
from harness.commands import calibrate
from harness.trials import read_run

pytestmark = pytest.mark.end_to_end

PLAN = """\
name = "tiny"
seed = 1
blocks = 1
window_s = 1
budget_s = 10
[[cell]]
deployment = "flask-threaded"
scenario = "keep-alive"
clients = 1
[[cell]]
deployment = "flask-threaded"
scenario = "keep-alive"
clients = 1
twin = 1
"""
STALL = Stall(stalled_s=1.0, window_s=10.0, requests=1000, server_share=0.02, p95_us=501_000, p99_us=899_000)
CEILING = Ceiling(server="nginx", ours_us=(11.0,), peer="wrk", peer_us=(9.0,))


class TestCommand:
    """It measures, keeps, judges and exits; gone on with, it measures only what is missing."""

    def test_stopped_short_and_gone_on_with(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        measured: list[str] = []

        def stall(*_: object, **__: object) -> Stall:
            measured.append("stall")
            return STALL

        def fail(*_: object, **__: object) -> Ceiling:
            raise CeilingFailedError("nginx did not start")

        def ceiling(*_: object, **__: object) -> Ceiling:
            measured.append("ceiling")
            return CEILING

        monkeypatch.setattr(calibrate, "measure_stall", stall)
        monkeypatch.setattr(calibrate, "measure_ceiling", fail)
        plan = tmp_path / "tiny.toml"
        plan.write_text(PLAN)
        common = ["--state", str(tmp_path / "state"), "--json"]
        words = ["calibrate", "--plan", str(plan), "--out", str(tmp_path / "results"), "--stalls", "2", *common]

        assert run_command(words) == 1
        found = json.loads(capsys.readouterr().out)
        assert not found["good"]
        assert any(check["seen"] == "the generator's ceiling: nginx did not start" for check in found["checks"])
        folder = Path(found["folder"])
        trials = read_run(folder).trials
        assert len(trials) == 2
        assert read_kept(folder).stalls == (STALL, STALL)

        monkeypatch.setattr(calibrate, "measure_ceiling", ceiling)
        assert run_command(["calibrate", "--resume", str(folder), *common]) == 1  # one block is too few to tell
        found = json.loads(capsys.readouterr().out)
        assert measured == ["stall", "stall", "ceiling"]
        assert read_run(folder).trials == trials
        assert found["ceiling"]["peer"] == "wrk"
        outcomes = {check["subject"]: check["outcome"] for check in found["checks"]}
        assert outcomes["the generator's ceiling, against nginx"] == "as it should be"
        assert any(outcome == "cannot tell" for outcome in outcomes.values())

    def test_a_broken_file_is_bad_input(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run_command(["calibrate", "--resume", str(tmp_path)]) == 2
        assert "holds no run" in capsys.readouterr().err
        assert FILE_NAME not in {path.name for path in tmp_path.iterdir()}

    def test_a_plan_that_is_not_there_is_bad_input(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run_command(["calibrate", "--plan", "calibrat"]) == 2
        assert "calibrate" in capsys.readouterr().err
