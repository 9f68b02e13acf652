"""A process that is asked in lines: each answer belongs to its question, or there is none."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from harness.line_process import LineProcess, ProcessFailedError

ECHO = """
import json, sys, time
for line in sys.stdin:
    question = json.loads(line)
    time.sleep(question["wait_s"])
    print(json.dumps({"heard": question["word"]}), flush=True)
"""


@pytest.fixture
def echo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "echo_in_lines.py").write_text(ECHO)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "echo_in_lines"


def test_it_answers(echo: str) -> None:
    with LineProcess(echo, name="the echo", answer_limit_s=30.0) as process:
        for word in ("one", "two"):
            assert process.ask({"word": word, "wait_s": 0}) == {"heard": word}
        assert not process.has_ended


def test_a_late_answer_is_not_taken_for_the_next_one(echo: str) -> None:
    with LineProcess(echo, name="the echo", answer_limit_s=0.2) as process:
        with pytest.raises(ProcessFailedError, match=r"the echo did not answer within 0\.2 s"):
            process.ask({"word": "late", "wait_s": 60})
        deadline = time.monotonic() + 20
        while not process.has_ended:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with pytest.raises(ProcessFailedError, match="the echo ended"):
            process.ask({"word": "next", "wait_s": 0})


def test_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "falls_over.py").write_text("raise SystemExit('no such thing here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with (
        LineProcess("falls_over", name="the process", answer_limit_s=30.0) as process,
        pytest.raises(ProcessFailedError, match="the process ended: no such thing here"),
    ):
        process.ask({"word": "hello"})
