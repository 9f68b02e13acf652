"""Certificate signing requests (PKCS #10, RFC 2986): somebody asks for a certificate and keeps the key.

A request proves that its sender has the key. Everything else in it is a wish: only host names and addresses are taken
over, after the same checks as names on the command line, and never another extension ("let me be a CA").
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from certs._errors import CertificateError
from certs._files import read_bytes
from certs._keys import public_key_kind, weakness

_BEGINNING: Final = b"CERTIFICATE REQUEST-----"  # also "NEW CERTIFICATE REQUEST", as older tools write it
_MOST_BYTES: Final = 100_000  # a request with a hundred names has 5,000


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """A request whose signature is right and whose key is strong enough."""

    public_key: CertificatePublicKeyTypes
    names: tuple[str, ...]  # host names and addresses; none if it asks for none
    ignored: tuple[str, ...]  # extensions that it wishes for and does not get

    @property
    def kind(self) -> str:
        """The kind of its key."""
        return public_key_kind(self.public_key)


def read_request(path: Path) -> SigningRequest:
    """Read a request from a PEM file. Raises CertificateError, also for a wrong signature or a weak key."""
    request = _parsed(path, read_bytes(path))
    try:
        signed = request.is_signature_valid
        key = request.public_key()
    except (InvalidSignature, UnsupportedAlgorithm, ValueError) as error:
        raise CertificateError(
            f"{path}: the request's key or signature is of a kind that is not known here ({error}); "
            "have one made with an ECDSA P-256 key"
        ) from error
    if not signed:
        raise CertificateError(
            f"{path}: the request's signature is not by its key: it was changed, or its sender has not that key; "
            "ask for a new one"
        )
    if problem := weakness(key):
        raise CertificateError(f"{path}: asks for a certificate for {problem}; have a request made with a stronger key")
    try:
        extensions = list(request.extensions)
    except ValueError as error:
        raise CertificateError(
            f"{path}: the request's extensions cannot be read ({error}); have it made anew"
        ) from error
    return SigningRequest(
        key, tuple(_names(path, extensions)), tuple(_called(one) for one in extensions if not _is_names(one))
    )


def _parsed(path: Path, content: bytes) -> x509.CertificateSigningRequest:
    if len(content) > _MOST_BYTES:
        raise CertificateError(f"{path}: too large for a certificate signing request; name another file")
    try:
        return x509.load_pem_x509_csr(content)
    except ValueError as error:
        if content.startswith(b"\x30"):
            hint = f"binary (DER), not PEM; convert it: openssl req -inform der -in {path} -out FILE.csr"
        elif _BEGINNING in content:
            hint = "a damaged certificate signing request; copy it again"
        else:
            hint = "not a certificate signing request in PEM; make one: openssl req -new -key KEY.pem -out FILE.csr"
        raise CertificateError(f"{path}: {hint}") from error


def _called(extension: x509.Extension[x509.ExtensionType]) -> str:
    value = extension.value
    return extension.oid.dotted_string if isinstance(value, x509.UnrecognizedExtension) else type(value).__name__


def _is_names(extension: x509.Extension[x509.ExtensionType]) -> bool:
    return isinstance(extension.value, x509.SubjectAlternativeName)


def _names(path: Path, extensions: list[x509.Extension[x509.ExtensionType]]) -> list[str]:
    names = []
    for extension in extensions:
        if not isinstance(extension.value, x509.SubjectAlternativeName):
            continue
        for name in extension.value:
            if not isinstance(name, x509.DNSName | x509.IPAddress):
                raise CertificateError(
                    f"{path}: asks for {name.value!r}, which is neither a host name nor an address; "
                    "say what it is to be good for with --name"
                )
            names.append(str(name.value))
    return names
