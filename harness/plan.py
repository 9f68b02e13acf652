"""Plans: what a run measures, as values. `harness.plan_files` reads them from TOML.

A plan is a list of cells (one deployment, its options, one scenario, one load), all measured once in each block, and of
searches for capacity, made after the blocks.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from certs import KeyKind
from deployments import DeploymentName
from harness.load import Arrivals, Load

# Those that leave the least behind in a server come first: harness.schedule goes by this order.
SCENARIOS = (
    "health",
    "keep-alive",
    "one-interface",
    "slow-io",
    "mix",
    "challenge",
    "reconnecting",
    "full-handshake",
    "resumed-handshake",
)
RECONNECTING = "reconnecting"  # the scenario that has requests_per_connection
TLS_CHOICES = ("1.2", "1.3", "1.2+1.3", "off")
AUTH_CHOICES = ("digest", "none")
KEY_KINDS = tuple(str(kind) for kind in KeyKind)

SLICE_S = 0.25  # the generator records four times a second; windows are made of whole slices

DEFAULT_HALF_WIDTH = 0.02
DEFAULT_P99_MS = 250.0

_FILES_BESIDE_CLIENTS = 100  # open files of a generator or a server that are no connections


def open_files(connections: int, *, proxied: bool) -> int:
    """Return what one process, generator, server or proxy, may have open at a time while it has so many clients.

    proxied: whether a proxy is among them, which has a connection to the application for each one to a client.
    """
    return connections * (2 if proxied else 1) + _FILES_BESIDE_CLIENTS


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class ServerKey:
    """One way to start a server: cells that share it are measured in turn on one fresh process."""

    deployment: str
    tls: str = "1.3"
    auth: str = "digest"
    certificate_kind: str = "ecdsa-p256"
    threads: int = 0  # 0: the deployment's own default
    workers: int = 1
    twin: int = 0  # tells servers apart that differ in nothing: A against A
    added_cpu_us: float = 0.0  # that the device burns in every request, a known truth to be found
    added_delay_ms: float = 0.0  # that it waits

    @property
    def uses_tls(self) -> bool:
        """Whether clients come by https."""
        return self.tls != "off"

    @property
    def is_proxied(self) -> bool:
        """Whether a proxy stands in front of the application's server. Raises DeploymentError for no such name."""
        return DeploymentName.parse(self.deployment).proxy is not None

    @property
    def is_calibration(self) -> bool:
        """Whether it is there for the bench's check of itself, and no choice that somebody has."""
        return bool(self.twin or self.added_cpu_us or self.added_delay_ms)

    @property
    def words(self) -> list[str]:
        """All but the deployment, as it stands in names, such as `tls1.3`, `digest` and `ecdsa-p256`."""
        words = [f"tls{self.tls}" if self.uses_tls else "no-tls", "digest" if self.auth == "digest" else "no-digest"]
        if self.uses_tls:
            words.append(self.certificate_kind)
        if self.threads:
            words.append(f"t{self.threads}")
        if self.workers != 1:
            words.append(f"w{self.workers}")
        if self.twin:
            words.append(f"twin{self.twin}")
        if self.added_cpu_us:
            words.append(f"+{self.added_cpu_us:g}us-cpu")
        if self.added_delay_ms:
            words.append(f"+{self.added_delay_ms:g}ms")
        return words


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Cell:
    """What is measured once in every block."""

    server: ServerKey
    scenario: str
    load: Load
    requests_per_connection: int = 0  # of the scenario reconnecting; 0: the scenario says it

    @property
    def name(self) -> str:
        """Stable and readable: `flask-threaded keep-alive c8 tls1.3 digest ecdsa-p256`."""
        words = [self.server.deployment, self.scenario, self.load.name]
        if self.requests_per_connection:
            words.append(f"k{self.requests_per_connection}")
        return " ".join([*words, *self.server.words])


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Search:
    """A search for capacity: the highest rate of an open load under which the latency keeps within a limit."""

    server: ServerKey
    scenario: str
    clients: int  # connections
    p99_ms: float = DEFAULT_P99_MS
    arrivals: Arrivals = Arrivals.POISSON

    @property
    def name(self) -> str:
        """`flask-threaded keep-alive c64 p99<250ms tls1.3 digest ecdsa-p256`."""
        words = [self.server.deployment, self.scenario, f"c{self.clients}", f"p99<{self.p99_ms:g}ms"]
        if self.arrivals != Arrivals.POISSON:
            words.append(str(self.arrivals))
        return " ".join([*words, *self.server.words])

    def cell(self, rate_per_s: float) -> Cell:
        """Return the cell that is measured at a rate."""
        load = Load(clients=self.clients, rate_per_s=rate_per_s, arrivals=self.arrivals)
        return Cell(server=self.server, scenario=self.scenario, load=load)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run measures: every cell once in every block."""

    name: str
    seed: int
    blocks: int
    window_s: float
    budget_s: float
    cells: tuple[Cell, ...]
    max_blocks: int = 0  # with the further blocks of what is not decided yet; 0: there are none
    half_width: float = DEFAULT_HALF_WIDTH  # of a ratio's interval, as a share, at which its comparison is decided
    handshake_blocks: int = 0  # of harness.handshakes; 0: not measured
    searches: tuple[Search, ...] = ()

    @property
    def trials(self) -> int:
        """How many trials the blocks of all cells have."""
        return self.blocks * len(self.cells)

    @property
    def measuring_s(self) -> float:
        """The windows of these together."""
        return self.trials * self.window_s

    @property
    def servers(self) -> tuple[ServerKey, ...]:
        """The server starts of one block, in the order of the plan."""
        return tuple(dict.fromkeys(cell.server for cell in self.cells))

    @property
    def connections(self) -> int:
        """How many its widest trial has."""
        return max([*(cell.load.clients for cell in self.cells), *(search.clients for search in self.searches)])

    @property
    def open_files(self) -> int:
        """What one process, generator, server or proxy, may have open at a time in the trial that needs most."""
        trials = [(cell.server, cell.load.clients) for cell in self.cells]
        trials += [(search.server, search.clients) for search in self.searches]
        return max(open_files(clients, proxied=server.is_proxied) for server, clients in trials)

    def cells_on(self, server: ServerKey) -> tuple[Cell, ...]:
        """Return the cells that are measured on one server start."""
        return tuple(cell for cell in self.cells if cell.server == server)

    def to_json(self) -> dict[str, Any]:
        """Return the whole plan, one entry a cell: `parse` reads it back."""
        return {
            "name": self.name,
            "seed": self.seed,
            "blocks": self.blocks,
            "window_s": self.window_s,
            "budget_s": self.budget_s,
            # A plan without them has the hash that it had before there were any.
            **({"max_blocks": self.max_blocks, "half_width": self.half_width} if self.max_blocks else {}),
            **({"handshake_blocks": self.handshake_blocks} if self.handshake_blocks else {}),
            "cell": [_cell_to_json(cell) for cell in self.cells],
            **({"capacity": [_search_to_json(search) for search in self.searches]} if self.searches else {}),
        }

    @property
    def hash(self) -> str:
        """Identify the plan: equal hashes measure the same."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _cell_to_json(cell: Cell) -> dict[str, Any]:
    load = cell.load
    return {
        **_server_to_json(cell.server),
        "scenario": cell.scenario,
        "clients": load.clients,
        **({"rate_per_s": load.rate_per_s, "arrivals": str(load.arrivals)} if load.is_open else {}),
        **({"requests_per_connection": cell.requests_per_connection} if cell.requests_per_connection else {}),
    }


def _search_to_json(search: Search) -> dict[str, Any]:
    return {
        **_server_to_json(search.server),
        "scenario": search.scenario,
        "clients": search.clients,
        "arrivals": str(search.arrivals),
        "p99_ms": search.p99_ms,
    }


def _server_to_json(server: ServerKey) -> dict[str, Any]:
    calibration = {
        "twin": server.twin,
        "added_cpu_us": server.added_cpu_us,
        "added_delay_ms": server.added_delay_ms,
    }
    return {
        "deployment": server.deployment,
        "tls": server.tls,
        "auth": server.auth,
        "certificate_kind": server.certificate_kind,
        "threads": server.threads,
        "workers": server.workers,
        **{key: value for key, value in calibration.items() if value},
    }
