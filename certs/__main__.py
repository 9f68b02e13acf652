"""`python -m certs`: a local CA and the certificates that it issues, from the command line."""

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from certs._command_line import _check, _init, _issue, _renew, _self_signed, _show
from certs._command_line._frame import PROGRAM, Commands, main_parser
from certs._errors import CertificateError

_DESCRIPTION: Final = f"""\
examples:
  {PROGRAM} init                  a CA of your own, in .device/ca
  {PROGRAM} issue                 a certificate for this machine
  {PROGRAM} show                  what is there, and for how long it is valid
  {PROGRAM} check                 what is wrong with it, and what to do
  {PROGRAM} renew                 prolong what ends soon

A local CA, the certificates that it issues, and the state of any others. Each command has examples
of its own: {PROGRAM} issue --help
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line, which sets `command` to what is to be run."""
    whole = main_parser(_DESCRIPTION)
    commands = Commands(whole)
    for command in (_init, _issue, _self_signed, _show, _check, _renew):
        command.add(commands)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status. Misuse is one line on stderr, and status 2."""
    options = parser().parse_args(arguments)
    try:
        outcome = options.command(options)
    except CertificateError as error:
        print(f"{PROGRAM}: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a folder that this user may not look into, and the like
        print(
            f"{PROGRAM}: error: {error.filename}: cannot be used ({error.strerror}); "
            "check the path, and run as the user that it belongs to",
            file=sys.stderr,
        )
        return 2
    for line in outcome.lines:
        print(line)
    return int(outcome.status)


if __name__ == "__main__":
    sys.exit(main())
