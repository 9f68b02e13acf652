"""Certificates: what stands in them and why (RFC 5280). Nothing here reads a file or a clock.

The CA is one ECDSA P-256 key for certificates of every kind: its signature is the same few bytes in each chain, so
that kinds of server key can be compared without it.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs._keys import OurPrivateKey, make_key
from certs._kinds import KeyKind
from certs._names import alternative_names, shown_names

LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")

CA_VALIDITY: Final = dt.timedelta(days=3650)  # as mkcert: people install it in their browsers once
# CA/Browser Forum Baseline Requirements 6.3.2: at most 398 days, 397 advised. Browsers ask it of public CAs, and
# some clients of all.
LEAF_VALIDITY: Final = dt.timedelta(days=397)
_CLOCK_SKEW: Final = dt.timedelta(hours=1)  # valid since then, for a client whose clock is behind; counts as validity

_ORGANIZATION: Final = "https-digest-bench"
_COMMON_NAME_LENGTH: Final = 64  # RFC 5280, appendix A.1, ub-common-name


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA that can issue: its certificate and its key, which belong together."""

    certificate: x509.Certificate
    key: OurPrivateKey

    def issue(self, public_key: CertificatePublicKeyTypes, names: Sequence[str], now: dt.datetime) -> x509.Certificate:
        """Issue a server's certificate, which never outlives the CA. Raises CertificateError for a wrong name."""
        end = min(_start(now) + LEAF_VALIDITY, self.certificate.not_valid_after_utc)
        builder = _server_certificate(public_key, names, self.certificate.subject, start=_start(now), end=end)
        return builder.add_extension(self._identifier(), critical=False).sign(self.key, hashes.SHA256())

    def _identifier(self) -> x509.AuthorityKeyIdentifier:
        try:
            key_identifier = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        except x509.ExtensionNotFound:  # a CA that somebody else made; RFC 5280, 4.2.1.2, would have it
            return x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_identifier.value)


def make_authority(now: dt.datetime) -> Authority:
    """Draw a CA's key and sign its certificate with it."""
    key = make_key(KeyKind.ECDSA_P256)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    # Its own name for each CA: clients find an issuer by name, and two of one name are a riddle for people too.
    name = _name(f"{_ORGANIZATION} CA {identifier.digest[:4].hex()}")
    builder = _certificate(key.public_key(), name, name, start=_start(now), end=_start(now) + CA_VALIDITY)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(certificates=True), critical=True)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
    )
    return Authority(builder.sign(key, hashes.SHA256()), key)


def self_signed(key: OurPrivateKey, names: Sequence[str], now: dt.datetime) -> x509.Certificate:
    """Sign a server's certificate with its own key: good for whoever is told to trust this very one.

    Raises CertificateError for a wrong name.
    """
    start, end = _start(now), _start(now) + LEAF_VALIDITY
    return _server_certificate(key.public_key(), names, None, start=start, end=end).sign(key, hashes.SHA256())


def _start(now: dt.datetime) -> dt.datetime:
    return now.replace(microsecond=0) - _CLOCK_SKEW  # certificates know whole seconds


def _server_certificate(
    public_key: CertificatePublicKeyTypes,
    names: Sequence[str],
    issuer: x509.Name | None,
    *,
    start: dt.datetime,
    end: dt.datetime,
) -> x509.CertificateBuilder:
    """Everything of a server's certificate but the issuer's key identifier. No issuer: its own."""
    alternatives = alternative_names(names)
    subject = _name(str(alternatives[0].value))
    builder = _certificate(public_key, subject, subject if issuer is None else issuer, start=start, end=end)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)


def _certificate(
    public_key: CertificatePublicKeyTypes,
    subject: x509.Name,
    issuer: x509.Name,
    *,
    start: dt.datetime,
    end: dt.datetime,
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(issuer, subject, public_key, x509.random_serial_number(), start, end)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)


def _name(common_name: str) -> x509.Name:
    # Only people read a common name nowadays; one that is too long for the field is left out.
    fitting = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if len(common_name) <= _COMMON_NAME_LENGTH else []
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANIZATION), *fitting])


def _usage(*, certificates: bool) -> x509.KeyUsage:
    """A CA signs certificates; a server signs handshakes (no cipher of ours lets RSA encrypt a secret)."""
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def covers_loopback(certificate: x509.Certificate) -> bool:
    """Say whether clients on this machine can verify a certificate under every name of its own."""
    return set(LOOPBACK_NAMES) <= set(shown_names(certificate))
