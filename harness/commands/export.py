"""`bench export`: a deployment to take home, as files in a folder."""

import ipaddress
from pathlib import Path
from typing import Final

import click

import deployments
from certs import CertificateFiles
from deployments.exporting import ExportOptions, exported, write
from harness.commands import completing
from harness.commands.explained import ExplainedCommand
from harness.errors import UserError

_TLS_CHOICES: Final = tuple(choice for choice in deployments.TLS_CHOICES if choice != "off")


@click.command(
    cls=ExplainedCommand,
    examples=[
        ("bench export flask-waitress@nginx device --domain device.example", "into the new folder device"),
        ("bench export quart-uvicorn api --certificate chain.pem --key key.pem", "with a certificate that you have"),
    ],
    statuses={0: "written"},
)
@click.argument("deployment", shell_complete=completing.deployment_names)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--domain", metavar="NAME", help="Host name by which clients will know it.")
@click.option(
    "--certificate",
    type=click.Path(path_type=Path),
    metavar="CHAIN",
    help="PEM, had already; it is checked, and the steps name it.  [default: Let's Encrypt is asked for one]",
)
@click.option("--key", type=click.Path(path_type=Path), help="The key of --certificate, PEM. It is not copied.")
@click.option(
    "--workers", type=int, default=1, show_default=True, help="Processes that serve, where the server can run several."
)
@click.option("--threads", type=int, help="Threads for requests, where the server has such a number.")
@click.option(
    "--tls", type=click.Choice(_TLS_CHOICES), default=_TLS_CHOICES[-1], show_default=True, help="Versions served."
)
@click.option("--host", metavar="ADDRESS", default=ExportOptions().host, show_default=True, help="Where it listens.")
@click.option("--port", type=click.IntRange(1, 65535), default=ExportOptions().port, show_default=True)
@click.option(
    "--group",
    type=click.Choice(deployments.GROUPS),
    help="The only key-exchange group, as `bench serve` pins one.  [default: the TLS library's own choice]",
)
@click.option(
    "--service",
    metavar="NAME",
    default=ExportOptions().service,
    show_default=True,
    help="Of the systemd services, their user, and the folders in /etc, /opt, /run and /var/lib.",
)
@click.option(
    "--upstream-port",
    metavar="N",
    type=int,
    default=ExportOptions().upstream_port,
    show_default=True,
    help="Where the application listens behind a proxy, on loopback; of several processes the first.",
)
def export(
    *,
    deployment: str,
    folder: Path,
    domain: str | None,
    certificate: Path | None,
    key: Path | None,
    workers: int,
    threads: int | None,
    tls: str,
    host: str,
    port: int,
    group: str | None,
    service: str,
    upstream_port: int,
) -> None:
    """Write what a DEPLOYMENT needs on a server of yours into a new folder DIR.

    The configuration is the one that is measured; with it come systemd services, container files, pinned requirements,
    the application itself, and a README.md with the steps.
    """
    if (certificate is None) != (key is None):
        raise UserError(
            "a certificate and its key go together", hint=f"give --{'key' if key is None else 'certificate'} too"
        )
    options = ExportOptions(
        domain=domain,
        certificate=None if certificate is None or key is None else CertificateFiles(certificate, key),
        host=host,
        port=port,
        workers=workers,
        threads=threads,
        tls=tls,
        group=group,
        service=service,
        upstream_port=upstream_port,
    )
    made = exported(deployment, options)
    write(made, folder)
    found = deployments.find(deployment)
    click.echo(f"{found.name} is in {folder}: {len(made.files)} files")
    several = found.workers.several if workers > 1 else None
    for warning in (found.warning, several and several.warning):
        if warning:
            click.echo(f"mind: {warning}", err=True)
    if not ipaddress.ip_address(host).is_unspecified:
        click.echo(f"without container files: a container has not the address {host}", err=True)
    click.echo(f"how to install it: {folder / 'README.md'}")
