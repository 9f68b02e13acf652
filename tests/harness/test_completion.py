"""What shells offer at TAB: asked as click's scripts ask, and by a real bash with its keys pressed."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import deployments
from harness.cli import run_command
from harness.commands.completion import SHELLS
from harness.plan_files import built_in_plans
from tests.harness import synthetic

BENCH = Path(sys.executable).parent / "bench"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with two runs in results/, of which `2026…` is the later one."""
    plan = synthetic.plan("smoke")
    for name in ("2025-11-24T080000-smoke", "2026-01-02T080000-smoke"):
        synthetic.write(tmp_path / "results" / name, synthetic.run(plan))
    (tmp_path / "results" / "no-run").mkdir()
    return tmp_path


def last_word_of_bash(line: str) -> str:
    """Its `$2`, seen with version 5.2: an @ begins a word, = and : end one."""
    return re.split(r"(?=@)|[\s=:]", line)[-1]


def offered(shell: str, line: str, folder: Path) -> list[str]:
    """What the program answers a shell in which `line` was typed: the values alone."""
    words = shlex.split(line)
    if line.endswith(" "):
        words.append("")
    asked = {
        "bash": {"COMP_LINE": line, "COMP_WORD": last_word_of_bash(line)},
        "zsh": {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)},
        "fish": {"COMP_WORDS": line, "COMP_CWORD": words[-1]},
    }[shell]
    answered = subprocess.run(
        [BENCH],
        env={**os.environ, **asked, "_BENCH_COMPLETE": f"{shell}_complete"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert answered.stderr == ""
    lines = answered.stdout.splitlines()
    if shell == "zsh":  # type, value, help in turn
        return [value.replace("\\:", ":") for value in lines[1::3]]
    return [line.partition(",")[2].partition("\t")[0] for line in lines]


class TestOffered:
    @pytest.mark.parametrize("shell", SHELLS)
    @pytest.mark.parametrize(
        ("typed", "expected"),
        [
            ("bench co", ["compare", "completion"]),
            ("bench --v", ["--version"]),
            ("bench doctor --j", ["--json"]),
            ("bench run s", ["smoke"]),
            ("bench run ", list(built_in_plans())),
            ("bench serve flask-thr", ["flask-threaded", "flask-threaded-pyopenssl"]),
            ("bench serve --tls 1.", ["1.2", "1.3", "1.2+1.3"]),
            ("bench list quart-hyp", [name for name in deployments.names() if name.startswith("quart-hyp")]),
            ("bench report ", ["results/2026-01-02T080000-smoke", "results/2025-11-24T080000-smoke"]),
            ("bench run --resume results/2025", ["results/2025-11-24T080000-smoke"]),
            ("bench completion z", ["zsh"]),
            (
                "bench predict results/2026-01-02T080000-smoke --deployment ",
                ["flask-threaded", "quart-hypercorn-asyncio"],
            ),
        ],
    )
    def test_by_every_shell(self, shell: str, typed: str, expected: list[str], here: Path) -> None:
        assert offered(shell, typed, here) == expected

    def test_bash_gets_what_follows_the_place_where_it_splits(self, here: Path) -> None:
        assert offered("bash", "bench serve flask-waitress@ng", here) == ["@nginx"]
        assert offered("bash", "bench serve flask-waitress@", here) == [
            name.removeprefix("flask-waitress") for name in deployments.names() if name.startswith("flask-waitress@")
        ]
        assert offered("zsh", "bench serve flask-waitress@ng", here) == ["flask-waitress@nginx"]

    def test_a_wrong_command_is_no_traceback_in_the_middle_of_a_line(self, here: Path) -> None:
        assert "run" in offered("bash", "bench no-such-command ", here)

    def test_folders_are_left_to_the_shell_where_no_run_begins_so(self, tmp_path: Path) -> None:
        assert offered("bash", "bench report else", tmp_path) == ["else"]  # of type dir


class TestScript:
    @pytest.mark.parametrize("shell", SHELLS)
    def test_says_how_to_install_it_and_is_data_alone(self, shell: str, capfd: pytest.CaptureFixture[str]) -> None:
        assert run_command(["completion", shell]) == 0
        shown = capfd.readouterr()
        assert shown.err == ""
        assert f"bench completion {shell}" in shown.out.partition("\n\n")[0]
        assert "_BENCH_COMPLETE" in shown.out
        assert re.match("#compdef bench\n" if shell == "zsh" else "# Completion", shown.out)

    def test_another_shell(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run_command(["completion", "tcsh"]) == 2
        assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in capsys.readouterr().err

    @pytest.mark.parametrize("shell", SHELLS)
    def test_the_shell_itself_finds_no_fault_in_it(self, shell: str, tmp_path: Path) -> None:
        program = shutil.which(shell)
        if program is None:
            pytest.skip(f"{shell} is not installed: its script is click's own, word for word")
        script = tmp_path / "script"
        script.write_text(
            subprocess.run([BENCH, "completion", shell], capture_output=True, text=True, check=True).stdout
        )
        checked = subprocess.run([program, "-n", script], capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")


class Bash:
    """A bash at a terminal of its own, in a folder, that has read the script."""

    def __init__(self, folder: Path) -> None:
        bash = shutil.which("bash")
        assert bash is not None
        self._process_end, end = pty.openpty()
        path = f"{BENCH.parent}:{os.environ['PATH']}"
        self._process = subprocess.Popen(
            [bash, "--norc", "--noprofile", "-i"],
            stdin=end,
            stdout=end,
            stderr=end,
            cwd=folder,
            env={**os.environ, "PATH": path, "PS1": "> ", "TERM": "dumb", "INPUTRC": "/dev/null", "HISTFILE": ""},
            start_new_session=True,
        )
        os.close(end)
        self._send('eval "$(bench completion bash)"; echo rea""dy\n')
        self._until("ready")

    def completed(self, typed: str) -> str:
        """Type, press TAB, and return the whole words that bash has now, as its own `echo` says them."""
        self._send(f"{typed}\t")
        self._send("\x01printf '<%s>' \x05\n")  # to the line's start, `printf` before it, to its end
        shown = self._until(r"(?m)^(?:<[^\n<>]*>)+")
        return " ".join(re.findall(r"<([^<>]*)>", re.findall(r"(?m)^(?:<[^\n<>]*>)+", shown)[-1]))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._process_end)

    def _send(self, text: str) -> None:
        os.write(self._process_end, text.encode())

    def _until(self, pattern: str, limit_s: float = 30) -> str:
        shown, deadline = "", time.monotonic() + limit_s
        while not re.search(pattern, shown):
            assert time.monotonic() < deadline, shown
            if select.select([self._process_end], [], [], 0.2)[0]:
                shown += os.read(self._process_end, 65536).decode(errors="replace").replace("\r", "")
        return shown


class TestInBash:
    """The script in a real one, which splits words at @ and = before anybody is asked."""

    @pytest.mark.parametrize(
        ("typed", "becomes"),
        [
            ("bench calib", "bench calibrate"),
            ("bench serve flask-waitress@ng", "bench serve flask-waitress@nginx"),
            ("bench report results/2025", "bench report results/2025-11-24T080000-smoke"),
            ("bench run mat", "bench run matrix"),
            ("bench serve --tls=1.3", "bench serve --tls=1.3"),
            ("bench serve --tls=of", "bench serve --tls=off"),
            ("bench handshakes --deployment=flask-waitress@ng", "bench handshakes --deployment=flask-waitress@nginx"),
            ("bench probe --ca-f", "bench probe --ca-file"),
        ],
    )
    def test_tab(self, typed: str, becomes: str, here: Path) -> None:
        if shutil.which("bash") is None:
            pytest.skip("bash is not installed")
        bash = Bash(here)
        try:
            assert bash.completed(typed) == becomes
        finally:
            bash.close()
