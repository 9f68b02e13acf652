"""The hash algorithms of RFC 7616 section 6.1 that this package speaks."""

import hashlib
from collections.abc import Callable
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hashlib import _Hash

_SESS: Final = "-sess"


class AlgorithmUnavailableError(ValueError):
    """An algorithm that this Python cannot compute; the message is one line that says what to do."""


class Algorithm(StrEnum):
    """A value of the `algorithm` parameter, spelled as RFC 7616 spells it.

    A -sess variant hashes like its plain one, over an A1 of its own (section 3.4.2). SHA-512-256 is FIPS 180-4's
    SHA-512/256, which has initial values of its own: SHA-512 cut short is something else, and wrong.
    """

    SHA_256 = "SHA-256"
    SHA_256_SESS = "SHA-256-sess"
    SHA_512_256 = "SHA-512-256"
    SHA_512_256_SESS = "SHA-512-256-sess"
    MD5 = "MD5"
    MD5_SESS = "MD5-sess"

    @cached_property
    def is_session(self) -> bool:
        """Whether A1 also holds the nonce and the cnonce."""
        return self.value.endswith(_SESS)

    @cached_property
    def plain(self) -> "Algorithm":
        """The algorithm without -sess: users files have hashes of these alone, which serve both."""
        return _PLAIN[self]

    @cached_property
    def new(self) -> "Callable[[bytes], _Hash]":
        """Constructor of the hash; its `hexdigest()` is H() of RFC 7616 section 3.4.

        Calling it raises AlgorithmUnavailableError where `is_available` is False.
        """
        return _CONSTRUCTORS[self]

    @cached_property
    def hex_length(self) -> int:
        """Length of a hash written in hexadecimal digits, which is how all of Digest writes them."""
        return 32 if self.plain is Algorithm.MD5 else 64

    @property
    def is_available(self) -> bool:
        """Whether this Python's hashlib has it: SHA-512-256 comes from OpenSSL 1.1.1 or newer alone."""
        return self.plain is not Algorithm.SHA_512_256 or _HAS_SHA_512_256

    def require(self) -> None:
        """Raise AlgorithmUnavailableError unless it can be computed here."""
        if not self.is_available:
            raise AlgorithmUnavailableError(
                f"{self} cannot be computed here: this Python's hashlib has no sha512_256 (OpenSSL 1.1.1 or newer has"
                " it); leave it out, SHA-256 is as strong"
            )


def _sha_512_256(data: bytes) -> "_Hash":
    if not _HAS_SHA_512_256:
        Algorithm.SHA_512_256.require()
    return hashlib.new("sha512_256", data)


def _md5(data: bytes) -> "_Hash":
    # Digest's MD5 is a wire format that old clients need; a FIPS build would otherwise refuse it.
    return hashlib.md5(data, usedforsecurity=False)


def _knows_sha_512_256() -> bool:
    try:
        hashlib.new("sha512_256", b"")
    except ValueError:
        return False
    return True


_HAS_SHA_512_256 = _knows_sha_512_256()

_PLAIN = {algorithm: Algorithm(algorithm.value.removesuffix(_SESS)) for algorithm in Algorithm}

PLAIN_ALGORITHMS: Final = tuple(dict.fromkeys(_PLAIN.values()))
"""Those without -sess: a users file has a line for each that is to work."""

_OF_PLAIN: "dict[Algorithm, Callable[[bytes], _Hash]]" = {
    Algorithm.SHA_256: hashlib.sha256,
    Algorithm.SHA_512_256: _sha_512_256,
    Algorithm.MD5: _md5,
}
_CONSTRUCTORS = {algorithm: _OF_PLAIN[plain] for algorithm, plain in _PLAIN.items()}

BY_LOWERED_NAME: Final = {algorithm.value.lower(): algorithm for algorithm in Algorithm}
"""Finds an algorithm by what a peer wrote: RFC 7616's tokens are compared without regard to case."""
