"""A generator that gets a fifth of its processor is found out, each time.

Four processes spin on the generator's processor while it makes a load, in turn a closed and an open one, so that it has
a fifth of it when it wants more. Each try's trial must carry a doubt about the generator, by which its rates and
latencies are not used. After each comes the same load without the spinning ones: that those are not marked as well has
no goal here, because a machine with other work on it may have earned it, but without it marking would be no feat.

Goal: 20 of 20 are marked. About 9 s a try.

    python -m benchmarks.starved [--tries N] [--fresh]
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.tries import Tries, parser
from harness.child import start_child
from harness.lab import RealLab, Served
from harness.load import Arrivals, Load
from harness.pinning import Pinning, choose_pinning, stay_off
from harness.plan import Cell, ServerKey
from harness.window import VoidTrialError, figures

SERVER = ServerKey(deployment="flask-threaded")
LOADS = (Load(clients=4), Load(clients=8, rate_per_s=100.0, arrivals=Arrivals.POISSON))
WINDOW_S = 2.0
SPINNING = 4  # beside the generator: a fifth is left to it
MARKS = ("the generator was the limit", "the generator lagged", "the generator stood still", "the generator failed")


def measure(served: Served, pinning: Pinning, load: Load, *, seed: int) -> dict[str, Any]:
    """Make one trial; return its doubts and how much of its processor the generator had."""
    cell = Cell(server=SERVER, scenario="keep-alive", load=load)
    observation = served.measure(cell, WINDOW_S, seed=seed)
    try:
        seen = figures(observation, cell=cell, window_s=WINDOW_S, pinning=pinning)
    except VoidTrialError as error:
        return {"doubts": [str(error)]}
    share = seen.generator_cpu_us / seen.window_s / 1e6
    return {"doubts": list(seen.doubts), "requests": seen.requests, "generator_share": round(share, 3)}


@contextmanager
def starved(pinning: Pinning) -> Iterator[None]:
    """Spin on the generator's processor in the block."""
    words = [sys.executable, "-S", "-c", "while True: pass"]
    spinning = [start_child(words, cpus=pinning.generator) for _ in range(SPINNING)]
    try:
        yield
    finally:
        for each in spinning:
            each.kill()
            each.wait()


def one_try(served: Served, pinning: Pinning, number: int) -> dict[str, Any]:
    """Measure a load with and without spinning neighbours; closed and open ones take turns."""
    load = LOADS[number % len(LOADS)]
    with starved(pinning):
        found = measure(served, pinning, load, seed=number)
    return {"load": load.name, "starved": found, "alone": measure(served, pinning, load, seed=number)}


def is_marked(trial: Mapping[str, Any]) -> bool:
    """Say whether a trial's doubts are about the generator."""
    return any(doubt.startswith(MARKS) for doubt in trial["doubts"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Try, print and compare with the goal. 1 when it was missed."""
    options = parser(__doc__, tries=20).parse_args(arguments)
    tries = Tries("starved", fresh=options.fresh)
    pinning = choose_pinning()
    stay_off(pinning)
    if len(tries.done) < options.tries:
        with (
            tempfile.TemporaryDirectory() as folder,
            RealLab(Path(folder), pinning) as lab,
            lab.serve(SERVER) as served,
        ):
            for number in tries.missing(options.tries):
                tries.keep(one_try(served, pinning, number))
                print(f"{number + 1}: {tries.done[-1]}", flush=True)
    marked = sum(is_marked(each["starved"]) for each in tries.done)
    alone = sum(is_marked(each["alone"]) for each in tries.done)
    met = marked == len(tries.done) >= options.tries
    print(
        f"starved generators marked: {marked} of {len(tries.done)} (goal: all of {options.tries});"
        f" without spinning neighbours {alone} of {len(tries.done)} (no goal): {'MET' if met else 'MISSED'}"
    )
    return int(not met)


if __name__ == "__main__":
    raise SystemExit(main())
