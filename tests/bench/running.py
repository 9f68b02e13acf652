"""Locust as a user starts it, in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    status: int
    output: str  # the log and the tables

    @property
    def failures(self) -> int:
        """In Locust's "Aggregated" row."""
        return int(self._aggregated(2))

    @property
    def requests(self) -> int:
        return int(self._aggregated(1))

    def row(self, name: str) -> int:
        """How many requests a row of the first table has; 0 when it has none."""
        found = re.search(rf"^\w+ +{re.escape(name)} +(\d+) +\d+\(", self.output, re.MULTILINE)
        return int(found[1]) if found else 0

    def _aggregated(self, group: int) -> str:
        found = re.search(r"Aggregated +(\d+) +(\d+)\(", self.output)
        assert found, self.output
        return found[group]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "locust", "-f", *arguments]


def environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}


def locust(*arguments: str, timeout_s: float = 60) -> Ended:
    done = subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    return Ended(done.returncode, done.stdout)
