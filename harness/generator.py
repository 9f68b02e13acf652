"""The load generator: Locust, told what a user would tell it, on a processor of its own.

It is a process of its own, and ends with this one, however this one ends: either a program (`Generator.start`), or a
fork of a process that has imported Locust already (`Generator.born`), which starts in a fifth of the time.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from harness.child import start_child
from harness.errors import UserError
from harness.line_process import ProcessFailedError
from harness.load import Load
from harness.nursery import Nursery
from harness.plan import SCENARIOS, Cell
from harness.recording import Slice

SILENCE_LIMIT_S = 20.0  # between two slices; importing Locust takes a third of a second on an idle processor
STOP_LIMIT_S = 10.0

# Locust reads any option from a variable of this prefix.
_NOT_INHERITED = "LOCUST_"


class GeneratorFailedError(Exception):
    """The generator did not do what it was started for; the message is one line."""


def locustfile(scenario: str) -> Path:
    """Return the file of a scenario in bench/. Raises UserError if the package is not installed."""
    if scenario not in SCENARIOS:
        raise ValueError(f"{scenario!r} is no scenario")
    spec = importlib.util.find_spec("bench")  # finds the package without importing it
    folders = list(spec.submodule_search_locations or []) if spec else []
    if not folders:
        raise UserError("the locustfiles in bench/ are not installed", hint="install with `pip install -e .`")
    return Path(folders[0]) / f"{scenario.replace('-', '_')}.py"


def command(arguments: Sequence[str]) -> list[str]:
    """Return the command that starts Locust with these arguments."""
    return [sys.executable, "-m", "locust", *arguments]


def locust_arguments(cell: Cell, *, url: str, state: Path, limit_s: int, record: Path, seed: int) -> list[str]:
    """Return what `locust` is told to make a cell's load and record it. seed: of the arrivals of an open load."""
    load = cell.load
    return [
        *("-f", str(locustfile(cell.scenario))),
        *("--headless", "--only-summary"),
        *("--loglevel", "WARNING"),
        *("--users", str(load.clients)),
        *("--spawn-rate", str(load.clients)),
        *("--run-time", f"{limit_s}s"),
        *("--stop-timeout", "0"),
        *("--host", url),
        *("--device-state", str(state.absolute())),
        *("--record", str(record)),
        *_arrivals(load, seed),
        *(("--requests-per-connection", f"{count}") if (count := cell.requests_per_connection) else ()),
    ]


def _arrivals(load: Load, seed: int) -> tuple[str, ...]:
    if not load.is_open:
        return ()
    return ("--rate", f"{load.rate_per_s!r}", "--arrivals", str(load.arrivals), "--arrivals-seed", f"{seed}")


class Process(Protocol):
    """What is asked of a generator's process; `subprocess.Popen` and `harness.nursery.Fork` are such."""

    def poll(self) -> int | None:
        """Return its exit status once it has ended."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""

    def terminate(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it."""


class Generator:
    """A running generator; leaving it as a context manager ends it. Raises GeneratorFailedError."""

    def __init__(self, process: Process, *, record: Path, log: Path) -> None:
        """Take one that was started. record, log: what it writes."""
        self._process = process
        self._record = RecordingTail(record)
        self._log = log
        self._wrote_s = time.monotonic()

    @classmethod
    def start(cls, argv: Sequence[str], *, record: Path, cpus: frozenset[int], log: Path) -> Self:
        """Start one as a program of its own."""
        with log.open("wb") as output:
            try:
                process = start_child(
                    argv,
                    cpus=cpus,
                    cwd=log.parent,  # Locust reads locust.conf and pyproject.toml of its current folder
                    env=_environment(os.environ),
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            except (OSError, subprocess.SubprocessError) as error:  # no process, or not on those processors
                raise GeneratorFailedError(f"it could not be started on processors {sorted(cpus)} ({error})") from error
        return cls(process, record=record, log=log)

    @classmethod
    def born(cls, nursery: Nursery, arguments: Sequence[str], *, record: Path, cpus: frozenset[int], log: Path) -> Self:
        """Start one as a fork of a process that has imported Locust already."""
        try:
            return cls(nursery.start(arguments, log=log, cpus=cpus), record=record, log=log)
        except ProcessFailedError as error:
            raise GeneratorFailedError(f"it could not be started on processors {sorted(cpus)} ({error})") from error

    def new_slices(self) -> list[Slice]:
        """Return what was recorded since the last call. Raises GeneratorFailedError if there will be no more."""
        slices = self._record.read()
        if slices:
            self._wrote_s = time.monotonic()
            return slices
        status = self._process.poll()
        if status is not None:
            raise GeneratorFailedError(self._ended_early(status))
        if time.monotonic() - self._wrote_s > SILENCE_LIMIT_S:
            raise GeneratorFailedError(f"it recorded nothing for {SILENCE_LIMIT_S:g} s{self._last_words()}")
        return []

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def stop(self) -> None:
        """Let it close its recording and end. Raises GeneratorFailedError if it does not."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired as error:
            raise GeneratorFailedError(f"it did not end within {STOP_LIMIT_S:g} s of SIGTERM") from error

    def _ended_early(self, status: int) -> str:
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        return f"it ended too early, with {how}{self._last_words()}"

    def _last_words(self) -> str:
        text = self._log.read_text(encoding="utf-8", errors="replace")
        lines = [line for line in text.splitlines() if line.strip()]
        return f": {lines[-1].strip()}" if lines else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


class RecordingTail:
    """Reads what a window is chosen by, of a recording that is still being written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[Slice]:
        """Return the slices since the last call; of each only its end, clients, requests, errors and latencies."""
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            return []
        if size == self._offset:
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        lines = [json.loads(line) for line in whole.splitlines()]
        return [_slice(line) for line in lines if "users" in line]  # else it is the first or the last line


def _slice(line: Mapping[str, Any]) -> Slice:
    latency_us = {
        name: {int(number): count for number, count in counts.items()} for name, counts in line["latency_us"].items()
    }
    return Slice(
        monotonic_ns=line["monotonic_ns"],
        users=line["users"],
        requests=line["requests"],
        errors=line["errors"],
        latency_us=latency_us,
    )


def _environment(inherited: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in inherited.items() if not name.startswith(_NOT_INHERITED)}
