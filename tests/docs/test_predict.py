"""docs/predict.md, typed: the commands print what the page shows, but for their figures, from a run that is made up."""

import re
import shlex
from pathlib import Path

import pytest

from harness.cli import run_command
from tests.docs.pages import ROOT, transcripts
from tests.harness import synthetic

PAGE = ROOT / "docs" / "predict.md"
FIGURE = re.compile(r"\d[\d,.]*")


def masked(text: str) -> str:
    return re.sub(r"\s+", " ", FIGURE.sub("#", text)).strip()


def test_commands_print_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    synthetic.write(tmp_path / "results" / "RUN", synthetic.run(synthetic.plan("costs"), drift=0.03))
    monkeypatch.chdir(tmp_path)
    shown = list(transcripts(PAGE))
    assert len(shown) == 2
    for command, output in shown:
        assert run_command(shlex.split(command)[1:]) == 0
        assert masked(capsys.readouterr().out) == masked(output)
