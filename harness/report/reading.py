"""A run's folder as reports read it: what is there, and what is not whole about it, in words.

`harness.trials.read_run` refuses a file with a line that is no trial, for it serves those who go on with a run or take
a verdict by it. A report is made from what is there; so here such a line is left out and named, and so is a torn end, a
run that is not finished, and handshakes that cannot be read. What holds no run at all is a `UserError`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import words
from harness.errors import UserError
from harness.handshakes import figures as handshakes
from harness.handshakes.figures import Block, read_blocks
from harness.trials import FILE_NAME, PACKED_NAME, Run, read_lines, salvage_run


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run as its folder holds it."""

    folder: Path
    run: Run
    blocks: tuple[Block, ...] = ()  # of handshakes in memory
    lacks: tuple[str, ...] = ()  # what is not whole; sentences without their full stop


def read_folder(path: Path) -> RunFolder:
    """Read a run's folder (or its trials.jsonl). Raises UserError if it holds no run that can be read."""
    folder = _folder(path)
    data, source = read_lines(folder)
    run, faults = salvage_run(data, source=str(source))
    lacks = [*_of_trials(data, run, [fault.removeprefix(f"{source}, ") for fault in faults], folder)]
    blocks: tuple[Block, ...] = ()
    try:
        blocks = read_blocks(folder)
    except UserError as error:  # the trials are a report without them
        said = error.what.removeprefix(f"{folder / handshakes.FILE_NAME}, ").removeprefix(f"{folder}/")
        lacks.append(f"handshakes in memory are left out, for {handshakes.FILE_NAME} cannot be used: {said}")
    else:
        lacks += _of_handshakes(run, blocks)
    return RunFolder(folder, run, blocks, tuple(lacks))


def _folder(path: Path) -> Path:
    if path.is_dir():
        return path
    if path.is_file():
        if path.name in {FILE_NAME, PACKED_NAME}:
            return path.parent
        raise UserError(f"{path} is not a folder", hint="give the folder that `bench run` printed")
    return path  # whose reading tells why


def _of_trials(data: bytes, run: Run, faults: list[str], folder: Path) -> Iterator[str]:
    if not data.endswith(b"\n"):
        yield f"the last line of {FILE_NAME} is torn: the trial that was being written is left out"
    if faults:
        found = words.count(len(faults), "line")
        cannot = "cannot be read and is" if len(faults) == 1 else "cannot be read and are"
        yield f"{found} of {FILE_NAME} {cannot} left out (such as: {faults[0]})"
    planned = run.header.planned_trials
    there = sum(not trial.is_searched for trial in run.trials)
    if there < planned:
        yield (
            f"the run is not finished: it has {there:,} of {words.count(planned, 'trial')} "
            f"(`bench run --resume {folder}` goes on with it)"
        )


def _of_handshakes(run: Run, blocks: tuple[Block, ...]) -> Iterator[str]:
    planned = run.header.plan.get("handshake_blocks")
    if not isinstance(planned, int) or len(blocks) >= planned:
        return
    if blocks:
        yield f"handshakes in memory are not finished: {len(blocks)} of {words.count(planned, 'block')}"
    else:
        yield f"handshakes in memory are missing: the plan has {words.count(planned, 'block')} of them, the folder none"
