"""What a request costs the load generator: our client with Digest beside FastHttpUser without it, and wrk.

All against the same nginx, keep-alive TLS 1.3, 16 connections; generator and server pinned to one processor each; the
three take turns, in random order in each block. Ours and FastHttpUser run inside Locust, statistics included; counted
is the process's CPU time between two moments of the run. wrk's is that of its whole run, start and handshakes included.
Our client answers the server's challenge and computes a Digest for each request; nginx does not check it.

Goals: at most 1/4.5 of FastHttpUser, at most 1.5 times wrk (the aim is 1.3). About 11 s a try, which is a block.

    python -m benchmarks.client [--tries N] [--fresh] [--seconds S] [--json FILE]
"""

from __future__ import annotations

import json
import math
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.pinning import NotMeasuredError, pinned
from benchmarks.tries import Tries, parser
from device_api.state import open_state
from harness.calibration import servers
from harness.recording import read_recording
from harness.statistics import ratio_interval

CONNECTIONS = 16
OF_FAST_HTTP_USER = 1 / 4.5
OF_WRK = 1.5
PATH = "/restconf/data/ietf-system:system-state"


@dataclass(frozen=True, slots=True)
class Server:
    """Where the generators send their requests."""

    url: str
    state: Path
    ca_file: Path


@dataclass(frozen=True, slots=True)
class Cost:
    """What one generator used in one try."""

    requests: int
    cpu_us: float

    @property
    def us_per_request(self) -> float:
        """CPU time of the generator for one request."""
        return self.cpu_us / self.requests


def ours(server: Server, seconds: float, folder: Path) -> Cost:
    """Our KeepAliveUser, from its own recording: all slices from a second after the first request on."""
    record = folder / "recording"
    locust(
        Path(__file__).parents[1] / "bench" / "keep_alive.py",
        seconds,
        "--host", server.url, "--device-state", str(server.state), "--record", str(record),
    )  # fmt: skip
    busy = [piece for piece in read_recording(record).slices if piece.requests and piece.users == CONNECTIONS][4:]
    errors = [reason for piece in busy for reason in piece.errors]
    if errors or not busy:
        raise NotMeasuredError(f"our client failed: {', '.join(errors) or 'no request at all'}")
    return Cost(sum(piece.requests for piece in busy), sum(piece.generator_cpu_us for piece in busy))


def fast_http_user(server: Server, seconds: float, folder: Path) -> Cost:
    """Locust's FastHttpUser, counted by its own locustfile."""
    result = folder / "fast"
    locust(
        Path(__file__).with_name("fast_http_user.py"),
        seconds,
        "--host", server.url,
        CLIENT_BENCHMARK_RESULT=str(result), CLIENT_BENCHMARK_WINDOW_S=str(seconds),
        CLIENT_BENCHMARK_PATH=servers.OPEN_PATH,
    )  # fmt: skip
    counted = json.loads(result.read_text(encoding="ascii"))
    if counted["failures"]:
        raise NotMeasuredError(f"FastHttpUser had {counted['failures']} failures")
    return Cost(counted["requests"], counted["cpu_us"])


