"""What a new connection takes at a distance, beside the model: round trips times distance, plus the time without any.

A real client asks a real server through a relay that delays; a try is one server with every kind of connection at every
distance, in random order, the two deployments in turn. The model gets what was measured through the same relay without
distance, in the same try. Each kind proves its round trips and its resumption. The processors are kept awake meanwhile:
a virtual one takes its time to wake, and that is no distance.

Goal: at 10 and 50 ms the model is within 5 % for every kind and deployment (medians of the tries). At 2 ms there is no
goal. About 25 s a try.

    python -m benchmarks.round_trips [--tries N] [--fresh]
"""

import random
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.awake import kept_awake
from benchmarks.tries import Tries, parser
from deployments import ServeOptions, start
from device_api.state import open_state
from harness.handshakes.live import GROUPS_TO_RETRY, live_client
from harness.line_process import LineProcess
from harness.network.checking import KINDS, FirstAnswers, Kind, error, first_answers
from harness.network.relay import ADDRESS, Relay
from harness.pinning import Pinning, choose_pinning
from harness.probes.target import DEFAULT_PATH, parse_target

DEPLOYMENTS = ("flask-threaded", "quart-hypercorn-asyncio")
DISTANCES_US = (0, 2_000, 10_000, 50_000)
WITH_A_GOAL_US = (10_000, 50_000)
CONNECTIONS = {0: 40, 2_000: 30, 10_000: 20, 50_000: 12}
GOAL = 0.05


def one_try(number: int, state: Path, pinning: Pinning) -> dict[str, Any]:
    """Measure one deployment."""
    deployment = DEPLOYMENTS[number % len(DEPLOYMENTS)]
    seen: dict[tuple[str, int], FirstAnswers] = {}
    late: dict[int, float] = {}
    with ExitStack() as stack:
        stack.enter_context(kept_awake(pinning.server | pinning.generator))
        ca_file = open_state(state).ca_file
        usual = stack.enter_context(live_client(ca_file, pinning.generator))
        retrying = stack.enter_context(live_client(ca_file, pinning.generator, groups=GROUPS_TO_RETRY))
        relays: dict[tuple[str, int], Relay] = {}
        for tls, scheme in (("1.2+1.3", "https"), ("off", "http")):
            options = ServeOptions(state=state, auth="none", tls=tls)
            server = stack.enter_context(start(deployment, options, cpus=pinning.server))
            port = parse_target(server.url).port
            for rtt_us in DISTANCES_US:
                relay = Relay(ADDRESS, port, rtt_us=rtt_us, cpus=pinning.generator)
                relays[scheme, rtt_us] = stack.enter_context(relay)
        order = [(kind, rtt_us) for kind in KINDS for rtt_us in DISTANCES_US]
        random.Random(number).shuffle(order)
        for kind, _ in order[:: len(DISTANCES_US)]:  # warm-up: the first connections take longer
            _measure(usual, retrying, relays, kind, 0, 3)
        for kind, rtt_us in order:
            seen[kind.name, rtt_us] = _measure(usual, retrying, relays, kind, rtt_us, CONNECTIONS[rtt_us])
        for (scheme, rtt_us), relay in relays.items():
            if scheme == "https":
                late[rtt_us] = round(relay.take_lateness().p50_us, 1)
    return {
        "deployment": deployment,
        "relay_late_us": late,
        "seen": [
            {
                "kind": kind,
                "rtt_us": rtt_us,
                "first_answer_us": round(far.middle_us, 1),
                "error": round(error(far, seen[kind, 0]), 5),
            }
            for (kind, rtt_us), far in sorted(seen.items())
        ],
    }


def _measure(
    usual: LineProcess,
    retrying: LineProcess,
    relays: Mapping[tuple[str, int], Relay],
    kind: Kind,
    rtt_us: int,
    count: int,
) -> FirstAnswers:
    scheme = "http" if kind.version is None else "https"
    url = f"{scheme}://{ADDRESS}:{relays[scheme, rtt_us].port}{DEFAULT_PATH}"
    return first_answers(retrying if kind.hello_retry else usual, kind, url, rtt_us=rtt_us, count=count)


def errors(tries: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, int], float]:
    """Return the median error of the tries, by deployment, kind and distance."""
    found: defaultdict[tuple[str, str, int], list[float]] = defaultdict(list)
    for one in tries:
        for each in one["seen"]:
            if each["rtt_us"]:
                found[one["deployment"], each["kind"], each["rtt_us"]].append(each["error"])
    return {key: statistics.median(values) for key, values in sorted(found.items())}


def main(arguments: Sequence[str] | None = None) -> int:
    """Try, print and compare with the goal. 1 when it was missed."""
    options = parser(__doc__, tries=6).parse_args(arguments)
    tries = Tries("round_trips", fresh=options.fresh)
    pinning = choose_pinning()
    with tempfile.TemporaryDirectory() as folder:
        for number in tries.missing(options.tries):
            tries.keep(one_try(number, Path(folder), pinning))
            print(f"try {number + 1}: {tries.done[-1]['deployment']}", file=sys.stderr, flush=True)
    found = errors(tries.done)
    print(f"first answer of a new connection, measured beside the model; {len(tries.done)} tries")
    for (deployment, kind, rtt_us), share in found.items():
        print(f"  {deployment:24} {kind:16} {rtt_us / 1000:4g} ms  {share:+.1%}")
    with_a_goal = {key: share for key, share in found.items() if key[2] in WITH_A_GOAL_US}
    worst = max(with_a_goal.values(), key=abs, default=float("inf"))
    met = abs(worst) <= GOAL and {key[0] for key in with_a_goal} == set(DEPLOYMENTS)
    print(f"worst at 10 and 50 ms: {worst:+.1%} (goal: within {GOAL:.0%}): {'MET' if met else 'MISSED'}")
    return int(not met)


if __name__ == "__main__":
    raise SystemExit(main())
