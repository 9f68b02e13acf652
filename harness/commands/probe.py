"""`bench probe`: what one handshake and one request take, seen from a client."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from device_api.state import StateLayout, read_credentials
from harness.commands.explained import ExplainedCommand
from harness.probes.phases import PHASE_NAMES, RequestPhases, probe_phases
from harness.probes.summary import HandshakeSummary, probe_handshakes
from harness.probes.target import Target, check_ca_file, parse_target

_WIDTH_WITHOUT_TERMINAL = 160


@click.command(
    cls=ExplainedCommand,
    examples=[
        ("bench probe https://localhost:8443", "of `bench serve`, whose CA and user it finds by itself"),
        ("bench probe https://device.example --ca-file ca.pem -n 100", "of another server"),
        ("bench probe https://localhost:8443 --json | jq .handshakes", "for a program"),
    ],
    statuses={0: "probed"},
)
@click.argument("url")
@click.option("--ca-file", type=click.Path(path_type=Path), help="CA that vouches for the server.")
@click.option("--credentials-file", type=click.Path(path_type=Path), help="One line user:password, for Digest.")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    default=Path(".device"),
    show_default=True,
    envvar="DEVICE_STATE",
    help="Where CA and credentials are taken from for a server on this machine, unless they are given.",
)
@click.option(
    "-n", "count", type=click.IntRange(1, 10_000), default=30, show_default=True, help="Handshakes of a kind."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; times in microseconds.")
def probe(
    *, url: str, ca_file: Path | None, credentials_file: Path | None, state: Path, count: int, as_json: bool
) -> None:
    """Probe a server: TLS handshakes by version, full and resumed, and the phases of one request.

    URL without a path asks the device's system state. Certificates are verified.
    """
    target = parse_target(url)
    if target.is_this_machine:
        ca_file = ca_file or _if_there(StateLayout(state).ca_file)
        credentials_file = credentials_file or _if_there(StateLayout(state).credentials_file)
    check_ca_file(ca_file)
    credentials = read_credentials(credentials_file) if credentials_file else None
    requests = probe_phases(target, ca_file, credentials)
    handshakes = probe_handshakes(target, ca_file, count) if target.scheme == "https" else ()
    if as_json:
        click.echo(json.dumps(_as_json(target, handshakes, requests), indent=2))
    else:
        _show(target, handshakes, requests)


def _if_there(path: Path) -> Path | None:
    return path if path.is_file() else None


def _as_json(
    target: Target, handshakes: tuple[HandshakeSummary, ...], requests: tuple[RequestPhases, ...]
) -> dict[str, object]:
    return {
        "url": target.url,
        "handshakes": [asdict(each) for each in handshakes],
        "requests": [
            {
                "what": each.what,
                "status": each.status,
                "phases_us": dict(each.phases_us),
                "total_us": each.total_us,
                "body_bytes": each.body_bytes,
            }
            for each in requests
        ],
    }


def _show(target: Target, handshakes: tuple[HandshakeSummary, ...], requests: tuple[RequestPhases, ...]) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH_WITHOUT_TERMINAL
    console.print(target.url, style="bold")
    if handshakes:
        console.print(_handshake_table(handshakes))
        for each in handshakes:
            if each.why_not:
                console.print(f"TLS {each.version} {each.kind}: {each.why_not}")
            elif each.n < each.asked:
                console.print(f"TLS {each.version} {each.kind}: {each.asked - each.n} of {each.asked} were not resumed")
    else:
        console.print("plain HTTP: no handshakes")
    console.print()
    console.print(_request_table(requests))


def _handshake_table(handshakes: tuple[HandshakeSummary, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("TLS", "handshake", "n", "p50 µs", "p95 µs", "sent B", "received B", "flights"):
        table.add_column(heading, justify="left" if heading in {"TLS", "handshake"} else "right")
    for heading in ("group", "cipher", "key"):
        table.add_column(heading)
    for each in handshakes:
        if each.tls is None:
            continue
        table.add_row(
            each.version,
            each.kind,
            str(each.n),
            f"{each.time_us_p50:,.0f}",
            f"{each.time_us_p95:,.0f}",
            f"{each.sent:,}",
            f"{each.received:,}",
            str(each.flights),
            each.tls.group or "unknown",
            each.tls.cipher,
            each.tls.key_kind,
        )
    return table


def _request_table(requests: tuple[RequestPhases, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("request")
    table.add_column("status", justify="right")
    for name in (*PHASE_NAMES, "total"):
        table.add_column(f"{name if name != 'tls' else 'TLS'} µs", justify="right")
    for each in requests:
        table.add_row(
            each.what,
            str(each.status),
            *(f"{each.phases_us[name]:,.0f}" if name in each.phases_us else "-" for name in PHASE_NAMES),
            f"{each.total_us:,.0f}",
        )
    return table
