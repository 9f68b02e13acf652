"""Handshakes with a running deployment: the server's CPU clock before and after each batch of connections.

Each block has fresh servers, one for each kind of key and one without TLS. The subjects are visited in random order, in
several rounds of small batches, and a figure is made of a subject's least disturbed batches: what befell the others
does not count. What is made of the figures is `live_figures`'s.
"""

from __future__ import annotations

import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from certs import PINNED_GROUP, KeyKind
from deployments import RunningServer, ServeOptions, describe, start
from device_api.state import open_state
from harness.clocks import TreeClocks
from harness.environment import processor
from harness.handshakes.live_figures import (
    ClientSide,
    Done,
    LiveBlock,
    LiveFigure,
    LiveSubject,
    live_subjects,
    tls_from_json,
)
from harness.handshakes.measuring import group_environment
from harness.line_process import LineProcess
from harness.pinning import Pinning
from harness.probes.target import DEFAULT_PATH
from harness.undisturbed import least_disturbed

BLOCK_S: Final = 24.0  # about what a block takes
ROUNDS: Final = 10
CONNECTIONS: Final = 20  # in a batch
REQUESTS: Final = 100
_WARM_UP: Final = 10  # connections of each version
_ANSWER_LIMIT_S: Final = 60.0

# A server is quiet when it used less than this between two looks.
_QUIET_US: Final = 50.0
_LOOK_EVERY_S: Final = 0.003
_MOST_LOOKS: Final = 60

# The client's groups. A client of TLS 1.2 has to name the curve of an ECDSA certificate too. Turned round, its first
# hello of TLS 1.3 has a key share that our servers do not take, and they ask for another one.
_OTHER_GROUP: Final = "P-256"
_USUAL_GROUPS: Final = f"{PINNED_GROUP}:{_OTHER_GROUP}"
GROUPS_TO_RETRY: Final = f"{_OTHER_GROUP}:{PINNED_GROUP}"


@dataclass(frozen=True, slots=True)
class _Server:
    running: RunningServer
    clocks: TreeClocks

    @property
    def url(self) -> str:
        return self.running.url + DEFAULT_PATH  # as little beside the handshake as there is

    def quiet_cpu_us(self) -> float:
        """Return its CPU clock once it has finished with what it was asked."""
        before_us = self.clocks.sample().server_cpu_us
        for _ in range(_MOST_LOOKS):
            time.sleep(_LOOK_EVERY_S)
            now_us = self.clocks.sample().server_cpu_us
            if now_us - before_us < _QUIET_US:
                return now_us
            before_us = now_us
        return before_us


def measure_live_blocks(
    deployment: str,
    numbers: Sequence[int],
    *,
    state: Path,
    seed: int,
    pinning: Pinning,
    key_kinds: Sequence[KeyKind] = tuple(KeyKind),
    rounds: int = ROUNDS,
    connections: int = CONNECTIONS,
    tick: Callable[[], None] = lambda: None,
) -> Iterator[LiveBlock]:
    """Measure blocks of handshakes with a deployment, one after another.

    connections: in each batch. tick: called after each batch. Raises DeploymentError, ProcessFailedError, StateError.
    """
    (described,) = describe(deployment)
    wanted = live_subjects(keeps_connections=described.deployment.abilities.keep_alive, key_kinds=key_kinds)
    for number in numbers:
        order = random.Random(f"{seed}/live handshakes/{deployment}/{number}")  # noqa: S311 - an order, not a secret
        started = datetime.now(UTC).isoformat(timespec="seconds")
        with ExitStack() as stack:
            servers = {
                kind: stack.enter_context(_serving(deployment, state, pinning, kind)) for kind in (*key_kinds, None)
            }
            ca_file = open_state(state).ca_file
            usual = stack.enter_context(live_client(ca_file, pinning.generator))
            retrying = stack.enter_context(live_client(ca_file, pinning.generator, groups=GROUPS_TO_RETRY))
            batches: defaultdict[LiveSubject, list[tuple[float, Mapping[str, Any]]]] = defaultdict(list)
            _warm_up(usual, servers, wanted)
            for _ in range(rounds):
                for subject in order.sample(wanted, len(wanted)):
                    server = servers[KeyKind(subject.key_kind) if subject.key_kind else None]
                    client = retrying if subject.done is Done.RETRIED else usual
                    batches[subject].append(_batch(subject, server, client, connections))
                    tick()
        yield LiveBlock(
            number=number,
            deployment=deployment,
            started=started,
            processor=processor(),
            figures=tuple(_figure(subject, each) for subject, each in batches.items()),
        )


