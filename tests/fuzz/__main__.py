"""Coverage-guided fuzzing of what reads a peer's octets, and of users files, with Atheris (libFuzzer).

    python -m pip install atheris
    python -m tests.fuzz TARGET [--seconds S] [--keep]

runs one of the targets of targets.py, from this repository's root, in any environment that has Atheris: it needs
nothing else. It begins with the inputs that are kept in inputs/ and ends with libFuzzer's account of executions and
coverage; an input that breaks a property is written to a file that the last lines name, and the exit status is not 0.
--keep adds the inputs that reached new code to inputs/, which test_corpus.py replays.
"""

import argparse
import importlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.corpus import read_corpus, write_corpus

NAMES = ("credentials", "challenges", "check", "signed", "users")
LONGEST = 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz one target, in a process of its own: libFuzzer ends the one that it runs in."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("--seconds", type=int, default=60, help="how long to look for new code (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="add what reached new code to the corpus")
    parser.add_argument("--worker", nargs="*", help=argparse.SUPPRESS)  # libFuzzer's own words: this is its process
    options, fuzzers = parser.parse_known_args(arguments)
    if options.worker is not None:
        fuzz(options.target, fuzzers)
        return 0
    try:
        importlib.import_module("atheris")
    except ImportError:
        parser.error("atheris is not installed; python -m pip install atheris")
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(read_corpus(options.target)):
            Path(folder, str(number)).write_bytes(data)
        status = libfuzzer(options.target, f"-max_total_time={options.seconds}", folder)
        if options.keep and status == 0:
            write_corpus(options.target, [path.read_bytes() for path in Path(folder).iterdir()])
    return status


def libfuzzer(target: str, *words: str) -> int:
    """Run libFuzzer with these words; returns its exit status."""
    command = [sys.executable, "-m", "tests.fuzz", target, "--worker"]
    return subprocess.run([*command, f"-max_len={LONGEST}", "-timeout=5", *words], check=False).returncode


def fuzz(target: str, words: Sequence[str]) -> None:
    """Become libFuzzer; does not return."""
    atheris = importlib.import_module("atheris")
    atheris.enabled_hooks.add("str")  # not "RegEx": Atheris 3.0 does not know possessive quantifiers
    with atheris.instrument_imports(include=["digest_auth"]):
        targets = importlib.import_module("tests.fuzz.targets")
    atheris.Setup([sys.argv[0], *words], targets.TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    raise SystemExit(main())
