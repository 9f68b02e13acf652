"""The kinds of key that we make; loads no cryptography, because settings and plans only need the names."""

from enum import StrEnum


class KeyKind(StrEnum):
    """The key of a server's certificate. Its kind sets the price of a full handshake."""

    ECDSA_P256 = "ecdsa-p256"
    RSA_2048 = "rsa-2048"
    RSA_4096 = "rsa-4096"  # what the usual guides make; several times the CPU of RSA-2048 to sign with
    ED25519 = "ed25519"  # both TLS stacks and curl take it, no browser does (RFC 8410; not in their policies)
