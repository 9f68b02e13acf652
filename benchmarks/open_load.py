"""The latency that an open load measures, at half of what a device can do: ours beside h2load's.

The device is flask-threaded without Digest, for h2load knows none: TLS 1.3, keep-alive, 16 connections, server and
generator pinned to one processor each. Each try first asks wrk how much the server can do; ours (inside Locust,
constant arrivals) and h2load (`--h1 --rps`) then make half of that, one after the other in random order. A generator
adds its own delays to what it measures, so less is better here. (Half of what nginx can do, 31,000 requests a second,
is all that our generator can, and no question that this bench is asked.)

Ours counts from when a request was due, h2load from when it really sent it: what h2load was late by is not in its
figure, which is the one that the goal holds ours against. Its log says when each request was sent, so a line without a
goal compares from when each would have been due at an even rate.

Goal: our p99 is at most h2load's own, or cannot be told from it. About 14 s a try.

    python -m benchmarks.open_load [--tries N] [--fresh] [--seconds S]
"""

import math
import os
import random
import re
import shutil
import statistics
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.client import CONNECTIONS, PATH, Server, locust
from benchmarks.pinning import NotMeasuredError, pinned
from benchmarks.tries import Tries, parser
from deployments import ServeOptions, start
from device_api.state import open_state
from harness.histograms import merge, percentiles
from harness.recording import read_recording
from harness.statistics import Interval, ratio_interval

DEPLOYMENT = "flask-threaded"
SHARE = 0.5  # of what the server can do
WARM_UP_S = 1.0
ASKED = (50, 99)  # percentiles
KEPT = 0.97  # of the rate: below that a generator did not do what it was asked for


@contextmanager
def device(folder: Path, processor: int) -> Iterator[Server]:
    """Serve the API until the block ends."""
    state = open_state(folder / "state")
    running = start(DEPLOYMENT, ServeOptions(state=state.folder, auth="none"), cpus=frozenset({processor}))
    try:
        yield Server(running.url, state.folder, state.ca_file)
    finally:
        running.stop(grace_s=0.0)  # nobody is waiting for an answer


def capacity(server: Server) -> int:
    """Return how many requests a second wrk gets answered."""
    done = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", "-d2s", server.url + PATH], capture_output=True, text=True, check=False
    )
    found = re.search(r"Requests/sec: +([\d.]+)", done.stdout)
    if done.returncode or found is None:
        raise NotMeasuredError("wrk failed")
    return round(float(found[1]))


def ours(server: Server, rate_per_s: int, seconds: float, folder: Path) -> dict[str, float]:
    """Our KeepAliveUser with `--rate`, from its recording."""
    record = folder / "recording"
    locust(
        Path(__file__).parents[1] / "bench" / "keep_alive.py",
        seconds,
        "--host", server.url, "--device-state", str(server.state), "--record", str(record),
        "--rate", str(rate_per_s), "--arrivals", "constant",
        accepted=(0, 1),  # 1: it could not keep the rate, which its latencies and its rate will tell
    )  # fmt: skip
    slices = read_recording(record).slices
    first = next(index for index, piece in enumerate(slices) if piece.requests and piece.users == CONNECTIONS)
    start_ns = slices[first].monotonic_ns + round(WARM_UP_S * 1e9)
    end_ns = start_ns + round(seconds * 1e9)
    counted = [piece for piece in slices if start_ns < piece.monotonic_ns <= end_ns and piece.users == CONNECTIONS]
    errors = [reason for piece in counted for reason in piece.errors]
    if errors or len(counted) < 2:
        raise NotMeasuredError(f"our client failed: {', '.join(errors) or 'too few requests'}")
    latency = merge(histogram for piece in counted[1:] for histogram in piece.latency_us.values())
    lateness = merge(piece.lateness_us for piece in counted[1:])
    window_s = (counted[-1].monotonic_ns - counted[0].monotonic_ns) / 1e9
    latency_us, late_us = percentiles(latency, ASKED), percentiles(lateness, ASKED)
    return figures(sum(latency.values()) / window_s, latency_us, late_us, latency_us)


