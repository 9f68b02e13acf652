"""The same plan, run ten times, decides the same.

Each repeat is a whole `bench run quick`, as anybody would make it. Of each only the decisions are kept, as the page's
table has them, and how much of the time was measuring. A repeat that was stopped goes on where it was.

Goals. No decision is contradicted (two repeats never name different winners for one need), and of all decisions at
least 90 % are the usual one of their need: the same winner, or a tie. At least 60 % of the time is spent measuring.

    python -m benchmarks.repeats [--tries N] [--fresh]

About 9 minutes a repeat, 90 in all.
"""

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.tries import Tries, parser
from harness.measured import Measured
from harness.report.decisions import Decision, Outcome, decide
from harness.trials import FILE_NAME, Run, read_run

PLAN = "quick"
REPEATS = 10
FOLDER = Path("results") / "repeats"  # of the run under way; ignored by git
SAME_SHARE = 0.9
MEASURED_SHARE = 0.6

_SHARE = re.compile(r"^measured (\d+) s of (\d+) s", re.MULTILINE)


def bench_run() -> tuple[Run, dict[str, Any]]:
    """Make a run, or go on with one that was stopped; return it and how long it took. Raises CalledProcessError."""
    begun = sorted(FOLDER.glob(f"*/{FILE_NAME}"))
    how = ["--resume", str(begun[0].parent)] if begun else [PLAN, "--out", str(FOLDER)]
    words = [str(Path(sys.executable).parent / "bench"), "run", *how, "--state", str(FOLDER / "state")]
    told = _echoed(words)
    (finished,) = FOLDER.glob(f"*/{FILE_NAME}")
    share = _SHARE.search(told)
    # What a run that went on says of its time is of its last sitting alone.
    times = {"measured_s": int(share[1]), "wall_s": int(share[2])} if share and not begun else {}
    run = read_run(finished.parent)
    shutil.rmtree(finished.parent)
    return run, times


def _echoed(words: Sequence[str]) -> str:
    """Run a command; pass on what it writes to standard error, and return it. Raises CalledProcessError."""
    lines = []
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            sys.stderr.write(line)
            lines.append(line)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words)
    return "".join(lines)


def row(decision: Decision) -> dict[str, Any]:
    """Return what is kept of a decision."""
    kept: dict[str, Any] = {"outcome": decision.outcome.value}
    if decision.outcome is Outcome.WINNER:
        kept["winner"] = decision.best.contender.deployment
    if decision.next is not None and decision.next.advantage.is_finite:
        interval = decision.next.advantage
        kept |= {
            "ratio": [round(value, 4) for value in (interval.estimate, interval.low, interval.high)],
            "blocks": interval.n,
            "p": float(f"{decision.p_value:.2g}"),
        }
    return kept


def one_try() -> dict[str, Any]:
    """Make a run and return what is kept of it."""
    run, times = bench_run()
    rows = {decision.need.name: row(decision) for decision in decide(Measured(run))}
    used = len(run.cost_trials)
    return {"decisions": rows, "trials": len(run.trials), "used": used, **times}


def said(kept: Mapping[str, Any]) -> str:
    """Return a decision in one word: who won, or what else came out."""
    return str(kept.get("winner", kept["outcome"]))


def contradicted(words: Sequence[str]) -> bool:
    """Say whether the decisions of one need name two winners."""
    others = {outcome.value for outcome in Outcome}
    return len(set(words) - others) > 1


def judge(tries: Sequence[Mapping[str, Any]]) -> bool:
    """Print how the decisions agree, and compare with the goals."""
    by_need: dict[str, list[str]] = {}
    for one in tries:
        for need, kept in one["decisions"].items():
            by_need.setdefault(need, []).append(said(kept))
    same = total = 0
    for need, words in by_need.items():
        usual = Counter(words).most_common()
        same, total = same + usual[0][1], total + len(words)
        ratios = [one["decisions"][need]["ratio"][0] for one in tries if "ratio" in one["decisions"][need]]
        between = f"; ratios {min(ratios):.2f} to {max(ratios):.2f}" if ratios else ""
        print(f"  {need}: {', '.join(f'{word} {count} times' for word, count in usual)}{between}")
    two_winners = [need for need, words in by_need.items() if contradicted(words)]
    whole = len(tries) >= REPEATS
    share = same / total if total else 0.0
    timed = [one for one in tries if one.get("wall_s")]
    measured = sum(one["measured_s"] for one in timed) / sum(one["wall_s"] for one in timed) if timed else 0.0
    results = [
        (
            f"contradicted in {len(tries)} repeats: {len(two_winners)} of {len(by_need)} needs (goal: 0)",
            not two_winners,
        ),
        (f"the same: {share:.0%} of {total} decisions (goal: {SAME_SHARE:.0%} or more)", share >= SAME_SHARE),
        (
            f"of the time measuring: {measured:.0%} in {len(timed)} repeats (goal: {MEASURED_SHARE:.0%} or more)",
            measured >= MEASURED_SHARE,
        ),
    ]
    for line, good in results:
        print(f"{line}: {'MET' if good and whole else 'MISSED' if whole else 'not measured yet'}")
    return whole and all(good for _, good in results)


def main(arguments: Sequence[str] | None = None) -> int:
    """Repeat as often as is missing, print, and compare with the goals. 1 when one was missed."""
    options = parser(__doc__, tries=REPEATS).parse_args(arguments)
    tries = Tries("repeats", fresh=options.fresh)
    if options.fresh:
        shutil.rmtree(FOLDER, ignore_errors=True)
    for number in tries.missing(options.tries):
        tries.keep(one_try())
        words = {need: said(kept) for need, kept in tries.done[-1]["decisions"].items()}
        print(f"{number + 1}: {words}", file=sys.stderr, flush=True)
    return int(not judge(tries.done))


if __name__ == "__main__":
    raise SystemExit(main())
