"""`bench predict` on its own command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli import run_command
from harness.trials import Run
from tests.harness import synthetic
from tests.harness.report.runs import FLASK, quick_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    plan = replace(synthetic.plan("costs", blocks=6), window_s=1.0)
    return str(synthetic.write(tmp_path_factory.mktemp("costs"), synthetic.run(plan, drift=0.03)))


def test_says_what_a_load_takes(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--deployment", FLASK, "--rate", "2000", "--requests-per-connection", "10", "--rtt-ms", "20"]
    assert run_command(["predict", folder, *words]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("flask-threaded: 2,000 requests a second, 10 a connection, round trip 20 ms\n")
    for said in (
        "server CPU a request   2",
        "processors busy        0.5",
        "99 % under",
        "TCP and TLS 1.3",
        "1, 10 and 100",
    ):
        assert said in shown


def test_says_why_there_is_no_latency(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["predict", folder, "--deployment", FLASK, "--rate", "9000", "--cores", "1"]) == 0
    shown = capsys.readouterr().out
    assert "beyond capacity: a processor serves 4," in shown
    assert "99 % under" not in shown


def test_json(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["predict", folder, "--deployment", FLASK, "--rate", "100", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["deployment"] == FLASK
    assert shown["cpu_us_per_request"]["low"] < shown["cpu_us_per_request"]["estimate"]
    assert set(shown["latency_us"]) == {"mean", "p50", "p99", "is_least"}
    assert shown["beyond_capacity"] is None


def test_grid_of_one(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["predict", folder, "--grid", "--deployment", FLASK]) == 0
    shown = json.loads(capsys.readouterr().out)
    (found,) = shown["deployments"]
    shape = [len(values) for values in shown["axes"].values()]
    assert [len(found["p50_ms"]), len(found["p50_ms"][0]), len(found["p50_ms"][0][0])] == shape[:3]
    assert len(found["p50_ms"][0][0][0]) == shape[3]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rate", "5"], "--deployment is missing"),
        (["--deployment", FLASK], "--rate is missing"),
        (["--deployment", FLASK, "--rate", "nan"], "the rate is nan"),
        (["--deployment", FLASK, "--rate", "5", "--slow-share", "1.5"], "the share of slow requests is 1.5"),
        (["--deployment", FLASK, "--rate", "5", "--requests-per-connection", "0"], "it must be 1 or more"),
        (["--deployment", FLASK, "--rate", "5", "--clients", "few"], "'few' is not a valid integer"),
        (["--deployment", "flask-thraeded", "--rate", "5"], "did you mean 'flask-threaded'"),
        (["--grid", "--rtt-ms", "5"], "--grid has loads of its own; leave --rtt-ms out"),
    ],
)
def test_bad_input(folder: str, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["predict", folder, *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("bench: error: ")
    assert said in shown.err
    assert shown.err.count("\n") == 1


def test_a_run_without_the_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = quick_run()
    kept = tuple(trial for trial in run.trials if trial.scenario == "keep-alive")
    folder = synthetic.write(tmp_path, Run(run.header, kept))
    words = ["--deployment", FLASK, "--rate", "5", "--requests-per-connection", "3"]
    assert run_command(["predict", str(folder), *words]) == 2
    said = capsys.readouterr().err
    assert "lacks, of flask-threaded, new connections (full-handshake); `bench run costs`" in said
    assert run_command(["predict", str(folder), "--grid"]) == 2
    assert "no deployment of which requests on open and on new connections" in capsys.readouterr().err


def test_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["predict", str(tmp_path), "--deployment", FLASK, "--rate", "5"]) == 2
    assert "holds no run" in capsys.readouterr().err
