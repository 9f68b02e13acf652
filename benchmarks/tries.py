"""Tries that are kept as they finish, a JSON line each, so that a long figure can be measured in pieces."""

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"


class Tries:
    """What has been tried so far, in a file of `benchmarks/results/`."""

    def __init__(self, name: str, *, fresh: bool = False, folder: Path = FOLDER) -> None:
        self._path = folder / f"{name}.jsonl"
        if fresh:
            self._path.unlink(missing_ok=True)
        self.done: list[dict[str, Any]] = []
        if self._path.exists():
            whole = self._path.read_bytes()
            whole = whole[: whole.rfind(b"\n") + 1]  # a torn last line is no try
            os.truncate(self._path, len(whole))
            self.done = [json.loads(line) for line in whole.splitlines()]

    def missing(self, wanted: int) -> Iterator[int]:
        """Yield the numbers of the tries that are still to be made, as long as there are fewer than wanted."""
        while len(self.done) < wanted:
            yield len(self.done)

    def keep(self, one: Mapping[str, Any]) -> None:
        """Write a finished try."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="ascii") as file:
            file.write(json.dumps(one) + "\n")
        self.done.append(dict(one))


def parser(doc: str | None, *, tries: int) -> argparse.ArgumentParser:
    """Make the parser that such a benchmark has; doc: its module's."""
    made = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    made.add_argument("--tries", type=int, default=tries, help="how many in all, those that are kept included")
    made.add_argument("--fresh", action="store_true", help="forget those that are kept")
    return made
