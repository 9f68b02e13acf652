"""`password`: another one for somebody who is there."""

import argparse

from digest_auth._command_line._asking import add_password_source
from digest_auth._command_line._frame import (
    PROGRAM,
    Commands,
    Outcome,
    add_algorithms,
    add_user,
    existing_text,
    wanted_name,
    wanted_realm,
)
from digest_auth._command_line._setting import set_password
from digest_auth._users_editing import require_present

_DESCRIPTION = f"""\
examples:
  {PROGRAM} password users alice                 asks for a password, twice
  {PROGRAM} password users alice --stdin < password
  {PROGRAM} password users alice --algorithm SHA-256       and no other hash

All of the user's lines are written anew, so that the password from before is good for nothing; those of
an algorithm that is not asked for, or not known here, go.
"""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "password",
        _run,
        summary="give a user another password",
        usage="FILE USER [options]",
        description=_DESCRIPTION,
    )
    add_user(parser)
    add_password_source(parser, new=True)
    add_algorithms(parser)


def _run(options: argparse.Namespace) -> Outcome:
    text = existing_text(options.file)
    realm = wanted_realm(options.realm, text, options.file)
    user = wanted_name(options.user, text, realm)
    require_present(text, user, realm)  # before anybody is asked for a password
    return set_password(options, user, realm, requirement=require_present, may_create=False, done="set the password of")
