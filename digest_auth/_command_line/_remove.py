"""`remove`: somebody may come in no more."""

import argparse
from collections.abc import Sequence

from digest_auth._command_line._frame import (
    PROGRAM,
    Commands,
    Outcome,
    add_user,
    existing_text,
    narrowed,
    wanted_name,
    wanted_realm,
)
from digest_auth._users import UsersLine
from digest_auth._users_editing import UsersText, require_present
from digest_auth._users_file import change_users_file

_DESCRIPTION = f"""\
examples:
  {PROGRAM} remove users alice
  {PROGRAM} remove users alice --realm api

Removes all lines of the user in the realm, and says which.
"""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "remove", _run, summary="remove a user", usage="FILE USER [options]", description=_DESCRIPTION
    )
    add_user(parser)


def _run(options: argparse.Namespace) -> Outcome:
    text = existing_text(options.file)
    realm = wanted_realm(options.realm, text, options.file)
    user = wanted_name(options.user, text, realm)
    gone: Sequence[tuple[int, UsersLine]] = ()
    left: Sequence[UsersLine] = ()

    def edit(text: str) -> str:
        nonlocal gone, left
        before = UsersText.parse(text, str(options.file))
        require_present(before, user, realm)
        gone = before.of(user, realm)
        left = [line for line in before.in_realm(realm) if line.user != user]
        return before.with_lines(user, realm, ())

    notes = list(narrowed(options.file, change_users_file(options.file, edit)))
    if not left:
        notes.append(f"note: nobody is left in realm {realm!r}")
    lines = ", ".join(f"{line.algorithm} (line {number})" for number, line in gone)
    return Outcome([f"removed {user!r} of realm {realm!r} from {options.file}: {lines}"], notes)
