"""Blocks of handshakes with a server whose costs are known, for tests of what reads them: nothing is measured."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from harness.handshakes.live_figures import (
    ClientSide,
    Done,
    LiveBlock,
    LiveFigure,
    LiveSubject,
    expected_round_trips,
    live_subjects,
)
from harness.trials import NegotiatedTls

ACCEPT, REQUEST, RECORDS = 80.0, 150.0, 12.0
HANDSHAKE = {"rsa-2048": 800.0, "rsa-4096": 4000.0, "ecdsa-p256": 350.0, "ed25519": 360.0}
RESUMED = {"1.2": 90.0, "1.3": 260.0}
RETRY_ADDS = 100.0


def handshake_us(subject: LiveSubject) -> float:
    """Return what a handshake alone costs in truth."""
    if subject.done is Done.RESUMED:
        return RESUMED[subject.version]
    return HANDSHAKE[subject.key_kind] + (RETRY_ADDS if subject.done is Done.RETRIED else 0.0)


def whole_us(subject: LiveSubject) -> float:
    """Return what the server's clock shows for one connection, or one request."""
    cost = REQUEST + (RECORDS if subject.version else 0.0)
    if subject.done is Done.REQUEST:
        return cost
    return cost + ACCEPT + (handshake_us(subject) if subject.has_handshake else 0.0)


def figure(subject: LiveSubject, cost_us: float | None = None) -> LiveFigure:
    """Return a sound figure of a subject."""
    count = 100
    return LiveFigure(
        subject=subject,
        server_cpu_us=whole_us(subject) if cost_us is None else cost_us,
        count=count,
        client=ClientSide(
            resumed=count if subject.done is Done.RESUMED else 0,
            time_us=700.0,
            first_answer_us=1_500.0,
            sent=300,
            received=256 if subject.done is Done.RESUMED else 1_800,
            round_trips=expected_round_trips(subject),
            tls=NegotiatedTls(
                version=f"TLSv{subject.version}",
                cipher="TLS_AES_256_GCM_SHA384",
                group="X25519",
                key_kind=subject.key_kind,
            ),
        )
        if subject.has_handshake
        else None,
    )


def live_blocks(
    count: int = 6,
    *,
    seed: int = 1,
    noise: float = 0.003,
    drift: float = 0.1,
    keeps_connections: bool = True,
    spoil: Callable[[LiveFigure], LiveFigure] = lambda figure: figure,
) -> tuple[LiveBlock, ...]:
    """Return blocks of everything; each drifts as a whole by `drift`, each figure by `noise` (of its log)."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(count):
        drifted = math.exp(random.normal(0, drift))
        figures = [
            spoil(figure(subject, whole_us(subject) * drifted * math.exp(random.normal(0, noise))))
            for subject in live_subjects(keeps_connections=keeps_connections)
        ]
        found.append(
            LiveBlock(
                number=number,
                deployment="flask-threaded",
                started="2026-07-01T08:00:00+00:00",
                processor="Synthetic Processor 3000",
                figures=tuple(figures),
            )
        )
    return tuple(found)
