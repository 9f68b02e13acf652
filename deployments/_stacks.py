"""The libraries that speak TLS, each with an OpenSSL of its own, and the key-exchange groups that these have.

Which OpenSSL that is depends on the installation; so what can be done is computed when it is asked for.
"""

import ctypes
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from OpenSSL import SSL

_Version = tuple[int, int, int]

_MLKEM: Final = "X25519MLKEM768"

# Each group and the OpenSSL that it came with. OpenSSL's own spelling: it is written into its configuration.
SINCE: Final[Mapping[str, _Version]] = {
    "X25519": (1, 1, 0),
    "P-256": (1, 1, 0),
    "P-384": (1, 1, 0),
    "P-521": (1, 1, 0),
    "X448": (1, 1, 1),
    _MLKEM: (3, 5, 0),
}

POST_QUANTUM: Final = _MLKEM
"""The group that is safe from a future quantum computer: X25519 and ML-KEM at once (draft-ietf-tls-ecdhe-mlkem)."""


class TlsStack(StrEnum):
    """Which library speaks TLS."""

    STDLIB = "stdlib"
    PYOPENSSL = "pyopenssl"
    SYSTEM = "the system's OpenSSL"  # a proxy's, linked when it starts
    GO = "Go"
    RUSTLS = "rustls"
    UWSGI = "uWSGI"  # in its own way, with the system's OpenSSL


@dataclass(frozen=True, slots=True)
class KeyExchange:
    """What a TLS stack can do here with key-exchange groups."""

    openssl: str | None  # its version; None: it is no OpenSSL, or that decides nothing here
    default: str  # what it agrees on, if nothing is pinned, with a client that has all groups
    groups: tuple[str, ...]  # those that can be pinned
    pinned_by: str
    post_quantum_refusal: str | None  # None: X25519MLKEM768 can be pinned; else what it would need


def key_exchange(stack: TlsStack) -> KeyExchange:
    """Find out what a stack can do, as it is installed here."""
    post_quantum_refusal = why_not(stack, POST_QUANTUM)
    return KeyExchange(
        openssl=None if stack in _OTHERS else _dotted(_openssl(stack)),
        default=_default(stack, post_quantum_refusal),
        groups=tuple(group for group in SINCE if why_not(stack, group) is None),
        pinned_by=_OTHERS[stack].pinned_by if stack in _OTHERS else "OPENSSL_CONF of its process",
        post_quantum_refusal=post_quantum_refusal,
    )


def _default(stack: TlsStack, post_quantum_refusal: str | None) -> str:
    if stack in _OTHERS:
        return _OTHERS[stack].groups[0]
    # OpenSSL 3.5 came with the post-quantum group at the head of its default list.
    return "X25519" if post_quantum_refusal else POST_QUANTUM


def why_not(stack: TlsStack, group: str) -> str | None:
    """Say what one of SINCE needs that a stack lacks here; None: nothing."""
    if stack in _OTHERS:
        other = _OTHERS[stack]
        return None if group in other.groups else other.refusal
    wanted, found = SINCE[group], _openssl(stack)
    if found >= wanted:
        return None
    return f"needs OpenSSL {wanted[0]}.{wanted[1]}; {_OWNERS[stack]} has {_dotted(found)}"


@dataclass(frozen=True, slots=True)
class _Other:
    """A stack that heeds no OPENSSL_CONF: what can be pinned, its own choice first, and why nothing else."""

    groups: tuple[str, ...]
    pinned_by: str
    refusal: str


_OWNERS: Final = {
    TlsStack.STDLIB: "this Python",
    TlsStack.PYOPENSSL: "the cryptography installed here",
    TlsStack.SYSTEM: "this system",
}
_OTHERS: Final[Mapping[TlsStack, _Other]] = {
    TlsStack.GO: _Other(
        ("X25519", "P-256", "P-384", "P-521"), "its configuration", "is not one that Go's TLS has here"
    ),
    # It takes no configuration, and this is what it agrees on.
    TlsStack.RUSTLS: _Other(("X25519",), "nothing, it is its own choice", "cannot be chosen: rustls takes no group"),
    # It sets this curve itself (SSL_CTX_set_tmp_ecdh), after OpenSSL has read its configuration.
    TlsStack.UWSGI: _Other(("P-256",), "nothing, it is set in uWSGI's source", "cannot be chosen: uWSGI sets P-256"),
}


def _openssl(stack: TlsStack) -> _Version:
    if stack is TlsStack.STDLIB:
        major, minor, fix, patch, _ = ssl.OPENSSL_VERSION_INFO
        return major, minor, patch if major >= 3 else fix  # since 3.0 `fix` is always 0
    if stack is TlsStack.SYSTEM:
        return _numbers(ctypes.CDLL("libcrypto.so.3").OpenSSL_version_num())
    return _numbers(SSL.OPENSSL_VERSION_NUMBER)


def _numbers(number: int) -> _Version:
    return number >> 28, number >> 20 & 0xFF, number >> 4 & 0xFF  # 0xMNN00PP0: OPENSSL_VERSION_NUMBER(3)


def _dotted(version: _Version) -> str:
    return ".".join(map(str, version))
