"""Many handshakes summed up: for each version, full and resumed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from OpenSSL import SSL

from certs import TlsVersion
from harness.probes.handshake import Handshake, HandshakeProbe, VersionNotOfferedError
from harness.probes.target import Target
from harness.trials import NegotiatedTls


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeSummary:
    """Handshakes of one version and kind. With n = 0 there is only the reason why."""

    version: str  # "1.2", "1.3"
    kind: str  # "full", "resumed"
    n: int
    asked: int  # how many were tried; a resumption that the server declined is not in n
    time_us_p50: float | None = None
    time_us_p95: float | None = None
    sent: int | None = None  # bytes, the median
    received: int | None = None
    flights: int | None = None
    round_trips: int | None = None  # until the request can be sent, beside TCP's own
    first_answer_us_p50: float | None = None  # from before TCP's connect, the request included
    tls: NegotiatedTls | None = None
    why_not: str | None = None


def probe_handshakes(target: Target, ca_file: Path | None, count: int) -> tuple[HandshakeSummary, ...]:
    """Make `count` full and `count` resumed handshakes of each TLS version. Raises UserError."""
    summaries: list[HandshakeSummary] = []
    for version in sorted(TlsVersion):
        summaries.extend(_probe_version(target, ca_file, version, count))
    return tuple(summaries)


def _probe_version(
    target: Target, ca_file: Path | None, version: TlsVersion, count: int
) -> tuple[HandshakeSummary, HandshakeSummary]:
    probe = HandshakeProbe(target, ca_file, frozenset({version}))
    try:
        _, session = probe.full()  # not counted: the server's first of a kind is slower
    except VersionNotOfferedError:
        why = f"the server does not offer TLS {version}"
        return _nothing(version, "full", why), _nothing(version, "resumed", why)
    full = [probe.full()[0] for _ in range(count)]
    resumed, asked = _resume(probe.resume, session, count)
    return (
        _summary(version, "full", full, len(full), "the server resumed sessions that were not offered"),
        _summary(version, "resumed", resumed, asked, "the server resumes no session"),
    )


def _resume(
    resume: Callable[[SSL.Session], tuple[Handshake, SSL.Session | None]],
    session: SSL.Session | None,
    count: int,
) -> tuple[list[Handshake], int]:
    """Resume again and again, each time the newest session: a TLS 1.3 ticket is good for one use."""
    seen: list[Handshake] = []
    asked = 0
    while asked < count and session is not None:
        handshake, session = resume(session)
        asked += 1
        if handshake.resumed:
            seen.append(handshake)
        elif not seen:
            break  # it declined the very first; the others would only be full handshakes
    return seen, asked


def _summary(
    version: TlsVersion, kind: str, handshakes: Sequence[Handshake], asked: int, why_not: str
) -> HandshakeSummary:
    if not handshakes:
        return _nothing(version, kind, why_not, asked)
    p50, p95 = np.percentile([each.time_us for each in handshakes], [50, 95])
    return HandshakeSummary(
        version=str(version),
        kind=kind,
        n=len(handshakes),
        asked=asked,
        time_us_p50=float(p50),
        time_us_p95=float(p95),
        sent=round(median(each.sent for each in handshakes)),
        received=round(median(each.received for each in handshakes)),
        flights=round(median(each.flights for each in handshakes)),
        round_trips=round(median(each.round_trips for each in handshakes)),
        first_answer_us_p50=float(median(each.first_answer_us for each in handshakes)),
        tls=handshakes[-1].tls,
    )


def _nothing(version: TlsVersion, kind: str, why_not: str, asked: int = 0) -> HandshakeSummary:
    return HandshakeSummary(version=str(version), kind=kind, n=0, asked=asked, why_not=why_not)
