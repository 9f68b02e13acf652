"""What our servers speak: one table, read by the contexts of both TLS stacks.

Source: Mozilla's Server Side TLS guidelines, version 6.0, configuration "intermediate"
(https://ssl-config.mozilla.org/guidelines/6.0.json): TLS 1.2 and 1.3; forward secrecy and authenticated encryption
alone; the client's order of ciphers, because it knows whether its processor has AES. Ours differs in one point: the
key-exchange groups are not set here but in the process's OPENSSL_CONF (see `_openssl_configuration`).

The three ciphers of TLS 1.3 are the guidelines' and both libraries' default; Python's ssl cannot set them.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final


class TlsVersion(StrEnum):
    """A version of TLS that may be spoken; older ones may not."""

    TLS_1_2 = "1.2"
    TLS_1_3 = "1.3"

    @property
    def wire(self) -> int:
        """The number in the protocol, by which both libraries call it (RFC 5246 E.1, RFC 8446 4.2.1)."""
        return _WIRE[self]


_WIRE: Final = {TlsVersion.TLS_1_2: 0x0303, TlsVersion.TLS_1_3: 0x0304}

ALL_VERSIONS: Final = frozenset(TlsVersion)

# TLS 1.2, in OpenSSL's names, the guidelines' order.
_CIPHERS: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)
CIPHER_LIST: Final = ":".join(_CIPHERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsPolicy:
    """What a server's context may be told beyond the table above.

    Not here, because they are never otherwise: renegotiation and compression are off. Sessions can be resumed, unless
    clients are asked for certificates: a resumed handshake verifies nothing, so that a client whose certificate has
    expired, or whose CA was taken away, would be let in for as long as it comes back in time.
    """

    versions: frozenset[TlsVersion] = ALL_VERSIONS
    alpn: tuple[str, ...] = ("http/1.1",)  # in the server's order of preference; a client that offers none is served
    client_ca: Path | None = None  # PEM; clients show a certificate of it
    client_certificate_required: bool = True  # False: one that shows none is let in; a wrong one never is

    def __post_init__(self) -> None:
        """Refuse what no client could talk to."""
        if not self.versions:
            raise ValueError("a TLS policy needs a version")

    @property
    def oldest(self) -> TlsVersion:
        """The lowest version spoken."""
        return min(self.versions)

    @property
    def newest(self) -> TlsVersion:
        """The highest version spoken."""
        return max(self.versions)
