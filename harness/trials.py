"""What a run leaves behind: `trials.jsonl`, one header line and then a line for each finished trial.

The format is shared (the report, comparisons and tests read it), so this module alone knows it. Unknown
fields are ignored; a last line without its newline is torn (the machine or the run died while writing) and no trial.
Writing is `harness.trial_log`'s. A run that is kept (docs/sample-run) may be packed: `xz -9 trials.jsonl` makes a ninth
of it, and whoever reads a run reads that too; to go on with one takes the file itself.
"""

from __future__ import annotations

import json
import lzma
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.evening import Reading, even
from harness.load import Arrivals, Load
from harness.recording import Bytes, Handshakes, HandshakeTimes

FORMAT = 1
FILE_NAME = "trials.jsonl"
PACKED_NAME = "trials.jsonl.xz"  # read where the other is not there

# How doubts begin that say: somebody else was the limit, or in the way, or the load was not what it should be. Rates
# and latencies are then not the server's; its CPU time for one request still is, within some per cent that fall on all
# cells alike and widen the intervals.
GENERATOR_LIMIT = "the generator was the limit"
NEIGHBOURS = "neighbours took"
LAGGED = "the generator lagged behind its schedule"
BACKLOG = "the server fell behind the arrivals"  # so the latencies are those of a queue that grows with the window
STOLEN = "other virtual machines took"
UNSTEADY_RATE = "the rate had not settled"

_CONTENDED = (GENERATOR_LIMIT, NEIGHBOURS, LAGGED, BACKLOG, STOLEN, UNSTEADY_RATE)

SEARCHED = "capacity of "  # how the cells' names of trials begin that belong to a search, and to no block


@dataclass(frozen=True, slots=True, order=True)
class TrialId:
    """Which cell, in which block: unique in a run."""

    block: int
    cell: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the server was started."""

    tls: str  # "1.2", "1.3", "1.2+1.3", "off"
    auth: str  # "digest", "none"
    certificate_kind: str  # "ecdsa-p256", …
    threads: int | None  # None: the deployment has none to set
    workers: int
    twin: int = 0  # as in harness.plan.ServerKey, these three: for the bench's check of itself
    added_cpu_us: float = 0.0
    added_delay_ms: float = 0.0

    @property
    def is_calibration(self) -> bool:
        """Whether the trial checks the bench and says nothing of a choice that somebody has."""
        return bool(self.twin or self.added_cpu_us or self.added_delay_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class NegotiatedTls:
    """What client and server agreed on, asked of the running server."""

    version: str  # "TLSv1.3"
    cipher: str
    group: str | None  # the key exchange's; None where the client's library cannot tell
    key_kind: str  # of the leaf certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One deployment under one scenario and load. All counts and times are of the window only."""

    id: TrialId
    order: int  # position in the run, 0 first
    deployment: str
    scenario: str
    load: Load
    options: Options
    window_s: float
    requests: int  # answered; without the 401 that only brings a challenge
    errors: Mapping[str, int] = field(default_factory=dict)  # requests that were not answered as they should, by reason
    latency_us: Mapping[int, int] = field(default_factory=dict)  # sparse histogram; open load: from the intended start
    lateness_us: Mapping[int, int] = field(
        default_factory=dict
    )  # of the generator, behind its schedule; open load only
    requests_per_connection: int = 0  # of the scenario reconnecting
    handshake_us: HandshakeTimes = field(default_factory=HandshakeTimes)
    handshakes: Handshakes = field(default_factory=Handshakes)
    challenges: int = 0  # 401 answers that carried a challenge
    server_cpu_us: float = 0.0  # user and system, the server's whole process tree
    generator_cpu_us: float = 0.0
    neighbour_cpu_us: float = 0.0  # what others took of the server's processors
    stolen_us: float = 0.0  # of the server's and the generator's processors, by other virtual machines
    reference_us: float | None = None  # CPU time of a fixed piece of work on the server's processor; None: not taken
    pace_us: float | None = (
        None  # CPU time of a piece of Python on the server's processors in the window; None: not taken
    )
    warm_up_s: float = 0.0  # of load before the window
    rss_bytes: int = 0  # the most that was seen of the server's whole process tree
    tls: NegotiatedTls | None = None  # None: no TLS
    bytes: Bytes = field(default_factory=Bytes)
    doubts: tuple[str, ...] = ()  # "generator was the limit"; empty is good
    started: str = ""  # ISO 8601
    slowness: float = (
        1.0  # how many times dearer requests were than at the run's mean pace; never written, `Run` finds it
    )

    @property
    def block(self) -> int:
        """The block that the trial belongs to."""
        return self.id.block

    @property
    def cell(self) -> str:
        """The cell's name: deployment, scenario, load and options in one."""
        return self.id.cell

    @property
    def is_searched(self) -> bool:
        """Whether it is a step of a search for capacity: then its block is the step's number."""
        return self.id.cell.startswith(SEARCHED)

    @property
    def is_sound(self) -> bool:
        """Whether any figure may be taken of it."""
        return not self.doubts and self.requests > 0

    @property
    def costs_are_sound(self) -> bool:
        """Whether its CPU time for one request may be used: all doubts are about the load, or who else was busy."""
        return self.requests > 0 and all(doubt.startswith(_CONTENDED) for doubt in self.doubts)

    @property
    def requests_per_s(self) -> float:
        """Throughput in the window."""
        return self.requests / self.window_s

    @property
    def server_cpu_us_per_request(self) -> float:
        """The server's CPU time for one request, at the run's mean pace: the first figure of a cost."""
        return self.server_cpu_us / self.requests / self.slowness

    @property
    def server_cores(self) -> float:
        """How many processors' worth of time the server used."""
        return self.server_cpu_us / (self.window_s * 1e6)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHeader:
    """The first line: what was to be measured, and on what."""

    plan: Mapping[str, Any]
    plan_hash: str
    seed: int
    started: str  # ISO 8601
    environment: Mapping[str, Any]

    @property
    def fixed_blocks(self) -> int:
        """How many blocks were decided on beforehand; further ones came because of what these gave. 0: all were."""
        blocks = self.plan.get("blocks")
        return blocks if isinstance(blocks, int) else 0

    @property
    def planned_trials(self) -> int:
        """How many trials the fixed blocks have, searches aside; 0 where the plan does not say."""
        cells = self.plan.get("cell")
        return self.fixed_blocks * len(cells) if isinstance(cells, list) else 0


