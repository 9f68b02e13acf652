"""Plans as people write them: TOML, checked before anything starts.

A plan is a list of cells (one deployment, its options, one scenario, one load), all measured once in each block.
A `[[cell]]` table may name several deployments, scenarios, client counts or rates: it stands for all combinations.

    name = "mine"
    seed = 1            # of the order; recorded
    blocks = 6          # of all cells; fewer than 6 give no verdicts
    max_blocks = 20     # further ones measure only what is not decided yet; without it there are none
    half_width = 0.02   # a comparison is decided when the interval of its ratio is so narrow (2 % to each side)
    window_s = 2.5      # that count, of each trial
    budget_s = 300      # all windows together may not exceed it
    handshake_blocks = 6   # of handshakes in memory, about 4 s each, after the trials; none if it is not there

    [[cell]]
    deployment = ["flask-threaded", "quart-hypercorn-asyncio"]   # or a pattern: "quart-*", "*@nginx", "*"
    scenario = "keep-alive"
    clients = [4, 64]
    tls = "1.3"                      # "1.2", "1.3", "1.2+1.3", "off"
    auth = "digest"                  # or "none"
    certificate_kind = "ecdsa-p256"
    threads = 16                     # only where the deployment has threads
    workers = 1

An open load has arrivals at a rate instead of clients that wait; `clients` is then how many connections there are:

    [[cell]]
    deployment = "flask-threaded"
    scenario = "keep-alive"
    rate_per_s = [100, 400]
    arrivals = "poisson"             # or "constant"
    clients = 64

Further settings of a cell: `requests_per_connection` (scenario reconnecting, which needs it), and three by which a run
checks itself: `twin = 1` is another server of the same kind (A against A), `added_cpu_us` and `added_delay_ms` make the
device burn, or wait, so long in every request.

A `[[capacity]]` table asks for the highest rate at which the 99th percentile of the latency stays under a limit:

    [[capacity]]
    deployment = ["flask-threaded", "quart-hypercorn-asyncio"]
    scenario = "keep-alive"
    clients = 64                     # connections
    p99_ms = 250                     # the limit
"""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Any

from harness.errors import UserError, unknown_name
from harness.load import Arrivals, Load
from harness.plan import (
    AUTH_CHOICES,
    DEFAULT_HALF_WIDTH,
    DEFAULT_P99_MS,
    KEY_KINDS,
    RECONNECTING,
    SCENARIOS,
    SLICE_S,
    TLS_CHOICES,
    Cell,
    Plan,
    Search,
    ServerKey,
)

MAX_BLOCKS = 10_000
MAX_CLIENTS = 10_000
MAX_HANDSHAKE_BLOCKS = 1_000
MAX_RATE_PER_S = 1_000_000.0

_PLAN_KEYS = (
    "name",
    "seed",
    "blocks",
    "max_blocks",
    "half_width",
    "budget_s",
    "window_s",
    "handshake_blocks",
    "cell",
    "capacity",
)
_SERVER_KEYS = (
    "deployment",
    "tls",
    "auth",
    "certificate_kind",
    "threads",
    "workers",
    "twin",
    "added_cpu_us",
    "added_delay_ms",
)
_CELL_KEYS = (*_SERVER_KEYS, "scenario", "clients", "rate_per_s", "arrivals", "requests_per_connection")
_CAPACITY_KEYS = (*_SERVER_KEYS, "scenario", "clients", "arrivals", "p99_ms")
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")  # it becomes part of a folder's name


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
    cells = [
        cell
        for number, table in enumerate(_tables(data, "cell", source), start=1)
        for cell in _cells(table, f"{source}: cell {number}", deployments)
    ]
    searches = [
        search
        for number, table in enumerate(_tables(data, "capacity", source), start=1)
        for search in _searches(table, f"{source}: capacity {number}", deployments)
    ]
    if not cells and not searches:
        raise UserError(f"{source}: there is nothing to measure", hint="add at least one [[cell]] table")
    blocks = _whole(data, "blocks", source, low=1, high=MAX_BLOCKS)
    plan = Plan(
        name=name,
        seed=_whole(data, "seed", source, low=0, high=2**63 - 1),
        blocks=blocks,
        max_blocks=_whole(data, "max_blocks", source, low=blocks, high=MAX_BLOCKS, default=0),
        half_width=_number(data, "half_width", source, low=0.001, high=1.0, default=DEFAULT_HALF_WIDTH),
        window_s=window_s,
        budget_s=_number(data, "budget_s", source, low=1.0, high=1e7),
        cells=tuple(cells),
        handshake_blocks=_whole(data, "handshake_blocks", source, low=0, high=MAX_HANDSHAKE_BLOCKS, default=0),
        searches=tuple(searches),
    )
    _check_whole(plan, source)
    return plan


