"""Private keys: made, named by their kind, written as PEM."""

from collections.abc import Callable
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from certs._kinds import KeyKind

OurPrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_RSA_EXPONENT: Final = 65537  # what every other tool uses; verification costs 17 multiplications

_LEAST_RSA_BITS: Final = 2048

_MAKERS: Final[dict[KeyKind, Callable[[], OurPrivateKey]]] = {
    KeyKind.ECDSA_P256: lambda: ec.generate_private_key(ec.SECP256R1()),
    KeyKind.RSA_2048: lambda: rsa.generate_private_key(_RSA_EXPONENT, 2048),
    KeyKind.RSA_4096: lambda: rsa.generate_private_key(_RSA_EXPONENT, 4096),
    KeyKind.ED25519: ed25519.Ed25519PrivateKey.generate,
}

# The names that people use, where they are not those of SEC 2.
_CURVES: Final = {"secp256r1": "p256", "secp384r1": "p384", "secp521r1": "p521"}


def make_key(kind: KeyKind) -> OurPrivateKey:
    """Draw a new private key. RSA-4096 takes about a second, the others milliseconds."""
    return _MAKERS[kind]()


def our_key(key: PrivateKeyTypes) -> OurPrivateKey | None:
    """Return a key if it is of a kind that can sign here."""
    return key if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) else None


def signature_hash(key: OurPrivateKey) -> hashes.SHA256 | None:
    """Return the hash with which a key signs a certificate; Ed25519 has its own within (RFC 8032)."""
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def key_kind(certificate: x509.Certificate) -> str:
    """Name the kind of a certificate's key as KeyKind does ("ecdsa-p256"), also where we make no such keys."""
    return public_key_kind(certificate.public_key()) or certificate.public_key_algorithm_oid.dotted_string


def public_key_kind(key: PublicKeyTypes) -> str:
    """Name the kind of a public key; empty if servers have no such keys."""
    match key:
        case rsa.RSAPublicKey():
            return f"rsa-{key.key_size}"
        case ec.EllipticCurvePublicKey():
            return f"ecdsa-{_CURVES.get(key.curve.name, key.curve.name)}"
        case ed25519.Ed25519PublicKey():
            return "ed25519"
        case ed448.Ed448PublicKey():
            return "ed448"
        case _:
            return ""


def weakness(key: PublicKeyTypes) -> str:
    """Say what is wrong with a key of too few bits, or of a kind that TLS has no use for; empty if nothing is.

    The limits are those of the CA/Browser Forum's Baseline Requirements 6.1.5, and OpenSSL's at security level 2.
    """
    match key:
        case rsa.RSAPublicKey() if key.key_size < _LEAST_RSA_BITS:
            return f"an RSA key of {key.key_size} bits, where {_LEAST_RSA_BITS} is the least"
        case ec.EllipticCurvePublicKey() if key.curve.name not in _CURVES:
            return f"a key on the curve {key.curve.name}, which clients do not know"
        case _ if not public_key_kind(key):
            return "a key of a kind that TLS has no use for"
        case _:
            return ""


def key_pem(key: OurPrivateKey) -> bytes:
    """Return a key as an unencrypted PKCS #8 PEM, which every server reads."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
