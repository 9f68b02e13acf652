"""Runs whose truth is known, for tests of what reads them: no server, no clock, the same for the same seed.

A trial's server CPU is the sum of its parts (`Costs`), times what its block drifted by, times noise of its own.
Throughput follows from it, as one processor would give it; latency follows from the clients that wait in turn.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import deployments
from harness.plan import Cell, Plan
from harness.plan_files import load_plan
from harness.recording import Bytes, Handshakes, HandshakeTimes, bin_of
from harness.trials import (
    FILE_NAME,
    NegotiatedTls,
    Options,
    Run,
    RunHeader,
    Trial,
    TrialId,
    header_to_json,
    trial_to_json,
)

DEPLOYMENTS = deployments.names()

# Bytes that a handshake adds to its request.
HANDSHAKE_SENT = {"full": 500, "resumed": 790}
HANDSHAKE_RECEIVED = {"full": 1950, "resumed": 770}

ENVIRONMENT = {
    "processor": "Synthetic Processor 3000",
    "processors": 2,
    "memory_bytes": 8 << 30,
    "kernel": "6.1.0",
    "python": "3.11.7",
    "openssl": {"ssl": "OpenSSL 3.0.22", "pyopenssl": "OpenSSL 4.0.3"},
    "packages": {"flask": "3.1.3", "quart": "0.22.0", "hypercorn": "0.18.0"},
    "server_cpus": [0],
    "generator_cpus": [1],
}


@dataclass(frozen=True, kw_only=True)
class Costs:
    """The truth: server CPU in µs."""

    request: Mapping[str, float] = field(
        default_factory=lambda: {"flask-threaded": 180.0, "quart-hypercorn-asyncio": 420.0}
    )
    other_request: float = 300.0  # a deployment that is not in `request`
    health: float = 50.0  # a check of health takes so much more, for it asks the datastore
    datastore: float = 70.0  # a read of one interface, beyond the route
    interaction: float = 0.0  # what Digest takes more on a new connection with TLS: no part holds it
    digest: float = 30.0  # a request, nonce reused
    challenge: float = 60.0  # the 401 before a request
    tls_records: float = 25.0  # a request
    connection: float = 80.0  # a new TCP connection
    handshake: Mapping[tuple[str, str, str], float] = field(  # by version, key kind, "full" or "resumed"
        default_factory=lambda: {
            ("1.3", "ecdsa-p256", "full"): 350.0,
            ("1.3", "ecdsa-p256", "resumed"): 260.0,
            ("1.3", "rsa-2048", "full"): 800.0,
            ("1.3", "rsa-4096", "full"): 4200.0,
            ("1.2", "ecdsa-p256", "full"): 320.0,
            ("1.2", "ecdsa-p256", "resumed"): 90.0,
        }
    )
    wire_us: float = 80.0  # of a request's latency, beside the server's CPU: wake-ups, the kernel, the client
    slow_io_ms: float = 100.0  # how long an echo takes, apart from CPU
    slow_at_once: Mapping[str, float] = field(  # how many slow requests a deployment serves at the same time
        default_factory=lambda: {"flask-threaded": 16.0, "quart-hypercorn-asyncio": math.inf}
    )

    def alike(self, deployment: str = "flask-threaded") -> Costs:
        """Return the truth of an A/A run: every deployment costs what this one costs."""
        same = self.request.get(deployment, self.other_request)
        at_once = self.slow_at_once.get(deployment, math.inf)
        return replace(
            self,
            request={},
            other_request=same,
            slow_at_once=dict.fromkeys(DEPLOYMENTS, at_once),
        )

    def per_request_us(self, cell: Cell) -> float:
        """Return the true server CPU of one request of a cell."""
        server = cell.server
        cost = self.request.get(server.deployment, self.other_request) + server.added_cpu_us
        if cell.scenario == "health":
            cost += self.health
        elif server.auth == "digest":
            cost += self.digest + (self.challenge if cell.scenario == "challenge" else 0.0)
        if cell.scenario == "one-interface":
            cost += self.datastore
        if server.uses_tls:
            cost += self.tls_records
        if cell.scenario in {"full-handshake", "resumed-handshake", "reconnecting"}:
            connection = self.connection
            if server.uses_tls:
                kind = "resumed" if cell.scenario == "resumed-handshake" else "full"
                connection += self.handshake[server.tls.split("+")[-1], server.certificate_kind, kind]
                connection += self.interaction if server.auth == "digest" else 0.0
            cost += connection / max(1, cell.requests_per_connection)
        return cost


def plan(name: str = "quick", *, blocks: int | None = None) -> Plan:
    """Return a built-in plan, perhaps with another number of blocks."""
    whole = load_plan(name, deployments=DEPLOYMENTS)
    return whole if blocks is None else replace(whole, blocks=blocks, budget_s=1e7)


def run(
    whole: Plan | None = None,
    *,
    costs: Costs | None = None,
    seed: int = 1,
    noise: float = 0.015,  # standard deviation of a trial's log cost
    drift: float = 0.1,  # standard deviation of a block's log cost, the same for all of its trials
    doubtful: Collection[TrialId] = (),
    slowness: float = 1.0,  # of the machine throughout the run: multiplies every cost
    reference_noise: float | None = None,  # standard deviation of the log of each trial's reference; None: it has none
) -> Run:
    """Make a finished run. The trials in `doubtful` carry a doubt."""
    whole = whole or plan()
    costs = costs or Costs()
    random = np.random.default_rng(seed)
    trials: list[Trial] = []
    for block in range(whole.blocks):
        drifted = slowness * math.exp(random.normal(0, drift))
        for index in random.permutation(len(whole.cells)):
            cell = whole.cells[index]
            slowdown = drifted * math.exp(random.normal(0, noise))
            doubts = ("the generator was the limit",) if TrialId(block, cell.name) in doubtful else ()
            trial = _trial(cell, block, len(trials), whole.window_s, costs, slowdown, random, doubts=doubts)
            if reference_noise is not None:
                trial = replace(trial, reference_us=1000 * drifted * math.exp(random.normal(0, reference_noise)))
            trials.append(trial)
    header = RunHeader(
        plan=whole.to_json(),
        plan_hash=whole.hash,
        seed=whole.seed,
        started="2025-11-24T08:00:00+00:00",
        environment=ENVIRONMENT,
    )
    return Run(header, tuple(trials))


def write(folder: Path, finished: Run) -> Path:
    """Write a run as the harness would; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [header_to_json(finished.header), *(trial_to_json(trial) for trial in finished.trials)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / FILE_NAME).write_text(text, encoding="utf-8")
    return folder