def wrk(server: Server, seconds: float, folder: Path) -> Cost:
    """C on epoll and OpenSSL, the cheapest generator there is; the whole process's CPU time."""
    output = folder / "wrk"
    with output.open("wb") as stdout:
        process = subprocess.Popen(
            ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", server.url + servers.OPEN_PATH],
            stdout=stdout,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
    counted = re.search(r"(\d+) requests in", output.read_text(encoding="ascii"))
    if status or counted is None or "Non-2xx" in output.read_text(encoding="ascii"):
        raise NotMeasuredError("wrk failed")
    return Cost(int(counted[1]), (usage.ru_utime + usage.ru_stime) * 1e6)


Generator = Callable[[Server, float, Path], Cost]
GENERATORS: dict[str, Generator] = {"ours, Digest": ours, "FastHttpUser": fast_http_user, "wrk": wrk}


def locust(locustfile: Path, seconds: float, *options: str, accepted: tuple[int, ...] = (0,), **environ: str) -> None:
    """Run Locust for the window, a second before it and at least half of one after. accepted: exit statuses."""
    command = [
        sys.executable, "-m", "locust", "-f", str(locustfile), "--headless", "--only-summary",
        "-u", str(CONNECTIONS), "-r", str(CONNECTIONS), "-t", f"{math.ceil(seconds + 1.5)}s", *options,
    ]  # fmt: skip
    done = subprocess.run(command, env=os.environ | environ, capture_output=True, text=True, check=False)
    if done.returncode not in accepted:
        raise NotMeasuredError(f"Locust ended with status {done.returncode}: {done.stderr.strip().splitlines()[-1]}")


@contextmanager
def nginx(folder: Path, processor: int) -> Iterator[Server]:
    """Serve on a free port until the block ends."""
    program = servers.installed_nginx()
    for name, found in (("nginx", program), ("wrk", shutil.which("wrk"))):
        if found is None:
            package = "nginx-light" if name == "nginx" else name
            raise NotMeasuredError(f"{name} is not installed: apt-get install {package}")
    state = open_state(folder / "state")
    try:
        with servers.nginx(str(program), folder, state, frozenset({processor})) as running:
            yield Server(running.url, state.folder, state.ca_file)
    except servers.NotUpError as error:
        raise NotMeasuredError(str(error)) from error


def measure(tries: Tries, wanted: int, seconds: float) -> None:
    """Run all generators once in each try that is missing, and keep their costs."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2:
        raise NotMeasuredError("it takes two processors: one for the server, one for the generator")
    with tempfile.TemporaryDirectory() as name, nginx(Path(name), processors[0]) as server, pinned(processors[-1]):
        for number in tries.missing(wanted):
            order = random.Random(number).sample(list(GENERATORS), len(GENERATORS))
            costs = {generator: GENERATORS[generator](server, seconds, Path(name)) for generator in order}
            tries.keep({generator: asdict(cost) for generator, cost in costs.items()})
            figures = ", ".join(f"{generator} {cost.us_per_request:.2f}" for generator, cost in costs.items())
            print(f"  try {number + 1}/{wanted}: {figures} µs/request", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and compare with the goals. 1 when one was missed or could not be measured."""
    words = parser(__doc__, tries=6)
    words.add_argument("--seconds", type=float, default=2.0, help="of measuring, for each generator in each try")
    words.add_argument("--json", type=Path, metavar="FILE", help="keep the figures there")
    options = words.parse_args(arguments)
    tries = Tries("client", fresh=options.fresh)
    try:
        measure(tries, options.tries, options.seconds)
    except NotMeasuredError as reason:
        print(f"not measured: {reason}")
        return 1
    us = {name: [Cost(**one[name]).us_per_request for one in tries.done] for name in GENERATORS}
    for name, values in us.items():
        print(f"{name:<13} {statistics.median(values):6.2f} µs CPU a request (median of {len(values)} tries)")
    results = [compare(us, "FastHttpUser", OF_FAST_HTTP_USER), compare(us, "wrk", OF_WRK)]
    if options.json:
        options.json.write_text(
            json.dumps({"costs": tries.done, "ratios": [asdict(result) for result in results]}, indent=1)
        )
    return int(not all(result.met for result in results))


@dataclass(frozen=True, slots=True)
class Result:
    """Ours as a multiple of a peer's cost, with a 95 % interval."""

    peer: str
    ratio: float
    low: float
    high: float
    goal: float
    met: bool


def compare(us: dict[str, list[float]], peer: str, goal: float) -> Result:
    """Compare try by try, and say so."""
    interval = ratio_interval(us["ours, Digest"], us[peer])
    met = interval.estimate <= goal
    print(
        f"ours / {peer}: {interval.estimate:.3f} ({interval.low:.3f} to {interval.high:.3f});"
        f" goal: at most {goal:.3f}: {'MET' if met else 'MISSED'}"
    )
    return Result(peer, interval.estimate, interval.low, interval.high, goal, met)


if __name__ == "__main__":
    raise SystemExit(main())