def _check_whole(plan: Plan, source: str) -> None:
    seen: set[str] = set()
    for cell in plan.cells:
        if cell.name in seen:
            raise UserError(f"{source}: {cell.name!r} is there twice", hint="drop one of the two cells")
        seen.add(cell.name)
    for search in plan.searches:
        if search.name in seen:
            raise UserError(f"{source}: capacity {search.name!r} is there twice", hint="drop one of the two")
        seen.add(search.name)
    if plan.measuring_s > plan.budget_s:
        raise UserError(
            f"{source}: {plan.blocks} blocks of {len(plan.cells)} trials of {plan.window_s:g} s are"
            f" {plan.measuring_s:g} s of measuring, budget_s allows {plan.budget_s:g} s",
            hint="measure fewer cells, or raise budget_s",
        )


def _tables(data: Mapping[str, Any], key: str, source: str) -> list[Mapping[str, Any]]:
    tables = data.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UserError(f"{source}: {key} is no table", hint=f"write it as [[{key}]]")
    return tables


def _cells(table: Mapping[str, Any], where: str, deployments: Collection[str]) -> list[Cell]:
    _refuse_unknown_keys(table, _CELL_KEYS, where)
    servers = _servers(table, where, deployments)
    scenarios = _scenarios(table, where)
    per_connection = _per_connection(table, scenarios, where)
    return [
        Cell(server=server, scenario=scenario, load=load, requests_per_connection=count)
        for server, scenario, load in itertools.product(servers, scenarios, _loads(table, where))
        for count in (per_connection if scenario == RECONNECTING else [0])
    ]


def _searches(table: Mapping[str, Any], where: str, deployments: Collection[str]) -> list[Search]:
    _refuse_unknown_keys(table, _CAPACITY_KEYS, where)
    servers = _servers(table, where, deployments)
    scenarios = _scenarios(table, where)
    if RECONNECTING in scenarios:
        raise UserError(f"{where}: there is no capacity of {RECONNECTING}", hint="search that of full-handshake")
    return [
        Search(
            server=server,
            scenario=scenario,
            clients=clients,
            arrivals=_arrivals(table, where),
            p99_ms=_number(table, "p99_ms", where, low=0.1, high=60_000, default=DEFAULT_P99_MS),
        )
        for server, scenario, clients in itertools.product(
            servers, scenarios, _wholes(table, "clients", where, low=1, high=MAX_CLIENTS)
        )
    ]


def _servers(table: Mapping[str, Any], where: str, deployments: Collection[str]) -> list[ServerKey]:
    names = _deployments(table, where, deployments)
    tls = _one_of(table.get("tls", "1.3"), TLS_CHOICES, "choice of tls", where)
    if tls == "off" and "resumed-handshake" in _texts(table, "scenario", where):
        raise UserError(f"{where}: resumed-handshake needs TLS, and tls is off", hint="drop one of the two")
    return [
        ServerKey(
            deployment=name,
            tls=tls,
            auth=_one_of(table.get("auth", "digest"), AUTH_CHOICES, "choice of auth", where),
            certificate_kind=_one_of(table.get("certificate_kind", "ecdsa-p256"), KEY_KINDS, "certificate_kind", where),
            threads=_whole(table, "threads", where, low=0, high=10_000, default=0),
            workers=_whole(table, "workers", where, low=1, high=1_000, default=1),
            twin=_whole(table, "twin", where, low=0, high=100, default=0),
            added_cpu_us=_number(table, "added_cpu_us", where, low=0, high=1e6, default=0.0),
            added_delay_ms=_number(table, "added_delay_ms", where, low=0, high=10_000, default=0.0),
        )
        for name in names
    ]


