"""Who may come in: htdigest lines and the immutable table made of them.

A line is `user:realm:HASH`, as Apache's htdigest writes it (MD5), or `user:realm:{SHA-256}HASH`. Each HASH is H(A1) of
RFC 7616 section 3.4.2, never a password; a user has a line for each algorithm that is to work for that user.
Empty lines and lines that begin with # are passed over. Text is UTF-8.

A user's MD5 line comes before the others: Apache's htdigest (2.4.71, seen) changes the first line that has the user and
the realm, whatever its third column says, and httpd reads that one alone.
"""

import re
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Generic, TypeAlias, TypeVar

from digest_auth._algorithms import PLAIN_ALGORITHMS, Algorithm
from digest_auth._response import hash_a1, hash_user

MAX_NAME_OCTETS: Final = 255
"""Octets (UTF-8) of a user's name or a realm: Apache's htdigest cuts longer ones short without a word (seen)."""

# `"` and `\` are legal in RFC 7616 but clients disagree on how to escape them; `:` would end the name early. Then all
# control characters, the two line ends that Unicode adds, and what UTF-8 cannot write.
_NAME = re.compile('[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff:"\\\\]+')
_SECRET = re.compile(r"(?:\{(?P<algorithm>[^{}]+)\})?(?P<hash>[0-9a-f]+)")


class UsersFileError(ValueError):
    """A users file, or a name for one, that cannot be used; one line that says what, where and what to do."""


@dataclass(frozen=True, slots=True)
class UsersLine:
    """A line that names a user. `algorithm` is as written, and may be one that is not known here."""

    user: str
    realm: str
    algorithm: str
    ha1: bytes


_Key: TypeAlias = tuple[Algorithm, str, str]
_Value = TypeVar("_Value")


class _EvenIndex(Generic[_Value]):
    """A dictionary that takes as long to find a key as not to find one.

    A key that is there is compared with the one asked for, some 50 ns that a time over many tries would show. So each
    search is one that finds and one that does not: behind a key that is there, for one that never is; behind one that
    is not, for a stand-in that always is.
    """

    def __init__(self, entries: Mapping[_Key, _Value], *, stand_in: _Value) -> None:
        realm, name = "\x00a realm", "\x00a name"  # names hold no control character, so these are nobody's
        self._entries = {**entries, (Algorithm.SHA_256, realm, name): stand_in}
        # Copies: Python does not compare an object with itself.
        self._present = Algorithm.SHA_256, realm.encode().decode(), name.encode().decode()
        self._absent = Algorithm.SHA_256, realm.upper(), name.upper()

    def find(self, key: _Key) -> _Value | None:
        found = self._entries.get(key)
        self._entries.get(self._present if found is None else self._absent)
        return found


class UserTable:
    """H(A1) by algorithm, realm and user: an immutable snapshot of a users file.

    What this Python cannot compute (Algorithm.is_available) is left out: nobody can come in with it.
    """

    def __init__(self, hashes: Mapping[tuple[Algorithm, str, str], bytes]) -> None:
        """hashes: lower-case hexadecimal digits, by plain algorithm. Raises ValueError when one is not whole."""
        usable = {}
        named: dict[tuple[Algorithm, str, str], str] = {}
        for key, ha1 in hashes.items():
            algorithm, realm, user = key
            # An empty hash must never be accepted: CVE-2026-85595 and CVE-2026-43512 began with one.
            if algorithm.is_session or len(ha1) != algorithm.hex_length:
                raise ValueError(f"not a hash of {algorithm} for {user!r}")
            if algorithm.is_available:
                usable[key] = ha1
                named[algorithm, realm, hash_user(algorithm, user, realm)] = user
        self._hashes = MappingProxyType(usable)
        self._hash_of = _EvenIndex(usable, stand_in=secrets.token_hex(32).encode("ascii"))
        self._user_of = _EvenIndex(named, stand_in="")

    def __len__(self) -> int:
        """How many hashes it holds: a user has one for each algorithm."""
        return len(self._hashes)

    def find(self, algorithm: Algorithm, realm: str, user: str) -> bytes | None:
        """H(A1) as hexadecimal digits; None for a user unknown in the realm or without a hash of the algorithm."""
        return self._hash_of.find((algorithm.plain, realm, user))

    def find_hashed(self, algorithm: Algorithm, realm: str, hashed: str) -> str | None:
        """The user whose name was sent as `userhash` (RFC 7616 section 3.4.4), in hexadecimal digits.

        None for a user unknown in the realm or without a hash of the algorithm. The index is made with the table, so
        that no request pays for it and a known name takes the time of an unknown one.
        """
        return self._user_of.find((algorithm.plain, realm, hashed.lower()))

    def names(self, realm: str) -> Sequence[str]:
        """The users who can come in to the realm with any algorithm, in the order of their first lines."""
        return tuple(dict.fromkeys(user for _, of, user in self._hashes if of == realm))

    def knows_anybody(self, realm: str, algorithms: Iterable[Algorithm]) -> bool:
        """Whether there is a user who can come in to the realm with one of the algorithms."""
        wanted = {algorithm.plain for algorithm in algorithms}
        return any(known in wanted and of == realm for known, of, _ in self._hashes)

    def lacking(self, realm: str, algorithms: Iterable[Algorithm]) -> Mapping[str, Sequence[Algorithm]]:
        """The users of the realm who have no hash of some of the algorithms, and which those are, without -sess.

        A client that chooses such an algorithm is refused, though the password is right.
        """
        wanted = tuple(dict.fromkeys(algorithm.plain for algorithm in algorithms))
        absent = {name: tuple(a for a in wanted if self.find(a, realm, name) is None) for name in self.names(realm)}
        return {name: missing for name, missing in absent.items() if missing}

    @classmethod
    def parse(cls, text: str, source: str = "the users file") -> "UserTable":
        """Read the text of a users file. `source` names it in messages. Raises UsersFileError."""
        hashes: dict[tuple[Algorithm, str, str], bytes] = {}
        for number, line in users_lines(text, source):
            algorithm = known_algorithm(line, f"{source}, line {number}")
            key = algorithm, line.realm, line.user
            if key in hashes:
                raise UsersFileError(
                    f"{source}, line {number}: {algorithm} of user {line.user!r} stands twice; remove one"
                )
            hashes[key] = line.ha1
        return cls(hashes)

    @classmethod
    def read(cls, path: Path) -> "UserTable":
        """Read a users file. Raises UsersFileError, also when the file cannot be read."""
        return cls.parse(decoded(read_octets(path), path), str(path))