def evened(trials: Sequence[Trial]) -> tuple[tuple[Trial, ...], float | None]:
    """Give each trial its slowness beside the others (`harness.evening`); beside them the exponent, or None."""
    taken = [
        (number, Reading(trial.cell, trial.block, trial.server_cpu_us / trial.requests, trial.pace_us))
        for number, trial in enumerate(trials)
        if trial.costs_are_sound and not trial.is_searched and trial.pace_us and trial.server_cpu_us
    ]
    found = even([reading for _, reading in taken])
    slowness = {number: share for (number, _), share in zip(taken, found.slowness, strict=True)}
    return (
        tuple(replace(trial, slowness=slowness.get(number, 1.0)) for number, trial in enumerate(trials)),
        found.exponent,
    )


@dataclass(frozen=True, slots=True)
class Run:
    """A run as far as it got; its trials are evened."""

    header: RunHeader
    trials: tuple[Trial, ...]
    exponent: float | None = field(init=False)  # by which costs follow the processor's pace; None: unknown

    def __post_init__(self) -> None:
        """Even the trials, whatever they were given beside others."""
        trials, exponent = evened(self.trials)
        object.__setattr__(self, "trials", trials)
        object.__setattr__(self, "exponent", exponent)

    @property
    def sound_trials(self) -> tuple[Trial, ...]:
        """The trials that any figure may be taken of."""
        return tuple(trial for trial in self.trials if trial.is_sound)

    @property
    def cost_trials(self) -> tuple[Trial, ...]:
        """The trials whose CPU time for one request may be used: the sound ones, and those that were only contended."""
        return tuple(trial for trial in self.trials if trial.costs_are_sound)

    @property
    def doubtful_trials(self) -> tuple[Trial, ...]:
        """The trials with a doubt: set aside, or used for their CPU time alone."""
        return tuple(trial for trial in self.trials if not trial.is_sound)


def read_run(folder: Path) -> Run:
    """Read a run's folder (or its trials.jsonl). Raises UserError if there is none or it cannot be read."""
    data, path = read_lines(folder)
    return parse_run(data, source=str(path))


def read_lines(folder: Path) -> tuple[bytes, Path]:
    """Return the lines of a run's folder (or of its file), unpacked, and the file that they stand in.

    Raises UserError if there is no such file, or if it is packed and cannot be unpacked.
    """
    path = folder / FILE_NAME if folder.is_dir() else folder
    if folder.is_dir() and not path.exists() and (folder / PACKED_NAME).exists():
        path = folder / PACKED_NAME
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{folder} holds no run ({FILE_NAME}: {error.strerror})",
            hint="give the folder that `bench run` printed",
        ) from error
    return (_unpacked(data, path) if path.suffix == ".xz" else data), path


def _unpacked(data: bytes, path: Path) -> bytes:
    try:
        return lzma.decompress(data, format=lzma.FORMAT_XZ)
    except lzma.LZMAError as error:
        raise UserError(
            f"{path} cannot be unpacked ({str(error).lower()})",
            hint="take another copy of it: a packed run is whole or of no use",
        ) from error