@contextmanager
def live_client(ca_file: Path, cpus: frozenset[int], *, groups: str = _USUAL_GROUPS) -> Iterator[LineProcess]:
    """Start the client, `harness.handshakes.live_client`, and end it. Raises ProcessFailedError."""
    with (
        group_environment(groups) as environment,
        LineProcess(
            "harness.handshakes.live_client",
            name="handshakes cannot be measured: the client",
            answer_limit_s=_ANSWER_LIMIT_S,
            environment=environment,
        ) as process,
    ):
        process.ask({"cpus": sorted(cpus), "ca_file": str(ca_file.absolute())})
        yield process


@contextmanager
def _serving(deployment: str, state: Path, pinning: Pinning, kind: KeyKind | None) -> Iterator[_Server]:
    """Start a server with this kind of key, or without TLS, and stop it."""
    options = ServeOptions(state=state, auth="none", tls="off")
    if kind is not None:
        options = ServeOptions(state=state, auth="none", certificate_kind=kind)
    running = start(deployment, options, cpus=pinning.server)
    try:
        yield _Server(running, TreeClocks([role.pid for role in running.processes], pinning))
    finally:
        running.stop(grace_s=0.0)  # nobody is waiting for an answer


def _warm_up(client: LineProcess, servers: Mapping[KeyKind | None, _Server], wanted: Sequence[LiveSubject]) -> None:
    """Make the first connections, which cost more than later ones, and gather sessions."""
    for subject in wanted:
        if subject.has_handshake and subject.done is Done.FULL:
            server = servers[KeyKind(subject.key_kind)]
            _shake_hands(client, server, subject, _WARM_UP)
    plain = servers[None]
    client.ask({"do": "connections", "url": plain.url, "count": _WARM_UP})


def _batch(
    subject: LiveSubject, server: _Server, client: LineProcess, connections: int
) -> tuple[float, Mapping[str, Any]]:
    """Return the server's CPU for one, and what the client told."""
    keeps = subject.done is Done.REQUEST
    if keeps:
        client.ask({"do": "open", "url": server.url, "version": subject.version or None})
    before_us = server.quiet_cpu_us()
    if keeps:
        told = client.ask({"do": "requests", "count": REQUESTS})
    elif subject.has_handshake:
        told = _shake_hands(client, server, subject, connections)
    else:
        told = client.ask({"do": "connections", "url": server.url, "count": connections})
    spent_us = server.quiet_cpu_us() - before_us
    if keeps:
        client.ask({"do": "close"})
    return spent_us / told["count"], told


def _shake_hands(client: LineProcess, server: _Server, subject: LiveSubject, count: int) -> Mapping[str, Any]:
    return client.ask(
        {
            "do": "handshakes",
            "url": server.url,
            "version": subject.version,
            "resumed": subject.done is Done.RESUMED,
            "count": count,
        }
    )


def _figure(subject: LiveSubject, batches: Sequence[tuple[float, Mapping[str, Any]]]) -> LiveFigure:
    told = [each for _, each in batches]
    return LiveFigure(
        subject=subject,
        server_cpu_us=least_disturbed([spent_us for spent_us, _ in batches]),
        count=sum(each["count"] for each in told),
        client=_client_side(told) if subject.has_handshake else None,
    )


def _client_side(told: Sequence[Mapping[str, Any]]) -> ClientSide:
    return ClientSide(
        resumed=sum(each["resumed"] for each in told),
        time_us=statistics.median(us for each in told for us in each["time_us"]),
        first_answer_us=statistics.median(us for each in told for us in each["first_answer_us"]),
        sent=round(statistics.median(each["sent"] for each in told)),
        received=round(statistics.median(each["received"] for each in told)),
        round_trips=max(each["round_trips"] for each in told),
        tls=tls_from_json(told[-1]["tls"]),
    )
