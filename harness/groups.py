"""The names of key-exchange groups: libraries and versions write the same group differently, the bench one way."""

from __future__ import annotations

# In lower case, with the NIST curves' old X9.62 names: RFC 8422 section 5.1.1, RFC 8446 section 4.2.7,
# draft-ietf-tls-ecdhe-mlkem.
_NAMES = {
    "x25519": "X25519",
    "x448": "X448",
    "prime256v1": "P-256",
    "secp256r1": "P-256",
    "secp384r1": "P-384",
    "secp521r1": "P-521",
    "x25519mlkem768": "X25519MLKEM768",
}


def group_name(raw: str) -> str:
    """Return a group's usual name for what a library calls it; a name that is not known is left as it is."""
    return _NAMES.get(raw.lower(), raw)