def parse_run(data: bytes, *, source: str) -> Run:
    """Parse the whole file. source names it in errors. Raises UserError for a line that is no trial."""
    header, lines = _whole_lines(data, source)
    trials: dict[TrialId, Trial] = {}
    for number, line in lines:
        _add(trials, line, source, number)
    return Run(header, tuple(trials.values()))


def salvage_run(data: bytes, *, source: str) -> tuple[Run, tuple[str, ...]]:
    """Parse what can be parsed, for who only reads: beside the run, what could not be, one text a line.

    Raises UserError where that is nothing: no header, or lines of which none is a trial. Unlike `parse_run`, which is
    for who goes on with a run or takes a verdict by it.
    """
    header, lines = _whole_lines(data, source)
    trials: dict[TrialId, Trial] = {}
    faults: list[UserError] = []
    for number, line in lines:
        try:
            _add(trials, line, source, number)
        except UserError as fault:
            faults.append(fault)
    if faults and not trials:
        raise UserError(f"no line of {source} is a trial that this version can read (such as: {faults[0].what})")
    return Run(header, tuple(trials.values())), tuple(fault.what for fault in faults)


def _whole_lines(data: bytes, source: str) -> tuple[RunHeader, Iterator[tuple[int, bytes]]]:
    """Return the header, and the lines after it with their numbers; what follows the last newline is empty or torn."""
    lines = data.split(b"\n")[:-1]
    if not lines:
        raise UserError(f"{source} is empty", hint="the run stopped before its first line; start a new one")
    return _header(_line_object(lines[0], source, 1), source), enumerate(lines[1:], start=2)


def _add(trials: dict[TrialId, Trial], line: bytes, source: str, number: int) -> None:
    trial = _parse_trial(_line_object(line, source, number), source, number)
    if trial.id in trials:
        raise UserError(
            f"{source}, line {number}: block {trial.id.block} of {trial.id.cell!r} is there twice",
            hint="two runs wrote to the same folder; delete one of the two lines",
        )
    trials[trial.id] = trial


