"""Plans: what a run measures, read from TOML and checked before anything starts.

A plan is a list of cells (one deployment, its options, one scenario, one load), all measured once in each block.
A `[[cell]]` table may name several deployments, scenarios or client counts: it stands for all combinations.

    name = "mine"
    seed = 1            # of the order; recorded
    blocks = 6          # fewer than 6 give no verdicts
    window_s = 2.5      # that count, of each trial
    budget_s = 300      # all windows together may not exceed it
    handshake_blocks = 6   # of handshakes in memory, about 4 s each, after the trials; none if it is not there

    [[cell]]
    deployment = ["flask-threaded", "quart-hypercorn-asyncio"]
    scenario = "keep-alive"
    clients = [4, 64]
    tls = "1.3"                      # "1.2", "1.3", "1.2+1.3", "off"
    auth = "digest"                  # or "none"
    certificate_kind = "ecdsa-p256"
    threads = 16                     # only where the deployment has threads
    workers = 1
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from certs import KeyKind
from harness.errors import UserError, unknown_name

# Those that leave the least behind in a server come first: harness.schedule goes by this order.
SCENARIOS = ("keep-alive", "slow-io", "mix", "challenge", "full-handshake", "resumed-handshake")
TLS_CHOICES = ("1.2", "1.3", "1.2+1.3", "off")
AUTH_CHOICES = ("digest", "none")
KEY_KINDS = tuple(str(kind) for kind in KeyKind)

SLICE_S = 0.25  # the generator records four times a second; windows are made of whole slices
MAX_CLIENTS = 10_000
MAX_HANDSHAKE_BLOCKS = 1_000

_PLAN_KEYS = ("name", "seed", "blocks", "budget_s", "window_s", "handshake_blocks", "cell")
_CELL_KEYS = (
    "deployment",
    "scenario",
    "clients",
    "tls",
    "auth",
    "certificate_kind",
    "threads",
    "workers",
)
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")  # it becomes part of a folder's name


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class ServerKey:
    """One way to start a server: cells that share it are measured in turn on one fresh process."""

    deployment: str
    tls: str = "1.3"
    auth: str = "digest"
    certificate_kind: str = "ecdsa-p256"
    threads: int = 0  # 0: the deployment's own default
    workers: int = 1

    @property
    def uses_tls(self) -> bool:
        """Whether clients come by https."""
        return self.tls != "off"


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Cell:
    """What is measured once in every block."""

    server: ServerKey
    scenario: str
    clients: int

    @property
    def name(self) -> str:
        """Stable and readable: `flask-threaded keep-alive c8 tls1.3 digest ecdsa-p256`."""
        server = self.server
        words = [server.deployment, self.scenario, f"c{self.clients}"]
        words.append(f"tls{server.tls}" if server.uses_tls else "no-tls")
        words.append("digest" if server.auth == "digest" else "no-digest")
        if server.uses_tls:
            words.append(server.certificate_kind)
        if server.threads:
            words.append(f"t{server.threads}")
        if server.workers != 1:
            words.append(f"w{server.workers}")
        return " ".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run measures: every cell once in every block."""

    name: str
    seed: int
    blocks: int
    window_s: float
    budget_s: float
    cells: tuple[Cell, ...]
    handshake_blocks: int = 0  # of harness.handshakes; 0: not measured

    @property
    def trials(self) -> int:
        """How many trials a whole run has."""
        return self.blocks * len(self.cells)

    @property
    def measuring_s(self) -> float:
        """All windows together."""
        return self.trials * self.window_s

    @property
    def servers(self) -> tuple[ServerKey, ...]:
        """The server starts of one block, in the order of the plan."""
        return tuple(dict.fromkeys(cell.server for cell in self.cells))

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
            **({"handshake_blocks": self.handshake_blocks} if self.handshake_blocks else {}),
            "cell": [_cell_to_json(cell) for cell in self.cells],
        }

    @property
    def hash(self) -> str:
        """Identify the plan: equal hashes measure the same."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _cell_to_json(cell: Cell) -> dict[str, Any]:
    server = cell.server
    return {
        "deployment": server.deployment,
        "scenario": cell.scenario,
        "clients": cell.clients,
        "tls": server.tls,
        "auth": server.auth,
        "certificate_kind": server.certificate_kind,
        "threads": server.threads,
        "workers": server.workers,
    }


def built_in_plans() -> tuple[str, ...]:
    """Return the names of the plans that come along."""
    folder = resources.files("harness") / "plans"
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if _is_toml(entry.name)))


def _is_toml(file_name: str) -> bool:
    return file_name.endswith(".toml")


@dataclass(frozen=True, slots=True)
class PlanText:
    """A plan as somebody wrote it. source names it in errors."""

    text: str
    source: str

    def parse(self, *, deployments: Collection[str]) -> Plan:
        """Check it. deployments: the names that exist. Raises UserError for anything that cannot be run as written."""
        return parse_toml(self.text, source=self.source, deployments=deployments)


def find_plan(name_or_file: str) -> PlanText:
    """Find a built-in plan by name, or a file whose name ends in .toml. Raises UserError."""
    if _is_toml(name_or_file):
        return PlanText(_read(Path(name_or_file)), name_or_file)
    if name_or_file not in built_in_plans():
        raise unknown_name("plan", name_or_file, built_in_plans(), hint="A file of your own must end in .toml.")
    text = (resources.files("harness") / "plans" / f"{name_or_file}.toml").read_text(encoding="utf-8")
    return PlanText(text, f"plan {name_or_file}")


def load_plan(name_or_file: str, *, deployments: Collection[str]) -> Plan:
    """Find a plan and check it. Raises UserError."""
    return find_plan(name_or_file).parse(deployments=deployments)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"the plan {path} cannot be read ({error.strerror})",
            hint=f"built-in plans: {', '.join(built_in_plans())}",
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text", hint="a plan is a TOML file") from error


def parse_toml(text: str, *, source: str, deployments: Collection[str]) -> Plan:
    """Parse a plan's text. source names it in errors. Raises UserError."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, place = str(error).removesuffix(")").rpartition(" (at ")
        # At the end of the file the parser gives no line.
        where = f"{source}, {place}" if place.startswith("line") else f"{source}, line {text.count(chr(10)) + 1}"
        raise UserError(f"{where}: {what or error}", hint="the file is not valid TOML") from error
    return parse(data, source=source, deployments=deployments)


