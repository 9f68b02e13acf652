"""What handshakes cost as ratios to TLS 1.3, full, RSA-2048 of the same run, and how much that differs from run to run.

A try is a run of its own: `bench handshakes` in memory, both TLS libraries, and `bench handshakes --deployment` with a
real server. Ratios are of figures of the same block. From run to run: each run's ratio beside the geometric mean of all
runs'.

Goal: by key, version and resumption, every run's ratio is within 5 % of the mean. In memory about a minute a try, live
two and a half.

    python -m benchmarks.handshake_ratios [--tries N] [--fresh] [--only memory|live]
"""

import math
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.tries import Tries, parser
from harness.handshakes.comparison import Comparison
from harness.handshakes.figures import HANDSHAKES, USUAL_GROUP, subjects
from harness.handshakes.live import measure_live_blocks
from harness.handshakes.live_figures import LiveComparison, live_reference
from harness.handshakes.measuring import certificates_in, measure_blocks
from harness.pinning import choose_pinning

DEPLOYMENT = "flask-threaded"
BLOCKS = 6
GOAL = 0.05


def in_memory(number: int, state: Path) -> dict[str, float]:
    """Return the ratio of each kind in one run."""
    wanted = [each for each in subjects() if each.part in HANDSHAKES and each.group == USUAL_GROUP]
    blocks = measure_blocks(
        certificates_in(state), range(BLOCKS), seed=number, cpus=choose_pinning().server, wanted=wanted
    )
    compared = Comparison(tuple(blocks))
    return {
        f"{each.stack} TLS {each.version} {each.key_kind} {each.part}": ratio.estimate
        for each in wanted
        if (ratio := compared.to_reference(each)) is not None
    }


def live(number: int, state: Path) -> dict[str, float]:
    """Return the ratio of each kind in one run."""
    blocks = measure_live_blocks(DEPLOYMENT, range(BLOCKS), state=state, seed=number, pinning=choose_pinning())
    compared = LiveComparison(tuple(blocks))
    return {
        f"{DEPLOYMENT} TLS {each.version} {each.key_kind} {each.done}": ratio.estimate
        for each in compared.handshakes
        if (ratio := compared.ratio(each, live_reference())) is not None
    }


WAYS = {"memory": in_memory, "live": live}


def spread(runs: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """Return of each kind the geometric mean of its ratio, and how far the farthest run is from it, as a share."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for run in runs:
        for kind, ratio in run.items():
            found[kind].append(math.log(ratio))
    return {
        kind: (
            math.exp(statistics.fmean(logs)),
            max((math.exp(log - statistics.fmean(logs)) - 1 for log in logs), key=abs),
        )
        for kind, logs in sorted(found.items())
        if len(logs) == len(runs)
    }


def judged(name: str, runs: Sequence[Mapping[str, float]], wanted: int) -> bool:
    """Print a way's figures; say whether the goal is met."""
    kinds = spread(runs)
    print(f"{name}: {len(runs)} runs of {BLOCKS} blocks, ratio to TLS 1.3 full RSA-2048, farthest run from the mean")
    for kind, (ratio, farthest) in kinds.items():
        print(f"  {kind:48} {ratio:6.3f}  {farthest:+.1%}")
    missing = {kind for run in runs for kind in run} - kinds.keys()
    worst = max((farthest for _, farthest in kinds.values()), key=abs, default=math.inf)
    met = len(runs) >= max(2, wanted) and not missing and abs(worst) <= GOAL
    print(f"{name}: farthest {worst:+.1%} (goal: within {GOAL:.0%}): {'MET' if met else 'MISSED'}")
    return met


def main(arguments: Sequence[str] | None = None) -> int:
    """Try, print and compare with the goal. 1 when it was missed."""
    choosing = parser(__doc__, tries=5)
    choosing.add_argument("--only", choices=WAYS, help="one of the two; both otherwise")
    options = choosing.parse_args(arguments)
    met = True
    with tempfile.TemporaryDirectory() as folder:
        for name in [options.only] if options.only else WAYS:
            tries = Tries(f"handshake_ratios_{name}", fresh=options.fresh)
            for number in tries.missing(options.tries):
                ratios = WAYS[name](number, Path(folder))
                tries.keep({"run": number, "ratios": {kind: round(ratio, 4) for kind, ratio in ratios.items()}})
                print(f"{name}: run {number + 1} of {options.tries}", file=sys.stderr, flush=True)
            runs: list[Mapping[str, Any]] = [one["ratios"] for one in tries.done]
            met = judged(name, runs, options.tries) and met
    return int(not met)


if __name__ == "__main__":
    raise SystemExit(main())
