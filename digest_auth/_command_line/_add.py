"""`add`: somebody new."""

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
from digest_auth._users_editing import UsersText, require_absent

_DESCRIPTION = f"""\
examples:
  {PROGRAM} add users alice --realm api          asks for a password, twice
  {PROGRAM} add users robot --stdin < password
  password=$({PROGRAM} add users ci --random)
  {PROGRAM} add users old --algorithm MD5 --algorithm SHA-256

Makes the file (permissions 0600) unless it is there. The realm is what the server shows, and is a part
of each hash. MD5 is for clients that know nothing else (wget, Python's urllib) and has to be asked for,
unless others in the realm have it. A user's MD5 line comes first: Apache's htdigest changes that one and
leaves the others, with the password from before. Without an MD5 line, it would overwrite a SHA line.
"""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add("add", _run, summary="add a user", usage="FILE USER [options]", description=_DESCRIPTION)
    add_user(parser)
    add_password_source(parser, new=True)
    add_algorithms(parser)


def _run(options: argparse.Namespace) -> Outcome:
    text = existing_text(options.file) if options.file.exists() else UsersText("", ())
    realm = wanted_realm(options.realm, text, options.file)
    user = wanted_name(options.user, text, realm)
    require_absent(text, user, realm)  # before anybody is asked for a password
    return set_password(options, user, realm, requirement=require_absent, may_create=True, done="added")
