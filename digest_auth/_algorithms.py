"""The hash algorithms of RFC 7616 section 6.1 that this package speaks."""

import hashlib
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash


class Algorithm(StrEnum):
    """A value of the `algorithm` parameter, spelled as RFC 7616 spells it. Members stand strongest first."""

    SHA_256 = "SHA-256"
    MD5 = "MD5"

    @property
    def new(self) -> "Callable[[bytes], _Hash]":
        """Constructor of the hash; its `hexdigest()` is H() of RFC 7616 section 3.4."""
        return _CONSTRUCTORS[self]

    @property
    def hex_length(self) -> int:
        """Length of a hash written in hexadecimal digits, which is how all of Digest writes them."""
        return _HEX_LENGTHS[self]


def _md5(data: bytes) -> "_Hash":
    # Digest's MD5 is a wire format that old clients need; a FIPS build would otherwise refuse it.
    return hashlib.md5(data, usedforsecurity=False)


_CONSTRUCTORS: "dict[Algorithm, Callable[[bytes], _Hash]]" = {
    Algorithm.SHA_256: hashlib.sha256,
    Algorithm.MD5: _md5,
}

_HEX_LENGTHS = {Algorithm.SHA_256: 64, Algorithm.MD5: 32}

BY_LOWERED_NAME = {algorithm.value.lower(): algorithm for algorithm in Algorithm}
"""Finds an algorithm by what a peer wrote: RFC 7616's tokens are compared without regard to case."""
