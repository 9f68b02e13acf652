"""`bench list`: every deployment, what it can do, and whether it can be served here."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import click
from rich.console import Console
from rich.table import Table

import deployments
from deployments import Abilities, Deployment, DeploymentName, Described, Resumption, SeveralWorkers
from harness.commands import completing
from harness.commands.explained import ExplainedCommand

_Show: TypeAlias = Callable[[Deployment], str]

_WITHOUT_END: Final = 1000  # a file or a pipe has no width of its own: nothing is left out, no line is folded
_GAP: Final = 2  # between columns


@click.command(
    "list",
    cls=ExplainedCommand,
    examples=[
        ("bench list", "all, a line each"),
        ("bench list flask-waitress@nginx", "all that is known of one"),
        ("bench list --json | jq '.[].name'", "for a program"),
    ],
    statuses={0: "shown"},
)
@click.argument("deployment", required=False, shell_complete=completing.deployment_names)
@click.option("--json", "as_json", is_flag=True, help="As JSON, with everything that is known.")
def list_deployments(*, deployment: str | None, as_json: bool) -> None:
    """Show every way to serve the API and what each can do, or all that is known of one DEPLOYMENT."""
    described = deployments.describe(deployment)
    if as_json:
        click.echo(json.dumps([item.row() for item in described], indent=2))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WITHOUT_END
    if deployment is None:
        _print_all(described, console)
    else:
        _print_one(described[0], console)


def _print_all(described: Sequence[Described], console: Console) -> None:
    console.print(_overview([item.deployment for item in described], console.width))
    console.print()
    for warning, names in _warnings(described):
        console.print(f"{names}: {warning}")
    for warning, names in _warnings_about_workers(described):
        console.print(f"{names} with several workers: {warning}")
    for line in _post_quantum_notes(described):
        console.print(line)
    for item in described:
        if item.missing:
            console.print(f"{item.deployment.name}: not installed here; {item.deployment.install}")
    console.print()
    name = described[1].deployment.name
    console.print(f"{len(described)} deployments. All that is known of one: bench list {name} (of all: --json).")
    console.print(f"Serve one: bench serve {name}")


def _warnings(described: Sequence[Described]) -> Iterator[tuple[str, str]]:
    """Yield each warning once, with the names of those that it is for."""
    return _grouped((item.deployment.name, item.deployment.warning) for item in described)


def _warnings_about_workers(described: Sequence[Described]) -> Iterator[tuple[str, str]]:
    """Yield each warning that is for several workers, as `_warnings`."""
    several = ((item.deployment.name, item.deployment.workers.several) for item in described)
    return _grouped((name, each.warning) for name, each in several if each is not None)


def _grouped(warnings: Iterable[tuple[DeploymentName, str | None]]) -> Iterator[tuple[str, str]]:
    names: dict[str, list[str]] = {}
    for name, warning in warnings:
        if warning is not None:
            names.setdefault(warning, []).append(str(name))
    for warning, those in names.items():
        yield warning, ", ".join(those)


def _post_quantum_notes(described: Sequence[Described]) -> Iterator[str]:
    """Yield who has post-quantum key exchange, and why other TLS stacks have not; nothing where all have."""
    installed = [item.deployment for item in described if not item.missing]
    refusals = {one.abilities.tls_stack: one.abilities.key_exchange.post_quantum_refusal for one in installed}
    able = ", ".join(str(one.name) for one in installed if refusals[one.abilities.tls_stack] is None) or "nothing here"
    why = "".join(f"; with {stack.value} it {refusal}" for stack, refusal in refusals.items() if refusal is not None)
    if why:
        yield f"post-quantum key exchange: by default with {able}{why}"


def _overview(shown: Sequence[Deployment], width: int) -> Table:
    """Put a deployment in each row, and as many columns as fit."""
    cells = {"deployment": [str(one.name) for one in shown]}
    cells |= {heading: [show(one) for one in shown] for heading, show in _COLUMNS.items()}
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0))
    taken = 0
    for number, (heading, column) in enumerate(cells.items()):
        taken += max(map(len, (heading, *column))) + _GAP
        if number > _ALWAYS and taken - _GAP > width:
            break
        table.add_column(heading, overflow="fold", no_wrap=number == 0)
    rows = zip(*list(cells.values())[: len(table.columns)], strict=True)
    for row in rows:
        table.add_row(*row)
    return table


def _print_one(described: Described, console: Console) -> None:
    deployment = described.deployment
    console.print(f"[bold]{deployment.name}[/bold]: {deployment.summary}")
    if deployment.warning is not None:
        console.print(f"mind: {deployment.warning}")
    if described.missing:
        console.print(f"not installed here: {' and '.join(described.missing)}; {deployment.install}")
    console.print()
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, _GAP, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for what, value in _details(described):
        table.add_row(what, value)
    console.print(table)
    console.print()
    console.print(f"Serve it: bench serve {deployment.name}")


def _details(described: Described) -> Iterator[tuple[str, str]]:
    """Yield all that is known, in the order in which somebody asks who has to choose."""
    deployment, abilities = described.deployment, described.deployment.abilities
    yield "requests run in", deployment.threads.meaning
    yield "several workers", _several_workers(deployment)
    yield "keep-alive", _keep_alive(deployment)
    yield "at SIGTERM", _stop(deployment)
    yield "request target", abilities.raw_target.value
    yield "ALPN", _alpn(deployment)
    yield "TLS handshake runs", abilities.handshake.value
    yield "one TLS version by", abilities.tls_restriction
    yield "sessions resumed", _resumed(abilities.resumption)
    yield "client certificates", abilities.client_certificates.value
    yield "a new certificate is", _RENEWAL[abilities.reload]
    if described.missing:  # perhaps the TLS stack itself
        yield "TLS by", abilities.tls_stack.value
    else:
        exchange = abilities.key_exchange
        openssl = "" if exchange.openssl is None else f" with OpenSSL {exchange.openssl}"
        yield "TLS by", f"{abilities.tls_stack.value}{openssl}"
        yield "key-exchange group", f"{exchange.default} by default"
        yield "can be pinned", f"{', '.join(exchange.groups)}; by {exchange.pinned_by}"
        yield "post-quantum group", exchange.post_quantum_refusal or f"{exchange.default}, by default"
    yield "versions here", ", ".join(f"{need} {version}" for need, version in described.versions.items() if version)


_RENEWAL: Final[Mapping[deployments.Reload, str]] = {
    deployments.Reload.WATCHED: "noticed within a second, without a restart or a signal",
    deployments.Reload.WATCHED_OR_SIGHUP: "noticed within a second, and read at once at SIGHUP",
    deployments.Reload.SIGHUP: "read at SIGHUP, by new workers; connections that are being made then may be cut",
    deployments.Reload.SIGUSR1: "read at SIGUSR1; requests that come while the daemon is replaced may get 503",
    deployments.Reload.ASKED: "read when it is told to reload, which costs nobody a request",
    deployments.Reload.ASKED_CUTS_NEW: "read when it is told to reload; who is just connecting may be cut",
    deployments.Reload.RESTART: "read at the next start",
}


def _several_workers(deployment: Deployment) -> str:
    several = deployment.workers.several
    if several is None:
        return f"no: {deployment.workers.refusal}"
    whose = "every worker resumes all sessions" if several.resumed_by_all else "a worker resumes its own sessions alone"
    if not _resumption_of_any_kind(deployment.abilities.resumption):
        whose = "no session is resumed"
    killed = f"a killed one {several.killed_worker.value}"
    return f"yes; {whose}; {killed}; at SIGTERM {_stopping(several)}"


def _keep_alive(deployment: Deployment) -> str:
    return "yes" if deployment.abilities.keep_alive else "no"


def _alpn(deployment: Deployment) -> str:
    abilities = deployment.abilities
    return " ".join((*abilities.alpn, "h3") if abilities.http_3 else abilities.alpn) or "none"


def _stop(deployment: Deployment) -> str:
    return _stopping(deployment.abilities)


def _stopping(claimed: Abilities | SeveralWorkers) -> str:
    status = claimed.stop_status
    ends = f"exits with status {status}" if status >= 0 else f"ends by signal {-status}"
    return f"{'finishes' if claimed.stop_finishes_requests else 'cuts'} what runs, {ends}"


def _post_quantum(deployment: Deployment) -> str:
    try:
        exchange = deployment.abilities.key_exchange
    except ImportError:
        return "not installed"
    if exchange.post_quantum_refusal is None:
        return "by default"
    return "no" if exchange.openssl is None else f"no: OpenSSL {exchange.openssl.rpartition('.')[0]}"


def _resumes(deployment: Deployment) -> str:
    resumption = deployment.abilities.resumption
    kinds = {
        "tickets": resumption.tls_1_2_ticket and resumption.tls_1_3_ticket,
        "1.2 tickets": resumption.tls_1_2_ticket and not resumption.tls_1_3_ticket,
        "1.3 tickets": resumption.tls_1_3_ticket and not resumption.tls_1_2_ticket,
        "ids": resumption.tls_1_2_session_id,
    }
    return ", ".join(kind for kind, resumed in kinds.items() if resumed) or "never"


def _resumption_of_any_kind(resumption: Resumption) -> bool:
    return resumption.tls_1_2_ticket or resumption.tls_1_2_session_id or resumption.tls_1_3_ticket


def _resumed(resumption: Resumption) -> str:
    kinds = {
        "TLS 1.2 by ticket": resumption.tls_1_2_ticket,
        "TLS 1.2 by session id": resumption.tls_1_2_session_id,
        "TLS 1.3 by ticket": resumption.tls_1_3_ticket,
    }
    return ", ".join(kind for kind, resumed in kinds.items() if resumed) or "never"


# In the order in which they are left out, from the end, where a terminal is too narrow for all.
_COLUMNS: Final[Mapping[str, _Show]] = {
    "requests run in": lambda one: one.threads.meaning,
    "keep-alive": _keep_alive,
    "resumes by": _resumes,
    "SIGTERM": lambda one: "finishes" if one.abilities.stop_finishes_requests else "cuts",
    "new certificate": lambda one: one.abilities.reload.value,
    "post-quantum": _post_quantum,
    "workers": lambda one: "one" if one.workers.several is None else "several",
    "TLS by": lambda one: one.abilities.tls_stack.value,
    "ALPN": _alpn,
    "handshake": lambda one: one.abilities.handshake.value,
    "client certificate": lambda one: one.abilities.client_certificates.value,
    "raw target": lambda one: one.abilities.raw_target.value,
}
_ALWAYS: Final = 4  # so many are shown in any case; they are folded rather than left out