def h2load(server: Server, rate_per_s: int, seconds: float, folder: Path) -> dict[str, float]:
    """Run h2load at the same rate, shared among its connections; from its log."""
    log = folder / "h2load"
    log.unlink(missing_ok=True)
    done = subprocess.run(
        [
            "h2load", "--h1", f"-c{CONNECTIONS}", "-t1", f"-D{math.ceil(seconds + WARM_UP_S)}",
            f"--rps={rate_per_s / CONNECTIONS:g}", f"--log-file={log}", server.url + PATH,
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode or " 0 failed, 0 errored" not in done.stdout:
        raise NotMeasuredError("h2load failed")
    began_us, statuses, took_us = np.loadtxt(log, dtype=np.int64, unpack=True)
    if (statuses != 200).any():
        raise NotMeasuredError("h2load got other answers than 200")
    order = np.argsort(began_us, kind="stable")
    order = order[began_us[order] >= began_us.min() + WARM_UP_S * 1e6]
    began_us, took_us = began_us[order], took_us[order]
    late_us = behind(began_us, rate_per_s)
    rate = len(order) / (began_us[-1] - began_us[0]) * 1e6
    return figures(rate, *(np.percentile(values, ASKED) for values in (took_us, late_us, late_us + took_us)))


def behind(sent_us: NDArray[np.int64], rate_per_s: float) -> NDArray[np.float64]:
    """Return how late each was sent, against an even rate that begins so that the least late was in time."""
    late_us: NDArray[np.float64] = sent_us - sent_us[0] - np.arange(len(sent_us)) * 1e6 / rate_per_s
    late_us -= late_us.min()
    return late_us


def figures(
    rate_per_s: float, latency_us: Iterable[float], late_us: Iterable[float], since_due_us: Iterable[float]
) -> dict[str, float]:
    """Return what is kept of a generator's run."""
    kept = {"rate_per_s": round(rate_per_s, 1)}
    for name, values in (("latency", latency_us), ("late", late_us), ("since_due", since_due_us)):
        kept |= {f"{name}_us_p{asked}": round(float(value), 1) for asked, value in zip(ASKED, values, strict=True)}
    return kept


Generator = Callable[[Server, int, float, Path], dict[str, float]]
GENERATORS: dict[str, Generator] = {"ours": ours, "h2load": h2load}


def measure(tries: Tries, wanted: int, seconds: float) -> None:
    """Make the tries that are missing."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2:
        raise NotMeasuredError("it takes two processors: one for the server, one for the generator")
    for program, package in (("h2load", "nghttp2-client"), ("wrk", "wrk")):
        if shutil.which(program) is None:
            raise NotMeasuredError(f"{program} is not installed: apt-get install {package}")
    with tempfile.TemporaryDirectory() as name, device(Path(name), processors[0]) as server, pinned(processors[-1]):
        for number in tries.missing(wanted):
            rate_per_s = round(capacity(server) * SHARE)
            order = random.Random(number).sample(list(GENERATORS), len(GENERATORS))
            seen = {generator: GENERATORS[generator](server, rate_per_s, seconds, Path(name)) for generator in order}
            tries.keep({"rate_per_s": rate_per_s, **seen})
            print(f"  try {number + 1}/{wanted}: {rate_per_s}/s, p99 " + ", ".join(
                f"{generator} {one['latency_us_p99']:.0f} µs" for generator, one in seen.items()
            ), flush=True)  # fmt: skip


def report(done: Sequence[dict[str, Any]]) -> bool:
    """Print what was seen, and whether the goal was met."""
    for name in GENERATORS:
        median = {key: statistics.median(one[name][key] for one in done) for key in done[0][name]}
        print(
            f"{name:<7} {median['rate_per_s']:.0f}/s, latency p50 {median['latency_us_p50']:.0f} and p99"
            f" {median['latency_us_p99']:.0f} µs, late p50 {median['late_us_p50']:.0f} and p99"
            f" {median['late_us_p99']:.0f} µs (medians of {len(done)} tries)"
        )
    slow: Counter[str] = Counter()
    for one in done:
        for name in GENERATORS:
            slow[name] += one[name]["rate_per_s"] < KEPT * one["rate_per_s"]
    if any(slow.values()):
        print(
            "did not keep the rate: " + ", ".join(f"{name} in {count} tries" for name, count in slow.items() if count)
        )
    p99 = compare(done, "latency_us_p99", "p99, ours since due / h2load's since sent")
    met = p99.low <= 1 and not slow["ours"]
    print(f"goal: at most 1, or not to be told from it: {'MET' if met else 'MISSED'}")
    compare(done, "since_due_us_p99", "p99, ours / h2load's, both since due")
    compare(done, "latency_us_p50", "p50, ours since due / h2load's since sent")
    return met


def compare(done: Sequence[dict[str, Any]], key: str, what: str) -> Interval:
    """Print a ratio with its interval, and return it."""
    ratio = ratio_interval(*([one[name][key] for one in done] for name in GENERATORS))
    print(f"{what}: {ratio.estimate:.3f} ({ratio.low:.3f} to {ratio.high:.3f})")
    return ratio


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and compare with the goal. 1 when it was missed or could not be measured."""
    words = parser(__doc__, tries=10)
    words.add_argument("--seconds", type=float, default=4.0, help="of measuring, for each generator in each try")
    options = words.parse_args(arguments)
    tries = Tries("open_load", fresh=options.fresh)
    try:
        measure(tries, options.tries, options.seconds)
    except NotMeasuredError as reason:
        print(f"not measured: {reason}")
        return 1
    return int(not report(tries.done))


if __name__ == "__main__":
    raise SystemExit(main())