def _trial(
    cell: Cell,
    block: int,
    order: int,
    window_s: float,
    costs: Costs,
    slowdown: float,
    random: np.random.Generator,
    *,
    doubts: tuple[str, ...],
) -> Trial:
    server = cell.server
    cpu_us = costs.per_request_us(cell) * slowdown
    rate = min(0.97e6 / cpu_us, cell.load.rate_per_s or cell.load.clients * 1e6 / (cpu_us + costs.wire_us))
    if cell.scenario == "slow-io":
        at_once = min(float(cell.load.clients), costs.slow_at_once.get(server.deployment, math.inf))
        rate = min(rate, at_once / (costs.slow_io_ms / 1000 + cpu_us / 1e6))
    if server.added_delay_ms:  # as for one client, which waits for nobody else
        rate = cell.load.clients / (cell.load.clients / rate + server.added_delay_ms / 1000)
    requests = int(rate * window_s)
    connects = cell.scenario in {"full-handshake", "resumed-handshake", "reconnecting"} and server.uses_tls
    full = requests // max(1, cell.requests_per_connection) if connects and cell.scenario != "resumed-handshake" else 0
    resumed = requests if connects and cell.scenario == "resumed-handshake" else 0
    handshake_us = _latencies(full + resumed, 1.5 * 350 * slowdown, random)
    return Trial(
        id=TrialId(block, cell.name),
        order=order,
        deployment=server.deployment,
        scenario=cell.scenario,
        load=cell.load,
        requests_per_connection=cell.requests_per_connection,
        options=Options(
            tls=server.tls,
            auth=server.auth,
            certificate_kind=server.certificate_kind,
            threads=server.threads or (16 if server.deployment.startswith("flask") else None),
            workers=server.workers,
            twin=server.twin,
            added_cpu_us=server.added_cpu_us,
            added_delay_ms=server.added_delay_ms,
        ),
        started="2025-11-24T08:00:00+00:00",
        window_s=window_s,
        requests=requests,
        latency_us=_queued(requests, rate, cpu_us, costs.wire_us, random)
        if cell.load.is_open
        else _latencies(requests, cell.load.clients / rate * 1e6, random),
        handshake_us=HandshakeTimes(full=handshake_us if full else {}, resumed=handshake_us if resumed else {}),
        handshakes=Handshakes(full=full, resumed=resumed),
        challenges=requests if cell.scenario == "challenge" and server.auth == "digest" else 0,
        server_cpu_us=cpu_us * requests,
        generator_cpu_us=20.0 * requests,
        neighbour_cpu_us=0.01e6 * window_s,
        rss_bytes=60 << 20,
        tls=NegotiatedTls(
            version=f"TLSv{server.tls.split('+')[-1]}",
            cipher="TLS_AES_256_GCM_SHA384",
            group="X25519",
            key_kind=server.certificate_kind,
        )
        if server.uses_tls
        else None,
        bytes=Bytes(
            sent=400 * requests + HANDSHAKE_SENT["full"] * full + HANDSHAKE_SENT["resumed"] * resumed,
            received=600 * requests + HANDSHAKE_RECEIVED["full"] * full + HANDSHAKE_RECEIVED["resumed"] * resumed,
        ),
        doubts=doubts,
    )


def _queued(count: int, rate: float, cpu_us: float, wire_us: float, random: np.random.Generator) -> dict[int, int]:
    """Let answers wait in turn for one processor, as requests at random moments do (Lindley's recursion)."""
    steps = cpu_us - random.exponential(1e6 / rate, count)
    steps[:1] = 0.0
    walk = np.cumsum(steps)
    return _histogram(walk - np.minimum.accumulate(walk) + cpu_us + wire_us)


def _latencies(count: int, middle_us: float, random: np.random.Generator) -> dict[int, int]:
    """Spread answers around a median, with the long tail to the right that latencies have."""
    return _histogram(middle_us * np.exp(random.normal(0, 0.25, count)))


def _histogram(values_us: NDArray[np.float64]) -> dict[int, int]:
    values = np.clip(values_us, 1, 5.9e7)
    bins, counts = np.unique([bin_of(int(value)) for value in values], return_counts=True)
    return {int(number): int(how_many) for number, how_many in zip(bins, counts, strict=True)}
