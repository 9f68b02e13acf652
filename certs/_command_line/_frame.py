"""What every command has: its parser, the folder it works on, its result, and the words they share."""

import argparse
import datetime as dt
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn, TypeAlias

from cryptography import x509

from certs._issuing import LONGEST_ACCEPTED
from certs._kinds import KeyKind
from certs._layout import Layout

PROGRAM: Final = "python -m certs"
DEFAULT_FOLDER: Final = ".device"
_WIDTH: Final = 100  # columns of help, on terminals that have them

FINE: Final = 0
WRONG: Final = 1  # a certificate is; 2 is misuse, which CertificateError and the parser stand for


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command prints, and its exit status."""

    lines: Sequence[str]
    status: int = FINE


Command: TypeAlias = Callable[[argparse.Namespace], Outcome]


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as everything else here does; shows examples before options."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        self.exit(2, f"{PROGRAM}: error: {message}; `{self.prog} --help` shows examples\n")


class _Layout(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=min(_WIDTH, _terminal_width()))


def _terminal_width() -> int:
    return int(os.environ.get("COLUMNS") or _WIDTH)


def main_parser(description: str) -> Parser:
    """Return the parser that commands are added to."""
    return Parser(prog=PROGRAM, usage=f"{PROGRAM} COMMAND …", description=description, formatter_class=_Layout)


class Commands:
    """The commands of a program."""

    def __init__(self, whole: Parser) -> None:
        self._parsers = whole.add_subparsers(prog=whole.prog, metavar="COMMAND", title="commands", required=True)

    def add(self, name: str, run: Command, *, summary: str, description: str) -> Parser:
        """Add a command; `description` opens its help and holds its examples."""
        parser = self._parsers.add_parser(
            name,
            usage=f"{PROGRAM} {name} [options]",
            help=summary,
            description=description,
            formatter_class=_Layout,
        )
        parser.set_defaults(command=run)
        return parser


def add_folder(parser: Parser) -> None:
    """Let a command be told which folder it works on."""
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        default=Path(os.environ.get("DEVICE_STATE") or DEFAULT_FOLDER),
        help=f"folder of the CA and its certificates (default: $DEVICE_STATE, or {DEFAULT_FOLDER})",
    )


def add_names(parser: Parser, *, default: str) -> None:
    """Let a command be told names for a certificate."""
    parser.add_argument(
        "--name",
        action="append",
        metavar="NAME",
        dest="names",
        help=f"host name (*.lab.example too) or address that it is good for; repeatable (default: {default})",
    )


def add_kind(parser: Parser, default: KeyKind | None, *, shown: str = "%(default)s") -> None:
    """Let a command be told a kind of key."""
    parser.add_argument(
        "--kind",
        choices=[kind.value for kind in KeyKind],  # as strings: argparse then lists them when none of them is given
        default=None if default is None else default.value,
        help=f"%(choices)s (default: {shown}); no browser takes ed25519",
        metavar="KIND",
    )


def add_force(parser: Parser) -> None:
    """Let a command write over what is there."""
    parser.add_argument("--force", action="store_true", help="replace what is there, its key too")


def days(least: int) -> Callable[[str], int]:
    """Return a reader of a number of days."""

    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text) <= _MOST_DAYS):
            raise argparse.ArgumentTypeError(f"{text!r} is not a number of days from {least} to {_MOST_DAYS}")
        return int(text)

    return number


_MOST_DAYS: Final = 36_500


def state_option(layout: Layout) -> str:
    """Return what has to be added to a command for it to work on the same folder."""
    return "" if layout.folder == Path(DEFAULT_FOLDER) else f" --state {quoted(layout.folder)}"


def quoted(path: Path) -> str:
    """Return a path as a shell takes it."""
    return shlex.quote(str(path))


def day(certificate: x509.Certificate) -> str:
    """Return the last day of a certificate."""
    return f"{certificate.not_valid_after_utc:%Y-%m-%d}"


def trust_line(ca_file: Path, name: str = "localhost") -> str:
    """Return a line that says how a client comes to trust a file."""
    return f"clients trust it so: curl --cacert {quoted(ca_file)} https://{_in_url(name)}:8443/health"


def _in_url(name: str) -> str:
    return f"[{name}]" if ":" in name else name.replace("*", "any", 1)


def notes_on_validity(certificate: x509.Certificate, ca: x509.Certificate | None, asked: dt.timedelta) -> list[str]:
    """Return what to know of how long a certificate is valid, unless it is as usual."""
    got = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    notes = []
    if ca is not None and got < asked:
        notes.append(f"note: not valid for {asked.days} days, because the CA ends on {day(ca)}")
    if got > LONGEST_ACCEPTED:
        notes.append(f"note: Apple's systems refuse servers' certificates of more than {LONGEST_ACCEPTED.days} days")
    return notes