def parse(data: Mapping[str, Any], *, source: str, deployments: Collection[str]) -> Plan:
    """Check a plan that was read from TOML, or from a run's header. Raises UserError."""
    _refuse_unknown_keys(data, _PLAN_KEYS, source)
    name = _text(data, "name", source)
    if not _SAFE_NAME.fullmatch(name):
        raise UserError(
            f"{source}: the name {name!r} cannot be part of a folder's name",
            hint="use up to 60 letters, digits, '.', '_' and '-', a letter or digit first",
        )
    window_s = _number(data, "window_s", source, low=1.0, high=3600.0)
    if (window_s / SLICE_S) % 1:
        raise UserError(f"{source}: window_s is {window_s}", hint=f"it must be a multiple of {SLICE_S}")
    tables = data.get("cell")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise UserError(f"{source}: there is nothing to measure", hint="add at least one [[cell]] table")
    cells = [
        cell
        for number, table in enumerate(tables, start=1)
        for cell in _cells(table, f"{source}: cell {number}", deployments)
    ]
    plan = Plan(
        name=name,
        seed=_whole(data, "seed", source, low=0, high=2**63 - 1),
        blocks=_whole(data, "blocks", source, low=1, high=10_000),
        window_s=window_s,
        budget_s=_number(data, "budget_s", source, low=1.0, high=1e7),
        cells=tuple(cells),
        handshake_blocks=_whole(data, "handshake_blocks", source, low=0, high=MAX_HANDSHAKE_BLOCKS, default=0),
    )
    _check_whole(plan, source)
    return plan


