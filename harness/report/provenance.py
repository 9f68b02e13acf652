"""Section: on what, and how again? Environment, versions, command, seed, every trial, the raw data to take along."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from harness import histograms, words
from harness.handshakes.figures import Block, Figure
from harness.plan_files import built_in_plans
from harness.report.content import Section, Table, table
from harness.report.packing import packed
from harness.trials import Run, RunHeader, Trial, header_to_json, trial_to_json

MAX_DOWNLOADS_BYTES = 1_000_000  # all of them: a page stays under 3 MB; what is left out lies beside it anyway
MAX_PLAIN_BYTES = 100_000  # of a file that is ready without JavaScript; a larger one is packed


@dataclass(frozen=True, slots=True)
class Download:
    """A file inside the page."""

    name: str
    about: str
    uri: str = ""  # data:
    packed: str = ""  # instead of it: text, as `harness.report.packing` packs it
    kind: str = ""  # its media type


def section(run: Run) -> Section:
    """Say what was measured, on what, and how to do it again."""
    header = run.header
    where = "" if _is_built_in(header) else " (the plan stands beside this page)"
    return Section(
        "again",
        "On what, and how again?",
        f"{words.capitalised(when(header.started))}, on {machine(header.environment)}. The same again, with the same "
        f"order of trials{where}:",
        command=command(header),
        tables=(*environment_tables(run), _trials_table(run.trials)),
    )


def command(header: RunHeader) -> str:
    """Return what measures the same plan again."""
    return f"bench run {header.plan['name'] if _is_built_in(header) else 'plan.toml'}"


def _is_built_in(header: RunHeader) -> bool:
    return str(header.plan.get("name", "")) in built_in_plans()


def when(started: str) -> str:
    """Return "24 Nov 2026", or what the header says if that is no date."""
    try:
        moment = datetime.fromisoformat(started)
    except ValueError:
        return started or "at an unknown time"
    return f"{moment.day} {moment:%b %Y}"


def machine(environment: Mapping[str, Any]) -> str:
    """Return the machine in half a line."""
    number = environment.get("processors")
    cores = words.count(number, "core") if isinstance(number, int) else "an unknown number of cores"
    processor = str(environment.get("processor", "")).strip()
    return f"{cores} ({processor})" if processor else cores


def context(run: Run) -> tuple[str, ...]:
    """Return the facts beside the title: date, cores, OpenSSL, trials."""
    environment = run.header.environment
    number = environment.get("processors")
    facts = [f"measured {when(run.header.started)}"]
    if isinstance(number, int):
        facts.append(words.count(number, "core"))
    openssl = environment.get("openssl")
    if isinstance(openssl, Mapping):
        versions = dict.fromkeys(_version(str(value)) for value in openssl.values() if value)
        if versions:
            facts.append(f"OpenSSL {words.listed(list(versions))}")
    facts.append(words.count(len(run.trials), "trial"))
    return tuple(facts)


def downloads(run: Run, blocks: Sequence[Block] = ()) -> tuple[Download, ...]:
    """Return the raw trials and handshakes as files inside the page; without those that would make it too heavy."""
    found = [text_download("trials.csv", "one line a trial", "text/csv", as_csv(run.trials))]
    if blocks:
        said = "one line a kind and block, in memory"
        found.append(text_download("handshakes.csv", said, "text/csv", handshakes_as_csv(blocks)))
    whole = gzip.compress(as_jsonl(run), compresslevel=6, mtime=0)
    found.append(Download("trials.jsonl.gz", "everything, histograms too", _uri("application/gzip", whole)))
    return within_budget(found)


def text_download(name: str, about: str, kind: str, data: bytes) -> Download:
    """Return a text as a file of the media type `kind`, packed if it is long."""
    if len(data) > MAX_PLAIN_BYTES:
        return Download(name, about, packed=packed(data), kind=kind)
    return Download(name, about, uri=_uri(kind, data))


def within_budget(wanted: Iterable[Download]) -> tuple[Download, ...]:
    """Return the files that have room in a page, the first first."""
    room, found = MAX_DOWNLOADS_BYTES, []
    for download in wanted:
        size = len(download.uri) + len(download.packed)
        if size <= room:
            room -= size
            found.append(download)
    return tuple(found)


def as_jsonl(run: Run) -> bytes:
    """Return the run as its own format has it."""
    lines = [header_to_json(run.header), *map(trial_to_json, run.trials)]
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()


def as_csv(trials: Sequence[Trial]) -> bytes:
    """Return one line a trial, its figures plain numbers in µs and seconds."""
    return _csv([_flat(trial) for trial in trials])


def handshakes_as_csv(blocks: Sequence[Block]) -> bytes:
    """Return one line for each kind of handshake or record in each block, its figures plain numbers in µs."""
    return _csv([_flat_figure(block, figure) for block in blocks for figure in block.figures])


def _csv(rows: Sequence[Mapping[str, object]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else ["order"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _flat_figure(block: Block, figure: Figure) -> dict[str, object]:
    subject = figure.subject
    return {
        "block": block.number,
        "stack": subject.stack,
        "openssl": block.openssl.get(subject.stack, ""),
        "part": subject.part,
        "version": subject.version,
        "key_kind": subject.key_kind,
        "group": subject.group,
        "record_bytes": subject.record_bytes,
        "server_cpu_us": figure.server_cpu_us,
        "batches": figure.batches,
        "count": figure.count,
        "resumed": figure.resumed,
        "tls_cipher": figure.tls.cipher,
        "tls_group": figure.tls.group or "",
        "refused": figure.refusal,
    }


def _flat(trial: Trial) -> dict[str, object]:
    p50, p99 = histograms.percentiles(trial.latency_us, [50, 99])
    options, tls = trial.options, trial.tls
    return {
        "order": trial.order,
        "block": trial.block,
        "deployment": trial.deployment,
        "scenario": trial.scenario,
        "clients": trial.load.clients,
        "tls": options.tls,
        "auth": options.auth,
        "certificate_kind": options.certificate_kind,
        "threads": "" if options.threads is None else options.threads,
        "workers": options.workers,
        "window_s": trial.window_s,
        "requests": trial.requests,
        "errors": sum(trial.errors.values()),
        "latency_us_p50": _known(p50),
        "latency_us_p99": _known(p99),
        "server_cpu_us": round(trial.server_cpu_us, 1),
        "generator_cpu_us": round(trial.generator_cpu_us, 1),
        "neighbour_cpu_us": round(trial.neighbour_cpu_us, 1),
        "pace_us": "" if trial.pace_us is None else round(trial.pace_us, 1),
        "slowness": round(trial.slowness, 4),
        "rss_bytes": trial.rss_bytes,
        "handshakes_full": trial.handshakes.full,
        "handshakes_resumed": trial.handshakes.resumed,
        "challenges": trial.challenges,
        "tls_version": tls.version if tls else "",
        "tls_cipher": tls.cipher if tls else "",
        "tls_group": (tls.group or "") if tls else "",
        "doubts": "; ".join(trial.doubts),
    }


def _known(value: float) -> object:
    return value if math.isfinite(value) else ""


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def environment_tables(run: Run) -> Iterator[Table]:
    """Yield what the run was measured on: its machine, and the versions of packages where they were recorded."""
    header = run.header
    facts = [
        ("started", header.started),
        ("plan", f"{header.plan.get('name', '')}, {header.plan.get('blocks', '?')} blocks"),
        ("plan's hash", header.plan_hash),
        ("seed of the order", str(header.seed)),
    ]
    packages = header.environment.get("packages")
    facts += [
        (key.removesuffix("_bytes").replace("_", " "), _bytes_said(value) if key.endswith("_bytes") else _said(value))
        for key, value in header.environment.items()
        if key != "packages" and value not in (None, [], "")
    ]
    yield table("The run and its machine", ["what", "value"], [], facts)
    if isinstance(packages, Mapping) and packages:
        rows = [(str(name), str(version)) for name, version in sorted(packages.items())]
        yield table("Versions", ["package", "version"], [], rows)


def _bytes_said(value: object) -> str:
    return f"{words.significant(value / 1e9)}{words.THIN}GB" if isinstance(value, int) else _said(value)


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {inner}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


def _trials_table(trials: Sequence[Trial]) -> Table:
    rows = []
    for trial in sorted(trials, key=lambda trial: trial.order):
        p50, p99 = histograms.percentiles(trial.latency_us, [50, 99])
        options = trial.options
        rows.append(
            (
                trial.deployment,
                trial.scenario,
                "off" if options.tls == "off" else f"{options.tls} {options.certificate_kind}",
                options.auth,
                f"{trial.order + 1}",
                f"{trial.block + 1}",
                f"{trial.load.clients}",
                f"{trial.requests:,}",
                words.significant(trial.requests_per_s, 3) if trial.window_s > 0 else words.NOT_KNOWN,
                words.microseconds(trial.server_cpu_us_per_request, 3) if trial.requests else words.NOT_KNOWN,
                words.microseconds(p50, 3),
                words.microseconds(p99, 3),
                "; ".join(trial.doubts) or "none",
            )
        )
    return table(
        f"Every trial ({len(rows):,})",
        ["deployment", "scenario", "TLS", "auth"],
        ["order", "block", "clients", "requests", "requests/s", "server CPU a request", "p50", "p99"],
        rows,
        remarks=["doubts"],
    )


def _version(text: str) -> str:
    """Return "3.0.22" of "OpenSSL 3.0.22 27 Jan 2026"."""
    parts = text.split()
    return parts[1] if len(parts) > 1 and parts[0] == "OpenSSL" else text
