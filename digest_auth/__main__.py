"""`python -m digest_auth`: who may come in, from the command line."""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Final, TextIO

from digest_auth._algorithms import AlgorithmUnavailableError
from digest_auth._command_line import _add, _check, _list, _password, _remove
from digest_auth._command_line._frame import PROGRAM, Commands, Outcome, main_parser, shown
from digest_auth._users import UsersFileError

_DESCRIPTION: Final = f"""\
examples:
  {PROGRAM} add users alice --realm api     asks for a password
  {PROGRAM} password users alice            another one
  {PROGRAM} list users                      who there is
  {PROGRAM} check users                     what is wrong with the file, and what to do
  {PROGRAM} remove users alice

Manages htdigest files: who may come in with HTTP Digest (RFC 7616). They hold hashes, never a
password, and Apache's programs read their MD5 lines. Each command has examples of its own:
{PROGRAM} add --help
"""

_INTERRUPTED: Final = 130  # as shells say it: 128 and SIGINT


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line, which sets `command` to what is to be run."""
    whole = main_parser(_DESCRIPTION)
    commands = Commands(whole)
    for command in (_add, _password, _remove, _list, _check):
        command.add(commands)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status. Misuse is one line on standard error, and status 2."""
    whole = parser()
    options, rest = whole.parse_known_args(arguments)
    if rest:
        # They are not repeated: one of them may be a password.
        whole.error(
            "too many arguments, or an unknown option; a password is no argument: it is asked for, or read with --stdin"
        )
    try:
        outcome: Outcome = options.command(options)
    except (UsersFileError, AlgorithmUnavailableError) as error:
        return _misuse(str(error))
    except OSError as error:
        return _misuse(f"{error.filename}: {error.strerror}; check the path")
    except KeyboardInterrupt:
        _write(sys.stderr, ["", f"{PROGRAM}: interrupted"] if sys.stderr.isatty() else [f"{PROGRAM}: interrupted"])
        return _INTERRUPTED
    _write(sys.stderr, outcome.notes)
    try:
        _write(sys.stdout, outcome.lines)
    except BrokenPipeError:  # whoever reads has seen enough
        _discard_output()
    except OSError as error:
        _discard_output()
        return _misuse(f"standard output cannot be written: {error.strerror}")
    return outcome.status


def _misuse(message: str) -> int:
    _write(sys.stderr, [f"{PROGRAM}: error: {message}"])
    return 2


def _write(stream: TextIO | None, lines: Iterable[str]) -> None:
    """Write lines; the stream is None where the process was started without it."""
    if stream is not None:
        for line in lines:
            # A terminal that cannot show a name is shown how it is written.
            stream.write(shown(line).encode(stream.encoding, "backslashreplace").decode(stream.encoding) + "\n")
        stream.flush()


def _discard_output() -> None:
    """Let Python find nothing to complain of when it flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