def _check_whole(plan: Plan, source: str) -> None:
    seen: set[str] = set()
    for cell in plan.cells:
        if cell.name in seen:
            raise UserError(f"{source}: {cell.name!r} is there twice", hint="drop one of the two cells")
        seen.add(cell.name)
    if plan.measuring_s > plan.budget_s:
        raise UserError(
            f"{source}: {plan.blocks} blocks of {len(plan.cells)} trials of {plan.window_s:g} s are"
            f" {plan.measuring_s:g} s of measuring, budget_s allows {plan.budget_s:g} s",
            hint="measure fewer cells, or raise budget_s",
        )


def _cells(table: Mapping[str, Any], where: str, deployments: Collection[str]) -> list[Cell]:
    _refuse_unknown_keys(table, _CELL_KEYS, where)
    names = _texts(table, "deployment", where)
    for name in names:
        if name not in deployments:
            raise unknown_name("deployment", name, deployments, where=where, hint="`bench list` shows all.")
    scenarios = [_one_of(value, SCENARIOS, "scenario", where) for value in _texts(table, "scenario", where)]
    clients = _wholes(table, "clients", where, low=1, high=MAX_CLIENTS)
    tls = _one_of(table.get("tls", "1.3"), TLS_CHOICES, "choice of tls", where)
    auth = _one_of(table.get("auth", "digest"), AUTH_CHOICES, "choice of auth", where)
    kind = _one_of(table.get("certificate_kind", "ecdsa-p256"), KEY_KINDS, "certificate_kind", where)
    threads = _whole(table, "threads", where, low=0, high=10_000, default=0)
    workers = _whole(table, "workers", where, low=1, high=1_000, default=1)
    if tls == "off" and "resumed-handshake" in scenarios:
        raise UserError(f"{where}: resumed-handshake needs TLS, and tls is off", hint="drop one of the two")
    return [
        Cell(
            server=ServerKey(
                deployment=name, tls=tls, auth=auth, certificate_kind=kind, threads=threads, workers=workers
            ),
            scenario=scenario,
            clients=count,
        )
        for name, scenario, count in itertools.product(names, scenarios, clients)
    ]


def _refuse_unknown_keys(table: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise unknown_name("setting", key, known, where=where)


def _required(table: Mapping[str, Any], key: str, where: str) -> Any:  # noqa: ANN401 - TOML holds anything
    if key not in table:
        raise UserError(f"{where}: {key} is missing", hint=f"add `{key} = …`")
    return table[key]


def _text(table: Mapping[str, Any], key: str, where: str) -> str:
    value = _required(table, key, where)
    if not isinstance(value, str) or not value:
        raise UserError(f"{where}: {key} is {value!r}", hint="it must be a text in quotes")
    return value


def _texts(table: Mapping[str, Any], key: str, where: str) -> list[str]:
    value = _required(table, key, where)
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(each, str) for each in values):
        raise UserError(f"{where}: {key} is {value!r}", hint="it must be a text in quotes, or a list of them")
    return values


def _one_of(value: object, choices: Sequence[str], kind: str, where: str) -> str:
    if not isinstance(value, str) or value not in choices:
        raise unknown_name(kind, str(value), choices, where=where)
    return value


def _whole(table: Mapping[str, Any], key: str, where: str, *, low: int, high: int, default: int | None = None) -> int:
    if default is not None and key not in table:
        return default
    return _checked_whole(_required(table, key, where), key, where, low, high)


def _wholes(table: Mapping[str, Any], key: str, where: str, *, low: int, high: int) -> list[int]:
    value = _required(table, key, where)
    values = value if isinstance(value, list) and value else [value]
    return [_checked_whole(each, key, where, low, high) for each in values]


def _checked_whole(value: object, key: str, where: str, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise UserError(f"{where}: {key} is {value!r}", hint=f"it must be a whole number from {low} to {high}")
    return value


def _number(table: Mapping[str, Any], key: str, where: str, *, low: float, high: float) -> float:
    value = _required(table, key, where)
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise UserError(f"{where}: {key} is {value!r}", hint=f"it must be a number from {low:g} to {high:g}")
    return float(value)
