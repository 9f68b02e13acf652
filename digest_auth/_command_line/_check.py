"""`check`: what is wrong with a users file, or whether a password is right."""

import argparse
import hmac
from collections.abc import Sequence

from digest_auth._algorithms import PLAIN_ALGORITHMS, Algorithm
from digest_auth._command_line._asking import Password, add_password_source, known_password
from digest_auth._command_line._frame import (
    FINE,
    NO,
    PROGRAM,
    Commands,
    Outcome,
    add_user,
    existing_text,
    wanted_name,
    wanted_realm,
)
from digest_auth._response import hash_a1
from digest_auth._users import UsersFileError, UsersLine
from digest_auth._users_checking import findings

_DESCRIPTION = f"""\
examples:
  {PROGRAM} check users                          what is wrong with the file, line by line
  {PROGRAM} check users alice                    asks for a password and says whether it is right
  {PROGRAM} check users alice --stdin < password

A file is wrong when a server would refuse it or when everybody on the machine can read it: a hash is as
good as its password. Notes are for people with MD5 alone or without a hash that others have, for
permissions wider than 0600, and for what Apache's programs would stumble over.
Exit status: 0 fine, or the password is right; 1 something is wrong, or the password is; 2 misuse.
"""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "check",
        _run,
        summary="find what is wrong with the file, or with a password",
        usage="FILE [USER] [options]",
        description=_DESCRIPTION,
    )
    add_user(parser, optional=True)
    add_password_source(parser, new=False)


def _run(options: argparse.Namespace) -> Outcome:
    if options.user is not None:
        return _check_password(options)
    for given, option in ((options.stdin, "--stdin"), (options.realm is not None, "--realm")):
        if given:
            raise UsersFileError(f"{option} goes with a user, whose password is to be checked; name one")
    return _check_file(options)


def _check_file(options: argparse.Namespace) -> Outcome:
    found = findings(options.file)
    wrong = sum(finding.wrong for finding in found)
    lines = [f"{'WRONG' if finding.wrong else 'note '}  {finding.text}" for finding in found]
    people = {(line.user, line.realm) for _, line in existing_text(options.file).named} if not wrong else ()
    return Outcome(
        [*lines, f"{options.file}: {wrong} wrong" if wrong else f"{options.file}: fine, users: {len(people)}"],
        status=NO if wrong else FINE,
    )


def _check_password(options: argparse.Namespace) -> Outcome:
    text = existing_text(options.file)
    realm = wanted_realm(options.realm, text, options.file)
    user = wanted_name(options.user, text, realm)
    lines = [line for _, line in text.of(user, realm)]
    if not lines:
        return Outcome([f"no user {user!r} in realm {realm!r}"], status=NO)
    usable = [line for line in lines if line.algorithm in PLAIN_ALGORITHMS and Algorithm(line.algorithm).is_available]
    if not usable:
        return Outcome([f"user {user!r} of realm {realm!r} has no hash that this Python can compute"], status=NO)
    return _verdict(user, realm, usable, known_password(options))


def _verdict(user: str, realm: str, lines: Sequence[UsersLine], password: Password) -> Outcome:
    right = [line.algorithm for line in lines if _is_right(line, password)]
    wrong = [line.algorithm for line in lines if not _is_right(line, password)]
    whose = f"for user {user!r} of realm {realm!r}"
    if not right:
        return Outcome([f"the password is wrong {whose}"], status=NO)
    if wrong:
        return Outcome(
            [f"the password is right for {', '.join(right)} and wrong for {', '.join(wrong)} {whose}; set it again"],
            status=NO,
        )
    return Outcome([f"the password is right {whose}: {', '.join(right)}"])


def _is_right(line: UsersLine, password: Password) -> bool:
    # Other programs hash a password as it is typed.
    algorithm = Algorithm(line.algorithm)
    return any(
        hmac.compare_digest(line.ha1, hash_a1(algorithm, line.user, line.realm, text))
        for text in (password.text, password.typed)
    )
