"""What every command has: its parser, the file and the user it is about, its result."""

import argparse
import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn, TypeAlias

from digest_auth._algorithms import PLAIN_ALGORITHMS, Algorithm
from digest_auth._users import UsersFileError, decoded, read_octets
from digest_auth._users_editing import UsersText

PROGRAM: Final = "python -m digest_auth"
_WIDTH: Final = 100  # columns of help, on terminals that have them

FINE: Final = 0
NO: Final = 1  # to the question that `check` answers; 2 is misuse, which UsersFileError and the parser stand for


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command prints, its remarks on standard error, and its exit status."""

    lines: Sequence[str]
    notes: Sequence[str] = ()
    status: int = FINE


Command: TypeAlias = Callable[[argparse.Namespace], Outcome]


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; shows examples before options."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        self.exit(2, f"{PROGRAM}: error: {message}; `{self.prog} --help` shows examples\n")


class _Layout(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        columns = os.environ.get("COLUMNS", "")
        width = int(columns) if columns.isascii() and columns.isdigit() else _WIDTH
        super().__init__(prog, max_help_position=26, width=max(40, min(_WIDTH, width)))


def main_parser(description: str) -> Parser:
    """Return the parser that commands are added to."""
    return Parser(prog=PROGRAM, usage=f"{PROGRAM} COMMAND …", description=description, formatter_class=_Layout)


class Commands:
    """The commands of a program."""

    def __init__(self, whole: Parser) -> None:
        self._parsers = whole.add_subparsers(prog=whole.prog, metavar="COMMAND", title="commands", required=True)

    def add(self, name: str, run: Command, *, summary: str, usage: str, description: str) -> Parser:
        """Add a command about a file; `description` opens its help and holds its examples."""
        parser = self._parsers.add_parser(
            name,
            usage=f"{PROGRAM} {name} {usage}",
            help=summary,
            description=description,
            formatter_class=_Layout,
            allow_abbrev=False,
        )
        parser.add_argument("file", type=Path, metavar="FILE", help="the users file")
        parser.set_defaults(command=run)
        return parser


def add_user(parser: Parser, *, optional: bool = False) -> None:
    """Let a command be told a user and the realm."""
    parser.add_argument("user", metavar="USER", nargs="?" if optional else None, help="the user's name")
    parser.add_argument(
        "--realm", metavar="REALM", help="the realm (default: the file's, when all its users are in one)"
    )


def add_algorithms(parser: Parser) -> None:
    """Let a command be told which hashes to write."""
    parser.add_argument(
        "--algorithm",
        action="append",
        dest="algorithms",
        choices=[algorithm.value for algorithm in PLAIN_ALGORITHMS],
        metavar="ALGORITHM",
        help="%(choices)s; repeatable (default: SHA-256, SHA-512-256 where this Python has it, and MD5 if others in "
        "the realm have it)",
    )


def existing_text(path: Path) -> UsersText:
    """Read a users file. Raises UsersFileError."""
    return UsersText.parse(decoded(read_octets(path), path), str(path))


def wanted_realm(given: str | None, text: UsersText, path: Path) -> str:
    """Return the realm that is meant. Raises UsersFileError when nothing says which."""
    if given is not None:
        return composed(given)
    realms = text.realms()
    if len(realms) == 1:
        return realms[0]
    which = f"has users in {', '.join(map(repr, realms))}" if realms else "names nobody yet"
    raise UsersFileError(f"{path} {which}; say which realm is meant with --realm")


def wanted_name(typed: str, text: UsersText, realm: str) -> str:
    """Return the name of the user that is meant: as it stands in the file, or else as it was typed, in NFC."""
    return typed if text.of(typed, realm) else composed(typed)


def wanted_algorithms(given: Iterable[str] | None, text: UsersText, user: str, realm: str) -> Sequence[Algorithm]:
    """Return whose hashes to write. Raises AlgorithmUnavailableError."""
    if given is not None:
        algorithms = [Algorithm(name) for name in given]
        for algorithm in algorithms:
            algorithm.require()
        return algorithms
    # MD5 is for old clients, and a file that has it for some is one of a server that may offer it.
    used = {line.algorithm for line in text.in_realm(realm)} | {line.algorithm for _, line in text.of(user, realm)}
    return [a for a in PLAIN_ALGORITHMS if a.is_available and (a is not Algorithm.MD5 or a in used)]


def composed(text: str) -> str:
    """Return text in Unicode's form NFC, as clients are to send it (RFC 7616 section 4)."""
    return unicodedata.normalize("NFC", text)


def shown(text: str) -> str:
    """Return text that stays on its line and does nothing to a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def narrowed(path: Path, mode: int | None) -> Sequence[str]:
    """Return the note on permissions that `change_users_file` took away."""
    if mode is None:
        return []
    return [f"note: everybody on this machine had access to {path} (permissions {mode:04o}); that was taken away"]
