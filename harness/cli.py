"""`bench`: the command line. Errors that a person can put right are one line on standard error, exit status 2."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import click

from certs import CertificateError
from deployments import DeploymentError
from device_api.ready import ReadyFileError
from device_api.state import StateError
from digest_auth import UsersFileError
from harness.errors import UserError, unknown_name
from harness.recording import RecordingError

_ONE_LINERS = (
    UserError,
    DeploymentError,
    CertificateError,
    StateError,
    ReadyFileError,
    UsersFileError,
    RecordingError,
)
_BAD_INPUT: Final = 2
_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it

# Where each command is: module in harness.commands, name in it. In the order of a first visit.
_COMMANDS: Final = {
    "doctor": ("doctor", "doctor"),
    "list": ("list", "list_deployments"),
    "serve": ("serve", "serve"),
    "export": ("export", "export"),
    "probe": ("probe", "probe"),
    "handshakes": ("handshakes", "handshakes"),
    "run": ("run", "run"),
    "calibrate": ("calibrate", "calibrate"),
    "report": ("report", "report"),
    "predict": ("predict", "predict"),
    "compare": ("compare", "compare"),
}

_FIRST_STEPS = """\
bench measures what HTTPS and Digest cost a Flask or Quart API, and how it is best served.

  bench run            measure (about 9 minutes) and write a report
  bench doctor         is this machine fit to measure on, and what does it lack?
  bench list           every way to serve the API, and what each can do
  bench serve NAME     serve it in one of them, to look at
  bench export NAME    write what it takes to serve it so on a server of yours
  bench probe URL      what one handshake and one request take
  bench handshakes     what handshakes cost by key, version, group and TLS library, or with one server
  bench calibrate      does the bench itself find what is there, and nothing else?
  bench report DIR     write the report of a run again, or of several side by side
  bench predict DIR    say what a load that nobody measured will take
  bench compare A B    is a second run worse than the first, after an upgrade, say?

Start with `bench run`. Each command explains itself with --help."""


class _Commands(click.Group):
    """Imports a command's module when it is asked for: `bench list` needs no plots."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name]
        command = getattr(import_module(f"harness.commands.{module}"), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"harness.commands.{module}.{name} is no command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            raise unknown_name("command", args[0], _COMMANDS, hint="`bench --help` shows all.")
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="https-digest-bench", prog_name="bench")
@click.pass_context
def bench(context: click.Context) -> None:
    """Measure what HTTPS and Digest cost a Flask or Quart API, and how it is best served."""
    if context.invoked_subcommand is None:
        click.echo(_FIRST_STEPS)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `bench` and exit: 0, 2 for anything that the person at the keyboard can put right, 130 after Ctrl-C."""
    sys.exit(run_command(sys.argv[1:] if arguments is None else arguments))


def run_command(arguments: Sequence[str]) -> int:
    """Run `bench` with these arguments; return its exit status."""
    try:
        result = bench.main(args=list(arguments), prog_name="bench", standalone_mode=False)
    except _ONE_LINERS as error:
        return _bad_input(str(error))
    except click.ClickException as error:
        return _bad_input(_usage(error))
    except click.Abort:
        click.echo("stopped", err=True)
        return _INTERRUPTED
    return result if isinstance(result, int) else 0


def _bad_input(line: str) -> int:
    click.echo(f"bench: error: {line}", err=True)
    return _BAD_INPUT


def _usage(error: click.ClickException) -> str:
    message = " ".join(error.format_message().split())
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{message.rstrip('.')}; see `{error.ctx.command_path} --help`"
    return message
