"""A certificate and its key, read from files, with everything that can be wrong said in one line.

A TLS library says "[SSL] PEM lib (_ssl.c:4123)" for most of it; so a server reads its pair here first.
"""

import datetime as dt
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from certs._errors import CertificateError
from certs._files import CertificateFiles, read_bytes
from certs._names import covers, shown_names

_DER: Final = b"\x30\x82"  # an ASN.1 SEQUENCE longer than 255 octets: how a binary certificate or key begins
_AGAIN: Final = "issue a new one (`python -m certs issue`)"


@dataclass(frozen=True, slots=True)
class Pair:
    """What a server presents, checked: `key` belongs to the first certificate of `chain`."""

    chain: tuple[x509.Certificate, ...]
    key: PrivateKeyTypes

    @property
    def leaf(self) -> x509.Certificate:
        """The server's own certificate."""
        return self.chain[0]


def check_pair(files: CertificateFiles, *, now: dt.datetime | None = None, name: str | None = None) -> None:
    """Say whether a server can present these files; now, unless another time is given.

    name: by which clients will connect; None: whatever the certificate holds. Raises CertificateError: a file that is
    missing, unreadable or not PEM, an encrypted key, a key of another certificate, a certificate that has expired, is
    not valid yet, or is not good for the name.
    """
    pair = read_pair(files)
    check_validity(files.chain, pair.leaf, dt.datetime.now(dt.UTC) if now is None else now)
    if name is not None and not covers(pair.leaf, name):
        held = ", ".join(shown_names(pair.leaf)) or "no name at all"
        raise CertificateError(
            f"{files.chain}: not good for {name}, only for {held}; name one of these, or have one issued for {name}"
        )


def read_pair(files: CertificateFiles) -> Pair:
    """Read certificate and key, which must belong together. Raises CertificateError; validity is not looked at."""
    chain = read_certificates(files.chain)
    key = read_key(files.key)
    if not belong_together(chain[0].public_key(), key):
        if any(belong_together(other.public_key(), key) for other in chain[1:]):
            raise CertificateError(
                f"{files.chain}: the server's certificate is not the first in the file; "
                f"put the one that belongs to {files.key} first"
            )
        raise CertificateError(
            f"{files.key}: this key does not belong to the certificate in {files.chain}; name the key that it was made "
            f"with, or {_AGAIN}"
        )
    return Pair(chain, key)


def check_client_ca(path: Path) -> None:
    """Say whether a file holds what clients' certificates can be checked against. Raises CertificateError."""
    try:
        read_certificates(path)
    except CertificateError as error:
        reason = str(error).partition(";")[0].removeprefix(f"{path}: ")
        raise refused_client_ca(path, reason) from error


def refused_client_ca(path: Path, reason: str) -> CertificateError:
    """Return the error of a file that was to name the CA of clients."""
    return CertificateError(f"{path}: no use as the CA of clients ({reason}); name a PEM file with its certificate")


def refused_pair(files: CertificateFiles, reason: str) -> CertificateError:
    """Return the error of a pair that a TLS library does not want: too weak for it, or damaged further down."""
    return CertificateError(f"{files.chain}: OpenSSL refuses this certificate or its key ({reason}); {_AGAIN}")


def read_certificates(path: Path) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a PEM file, at least one, in the file's order. Raises CertificateError."""
    content = read_bytes(path)
    try:
        return tuple(x509.load_pem_x509_certificates(content))
    except ValueError as error:
        if content.startswith(_DER):
            raise CertificateError(
                f"{path}: binary (DER), not PEM; convert it: openssl x509 -inform der -in {_quoted(path)} -out FILE.pem"
            ) from error
        if b"PRIVATE KEY-----" in content:
            raise CertificateError(
                f"{path}: holds a private key where a certificate is expected; are the two files swapped?"
            ) from error
        raise CertificateError(f"{path}: not a certificate in PEM; name another file, or {_AGAIN}") from error


def read_key(path: Path) -> PrivateKeyTypes:
    """Return the private key of a PEM file. Raises CertificateError."""
    content = read_bytes(path)
    try:
        # Not validated: proving an RSA-4096 key's primes takes 0.25 s at each reading, which OpenSSL does not spend
        # on a server's key either. That it belongs to its certificate is checked with the certificate at hand.
        return load_pem_private_key(content, password=None, unsafe_skip_rsa_key_validation=True)
    except TypeError as error:  # the library's way to say that it needs a password
        raise CertificateError(
            f"{path}: the key is encrypted and a server cannot ask for its passphrase; "
            f"decrypt it: openssl pkey -in {_quoted(path)} -out FILE.pem"
        ) from error
    except ValueError as error:
        if content.startswith(_DER):
            raise CertificateError(
                f"{path}: binary (DER), not PEM; convert it: openssl pkey -inform der -in {_quoted(path)} -out FILE.pem"
            ) from error
        if b"PRIVATE KEY-----" not in content and b"BEGIN CERTIFICATE-----" in content:
            raise CertificateError(
                f"{path}: holds a certificate where a private key is expected; are the two files swapped?"
            ) from error
        raise CertificateError(f"{path}: not a private key in PEM; name another file, or {_AGAIN}") from error


def check_validity(path: Path, certificate: x509.Certificate, now: dt.datetime) -> None:
    """Raise CertificateError unless a certificate, read from `path`, is valid at a time."""
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        raise CertificateError(f"{path}: the certificate expired on {end:%Y-%m-%d}; {_AGAIN}")
    if now < start:
        raise CertificateError(
            f"{path}: the certificate is not valid before {start:%Y-%m-%d %H:%M} UTC; check this machine's clock, "
            f"or {_AGAIN}"
        )


def belong_together(public_key: PublicKeyTypes, key: PrivateKeyTypes) -> bool:
    """Say whether a public key is that of a private one."""
    return _public_bytes(public_key) == _public_bytes(key.public_key())


def _public_bytes(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
