"""`bench`: the command line. Errors that a person can put right are one line on standard error, exit status 2."""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final

import click
from click.shell_completion import CompletionItem

from certs import CertificateError
from deployments import DeploymentError
from device_api.ready import ReadyFileError
from device_api.state import StateError
from digest_auth import UsersFileError
from harness.commands import completion
from harness.commands.explained import BAD_INPUT, INTERRUPTED, MISTAKE, READER_GONE, write_examples
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
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})  # standard output is a file, its disk full


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where a command is: a name in a module of harness.commands; and half a line of what it does."""

    module: str
    name: str
    summary: str


# In the order of a first visit. The summaries stand here and not in the commands, so that nobody who asks for all
# commands waits until all are imported.
_COMMANDS: Final = {
    "doctor": _Entry("doctor", "doctor", "is this machine fit to measure on, what does it lack?"),
    "list": _Entry("list", "list_deployments", "every way to serve the API, and what each can do"),
    "serve": _Entry("serve", "serve", "serve it in one of them, to look at"),
    "export": _Entry("export", "export", "write what it takes to serve it so on a server of yours"),
    "probe": _Entry("probe", "probe", "what one handshake and one request take, of any server"),
    "handshakes": _Entry("handshakes", "handshakes", "what handshakes cost by key, version, group, TLS library"),
    "run": _Entry("run", "run", "measure a plan, and write the report"),
    "calibrate": _Entry("calibrate", "calibrate", "does the bench itself find what is there, and no more?"),
    "report": _Entry("report", "report", "write the report again, or of several runs side by side"),
    "predict": _Entry("predict", "predict", "what a load that nobody measured will take"),
    "compare": _Entry("compare", "compare", "is a second run worse than the first?"),
    "completion": _Entry("completion", "completion", "let bash, zsh or fish complete all of this"),
}

_EXAMPLES: Final = (
    ("bench doctor", "is this machine fit to measure on? 5 seconds"),
    ("bench run", "measure, about 9 minutes, and write a report"),
    ("bench compare BEFORE AFTER", "is it slower since the upgrade?"),
)
_STATUSES: Final = "Exit status: 0 done, 1 not well, 2 bad input, 3 not comparable, 130 Ctrl-C"


class _Commands(click.Group):
    """Imports a command's module when it is asked for: `bench list` needs no plots."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        entry = _COMMANDS[cmd_name]
        command = getattr(import_module(f"harness.commands.{entry.module}"), entry.name)
        if not isinstance(command, click.Command):
            raise TypeError(f"harness.commands.{entry.module}.{entry.name} is no command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        is_wrong = args and args[0] not in _COMMANDS and not args[0].startswith("-")
        if is_wrong and not ctx.resilient_parsing:  # which a shell asks for while the word is being typed
            raise unknown_name("command", args[0], _COMMANDS, hint="`bench --help` shows all.")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Offer commands without importing them."""
        commands = [
            CompletionItem(name, help=entry.summary) for name, entry in _COMMANDS.items() if name.startswith(incomplete)
        ]
        return commands if not incomplete.startswith("-") else click.Command.shell_complete(self, ctx, incomplete)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write examples, commands and statuses, on one screen of 24 lines."""
        write_examples(formatter, _EXAMPLES)
        formatter.write_paragraph()
        formatter.write_usage(ctx.command_path, "[--version] [--help] COMMAND [OPTIONS]")
        with formatter.section("Commands, each with a --help of its own"):
            formatter.write_dl([(name, entry.summary) for name, entry in _COMMANDS.items()])
        formatter.write(f"\n{_STATUSES}\n")


@click.group(cls=_Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="https-digest-bench", prog_name="bench")
@click.pass_context
def bench(context: click.Context) -> None:
    """Measure what HTTPS and Digest cost Flask and Quart, and how to serve them best."""
    if context.invoked_subcommand is None:
        from harness.first_steps import next_steps  # noqa: PLC0415 - reads runs, which takes numpy: for nobody else

        click.echo(f"{bench.help}\n\n{next_steps()}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `bench` and exit, with one of the statuses of `harness.commands.explained`."""
    try:
        status = run_command(sys.argv[1:] if arguments is None else arguments)
    except Exception:  # noqa: BLE001 - whatever it is, it is shown whole; only its status is not Python's
        traceback.print_exc()
        status = MISTAKE
    sys.exit(status)


def run_command(arguments: Sequence[str]) -> int:
    """Run `bench` with these arguments; return its exit status."""
    completion.install()
    try:
        result = bench.main(args=list(arguments), prog_name="bench", standalone_mode=False)
    except _ONE_LINERS as error:
        return _bad_input(str(error))
    except click.ClickException as error:
        return _bad_input(_usage(error))
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        return _bad_input(f"{error.filename or 'the output'} cannot be written ({error.strerror}); make room")
    except SystemExit as ended:  # click and rich end with 1 where nobody reads standard output any more
        if ended.code != 1:
            raise  # a shell was told what completes a line
        return READER_GONE
    except click.Abort:
        click.echo("stopped", err=True)
        return INTERRUPTED
    return result if isinstance(result, int) else 0


def _bad_input(line: str) -> int:
    click.echo(f"bench: error: {line}", err=True)
    return BAD_INPUT


def _usage(error: click.ClickException) -> str:
    message = " ".join(error.format_message().split())
    if isinstance(error, click.UsageError) and error.ctx is not None:
        more = f"`{error.ctx.command_path} --help`"
        return f"{message} See {more}" if message.endswith("?") else f"{message.rstrip('.')}; see {more}"
    return message
