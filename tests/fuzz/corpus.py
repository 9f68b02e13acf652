"""Inputs that are kept: a file for each target, a bytes literal a line, so that they can be read and reviewed."""

import ast
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).parent / "inputs"


def read_corpus(target: str) -> list[bytes]:
    """The inputs kept for a target; none when it has no file yet."""
    path = FOLDER / f"{target}.txt"
    inputs = [ast.literal_eval(line) for line in path.read_text("ascii").splitlines()] if path.exists() else []
    if not all(isinstance(data, bytes) for data in inputs):
        raise TypeError(f"{path}: each line is a bytes literal, as in b'Digest'")
    return inputs


def write_corpus(target: str, inputs: Iterable[bytes]) -> None:
    """Keep these, and no others, shortest first."""
    lines = [repr(data) for data in sorted(set(inputs), key=lambda data: (len(data), data))]
    (FOLDER / f"{target}.txt").write_text("\n".join(lines) + "\n", "ascii")
