"""Run every benchmark, one after the other, each in a process of its own. Exit status 1 when a goal was missed.

    python -m benchmarks [MODULE ...]

What they measured is kept in results/TIME-benchmarks/MODULE.json. All of them take about 16 minutes.

The bench's checks of itself take hours, so they run only when they are named ("checks" names all of them); each keeps
its tries in benchmarks/results/ and goes on where it was stopped.
"""

import datetime as dt
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

MODULES = (
    "digest_check",
    "replay_stores",
    "redis_store",
    "floods",
    "timing",
    "client",
    "flask_server",
    "rotation",
    "stalled",
    "stopping",
)

CHECKS = (  # about four and a half hours in all
    "starting",
    "stall",
    "starved",
    "report_page",
    "killed",
    "open_load",
    "round_trips",
    "handshake_ratios",
    "waterfall",
    "false_alarms",
    "repeats",
    "added_cpu",
)


def main(arguments: Sequence[str]) -> int:
    """Run them all, or those that are named; a missed goal does not keep the others from running."""
    unknown = set(arguments) - {*MODULES, *CHECKS, "checks"}
    if unknown:
        known = ", ".join((*MODULES, *CHECKS, "checks"))
        print(f"no benchmark is called {min(unknown)!r}; choose from {known}", file=sys.stderr)
        return 2
    chosen = [name for word in arguments for name in (CHECKS if word == "checks" else [word])] or MODULES
    folder = Path("results") / f"{dt.datetime.now().astimezone():%Y%m%d-%H%M%S}-benchmarks"
    folder.mkdir(parents=True)
    missed = []
    for module in chosen:
        print(f"== {module}", flush=True)
        words = [sys.executable, "-m", f"benchmarks.{module}"]
        if module not in CHECKS:
            words += ["--json", str(folder / f"{module}.json")]
        if subprocess.run(words, check=False).returncode != 0:
            missed.append(module)
    print(f"kept in {folder}")
    if missed:
        print(f"goal missed or not measured: {', '.join(missed)}")
    return int(bool(missed))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
