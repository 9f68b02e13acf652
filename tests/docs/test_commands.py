"""Our own programs have the subcommands and options that the pages and the README name."""

import functools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import harness.cli
from tests.docs.pages import PAGES, console, spans

# Programs by the words that start them; True: the next word is a subcommand.
PROGRAMS = {
    ("python", "-m", "certs"): True,
    ("python", "-m", "digest_auth"): True,
    ("python", "-m", "flask_impl"): False,
    ("python", "-m", "quart_impl"): False,
    ("bench",): True,
}
SPECIAL = re.compile(r"\s(?:\||&&?|;|>)(?:\s|$)")  # where a shell's command ends


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    for command in (*console(page), *spans(page)):
        for program, options in named(command):
            shown = help_of(program)
            missing = [option for option in options if not re.search(rf"{option}(?![\w-])", shown)]
            assert not missing, f"{command}: {' '.join(program)} has no {missing}"


def test_a_wrong_command_would_be_found() -> None:
    assert list(named("python -m certs issue --out=tls | cat --wrong")) == [
        (("python", "-m", "certs", "issue"), ["--out"])
    ]
    with pytest.raises(AssertionError, match="invalid choice"):
        help_of(("python", "-m", "certs", "no-such-command"))


def named(command: str) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Programs of ours in a command line, each with its subcommand, and their options."""
    for part in SPECIAL.split(command):
        try:
            words = shlex.split(part)
        except ValueError:  # prose between backticks: an apostrophe
            continue
        for start, has_subcommands in PROGRAMS.items():
            if tuple(words[: len(start)]) != start:
                continue
            rest = words[len(start) :]
            program = start
            if has_subcommands and rest and re.fullmatch(r"[a-z-]*[a-z]", rest[0]) and not rest[0].startswith("-"):
                program = (*start, rest[0])
            yield program, [word.partition("=")[0] for word in rest if word.startswith("--")]


@functools.cache
def help_of(program: tuple[str, ...]) -> str:
    if program[0] == "bench":  # here and not in processes of its own, each of which loads numpy first
        answered = CliRunner().invoke(harness.cli.bench, [*program[1:], "--help"])
        assert answered.exit_code == 0, answered.output
        return answered.output
    bin_folder = Path(sys.executable).parent
    asked = subprocess.run(
        [bin_folder / program[0], *program[1:], "--help"], capture_output=True, text=True, check=False, timeout=30
    )
    assert asked.returncode == 0, asked.stderr
    return asked.stdout