def _deployments(table: Mapping[str, Any], where: str, known: Collection[str]) -> list[str]:
    """Return the names that the table lists, each once; a pattern stands for all that it fits, in their own order."""
    found: dict[str, None] = {}
    for name in _texts(table, "deployment", where):
        fitting = [each for each in known if fnmatchcase(each, name)]
        if not fitting:
            raise unknown_name("deployment", name, known, where=where, hint="`bench list` shows all.")
        found.update(dict.fromkeys(fitting))
    return list(found)


def _scenarios(table: Mapping[str, Any], where: str) -> list[str]:
    return [_one_of(value, SCENARIOS, "scenario", where) for value in _texts(table, "scenario", where)]


def _loads(table: Mapping[str, Any], where: str) -> list[Load]:
    clients = _wholes(table, "clients", where, low=1, high=MAX_CLIENTS)
    if "rate_per_s" not in table:
        if "arrivals" in table:
            raise UserError(f"{where}: arrivals without rate_per_s", hint="a load without a rate has none to spread")
        return [Load(clients=count) for count in clients]
    rates = _numbers(table, "rate_per_s", where, low=0.1, high=MAX_RATE_PER_S)
    arrivals = _arrivals(table, where)
    return [
        Load(clients=count, rate_per_s=rate, arrivals=arrivals) for count, rate in itertools.product(clients, rates)
    ]


def _arrivals(table: Mapping[str, Any], where: str) -> Arrivals:
    return Arrivals(_one_of(table.get("arrivals", "poisson"), tuple(Arrivals), "kind of arrivals", where))


def _per_connection(table: Mapping[str, Any], scenarios: Sequence[str], where: str) -> list[int]:
    key = "requests_per_connection"
    if (key in table) != (RECONNECTING in scenarios):
        missing = "is missing" if key not in table else "is there"
        raise UserError(f"{where}: {key} {missing}", hint=f"the scenario {RECONNECTING} has it, and no other")
    return _wholes(table, key, where, low=1, high=1_000_000) if key in table else [0]


def _refuse_unknown_keys(table: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise unknown_name("setting", key, known, where=where)


def _required(table: Mapping[str, Any], key: str, where: str) -> object:
    if key not in table:
        raise UserError(f"{where}: {key} is missing", hint=f"add `{key} = …`")
    return table[key]


def _one_or_more(table: Mapping[str, Any], key: str, where: str) -> list[object]:
    value = _required(table, key, where)
    return value if isinstance(value, list) and value else [value]


def _text(table: Mapping[str, Any], key: str, where: str) -> str:
    value = _required(table, key, where)
    if not isinstance(value, str) or not value:
        raise UserError(f"{where}: {key} is {value!r}", hint="it must be a text in quotes")
    return value


def _texts(table: Mapping[str, Any], key: str, where: str) -> list[str]:
    value = _required(table, key, where)
    values = [each for each in _one_or_more(table, key, where) if isinstance(each, str)]
    if not values or len(values) < len(_one_or_more(table, key, where)):
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
    return [_checked_whole(each, key, where, low, high) for each in _one_or_more(table, key, where)]


def _checked_whole(value: object, key: str, where: str, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise UserError(f"{where}: {key} is {value!r}", hint=f"it must be a whole number from {low} to {high}")
    return value


def _number(
    table: Mapping[str, Any], key: str, where: str, *, low: float, high: float, default: float | None = None
) -> float:
    if default is not None and key not in table:
        return default
    return _checked_number(_required(table, key, where), key, where, low, high)


def _numbers(table: Mapping[str, Any], key: str, where: str, *, low: float, high: float) -> list[float]:
    return [_checked_number(each, key, where, low, high) for each in _one_or_more(table, key, where)]


def _checked_number(value: object, key: str, where: str, low: float, high: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise UserError(f"{where}: {key} is {value!r}", hint=f"it must be a number from {low:g} to {high:g}")
    return float(value)
