"""The generator's own ceiling: how many requests a second one processor can send, beside a generator written in C.

Against nginx where it is installed, else against `responder`, a server that does next to nothing. On a shared machine a
rate says little, so the ceiling is 1 s over the CPU time that a request takes the generator: what it could send with a
processor of its own that nobody takes from it. Both send requests on kept connections over TLS 1.3; ours answers the
challenge and computes a Digest for each, which the C one cannot.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from device_api.state import open_state
from harness.calibration import servers
from harness.calibration.recorded import slices_so_far
from harness.calibration.servers import OPEN_PATH, NotUpError, Server
from harness.child import start_child
from harness.generator import Generator, GeneratorFailedError, command, locust_arguments
from harness.load import Load
from harness.pinning import Pinning
from harness.plan import SLICE_S, Cell, ServerKey
from harness.recording import RecordingError, Slice

CONNECTIONS: Final = 16
BLOCKS: Final = 3
WINDOW_S: Final = 2.0
MOST_OF_PEER: Final = 1.5  # times the C generator's CPU time for a request

_CELL: Final = Cell(
    server=ServerKey(deployment="flask-threaded"),  # its options alone matter: the server is another
    scenario="keep-alive",
    load=Load(clients=CONNECTIONS),
)
_WARM_UP_SLICES: Final = 2
_LIMIT_S: Final = 60.0


class CeilingFailedError(Exception):
    """There is no figure; the message is one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """CPU time of generators for a request, block by block."""

    server: str  # whom they asked: "nginx", "a trivial server"
    ours_us: tuple[float, ...]
    peer: str | None  # "wrk", "h2load"; None: neither is installed
    peer_us: tuple[float, ...] = ()

    @property
    def us(self) -> float:
        """Ours: the median of the blocks."""
        return float(np.median(self.ours_us))

    @property
    def requests_per_s(self) -> float:
        """The ceiling of one processor."""
        return 1e6 / self.us

    @property
    def of_peer(self) -> float | None:
        """Return how many times the C generator's CPU time ours is, by the median of the blocks; None without one."""
        if self.peer is None:
            return None
        return float(np.median(np.array(self.ours_us) / np.array(self.peer_us)))


@dataclass(frozen=True, slots=True)
class _Peer:
    """A generator in C. count: finds how many requests it made in what it printed."""

    name: str
    argv: tuple[str, ...]
    count: re.Pattern[str]
    failed: re.Pattern[str]


_PEERS: Final = (
    _Peer(
        "wrk",
        ("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{WINDOW_S:.0f}s"),
        re.compile(r"(\d+) requests in"),
        re.compile(r"Socket errors|Non-2xx"),
    ),
    _Peer(
        "h2load",
        ("h2load", "--h1", "-t1", f"-c{CONNECTIONS}", f"-D{WINDOW_S:.0f}"),
        re.compile(r"(\d+) succeeded"),
        re.compile(r"status codes: 0 2xx"),
    ),
)


def installed_peer(which: Callable[[str], str | None] = shutil.which) -> _Peer | None:
    """Return the first generator in C that is installed."""
    return next((peer for peer in _PEERS if which(peer.argv[0])), None)


def measure_ceiling(
    state_folder: Path,
    pinning: Pinning,
    *,
    seed: int,
    tick: Callable[[], None] = lambda: None,
    nginx: str | None = None,
    peer: _Peer | None = None,
) -> Ceiling:
    """Measure both generators in turn, in random order in each block. About 20 s. Raises CeilingFailedError.

    nginx, peer: what `installed_nginx` and `installed_peer` found; without nginx the trivial server is asked.
    """
    ours: list[float] = []
    theirs: list[float] = []
    order = random.Random(seed)  # noqa: S311 - an order, not a secret
    try:
        with tempfile.TemporaryDirectory(prefix="bench-ceiling-") as name:
            folder = Path(name)
            state, cpus = open_state(state_folder), pinning.server
            with servers.nginx(nginx, folder, state, cpus) if nginx else servers.responder(state, cpus) as server:
                for _ in range(BLOCKS):
                    for turn in order.sample(["ours", "theirs"], 2):
                        if turn == "ours":
                            ours.append(_ours(server, state_folder, pinning, folder, tick))
                        elif peer is not None:
                            theirs.append(_theirs(peer, server, pinning, folder))
                return Ceiling(
                    server=server.name,
                    ours_us=tuple(ours),
                    peer=peer.name if peer else None,
                    peer_us=tuple(theirs),
                )
    except (GeneratorFailedError, RecordingError, NotUpError, OSError, subprocess.SubprocessError) as error:
        raise CeilingFailedError(" ".join(str(error).split())) from error


def _ours(server: Server, state: Path, pinning: Pinning, folder: Path, tick: Callable[[], None]) -> float:
    """Return our CPU time for a request, Locust and its statistics included, in µs."""
    record = folder / "recording.jsonl"
    record.unlink(missing_ok=True)
    arguments = locust_arguments(_CELL, url=server.url, state=state, limit_s=round(_LIMIT_S), record=record, seed=1)
    with Generator.start(
        command(arguments), record=record, cpus=pinning.generator, log=folder / "locust.log"
    ) as generator:
        give_up_s = time.monotonic() + _LIMIT_S
        while len(counted := _counted(record)) < WINDOW_S / SLICE_S:
            if generator.has_ended or time.monotonic() > give_up_s:
                raise CeilingFailedError("our generator did not measure for long enough")
            tick()
            time.sleep(SLICE_S)
        generator.stop()
    failed = [reason for piece in counted for reason in piece.errors]
    if failed:
        raise CeilingFailedError(f"our generator failed: {failed[0]}")
    requests = sum(piece.requests for piece in counted)
    return sum(piece.generator_cpu_us for piece in counted) / requests


def _counted(record: Path) -> tuple[Slice, ...]:
    """Return what counts so far: the slices in which all clients were there, without the first ones."""
    whole = [piece for piece in slices_so_far(record) if piece.users >= CONNECTIONS and piece.requests]
    return tuple(whole[_WARM_UP_SLICES:])


def _theirs(peer: _Peer, server: Server, pinning: Pinning, folder: Path) -> float:
    """Return the CPU time for a request of a generator in C, its start and its handshakes included, in µs."""
    output = folder / "peer.log"
    with output.open("wb") as stdout:
        process = start_child(
            [*peer.argv, f"{server.url}{OPEN_PATH}"],
            cpus=pinning.generator,
            stdout=stdout,
            stderr=subprocess.STDOUT,
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
    text = output.read_text(encoding="utf-8", errors="replace")
    counted = peer.count.search(text)
    if process.returncode or counted is None or not int(counted[1]) or peer.failed.search(text):
        raise CeilingFailedError(f"{peer.name} failed with status {process.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1e6 / int(counted[1])
