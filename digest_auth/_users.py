"""Who may come in: htdigest files and the immutable table read from one.

A line is `user:realm:HASH`, as Apache's htdigest writes it (MD5), or `user:realm:{SHA-256}HASH`. Each HASH is H(A1) of
RFC 7616 section 3.4.2, never a password; a user has a line for each algorithm that is to work for that user.
Empty lines and lines that begin with # are passed over.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from digest_auth._algorithms import PLAIN_ALGORITHMS, Algorithm
from digest_auth._response import hash_a1

# `"` and `\` are legal in RFC 7616 but clients disagree on how to escape them; `:` would end the name early.
_NAME = re.compile(r'[^\x00-\x1f\x7f:"\\]{1,255}')
_HASH = re.compile(r"(?:\{(?P<algorithm>[^}]*)\})?(?P<hash>[0-9a-f]+)")


class UsersFileError(ValueError):
    """A users file that cannot be used; the message is one line that says what, where and what to do."""


class UserTable:
    """H(A1) by algorithm, realm and user: an immutable snapshot of a users file."""

    def __init__(self, hashes: Mapping[tuple[Algorithm, str, str], bytes]) -> None:
        self._hashes = MappingProxyType(dict(hashes))

    def __len__(self) -> int:
        """How many lines it holds: a user has one for each algorithm."""
        return len(self._hashes)

    def find(self, algorithm: Algorithm, realm: str, user: str) -> bytes | None:
        """H(A1) as hexadecimal digits; None for a user unknown in the realm or without a hash of the algorithm."""
        return self._hashes.get((algorithm.plain, realm, user))

    def knows_anybody(self, realm: str, algorithms: Iterable[Algorithm]) -> bool:
        """Whether there is a user who can come in to the realm with one of the algorithms."""
        wanted = {algorithm.plain for algorithm in algorithms}
        return any(known in wanted and of == realm for known, of, _ in self._hashes)

    @classmethod
    def parse(cls, text: str, source: str = "the users file") -> "UserTable":
        """Read the text of a users file. `source` names it in messages. Raises UsersFileError."""
        hashes: dict[tuple[Algorithm, str, str], bytes] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            key, ha1 = _parse_line(line, f"{source}, line {number}")
            if key in hashes:
                raise UsersFileError(f"{source}, line {number}: {key[0]} of user {key[2]!r} stands twice; remove one")
            hashes[key] = ha1
        return cls(hashes)

    @classmethod
    def read(cls, path: Path) -> "UserTable":
        """Read a users file. Raises UsersFileError, also when the file cannot be read."""
        try:
            text = path.read_text("utf-8")
        except FileNotFoundError:
            raise UsersFileError(f"no users file at {path}; name another, or make one with Apache's htdigest") from None
        except OSError as error:
            raise UsersFileError(
                f"cannot read the users file {path}: {error.strerror}; check its permissions"
            ) from error
        except UnicodeDecodeError as error:
            raise UsersFileError(f"the users file {path} is not UTF-8 text; write it again as UTF-8") from error
        return cls.parse(text, str(path))


def _parse_line(line: str, where: str) -> tuple[tuple[Algorithm, str, str], bytes]:
    try:
        user, realm, secret = line.rstrip().split(":")
    except ValueError:
        raise UsersFileError(f"{where}: expected user:realm:hash; write it with Apache's htdigest") from None
    match = _HASH.fullmatch(secret)
    # An empty hash must never be accepted: CVE-2026-85595 and CVE-2026-43512 began with one.
    if match is None:
        raise UsersFileError(f"{where}: the third column is not a hash in lower-case hexadecimal digits; set it again")
    name = match["algorithm"] or Algorithm.MD5.value
    if name not in PLAIN_ALGORITHMS:
        known = ", ".join(f"{{{algorithm}}}" for algorithm in PLAIN_ALGORITHMS)
        raise UsersFileError(f"{where}: {{{name}}} is no algorithm known here; use one of {known}")
    algorithm = Algorithm(name)
    if len(match["hash"]) != algorithm.hex_length:
        raise UsersFileError(
            f"{where}: a hash of {algorithm} has {algorithm.hex_length} digits, not {len(match['hash'])}"
        )
    if _NAME.fullmatch(user) is None:
        raise UsersFileError(f"{where}: a user's name is 1 to 255 characters, without control characters or quotes")
    return (algorithm, realm, user), match["hash"].encode("ascii")


def htdigest_line(user: str, realm: str, password: str, algorithm: Algorithm) -> str:
    """A line of a users file, without its line end.

    Raises UsersFileError for a name or realm that such a line, or an Authorization header, cannot carry.
    """
    for what, text in (("user's name", user), ("realm", realm)):
        if _NAME.fullmatch(text) is None:
            raise UsersFileError(
                f"the {what} {text!r} cannot be used: give 1 to 255 characters, none of them a control character,"
                " colon, quote or backslash"
            )
    prefix = "" if algorithm.plain is Algorithm.MD5 else f"{{{algorithm.plain}}}"
    return f"{user}:{realm}:{prefix}{hash_a1(algorithm, user, realm, password).decode('ascii')}"
