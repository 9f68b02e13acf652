"""A against A: a difference is found where there is none no more often than chance allows.

First a pool of trials is recorded: in each of its blocks one deployment is started four times, and each of the four
servers is measured once. Then comparisons are drawn from it, of 6 to 10 blocks each; every block of one pairs two
servers of one block of the pool, which were measured within seconds of each other, as the two sides of a real
comparison are. At last, real comparisons: whole runs of two twins, which go on where they are undecided, as any run
does.

Goals. Of 200 drawn comparisons at most 16 are false at 95 % (which 5 % allows by chance: 10 are expected), and after
Holm's correction for all of them at most 2. Of 10 real ones at most 2, and none after correction. Printed beside,
without a goal: the same 200 as the tables of pages with six rows each, which corrects for six at a time.

    python -m benchmarks.false_alarms [--pool BLOCKS] [--tries N] [--fresh]

A block of the pool takes about 16 s, a real comparison 60 to 100 s: 7 and 15 minutes in all. Kept as they finish.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.tries import Tries, parser
from harness.adaptive import goes_on, most_trials
from harness.environment import describe_environment
from harness.lab import RealLab
from harness.load import Load
from harness.pinning import Pinning, choose_pinning, stay_off
from harness.plan import Cell, Plan, ServerKey
from harness.progress import Display, PlainDisplay
from harness.run import Runner
from harness.statistics import (
    MIN_BLOCKS_FOR_VERDICT,
    Verdict,
    holm,
    pair_blocks,
    ratio_interval,
    ratio_p_value,
    verdict,
)
from harness.trial_log import TrialLog
from harness.trials import RunHeader, Trial

SEED = 20251201
POOLED = "flask-threaded"
POOL_BLOCKS, TWINS = 24, 4
LIVE = ("flask-threaded", "quart-hypercorn-asyncio")  # in turn
LIVE_TRIES, LIVE_BLOCKS, LIVE_MOST_BLOCKS = 10, 6, 10
WINDOW_S = 2.5
DRAWN, SHORTEST, LONGEST = 200, 6, 10
PAGE_ROWS = 6
LEVEL = 0.05

MOST_DRAWN, MOST_DRAWN_CORRECTED = 16, 2
MOST_LIVE, MOST_LIVE_CORRECTED = 2, 0

Costs = Mapping[str, float]  # server CPU in µs a request, by twin


def plan(deployment: str, twins: int, *, seed: int, blocks: int, most: int) -> Plan:
    """Return a plan that measures one deployment so many times in every block."""
    cells = [
        Cell(server=ServerKey(deployment=deployment, twin=twin), scenario="keep-alive", load=Load(clients=8))
        for twin in range(twins)
    ]
    return Plan(
        name="false-alarms",
        seed=seed,
        blocks=blocks,
        max_blocks=most,
        window_s=WINDOW_S,
        budget_s=1e6,
        cells=tuple(cells),
    )


class Bench:
    """Makes whole runs in folders that are thrown away; what counts is kept elsewhere."""

    def __init__(self, lab: RealLab, pinning: Pinning) -> None:
        self._lab = lab
        self._pinning = pinning

    def run(self, whole: Plan) -> Collection[Trial]:
        """Measure a plan as `bench run` does; return its trials."""
        header = RunHeader(
            plan=whole.to_json(), plan_hash=whole.hash, seed=whole.seed, started="", environment={"thrown": "away"}
        )
        display: Display = PlainDisplay(Console(stderr=True), WINDOW_S + 1.5)
        display.start(done=0, total=most_trials(whole), folder="a folder of its own", at_most=goes_on(whole))
        with tempfile.TemporaryDirectory() as folder, TrialLog.create(Path(folder) / "run", header) as log:
            Runner(whole, log, self._lab, display, self._pinning).run()
            return log.run.trials


def costs_by_block(trials: Collection[Trial]) -> dict[int, dict[str, float]]:
    """Return what is kept of trials: µs a request by block and twin, of those whose CPU time may be used."""
    found: dict[int, dict[str, float]] = {}
    for trial in trials:
        if trial.costs_are_sound:
            twin = str(trial.options.twin)
            found.setdefault(trial.block, {})[twin] = round(trial.server_cpu_us_per_request, 3)
    return found


def drawn(pool: Sequence[Costs], *, count: int = DRAWN, seed: int = SEED) -> list[tuple[list[float], list[float]]]:
    """Draw comparisons: both sides' figures, a pair a block; no block of the pool twice in one comparison."""
    order = random.Random(seed)
    usable = [costs for costs in pool if len(costs) >= 2]
    found = []
    for _ in range(count):
        blocks = order.sample(usable, order.randint(SHORTEST, LONGEST))
        pairs = [order.sample(sorted(costs), 2) for costs in blocks]
        sides = [[costs[pair[side]] for costs, pair in zip(blocks, pairs, strict=True)] for side in (0, 1)]
        found.append((sides[0], sides[1]))
    return found


def false_ones(p_values: Sequence[float], *, rows: int = 0) -> int:
    """Count what is found at 95 % after correction, of so many at a time; 0: of all together."""
    rows = rows or max(1, len(p_values))
    pages = [p_values[first : first + rows] for first in range(0, len(p_values), rows)]
    return sum(value <= LEVEL for page in pages for value in holm(page))


def uncorrected(comparisons: Sequence[tuple[list[float], list[float]]]) -> int:
    """Count the verdicts at 95 %."""
    return sum(verdict(ratio_interval(*sides)) is not Verdict.TIE for sides in comparisons)


