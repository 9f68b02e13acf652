"""Whether costs add up, and predictions hold: the plan `costs`, judged for each of its deployments.

A try is a whole run of the plan, about 22 minutes. It is measured by `bench run`, which keeps every finished trial, so
that it goes on where it was stopped: by --seconds, by Ctrl-C, by anything. What a finished run says is kept as a line
of benchmarks/results/waterfall.jsonl; the run itself stays in results/.

Goals, for every deployment in the plan: its parts add up to the whole CPU time of a request, as measured on an open
connection and on a new one, within 5 %; CPU time predicted at 1, 10 and 100 requests a connection within 10 % of what
trials measured that were not used to predict.

    python -m benchmarks.waterfall [--tries N] [--fresh] [--seconds S] [--run DIR]

--run DIR judges a run that is there (of the plan `full`, say) and measures and keeps nothing.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.tries import Tries, parser
from harness.costs import break_even, waterfall
from harness.measured import Measured
from harness.prediction import check_cpu, check_latency
from harness.statistics import Interval
from harness.trials import FILE_NAME, Run, read_run

PLAN = "costs"
ADDS_UP = 0.05
PREDICTED = 0.10
RUNS = Path("results") / "waterfall"
STOPPED = 130  # bench's exit status after Ctrl-C


def main(arguments: Sequence[str]) -> int:
    """Measure what is missing and judge the newest try. Exit status 1: a goal was missed, 3: there is more to do."""
    options = parser(__doc__, tries=1)
    options.add_argument("--seconds", type=float, help="stop measuring after so long; the next call goes on")
    options.add_argument("--run", type=Path, metavar="DIR", help="judge this run and measure nothing")
    chosen = options.parse_args(arguments)
    if chosen.run is not None:
        return say(judged(read_run(chosen.run)))
    tries = Tries("waterfall", fresh=chosen.fresh)
    for _ in tries.missing(chosen.tries):
        folder = measure(chosen.seconds)
        if folder is None:
            print("stopped; the same command goes on")
            return 3
        tries.keep(judged(read_run(folder)))
        (folder / "judged").touch()
    return say(tries.done[-1])


def measure(seconds: float | None) -> Path | None:
    """Go on with the run that is not judged yet, or begin one; gives its folder when it is whole."""
    words = [str(Path(sys.executable).with_name("bench")), "run"]
    begun = begun_runs()
    words += ["--resume", str(begun[-1])] if begun else [PLAN, "--out", str(RUNS)]
    words += ["--state", str(RUNS / "state")]
    process = subprocess.Popen(words)
    try:
        status = process.wait(seconds)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.send_signal(signal.SIGINT)
        status = process.wait()
    if status == STOPPED:
        return None
    if status:
        raise SystemExit(f"bench run ended with status {status}")
    return begun_runs()[-1]


def begun_runs() -> list[Path]:
    """Return the folders of runs that have not been judged, the newest last."""
    found = sorted(path.parent for path in RUNS.glob(f"*/{FILE_NAME}"))
    return [folder for folder in found if not (folder / "judged").exists()]


def judged(run: Run) -> dict[str, Any]:
    """Return a run's summary: small enough to be kept."""
    measured = Measured(run)
    deployments: dict[str, dict[str, Any]] = {}
    wanted = {str(cell["deployment"]) for cell in run.header.plan.get("cell", [])}
    for name in sorted(wanted):
        deployments[name] = {"wholes": {}, "parts_us": {}, "predicted": {}}
    for contender in measured.contenders:
        fall = waterfall(measured, contender)
        kept = deployments.setdefault(contender.deployment, {"wholes": {}, "parts_us": {}, "predicted": {}})
        if fall is None:
            continue
        kept["blocks"] = fall.blocks
        kept["parts_us"] = {str(part): ends(interval) for part, interval in fall.parts.items()}
        kept["break_even"] = ends(break_even(measured, contender))
        for whole in fall.checked:
            kept["wholes"][str(whole.name)] = {"measured_us": ends(whole.measured), "unexplained": ends(whole.share, 4)}
    for check in check_cpu(measured):
        deployments[check.contender.deployment]["predicted"][str(check.requests_per_connection)] = {
            "measured_us": ends(check.measured),
            "error": ends(check.error, 4),
        }
    for at_rate in check_latency(measured):
        deployments[at_rate.prediction.contender.deployment]["latency"] = {
            "rate_per_s": at_rate.condition.rate_per_s,
            "p50_us": round(at_rate.p50.whole, 1),
            "p50_error": round(at_rate.p50_error, 4),
            "p99_us": round(at_rate.p99.whole, 1),
            "p99_error": round(at_rate.p99_error, 4),
        }
    return {
        "plan": run.header.plan.get("name"),
        "started": run.header.started,
        "processor": run.header.environment.get("processor"),
        "trials": len(run.trials),
        "used": len(run.cost_trials),
        "deployments": deployments,
    }


def ends(interval: Interval | None, digits: int = 1) -> list[float] | None:
    """Return estimate, low and high, rounded; None where there is no interval."""
    if interval is None or not interval.is_finite:
        return None
    return [round(value, digits) for value in (interval.estimate, interval.low, interval.high)]


def say(summary: dict[str, Any]) -> int:
    """Print a summary beside the goals; gives the exit status."""
    print(f"plan {summary['plan']} of {summary['started']}, {summary['used']} of {summary['trials']} trials used")
    missing = []
    for name, found in summary["deployments"].items():
        sums = {whole: each["unexplained"] for whole, each in found["wholes"].items()}
        errors = {f"{requests} a connection": each["error"] for requests, each in found["predicted"].items()}
        print(f"\n{name}")
        adds_up = judge("parts add up", sums, ADDS_UP, needed=2)
        if not judge("CPU predicted", errors, PREDICTED, needed=3) or not adds_up:
            missing.append(name)
        if "latency" in found:
            latency = found["latency"]
            said = ", ".join(f"{key} off by {100 * latency[f'{key}_error']:+.0f} %" for key in ("p50", "p99"))
            print(f"  latency at {latency['rate_per_s']:g}/s (no goal): {said}")
    together = f"MISSED for {', '.join(missing)}" if missing else "MET for every deployment"
    print(f"\n{together}")
    return int(bool(missing))


def judge(what: str, shares: dict[str, list[float] | None], goal: float, *, needed: int) -> bool:
    """Print one goal of one deployment. A figure without an interval misses it, and so does one too few."""
    met = len(shares) >= needed and all(share is not None and abs(share[0]) <= goal for share in shares.values())
    said = "; ".join(
        f"{where} {100 * share[0]:+.1f} % ({100 * share[1]:+.1f} to {100 * share[2]:+.1f})"
        if share
        else f"{where} unknown"
        for where, share in shares.items()
    )
    print(f"  {what} within {100 * goal:g} %: {said or 'not measured'}: {'MET' if met else 'MISSED'}")
    return met


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
