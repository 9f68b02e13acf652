"""`list`: who is there."""

import argparse
from collections.abc import Iterator, Sequence
from typing import Final

from digest_auth._command_line._frame import PROGRAM, Commands, Outcome, composed, existing_text, shown
from digest_auth._users_editing import UsersText

_DESCRIPTION = f"""\
examples:
  {PROGRAM} list users
  {PROGRAM} list users --realm api

Shows users, their realms and the algorithms that they have a hash of; never a hash.
"""

_HEADINGS: Final = ("USER", "REALM", "ALGORITHMS")


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add("list", _run, summary="show who there is", usage="FILE [options]", description=_DESCRIPTION)
    parser.add_argument("--realm", metavar="REALM", help="show the users of this realm alone")


def _run(options: argparse.Namespace) -> Outcome:
    rows = list(_rows(existing_text(options.file), None if options.realm is None else composed(options.realm)))
    if not rows:
        where = "" if options.realm is None else f" in realm {options.realm!r}"
        return Outcome([], [f"nobody is in {options.file}{where}; next: {PROGRAM} add {options.file} USER"])
    return Outcome(list(_table([_HEADINGS, *rows])))


def _rows(text: UsersText, realm: str | None) -> Iterator[Sequence[str]]:
    for user, of in dict.fromkeys((line.user, line.realm) for _, line in text.named):
        if realm in {None, of}:
            algorithms = dict.fromkeys(line.algorithm for _, line in text.of(user, of))
            yield shown(user), shown(of), ", ".join(map(shown, algorithms))


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
