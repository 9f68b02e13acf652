"""`bench serve`: one deployment in the foreground, to try a client on or to look at."""

import contextlib
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import click

import deployments
from certs import PINNED_GROUP, KeyKind
from device_api.state import read_credentials
from harness.commands import completing
from harness.commands.explained import ExplainedCommand

_GRACE_S: Final = 10.0
_SYSTEM_STATE: Final = "/restconf/data/ietf-system:system-state"
_OWN_CHOICE: Final = "default"
_ASKED: Final = {"required": "need", "optional": "may show"}


class _StopRequestedError(BaseException):
    """SIGTERM or SIGINT. No ordinary handler of errors may swallow it."""


@click.command(
    cls=ExplainedCommand,
    examples=[
        ("bench serve flask-threaded", "on https://localhost:8443; it prints a line of curl to try"),
        ("bench serve flask-gunicorn-gthread --workers 4 --tls 1.3", "several processes, one version"),
        ("bench serve quart-uvicorn --port 0 --ready-file up.json", "for a script: any free port, told in the file"),
    ],
    statuses={0: "stopped, by Ctrl-C or SIGTERM", 1: "the server ended by itself"},
    ends_by_interrupt=True,
)
@click.argument("deployment", shell_complete=completing.deployment_names)
@click.option("--port", type=click.IntRange(0, 65535), default=8443, show_default=True, help="0: any free one.")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    default=Path(".device"),
    show_default=True,
    envvar="DEVICE_STATE",
    help="Folder with CA, certificates, users and database; made if it is missing.",
)
@click.option(
    "--workers", type=int, default=1, show_default=True, help="Processes that serve, where the server can run several."
)
@click.option("--threads", type=int, help="Threads for requests, where the server has such a number.")
@click.option("--ready-file", type=click.Path(path_type=Path), help="Written once it answers, removed at the end.")
@click.option(
    "--tls",
    type=click.Choice(tuple(deployments.TLS_CHOICES)),
    default="1.2+1.3",
    show_default=True,
    help="Versions served; off: plain HTTP.",
)
@click.option(
    "--auth",
    type=click.Choice(deployments.AUTH_CHOICES),
    default="digest",
    show_default=True,
    help="none: everybody on this machine is let in.",
)
@click.option(
    "--certificate-kind",
    type=click.Choice([kind.value for kind in KeyKind]),
    default=KeyKind.ECDSA_P256.value,
    show_default=True,
    help="Key of the server's certificate.",
)
@click.option(
    "--group",
    type=click.Choice((*deployments.GROUPS, _OWN_CHOICE)),
    default=None,
    help="Key-exchange group; 'default' leaves it to the TLS stack."
    f"  [default: {PINNED_GROUP}, or the only one that a server has]",
)
@click.option(
    "--client-ca",
    type=click.Path(path_type=Path),
    help="PEM; clients have to show a certificate of this CA.",
)
@click.option(
    "--client-certificates",
    type=click.Choice(deployments.CLIENT_CERTIFICATE_CHOICES),
    default=deployments.CLIENT_CERTIFICATE_CHOICES[0],
    show_default=True,
    help="optional: who shows none is let in too; with --client-ca.",
)
@click.pass_context
def serve(
    context: click.Context,
    *,
    deployment: str,
    port: int,
    state: Path,
    workers: int,
    threads: int | None,
    ready_file: Path | None,
    tls: str,
    auth: str,
    certificate_kind: str,
    group: str | None,
    client_ca: Path | None,
    client_certificates: str,
) -> None:
    """Serve the device API in one way until Ctrl-C.

    `bench list` shows all DEPLOYMENTs. Standard output says where it listens and how to ask it.
    """
    options = deployments.ServeOptions(
        state=state,
        port=port,
        workers=workers,
        threads=threads,
        tls=tls,
        auth=auth,
        certificate_kind=KeyKind(certificate_kind),
        group=None if group == _OWN_CHOICE else group or deployments.USUAL_GROUP,
        client_ca=client_ca,
        client_certificates=client_certificates,
    )
    with _stop_signals():
        try:
            context.exit(_serve(deployment, options, ready_file))
        except _StopRequestedError:
            context.exit(0)  # it came before the server was up


def _serve(name: str, options: deployments.ServeOptions, ready_file: Path | None) -> int:
    """Serve until a signal or the server's own end; return the exit status of the command."""
    try:
        running = deployments.start(name, options)
    except deployments.DeploymentError as error:
        for line in error.log_tail:
            click.echo(f"  {line}", err=True)
        raise
    with running, _ready(running, ready_file):
        try:
            _introduce(running, options)
            status = running.wait()
        except _StopRequestedError:
            click.echo(f"stopping {running.name}", err=True)
            running.stop(_GRACE_S)
            return 0
        for line in running.log_tail():
            click.echo(f"  {line}", err=True)
        click.echo(f"{running.name} ended by itself with status {status}", err=True)
        return 1


def _introduce(running: deployments.RunningServer, options: deployments.ServeOptions) -> None:
    deployment = deployments.find(running.name)
    usual = running.threads == deployment.threads.count
    threads = deployment.threads.meaning if usual else f"{running.threads} threads"
    each = f", in each of {running.workers} workers" if running.workers > 1 else ""
    click.echo(f"{running.name}: {deployment.summary}; {threads}{each}")
    several = deployment.workers.several if running.workers > 1 else None
    for warning in (deployment.warning, several and several.warning):
        if warning:
            click.echo(f"mind: {warning}", err=True)
    click.echo(f"listening on {running.url}")
    curl = ["curl"]
    if running.ca_file is not None:
        click.echo(f"CA certificate: {running.ca_file}")
        curl += ["--cacert", shlex.quote(str(running.ca_file))]
    group = deployments.group_of(deployment.abilities.tls_stack, options.group)
    if running.ca_file is not None and group not in (None, PINNED_GROUP):
        click.echo(f"clients need the key-exchange group {group}")  # which their TLS may be too old for
    if options.client_ca is not None:
        click.echo(f"clients {_ASKED[options.client_certificates]} a certificate of: {options.client_ca}")
        curl += ["--cert", "CLIENT.pem", "--key", "CLIENT-KEY.pem"] if options.client_certificates == "required" else []
    if options.auth == "digest":
        user, _ = read_credentials(running.credentials_file)
        click.echo(f"user {user}, password in {running.credentials_file}")
        curl += ["--digest", "--user", f'"$(cat {shlex.quote(str(running.credentials_file))})"']
    click.echo(f"log: {running.log}")
    click.echo(f"try: {' '.join(curl)} {running.url}{_SYSTEM_STATE}")
    click.echo("Ctrl-C stops it")


@contextlib.contextmanager
def _ready(running: deployments.RunningServer, path: Path | None) -> Iterator[None]:
    """Keep the ready file while the server serves."""
    if path is None:
        yield
        return
    running.ready_file.write(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _stop_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGINT into _StopRequestedError wherever the command happens to be."""

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        raise _StopRequestedError

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
