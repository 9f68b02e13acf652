"""What is wrong with a users file, line by line, and what a server would rather have otherwise."""

import stat
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from digest_auth._algorithms import Algorithm
from digest_auth._users import (
    UsersFileError,
    UsersLine,
    UserTable,
    decoded,
    known_algorithm,
    parsed_line,
    read_octets,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """`wrong`: a server refuses the file, nobody can come in, or its hashes are in strangers' reach; else a note."""

    text: str
    wrong: bool = False


def findings(path: Path) -> Sequence[Finding]:
    """All that is to be said of a users file; nothing when it is fine. Raises UsersFileError: it cannot be read."""
    octets = read_octets(path)
    text = decoded(octets, path)
    return [*_of_permissions(path), *_of_text(text)]


def _of_permissions(path: Path) -> Iterator[Finding]:
    # A hash is all that is needed to come in: whoever reads it needs no password.
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o007:
        yield Finding(f"permissions {mode:04o} let everybody on this machine read or change it; chmod 600", wrong=True)
    elif mode & 0o070:
        yield Finding(f"permissions {mode:04o} let its group read or change it; chmod 600 unless the server needs that")


def _of_text(text: str) -> Iterator[Finding]:
    good: dict[tuple[Algorithm, str, str], tuple[int, UsersLine]] = {}
    faults = 0
    for number, line in enumerate(text.split("\n"), 1):
        where = f"line {number}"
        if not line.strip() or line.startswith("#"):
            continue
        try:
            parsed = parsed_line(line, where)
            algorithm = known_algorithm(parsed, where)
        except UsersFileError as error:
            faults += 1
            yield Finding(str(error), wrong=True)
            continue
        earlier = good.setdefault((algorithm, parsed.realm, parsed.user), (number, parsed))[0]
        if earlier != number:
            faults += 1
            yield Finding(
                f"{where}: {algorithm} of user {parsed.user!r} stands in line {earlier} too; set the password again",
                wrong=True,
            )
        yield from _of_line(where, parsed, algorithm)
    if not good and not faults:
        yield Finding("it names nobody, so that nobody can come in; add a user", wrong=True)
    if text and not text.endswith("\n"):
        yield Finding("its last line is not ended, and Apache's htdigest would lose it; end it")
    yield from _of_users([line for _, line in good.values()])


def _of_line(where: str, line: UsersLine, algorithm: Algorithm) -> Iterator[Finding]:
    if not algorithm.is_available:
        yield Finding(f"{where}: {algorithm} cannot be computed by this Python, so nobody comes in with it here")
    for what, text in (("the user's name", line.user), ("the realm", line.realm)):
        if not unicodedata.is_normalized("NFC", text):
            yield Finding(
                f"{where}: {what} is not in Unicode's form NFC, in which clients send it (RFC 7616 section 4)"
            )


def _of_users(lines: Sequence[UsersLine]) -> Iterator[Finding]:
    table = UserTable({(Algorithm(line.algorithm), line.realm, line.user): line.ha1 for line in lines})
    for realm in dict.fromkeys(line.realm for line in lines):
        here = [line for line in lines if line.realm == realm]
        # What others in the realm have is likely to be offered; SHA-256 is the algorithm to have.
        used = [a for a in Algorithm if a.is_available and (a is Algorithm.SHA_256 or a in {x.algorithm for x in here})]
        for user, absent in table.lacking(realm, used).items():
            if Algorithm.SHA_256 in absent and table.find(Algorithm.MD5, realm, user) is not None:
                yield Finding(
                    f"user {user!r} of realm {realm!r} has MD5 without SHA-256; set the password again to have both"
                )
            else:
                yield Finding(
                    f"user {user!r} of realm {realm!r} has no hash of {', '.join(absent)};"
                    " set the password again if the server offers it"
                )
        for user in dict.fromkeys(line.user for line in here):
            algorithms = [line.algorithm for line in here if line.user == user]
            if Algorithm.MD5 in algorithms[1:]:
                yield Finding(
                    f"user {user!r} of realm {realm!r}: MD5 is not the first line, which is the one that Apache's"
                    " programs take; set the password again"
                )
