"""Blocks of handshakes whose truth is known, for tests of what reads them: nothing is measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import numpy as np

from certs import KeyKind
from harness.handshakes.figures import (
    FORMAT,
    HANDSHAKES,
    POST_QUANTUM_GROUP,
    Block,
    Cannot,
    Figure,
    Part,
    Stack,
    Subject,
    subjects,
)
from harness.trials import NegotiatedTls

assert FORMAT == 1  # these are blocks of that format

# µs of a full handshake in TLS 1.3 by key, of a resumed one by version; of a record and for each kilobyte of it.
FULL = {KeyKind.RSA_2048: 480.0, KeyKind.RSA_4096: 4300.0, KeyKind.ECDSA_P256: 250.0, KeyKind.ED25519: 255.0}
RESUMED = {"1.2": 45.0, "1.3": 210.0}
TLS_1_2_SAVES = 65.0
QUANTUM_ADDS = 55.0
PYOPENSSL = 0.85  # times the standard library's handshake

STDLIB_CANNOT = Cannot(
    Stack.STDLIB, POST_QUANTUM_GROUP, "its OpenSSL 3.0.22 does not know the group: P-256 was agreed on"
)


def truth_us(subject: Subject) -> float:
    """Return what a subject costs in truth."""
    if subject.part not in HANDSHAKES:
        glue = 0.9 if subject.stack is Stack.PYOPENSSL else 0.0
        return 1.0 + glue + subject.record_bytes / 4000
    if subject.part is Part.FULL:
        cost = FULL[KeyKind(subject.key_kind)] - (TLS_1_2_SAVES if subject.version == "1.2" else 0.0)
    else:
        cost = RESUMED[subject.version]
    if subject.stack is Stack.PYOPENSSL:
        cost *= PYOPENSSL
    return cost + (QUANTUM_ADDS if subject.group == POST_QUANTUM_GROUP else 0.0)


def figure(subject: Subject, cost_us: float | None = None) -> Figure:
    """Return a sound figure of a subject."""
    count = 64
    return Figure(
        subject=subject,
        server_cpu_us=truth_us(subject) if cost_us is None else cost_us,
        batches=4,
        count=count,
        resumed=count if subject.part is Part.RESUMED else 0,
        tls=NegotiatedTls(
            version=f"TLSv{subject.version}",
            cipher="TLS_AES_256_GCM_SHA384",
            group=subject.group,
            key_kind=subject.key_kind,
        ),
    )


def blocks(
    count: int = 6,
    *,
    seed: int = 1,
    truth: Callable[[Subject], float] = truth_us,
    noise: float = 0.01,
    drift: float = 0.1,
    wanted: Sequence[Subject] | None = None,
    cannot: Collection[Cannot] = (STDLIB_CANNOT,),
) -> tuple[Block, ...]:
    """Return blocks of everything; each drifts as a whole by `drift`, each figure by `noise` (of its log)."""
    random = np.random.default_rng(seed)
    out = {(each.stack, each.group) for each in cannot}
    measured = [subject for subject in wanted or subjects() if (subject.stack, subject.group) not in out]
    found = []
    for number in range(count):
        drifted = math.exp(random.normal(0, drift))
        figures = [
            figure(subject, truth(subject) * drifted * math.exp(random.normal(0, noise))) for subject in measured
        ]
        found.append(
            Block(
                number=number,
                started="2026-07-01T08:00:00+00:00",
                processor="Synthetic Processor 3000",
                openssl={Stack.STDLIB: "3.0.22", Stack.PYOPENSSL: "4.0.3"},
                clock_ns=580.0,
                cannot=tuple(cannot),
                figures=tuple(figures),
            )
        )
    return tuple(found)


def spoiled(given: Sequence[Block], subject: Subject, spoil: Callable[[Figure], Figure]) -> tuple[Block, ...]:
    """Return the blocks with every figure of a subject changed."""
    return tuple(
        replace(block, figures=tuple(spoil(each) if each.subject == subject else each for each in block.figures))
        for block in given
    )
