"""Key-exchange groups that may be pinned, and which TLS stack has them.

Checked here because OpenSSL 3.0 does not: it passes over a group that it does not know in silence, and serves others.
"""

import difflib
import ssl
from collections.abc import Mapping
from typing import Final

from deployments._errors import DeploymentError
from deployments._types import TlsStack

_Version = tuple[int, int]

# Each group and the OpenSSL that it came with. OpenSSL's own spelling: it is written into its configuration.
_SINCE: Final[Mapping[str, _Version]] = {
    "X25519": (1, 1),
    "P-256": (1, 1),
    "P-384": (1, 1),
    "P-521": (1, 1),
    "X448": (1, 1),
    "X25519MLKEM768": (3, 5),
}
_HYBRID: Final = frozenset({"X25519MLKEM768"})  # of TLS 1.3 alone: draft-ietf-tls-ecdhe-mlkem

GROUPS: Final = tuple(_SINCE)


def check_group(group: str, *, tls_1_2_only: bool) -> None:
    """Refuse a group that nothing here knows, or that no connection could use. Raises DeploymentError."""
    if group not in _SINCE:
        near = difflib.get_close_matches(group.upper(), GROUPS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(GROUPS)}"
        raise DeploymentError(f"no key-exchange group is called {group!r} here; {hint}")
    if tls_1_2_only and group in _HYBRID:
        raise DeploymentError(f"group {group} is for TLS 1.3; serve that, or choose another group")


def check_group_of(stack: TlsStack, group: str) -> None:
    """Refuse a group that the OpenSSL of a TLS stack is too old for. Raises DeploymentError."""
    wanted = _SINCE[group]
    found = _openssl(stack)
    if found < wanted:
        raise DeploymentError(
            f"group {group} needs OpenSSL {_dotted(wanted)}; the {stack} TLS stack here has {_dotted(found)}: "
            "choose another group"
        )


def _openssl(stack: TlsStack) -> _Version:
    if stack is TlsStack.STDLIB:
        return ssl.OPENSSL_VERSION_INFO[0], ssl.OPENSSL_VERSION_INFO[1]
    from OpenSSL import SSL  # noqa: PLC0415 (50 ms that only this question is worth)

    return SSL.OPENSSL_VERSION_NUMBER >> 28, SSL.OPENSSL_VERSION_NUMBER >> 20 & 0xFF


def _dotted(version: _Version) -> str:
    return ".".join(map(str, version))
