"""Conducts the measurement: blocks of everything in random order, by fresh worker processes on one processor.

In a block everything is visited in several rounds, some seconds apart, and the least disturbed visit counts: who shares
a core with us does so for a second or less at a time (`harness.pace`), longer than a visit takes.
"""

from __future__ import annotations

import random
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from certs import CertificateFiles, KeyKind, openssl_configuration
from device_api.state import open_state
from harness.environment import processor
from harness.handshakes.figures import (
    Block,
    Cannot,
    Figure,
    Stack,
    Subject,
    figure_from_json,
    subject_to_json,
    subjects,
)
from harness.handshakes.timing import DEFAULT_LEAST_S
from harness.line_process import LineProcess
from harness.undisturbed import least_disturbed

ROUNDS: Final = 4
BLOCK_S: Final = 6.0  # about what a block takes
_ANSWER_LIMIT_S: Final = 60.0  # far beyond what any answer takes

# A client of TLS 1.2 has to name the curve of an ECDSA certificate among its groups (RFC 8422 section 5.1.1); it comes
# second, so that no key exchange uses it.
_CURVE_OF_THE_KEY: Final = "P-256"


@dataclass(frozen=True, slots=True)
class Certificates:
    """What the servers show, and what the clients trust."""

    ca_file: Path
    files: Mapping[KeyKind, CertificateFiles]


def certificates_in(state: Path) -> Certificates:
    """Return a certificate of each kind in a state folder, made where missing. Raises StateError, CertificateError."""
    device = open_state(state)
    return Certificates(device.ca_file, {kind: device.certificate(kind) for kind in KeyKind})


def measure_blocks(
    certificates: Certificates,
    numbers: Sequence[int],
    *,
    seed: int,
    cpus: frozenset[int],
    wanted: Sequence[Subject] | None = None,
    least_s: float = DEFAULT_LEAST_S,
    tick: Callable[[], None] = lambda: None,
) -> Iterator[Block]:
    """Measure the blocks with these numbers, one after another.

    wanted: what is measured; None measures everything. cpus: one of them is used. least_s: time for each subject in a
    block. tick: called after each visit to one. Raises ProcessFailedError, CertificateError.
    """
    known_cannot: dict[tuple[Stack, str], Cannot] = {}
    for number in numbers:
        yield _measure_block(
            certificates,
            number,
            shuffled(subjects() if wanted is None else wanted, seed=seed, block=number),
            max(cpus),  # the lowest numbers serve more of the machine's interrupts
            least_s,
            known_cannot,
            tick,
        )


def shuffled(wanted: Sequence[Subject], *, seed: int, block: int) -> tuple[Subject, ...]:
    """Return the order in which a block measures: always the same for a seed and a block."""
    order = list(wanted)
    random.Random(f"{seed}/handshakes/{block}").shuffle(order)  # noqa: S311 - an order, not a secret
    return tuple(order)


def _measure_block(
    certificates: Certificates,
    number: int,
    order: Sequence[Subject],
    cpu: int,
    least_s: float,
    known_cannot: dict[tuple[Stack, str], Cannot],
    tick: Callable[[], None],
) -> Block:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    with ExitStack() as stack:
        workers: dict[tuple[Stack, str], Worker] = {}
        for key in dict.fromkeys((subject.stack, subject.group) for subject in order):
            if key in known_cannot:
                continue
            worker = stack.enter_context(Worker(*key, certificates, cpu))
            if worker.cannot:
                known_cannot[key] = Cannot(*key, worker.cannot)
            else:
                workers[key] = worker
        visits: defaultdict[Subject, list[Figure]] = defaultdict(list)
        for _ in range(ROUNDS):
            for subject in order:
                if (subject.stack, subject.group) in workers:
                    visits[subject].append(workers[subject.stack, subject.group].measure(subject, least_s / ROUNDS))
                    tick()
        return Block(
            number=number,
            started=started,
            processor=processor(),
            openssl={key[0]: worker.openssl for key, worker in workers.items()},
            clock_ns=max((worker.clock_ns for worker in workers.values()), default=0.0),
            cannot=tuple(sorted(known_cannot.values())),
            figures=tuple(_together(each) for each in visits.values()),
        )


def _together(visits: Sequence[Figure]) -> Figure:
    """Make one figure of a subject's visits: of all of them its counts and proofs, of the least disturbed its time."""
    return replace(
        visits[-1],
        server_cpu_us=least_disturbed([visit.server_cpu_us for visit in visits]),
        batches=sum(visit.batches for visit in visits),
        count=sum(visit.count for visit in visits),
        resumed=sum(visit.resumed for visit in visits),
    )


class Worker:
    """A running `harness.handshakes.worker`; leaving it as a context manager ends it. Raises ProcessFailedError."""

    def __init__(self, stack: Stack, group: str, certificates: Certificates, cpu: int) -> None:
        with ExitStack() as opening:
            environment = opening.enter_context(group_environment(f"{group}:{_CURVE_OF_THE_KEY}"))
            self._process = opening.enter_context(
                LineProcess(
                    "harness.handshakes.worker",
                    name=f"handshakes cannot be measured: the process for {stack} with {group}",
                    answer_limit_s=_ANSWER_LIMIT_S,
                    environment=environment,
                )
            )
            hello = self._process.ask(
                {
                    "stack": str(stack),
                    "group": group,
                    "cpus": [cpu],
                    "ca_file": str(certificates.ca_file.absolute()),
                    "certificates": {
                        str(kind): (str(files.chain.absolute()), str(files.key.absolute()))
                        for kind, files in certificates.files.items()
                    },
                }
            )
            self.openssl = str(hello["openssl"])
            self.clock_ns = float(hello["clock_ns"])
            self.cannot = str(hello["cannot"])
            self._exit = opening.pop_all()

    def measure(self, subject: Subject, least_s: float) -> Figure:
        """Have it measure a subject. Raises ProcessFailedError."""
        return figure_from_json(self._process.ask({"subject": subject_to_json(subject), "least_s": least_s}))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()


@contextmanager
def group_environment(groups: str) -> Iterator[dict[str, str]]:
    """Give the environment of a process whose TLS, in either library, has these groups, best first, while it starts.

    groups: with colons between them. The file lies there as long as the context lasts.
    """
    with tempfile.TemporaryDirectory(prefix="bench-handshakes-") as folder:
        configuration = Path(folder) / "openssl.cnf"
        configuration.write_text(openssl_configuration(groups), encoding="ascii")
        yield {"OPENSSL_CONF": str(configuration)}
