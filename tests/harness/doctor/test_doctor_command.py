"""`bench doctor` as it is typed; the facts are given."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from harness.cli import run_command
from harness.commands import doctor
from harness.doctor import examination
from harness.doctor.examination import Examination, all_findings, examine
from harness.doctor.findings import obstacles
from harness.doctor.installed import Lack, Manager
from harness.doctor.watching import CannotWatchError, watch
from harness.pinning import Pinning
from tests.harness.doctor.facts import EXAMINATION, INSTALLED, MACHINE

CADDY = Lack(name="caddy", package="caddy", manager=Manager.APT, deployments=("flask-waitress@caddy",))
GRANIAN = Lack(name="granian", package="granian", manager=Manager.PIP, deployments=("flask-granian",))
LACKING = replace(EXAMINATION, installed=replace(INSTALLED, lacks=(CADDY, GRANIAN)))
HIDDEN = replace(EXAMINATION, machine=replace(MACHINE, clocks_refusal="/proc is hidden"))


def given(monkeypatch: pytest.MonkeyPatch, facts: Examination) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: facts)


class TestCommand:
    def test_a_good_machine(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        given(monkeypatch, EXAMINATION)
        assert run_command(["doctor"]) == 0
        shown = capsys.readouterr()
        assert shown.err == "watching the processors for 3 seconds\n"
        *rows, empty, last = shown.out.splitlines()
        assert all(row.startswith("good ") for row in rows)
        assert (empty, last) == ("", "nothing stands in the way of measuring: bench run")

    def test_what_is_missing(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        """A deployment that cannot be served is no reason not to measure others."""
        given(monkeypatch, LACKING)
        assert run_command(["doctor"]) == 0
        lines = capsys.readouterr().out.splitlines()
        row = next(number for number, line in enumerate(lines) if line.startswith("missing  caddy "))
        assert lines[row].endswith("not installed; it is needed for flask-waitress@caddy")
        assert lines[row + 1].strip() == "-> apt-get install caddy"
        assert lines[-5:-1] == ["All that is missing:", "  pip install granian", "  apt-get install caddy", ""]

    def test_something_is_in_the_way(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        given(monkeypatch, HIDDEN)
        assert run_command(["doctor"]) == 1
        assert capsys.readouterr().out.splitlines()[-1] == "in the way of measuring: CPU clocks"

    def test_json(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        given(monkeypatch, LACKING)
        assert run_command(["doctor", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["can_measure"], told["in_the_way"]) == (True, [])
        assert told["install"] == {"pip": "pip install granian", "apt-get": "apt-get install caddy"}
        (caddy,) = (each for each in told["findings"] if each["subject"] == "caddy")
        assert caddy == {
            "subject": "caddy",
            "standing": "missing",
            "seen": "not installed; it is needed for flask-waitress@caddy",
            "advice": "apt-get install caddy",
            "in_the_way": False,
        }
        assert told["facts"]["machine"]["allowed"] == [0, 1, 2, 3]
        assert told["facts"]["watched"]["processors"][0]["pace"]["pieces"] == 1480

    def test_json_of_what_is_in_the_way(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        given(monkeypatch, HIDDEN)
        assert run_command(["doctor", "--json"]) == 1
        told = json.loads(capsys.readouterr().out)
        assert (told["can_measure"], told["in_the_way"]) == (False, ["CPU clocks"])

    def test_bad_usage(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run_command(["doctor", "nginx"]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err == ("bench: error: Got unexpected extra argument (nginx); see `bench doctor --help`\n")


class TestExamination:
    def test_of_this_machine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whatever is found, it can be told."""

        def shortly(pinning: Pinning, *, seconds: float) -> object:
            del seconds
            return watch(pinning, seconds=0.1)

        monkeypatch.setattr(examination, "watch", shortly)
        facts = examine()
        findings = all_findings(facts)
        assert {"processors", "open files", "clock", "Python", "deployments"} <= {each.subject for each in findings}
        assert json.loads(json.dumps(doctor._to_json(facts, findings)))["facts"]["watch_failure"] is None

    def test_without_proc_nothing_is_watched(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(examination, "read_machine", lambda _pinning: HIDDEN.machine)
        monkeypatch.setattr(examination, "watch", None)  # not called
        facts = examine()
        assert (facts.watched, facts.watch_failure) == (None, None)
        assert "CPU clocks" in obstacles(all_findings(facts))

    def test_processors_that_cannot_be_watched_are_in_the_way(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_pinning: Pinning, *, seconds: float) -> None:
            raise CannotWatchError(f"nothing for {seconds:.0f} s")

        monkeypatch.setattr(examination, "watch", refuse)
        facts = examine()
        assert facts.watched is None
        findings = all_findings(replace(facts, machine=MACHINE, installed=INSTALLED))
        assert obstacles(findings) == ("whether it is quiet",)
