"""kill -9 of a run at random moments: no finished trial is lost or counted twice, and nothing of it goes on running.

A small plan on real servers is begun, killed at a random moment with all that lies in between (a server starts, a load
runs, a line is written), and gone on with, ten times; then it is finished. After each kill the trials that were on disk
before are still there, the same to the byte, and all servers and generators that the run had started end. At the end
each trial of the plan is there once.

Goal: as said, at 10 random moments. About 2 minutes.

    python -m benchmarks.killed [--tries N] [--fresh]

Kept are the kills of a run that is going on, in a folder beside the results; a run that is finished begins anew.
"""

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.tries import FOLDER, Tries, parser
from harness.trials import FILE_NAME, read_run

PLAN = """
name = "killed"
seed = {seed}
blocks = 6
window_s = 1
budget_s = 40

[[cell]]
deployment = ["flask-threaded", "quart-hypercorn-asyncio"]
scenario = ["keep-alive", "full-handshake"]
clients = 4

[[cell]]
deployment = "flask-gunicorn-gthread"
scenario = "keep-alive"
clients = 4
"""
TRIALS = 30
LIVES_S = (0.5, 9.0)  # until the kill: anything between, so about three trials, or none
ENDED_WITHIN_S = 15.0  # the guard of a server gives it five seconds to end by itself
BENCH = Path(sys.executable).parent / "bench"
WORK = FOLDER.parent.parent / "results" / "killed"  # with what no version control keeps


def begin_or_go_on(seed: int) -> "subprocess.Popen[bytes]":
    """Start `bench run` in the folder of work, or go on with the run there."""
    WORK.mkdir(parents=True, exist_ok=True)
    plan = WORK / "killed.toml"
    if not plan.exists():
        plan.write_text(PLAN.format(seed=seed))
    run = run_folder()
    words = ["--resume", str(run)] if run else [str(plan), "--out", str(WORK / "runs")]
    return subprocess.Popen(
        [BENCH, "run", *words, "--state", str(WORK / "state")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def run_folder() -> Path | None:
    """Return the folder of the run, if its first line is there."""
    found = [path.parent for path in (WORK / "runs").glob(f"*/{FILE_NAME}") if b"\n" in path.read_bytes()]
    return found[0] if found else None


def lines() -> list[bytes]:
    """Return the whole lines that are on disk."""
    folder = run_folder()
    return (folder / FILE_NAME).read_bytes().splitlines(keepends=True) if folder else []


def whole(found: Sequence[bytes]) -> list[bytes]:
    """Return them without one that is torn."""
    return [line for line in found if line.endswith(b"\n")]


def kill_once(after_s: float, seed: int) -> dict[str, Any]:
    """Let the run live for some time and kill it; say what was there before and behind, and what it left running."""
    before = whole(lines())
    process = begin_or_go_on(seed)
    time.sleep(after_s)  # the moment is the point: there is nothing to wait for
    ended = process.poll()
    family: list[psutil.Process] = []
    if ended is None:
        # Stopped first, so that it starts nobody between our look at its children and its end.
        psutil.Process(process.pid).suspend()
        family = psutil.Process(process.pid).children(recursive=True)
    at_kill = whole(lines())
    process.kill()
    process.wait()
    _, orphans = psutil.wait_procs(family, timeout=ENDED_WITHIN_S)
    behind = lines()
    for orphan in orphans:
        orphan.kill()
    return {
        "after_s": round(after_s, 2),
        "had_ended": ended,
        "trials_before": max(0, len(before) - 1),
        "trials_behind": max(0, len(whole(behind)) - 1),
        "torn": len(behind) - len(whole(behind)),
        "lost_or_changed": at_kill[: len(before)] != before or behind[: len(at_kill)] != at_kill,
        "processes": len(family),
        "orphans": len(orphans),
    }


def finish(seed: int) -> tuple[bool, str]:
    """Finish the run; say whether each trial is there once, and what is."""
    before = whole(lines())
    status = begin_or_go_on(seed).wait()
    folder = run_folder()
    if folder is None or status != 0:
        return False, f"the last sitting ended with status {status}"
    trials = read_run(folder).trials  # refuses a trial that is there twice
    kept = lines()[: len(before)] == before
    answered = sum(trial.requests > 0 for trial in trials)
    said = (
        f"{len(trials)} of {TRIALS} trials, {len({trial.id for trial in trials})} different, {answered} with a figure"
    )
    return kept and len({trial.id for trial in trials}) == len(trials) == TRIALS, said


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, finish, print and compare with the goal. 1 when it was missed."""
    options = parser(__doc__, tries=10).parse_args(arguments)
    tries = Tries("killed", fresh=options.fresh)
    if options.fresh or not tries.done:
        shutil.rmtree(WORK, ignore_errors=True)
    kills = [one for one in tries.done if "after_s" in one]
    whole_run = next((one for one in tries.done if "finished" in one), None)
    while len(kills) < options.tries and whole_run is None:
        kills.append(kill_once(random.uniform(*LIVES_S), seed=1))
        tries.keep(kills[-1])
        print(f"{len(kills)}: {kills[-1]}", flush=True)
    if whole_run is None:
        finished, said = finish(seed=1)
        whole_run = {"finished": finished, "said": said}
        tries.keep(whole_run)
    wrong = [kill for kill in kills if kill["lost_or_changed"] or kill["orphans"] or kill["had_ended"] is not None]
    met = not wrong and len(kills) >= options.tries and whole_run["finished"]
    print(
        f"kill -9 at {len(kills)} random moments: {len(wrong)} with a trial lost or changed, or a process left (goal: 0"
        f" of {options.tries}); at the end {whole_run['said']}: {'MET' if met else 'MISSED'}"
    )
    return int(not met)


if __name__ == "__main__":
    raise SystemExit(main())
