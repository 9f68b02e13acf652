"""A server that is stopped for a second (SIGSTOP) under an open load shows in the percentiles as theory says.

100 constant arrivals a second over 10 s, a tenth of which find the server stopped: their latencies are spread evenly
over 0 to 1 s, so the 95th percentile is 0.50 s and the 99th 0.90 s (harness.calibration.stall derives it).

Goal: each within 5 % of theory in every try, with a server that is busy for at most 20 %. About 16 s a try.

    python -m benchmarks.stall [--tries N] [--fresh]
"""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.tries import Tries, parser
from harness.calibration.stall import MOST_SHARE, PERCENTS, TOLERANCE, Stall, StallFailedError, measure_stall
from harness.pinning import Pinning, choose_pinning, stay_off


def one_try(number: int, state: Path, pinning: Pinning) -> dict[str, Any]:
    """Stop a server once; a try without a figure says why."""
    try:
        return asdict(measure_stall(state, pinning, seed=number))
    except StallFailedError as error:
        return {"failed": str(error)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Try, print and compare with the goal. 1 when it was missed."""
    options = parser(__doc__, tries=10).parse_args(arguments)
    tries = Tries("stall", fresh=options.fresh)
    pinning = choose_pinning()
    stay_off(pinning)
    with tempfile.TemporaryDirectory() as folder:
        for number in tries.missing(options.tries):
            tries.keep(one_try(number, Path(folder), pinning))
            print(f"{number + 1}: {tries.done[-1]}", flush=True)
    stalls = [Stall(**each) for each in tries.done if "failed" not in each]
    good = sum(stall.is_as_theory_says for stall in stalls)
    for percent in PERCENTS:
        off = [stall.deviation(percent) for stall in stalls]
        if off:
            print(f"p{percent:g}: {min(off):+.1%} to {max(off):+.1%} off theory")
    if stalls:
        print(f"server share at most {max(stall.server_share for stall in stalls):.1%} (goal: {MOST_SHARE:.0%})")
    met = good == len(tries.done) >= options.tries
    print(
        f"as theory says, each percentile within {TOLERANCE:.0%}: {good} of {len(tries.done)}"
        f" (goal: all): {'MET' if met else 'MISSED'}"
    )
    return int(not met)


if __name__ == "__main__":
    raise SystemExit(main())
