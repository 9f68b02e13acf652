"""What `add` and `password` have in common: a user's lines are written, with a new password."""

import argparse
from collections.abc import Callable, Sequence
from typing import TypeAlias

from digest_auth._algorithms import Algorithm
from digest_auth._command_line._asking import new_password
from digest_auth._command_line._frame import Outcome, narrowed, wanted_algorithms
from digest_auth._users import htdigest_lines, require_name
from digest_auth._users_editing import UsersText
from digest_auth._users_file import change_users_file

Requirement: TypeAlias = Callable[[UsersText, str, str], None]


def set_password(  # each is another part of the one deed
    options: argparse.Namespace, user: str, realm: str, *, requirement: Requirement, may_create: bool, done: str
) -> Outcome:
    """Ask for a password and write the user's lines. Raises UsersFileError, AlgorithmUnavailableError.

    requirement: raises UsersFileError unless the user may be written; asked under the lock, where nobody else writes.
    done: what was done, for the person.
    """
    require_name("user's name", user)
    require_name("realm", realm)
    password = new_password(options)
    algorithms: Sequence[Algorithm] = ()
    gone: Sequence[str] = ()

    def edit(text: str) -> str:
        nonlocal algorithms, gone
        before = UsersText.parse(text, str(options.file))
        requirement(before, user, realm)
        algorithms = wanted_algorithms(options.algorithms, before, user, realm)
        had = dict.fromkeys(line.algorithm for _, line in before.of(user, realm))
        gone = [name for name in had if name not in algorithms]
        return before.with_lines(user, realm, htdigest_lines(user, realm, password.text, algorithms))

    mode = change_users_file(options.file, edit, may_create=may_create)
    words = f"{done} {user!r} of realm {realm!r} in {options.file}: {', '.join(dict.fromkeys(algorithms))}"
    notes = [*password.notes, *narrowed(options.file, mode)]
    if gone:
        notes.append(f"note: removed with the password from before: {', '.join(gone)}")
    if user != options.user:
        notes.append(f"note: the name was brought into Unicode's form NFC: {user!r}")
    return Outcome([password.text], [words, *notes]) if password.random else Outcome([words], notes)
