"""Private keys: made, named by their kind, written as PEM."""

from collections.abc import Callable
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from certs._kinds import KeyKind

OurPrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_RSA_EXPONENT: Final = 65537  # what every other tool uses; verification costs 17 multiplications

_MAKERS: Final[dict[KeyKind, Callable[[], OurPrivateKey]]] = {
    KeyKind.ECDSA_P256: lambda: ec.generate_private_key(ec.SECP256R1()),
    KeyKind.RSA_2048: lambda: rsa.generate_private_key(_RSA_EXPONENT, 2048),
    KeyKind.RSA_4096: lambda: rsa.generate_private_key(_RSA_EXPONENT, 4096),
}

# The names that people use, where they are not those of SEC 2.
_CURVES: Final = {"secp256r1": "p256", "secp384r1": "p384", "secp521r1": "p521"}


def make_key(kind: KeyKind) -> OurPrivateKey:
    """Draw a new private key. RSA-4096 takes about a second, the others milliseconds."""
    return _MAKERS[kind]()


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


def key_pem(key: OurPrivateKey) -> bytes:
    """Return a key as an unencrypted PKCS #8 PEM, which every server reads."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
