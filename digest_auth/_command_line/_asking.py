"""Where a password comes from: a prompt, standard input, or chance. Never an argument, which everybody can see."""

import argparse
import getpass
import secrets
import sys
import unicodedata
import warnings
from dataclasses import dataclass
from typing import Final, TextIO

from digest_auth._command_line._frame import Parser, composed
from digest_auth._users import UsersFileError

_MAX_OCTETS: Final = 4096  # a line that is longer is no password
_RANDOM_BYTES: Final = 18  # 24 characters, 144 bits: no guess will ever find it, not even from its MD5


@dataclass(frozen=True, slots=True)
class Password:
    """As typed, and in Unicode's form NFC, in which a client hashes it (RFC 7616 section 4)."""

    typed: str
    text: str
    random: bool = False

    @property
    def notes(self) -> list[str]:
        """What to know of it."""
        if self.typed == self.text:
            return []
        return ["note: the password was brought into Unicode's form NFC, in which clients send it"]


def add_password_source(parser: Parser, *, new: bool) -> None:
    """Let a command be told where the password comes from; `new`: chance is a source too."""
    sources = parser.add_mutually_exclusive_group()
    sources.add_argument("--stdin", action="store_true", help="read the password, a line, from standard input")
    if new:
        sources.add_argument(
            "--random", action="store_true", help="draw a password, and print it alone on standard output"
        )


def new_password(options: argparse.Namespace) -> Password:
    """Return a password to be set. Raises UsersFileError."""
    if options.random:
        drawn = secrets.token_urlsafe(_RANDOM_BYTES)
        return Password(drawn, drawn, random=True)
    if options.stdin:
        return _sound(_read_line(sys.stdin))
    password = _sound(_prompt("New password: "))
    if _prompt("Again: ") != password.typed:
        raise UsersFileError("the two passwords differ; nothing was changed")
    return password


def known_password(options: argparse.Namespace) -> Password:
    """Return a password to be compared. Raises UsersFileError."""
    return _sound(_read_line(sys.stdin) if options.stdin else _prompt("Password: "))


def _prompt(text: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)  # it would show what is typed
            return getpass.getpass(text)
    except getpass.GetPassWarning:
        raise UsersFileError("there is no terminal to ask for a password on; give it with --stdin") from None
    except EOFError:
        return ""
    except UnicodeDecodeError:
        raise UsersFileError("the password is not text in the terminal's encoding; type it again") from None


def _read_line(stream: TextIO | None) -> str:
    if stream is None:
        return ""
    if stream.isatty():
        raise UsersFileError("standard input is a terminal, which would show the password; leave out --stdin")
    octets = stream.buffer.readline(_MAX_OCTETS + 3)
    line = octets.removesuffix(b"\n").removesuffix(b"\r")
    if len(line) > _MAX_OCTETS:
        raise UsersFileError(f"the line on standard input is longer than {_MAX_OCTETS} octets; give a password")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        raise UsersFileError("the password on standard input is not UTF-8 text; write it as UTF-8") from None


def _sound(typed: str) -> Password:
    if not typed:
        raise UsersFileError("the password is empty; give one")
    if any(unicodedata.category(c) in {"Cc", "Cs"} for c in typed):
        raise UsersFileError("the password has a control character, or one that is no UTF-8; clients could not send it")
    return Password(typed, composed(typed))