def live_p_value(live: Mapping[str, Any]) -> float:
    """Return the p-value of a real comparison, as a report would; of too few blocks there is none."""
    a, b = sides_of(live)
    return ratio_p_value(a, b, fixed_blocks=LIVE_BLOCKS) if len(a) >= MIN_BLOCKS_FOR_VERDICT else 1.0


def sides_of(live: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    """Return the figures of both twins, over the blocks that have both."""
    blocks: Mapping[str, Costs] = live["blocks"]
    sides = [{int(block): costs[twin] for block, costs in blocks.items() if twin in costs} for twin in ("0", "1")]
    a, b = pair_blocks(*sides)
    return list(a), list(b)


def judge(pool: Sequence[Mapping[str, Any]], live: Sequence[Mapping[str, Any]]) -> bool:
    """Print how often something was found, and compare with the goals."""
    met = []

    def say(what: str, count: int, of: int, most: int, *, whole: bool) -> None:
        good = whole and count <= most
        met.append(good)
        word = "MET" if good else "MISSED" if whole else "not measured yet"
        print(f"{what}: {count} of {of} (goal: at most {most}): {word}")

    usable = sum(len(one["costs"]) >= 2 for one in pool)
    if usable >= LONGEST:
        comparisons = drawn([one["costs"] for one in pool])
        p_values = [ratio_p_value(*sides) for sides in comparisons]
        whole = len(pool) >= POOL_BLOCKS
        trials = sum(len(one["costs"]) for one in pool)
        print(f"pool: {trials} trials in {len(pool)} of {POOL_BLOCKS} blocks; {_spread(pool)}")
        say("drawn, false at 95 %", uncorrected(comparisons), DRAWN, MOST_DRAWN, whole=whole)
        say("drawn, false after correction", false_ones(p_values), DRAWN, MOST_DRAWN_CORRECTED, whole=whole)
        print(f"  corrected in pages of {PAGE_ROWS} rows: {false_ones(p_values, rows=PAGE_ROWS)} (no goal)")
    else:
        print(f"pool: {usable} usable blocks, {LONGEST} are needed: not measured yet")
        met.append(False)
    live_values = [live_p_value(one) for one in live]
    for one, value in zip(live, live_values, strict=True):
        interval = ratio_interval(*sides_of(one), fixed_blocks=LIVE_BLOCKS)
        print(
            f"  {one['deployment']} against itself: {interval.estimate:.4f}"
            f" ({interval.low:.4f} to {interval.high:.4f}), {interval.n} blocks, p = {value:.3f}"
        )
    enough = len(live) >= LIVE_TRIES
    say("real, false at 95 %", sum(value <= LEVEL for value in live_values), len(live), MOST_LIVE, whole=enough)
    say("real, false after correction", false_ones(live_values), len(live), MOST_LIVE_CORRECTED, whole=enough)
    return all(met)


def _spread(pool: Sequence[Mapping[str, Any]]) -> str:
    """Say how much twins of one block differ: the half-width that ten blocks of them would have."""
    comparisons = drawn([one["costs"] for one in pool])
    widths = sorted(ratio_interval(*sides).half_width for sides in comparisons)
    return f"half of the drawn intervals are within {widths[len(widths) // 2]:.1%} to each side"


def main(arguments: Sequence[str] | None = None) -> int:
    """Record what is missing, count, and compare with the goals. 1 when one was missed."""
    options = _options(arguments)
    pool = Tries("false_alarms_pool", fresh=options.fresh)
    live = Tries("false_alarms_live", fresh=options.fresh)
    if len(pool.done) < options.pool or len(live.done) < options.tries:
        pinning = choose_pinning()
        stay_off(pinning)
        with tempfile.TemporaryDirectory() as folder, RealLab(Path(folder), pinning) as lab:
            _record(Bench(lab, pinning), pool, live, options.pool, options.tries, _machine(pinning))
    return int(not judge(pool.done, live.done))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    made = parser(__doc__, tries=LIVE_TRIES)
    made.add_argument("--pool", type=int, default=POOL_BLOCKS, metavar="BLOCKS", help="how many blocks the pool has")
    return made.parse_args(arguments)


def _machine(pinning: Pinning) -> dict[str, Any]:
    environment = json.loads(json.dumps(describe_environment(pinning)))
    return {key: environment.get(key) for key in ("processor", "kernel", "python")}


def _record(bench: Bench, pool: Tries, live: Tries, blocks: int, tries: int, machine: Mapping[str, Any]) -> None:
    """Record the pool and the real comparisons, as far as they are missing."""
    for number in pool.missing(blocks):
        trials = bench.run(plan(POOLED, TWINS, seed=SEED + number, blocks=1, most=0))
        found = costs_by_block(trials).get(0, {})
        pool.keep({"deployment": POOLED, "costs": found, **_first_of_all(pool, machine)})
        print(f"pool, block {number + 1}: {found}", file=sys.stderr, flush=True)
    for number in live.missing(tries):
        deployment = LIVE[number % len(LIVE)]
        whole = plan(deployment, 2, seed=SEED - 1 - number, blocks=LIVE_BLOCKS, most=LIVE_MOST_BLOCKS)
        by_block = {str(block): costs for block, costs in costs_by_block(bench.run(whole)).items()}
        live.keep({"deployment": deployment, "blocks": by_block, **_first_of_all(live, machine)})


def _first_of_all(kept: Tries, machine: Mapping[str, Any]) -> dict[str, Any]:
    return {} if kept.done else {"machine": machine}


if __name__ == "__main__":
    raise SystemExit(main())