def read_octets(path: Path) -> bytes:
    """What a users file holds. Raises UsersFileError."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would let the server wait for ever
            raise UsersFileError(f"cannot read the users file {path}: not a regular file; name one")
        return path.read_bytes()
    except FileNotFoundError:
        raise UsersFileError(
            f"no users file at {path}; name another, or make one with `python -m digest_auth add`"
        ) from None
    except OSError as error:
        raise UsersFileError(f"cannot read the users file {path}: {error.strerror}; check its permissions") from error


def decoded(octets: bytes, path: Path) -> str:
    """The text of a users file. Raises UsersFileError."""
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise UsersFileError(
            f"the users file {path} is not UTF-8 text (line {line}); write it again as UTF-8"
        ) from error
    if text.startswith("\ufeff"):
        # It would become a part of the first user's name, which nobody could see.
        raise UsersFileError(f"the users file {path} begins with a byte order mark; write it again without one")
    return text


def users_lines(text: str, source: str) -> Iterator[tuple[int, UsersLine]]:
    """The lines that name a user, with their numbers. Raises UsersFileError, naming `source` and the line."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.startswith("#"):
            yield number, parsed_line(line, f"{source}, line {number}")


def parsed_line(line: str, where: str) -> UsersLine:
    """Read a line that names a user. Raises UsersFileError; `where` opens its message."""
    try:
        user, realm, secret = line.rstrip().split(":")
    except ValueError:
        raise UsersFileError(
            f"{where}: expected user:realm:hash; such lines are written by `python -m digest_auth add`"
        ) from None
    match = _SECRET.fullmatch(secret)
    if match is None:
        raise UsersFileError(f"{where}: the third column is not a hash in lower-case hexadecimal digits; set it again")
    if not _is_name(user):
        raise UsersFileError(f"{where}: a user's name is 1 to 255 octets, without control characters or quotes")
    return UsersLine(user, realm, match["algorithm"] or Algorithm.MD5.value, match["hash"].encode("ascii"))


def known_algorithm(line: UsersLine, where: str) -> Algorithm:
    """The algorithm of a line. Raises UsersFileError when it is not known here, or the hash not of its length."""
    if line.algorithm not in PLAIN_ALGORITHMS:
        known = ", ".join(f"{{{algorithm}}}" for algorithm in PLAIN_ALGORITHMS)
        name = "{" + line.algorithm + "}"
        raise UsersFileError(f"{where}: {name!r} is no algorithm known here; use one of {known}")
    algorithm = Algorithm(line.algorithm)
    if len(line.ha1) != algorithm.hex_length:
        raise UsersFileError(
            f"{where}: a hash of {algorithm} has {algorithm.hex_length} digits, not {len(line.ha1)}; set it again"
        )
    return algorithm


def htdigest_line(user: str, realm: str, password: str, algorithm: Algorithm) -> str:
    """A line of a users file, without its line end.

    Raises UsersFileError for a name or realm that such a line, or an Authorization header, cannot carry;
    AlgorithmUnavailableError.
    """
    require_name("user's name", user)
    require_name("realm", realm)
    prefix = "" if algorithm.plain is Algorithm.MD5 else f"{{{algorithm.plain}}}"
    return f"{user}:{realm}:{prefix}{hash_a1(algorithm, user, realm, password).decode('ascii')}"


def htdigest_lines(user: str, realm: str, password: str, algorithms: Iterable[Algorithm]) -> Sequence[str]:
    """A line for each algorithm, without line ends, in the order that Apache's htdigest needs: MD5 comes first.

    Raises as `htdigest_line`.
    """
    wanted = sorted({algorithm.plain for algorithm in algorithms}, key=_ORDER.index)
    return [htdigest_line(user, realm, password, algorithm) for algorithm in wanted]


def require_name(what: str, text: str) -> None:
    """Raise UsersFileError unless a line can carry it; `what` says what it is."""
    if text.startswith("#"):
        raise UsersFileError(
            f"the {what} {text!r} cannot be used: its line would be a comment; let it not begin with #"
        )
    if not _is_name(text):
        raise UsersFileError(
            f"the {what} {text!r} cannot be used: give 1 to {MAX_NAME_OCTETS} octets of UTF-8, no control characters,"
            " colons, quotes or backslashes"
        )


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None and len(text.encode("utf-8", "replace")) <= MAX_NAME_OCTETS


_ORDER: Final = (Algorithm.MD5, Algorithm.SHA_256, Algorithm.SHA_512_256)