def _line_object(line: bytes, source: str, number: int) -> Mapping[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise UserError(
            f"{source}, line {number} is not JSON ({error})", hint="delete the line to use the rest"
        ) from error
    if not isinstance(value, dict):
        raise UserError(f"{source}, line {number} is not an object", hint="delete the line to use the rest")
    return value


def _header(line: Mapping[str, Any], source: str) -> RunHeader:
    if line.get("format") != FORMAT:
        raise UserError(
            f"{source} has format {line.get('format')!r}, this version reads format {FORMAT}",
            hint="read it with the version that wrote it",
        )
    try:
        return header_from_json(line)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{source}, line 1 is not a run's header ({_reason(error)})", hint="start a new run") from error


def _parse_trial(line: Mapping[str, Any], source: str, number: int) -> Trial:
    try:
        return trial_from_json(line)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(
            f"{source}, line {number} is not a trial ({_reason(error)})",
            hint="delete the line to use the rest",
        ) from error


def _reason(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def header_to_json(header: RunHeader) -> dict[str, Any]:
    """Return the first line's object."""
    return {
        "format": FORMAT,
        "plan": dict(header.plan),
        "plan_hash": header.plan_hash,
        "seed": header.seed,
        "started": header.started,
        "environment": dict(header.environment),
    }


def header_from_json(line: Mapping[str, Any]) -> RunHeader:
    """Read the first line's object. Raises KeyError, TypeError or ValueError."""
    return RunHeader(
        plan=dict(line["plan"]),
        plan_hash=str(line["plan_hash"]),
        seed=int(line["seed"]),
        started=str(line["started"]),
        environment=dict(line["environment"]),
    )


def trial_to_json(trial: Trial) -> dict[str, Any]:
    """Return a trial's line as an object."""
    options, tls = trial.options, trial.tls
    return {
        "id": {"block": trial.id.block, "cell": trial.id.cell},
        "order": trial.order,
        "deployment": trial.deployment,
        "scenario": trial.scenario,
        "load": _load_to_json(trial.load),
        "options": {
            "tls": options.tls,
            "auth": options.auth,
            "certificate_kind": options.certificate_kind,
            "threads": options.threads,
            "workers": options.workers,
            **_calibration_to_json(options),
        },
        **({"requests_per_connection": trial.requests_per_connection} if trial.requests_per_connection else {}),
        "started": trial.started,
        "window_s": trial.window_s,
        "requests": trial.requests,
        "errors": dict(trial.errors),
        "latency_us": _sparse_to_json(trial.latency_us),
        **({"lateness_us": _sparse_to_json(trial.lateness_us)} if trial.load.is_open else {}),
        "handshake_us": {
            "full": _sparse_to_json(trial.handshake_us.full),
            "resumed": _sparse_to_json(trial.handshake_us.resumed),
        },
        "handshakes": {"full": trial.handshakes.full, "resumed": trial.handshakes.resumed},
        "challenges": trial.challenges,
        "server_cpu_us": trial.server_cpu_us,
        "generator_cpu_us": trial.generator_cpu_us,
        "neighbour_cpu_us": trial.neighbour_cpu_us,
        "stolen_us": trial.stolen_us,
        "reference_us": trial.reference_us,
        "pace_us": trial.pace_us,
        "warm_up_s": trial.warm_up_s,
        "rss_bytes": trial.rss_bytes,
        "tls": tls and {"version": tls.version, "cipher": tls.cipher, "group": tls.group, "key_kind": tls.key_kind},
        "bytes": {"sent": trial.bytes.sent, "received": trial.bytes.received},
        "doubts": list(trial.doubts),
    }


def trial_from_json(line: Mapping[str, Any]) -> Trial:
    """Read a trial's object. Raises KeyError, TypeError, ValueError or AttributeError for anything else."""
    options, tls, handshake_us = line["options"], line["tls"], line["handshake_us"]
    return Trial(
        id=TrialId(int(line["id"]["block"]), str(line["id"]["cell"])),
        order=int(line["order"]),
        deployment=str(line["deployment"]),
        scenario=str(line["scenario"]),
        load=_load_from_json(line["load"]),
        options=Options(
            tls=str(options["tls"]),
            auth=str(options["auth"]),
            certificate_kind=str(options["certificate_kind"]),
            threads=None if options["threads"] is None else int(options["threads"]),
            workers=int(options["workers"]),
            twin=int(options.get("twin", 0)),
            added_cpu_us=float(options.get("added_cpu_us", 0.0)),
            added_delay_ms=float(options.get("added_delay_ms", 0.0)),
        ),
        requests_per_connection=int(line.get("requests_per_connection", 0)),
        started=str(line.get("started", "")),
        window_s=_positive(line["window_s"]),
        requests=int(line["requests"]),
        errors={str(reason): int(count) for reason, count in line["errors"].items()},
        latency_us=_sparse_from_json(line["latency_us"]),
        lateness_us=_sparse_from_json(line.get("lateness_us", {})),
        handshake_us=HandshakeTimes(
            full=_sparse_from_json(handshake_us["full"]), resumed=_sparse_from_json(handshake_us["resumed"])
        ),
        handshakes=Handshakes(full=int(line["handshakes"]["full"]), resumed=int(line["handshakes"]["resumed"])),
        challenges=int(line["challenges"]),
        server_cpu_us=float(line["server_cpu_us"]),
        generator_cpu_us=float(line["generator_cpu_us"]),
        neighbour_cpu_us=float(line["neighbour_cpu_us"]),
        stolen_us=float(line.get("stolen_us", 0.0)),
        reference_us=None if line.get("reference_us") is None else float(line["reference_us"]),
        pace_us=None if line.get("pace_us") is None else float(line["pace_us"]),
        warm_up_s=float(line.get("warm_up_s", 0.0)),
        rss_bytes=int(line["rss_bytes"]),
        tls=tls
        and NegotiatedTls(
            version=str(tls["version"]),
            cipher=str(tls["cipher"]),
            group=tls["group"] and str(tls["group"]),
            key_kind=str(tls["key_kind"]),
        ),
        bytes=Bytes(sent=int(line["bytes"]["sent"]), received=int(line["bytes"]["received"])),
        doubts=_texts(line["doubts"]),
    )


def _load_to_json(load: Load) -> dict[str, Any]:
    rate = {"rate_per_s": load.rate_per_s, "arrivals": str(load.arrivals)} if load.is_open else {}
    return {"clients": load.clients, **rate}


def _load_from_json(load: Mapping[str, Any]) -> Load:
    return Load(
        clients=int(load["clients"]),
        rate_per_s=float(load.get("rate_per_s", 0.0)),
        arrivals=Arrivals(load.get("arrivals", Arrivals.POISSON)),
    )


def _calibration_to_json(options: Options) -> dict[str, Any]:
    values = {
        "twin": options.twin,
        "added_cpu_us": options.added_cpu_us,
        "added_delay_ms": options.added_delay_ms,
    }
    return {key: value for key, value in values.items() if value}


def _positive(value: float) -> float:
    number = float(value)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"window_s is {value!r}")
    return number


def _texts(values: Iterable[object]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)


def _sparse_to_json(histogram: Mapping[int, int]) -> dict[str, int]:
    return {str(number): histogram[number] for number in sorted(histogram)}


def _sparse_from_json(histogram: Mapping[str, int]) -> dict[int, int]:
    return {int(number): int(count) for number, count in histogram.items()}
