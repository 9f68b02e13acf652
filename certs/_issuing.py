"""Certificates: what stands in them and why (RFC 5280). Nothing here reads a file or a clock.

The CA is one ECDSA P-256 key for certificates of every kind: its signature is the same few bytes in each chain, so
that kinds of server key can be compared without it.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs._errors import CertificateError
from certs._keys import OurPrivateKey, make_key, signature_hash
from certs._kinds import KeyKind
from certs._names import alternative_names, shown_names

LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")

CA_VALIDITY: Final = dt.timedelta(days=3650)  # as mkcert: people install it in their browsers once
# CA/Browser Forum Baseline Requirements 6.3.2 as of ballot SC-081v3: issued from 15 March 2026 on at most 200 days,
# 199 advised, because a second more counts as a day (100 days from 2027 on, 47 from 2029). That binds public CAs
# alone; ours keeps to it, because whoever renews twice a year has a renewal that works. Mozilla's guidelines 6.0,
# which sslyze judges by, want 366 at most.
LEAF_VALIDITY: Final = dt.timedelta(days=199)
# Apple's systems refuse a server's certificate of more days, also one of a CA that the user added
# (https://support.apple.com/en-us/103769).
LONGEST_ACCEPTED: Final = dt.timedelta(days=825)
SELF_SIGNED_VALIDITY: Final = dt.timedelta(days=365)  # as in the command that the guides give
_CLOCK_SKEW: Final = dt.timedelta(hours=1)  # valid since then, for a client whose clock is behind; counts as validity

_ORGANIZATION: Final = "https-digest-bench"
_NAME_LENGTH: Final = 64  # RFC 5280, appendix A.1, ub-common-name and ub-organization-name

SERVER: Final = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT: Final = ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a certificate speaks of and what it is for: all of it that does not change when it is renewed."""

    subject: x509.Name
    names: tuple[x509.GeneralName, ...]  # a client needs none
    purposes: tuple[x509.ObjectIdentifier, ...]

    @classmethod
    def server(cls, names: Sequence[str]) -> "Holder":
        """Describe a server by its host names and addresses. Raises CertificateError for a wrong one, or none."""
        alternatives = alternative_names(names)
        return cls(_subject(str(alternatives[0].value), _ORGANIZATION), tuple(alternatives), (SERVER,))

    @classmethod
    def client(cls, name: str, organisation: str | None = None, names: Sequence[str] = ()) -> "Holder":
        """Describe a client: a device, a program, a person. Raises CertificateError for what no certificate can hold.

        name: its common name, by which servers know it. names: host names and addresses, if it has some.
        """
        for what, text in (("a client's name", name), ("an organisation", organisation)):
            if text is not None and (not 1 <= len(text) <= _NAME_LENGTH or not text.isprintable()):
                raise CertificateError(f"{text!r}: {what} has 1 to {_NAME_LENGTH} printable characters; shorten it")
        alternatives = alternative_names(names) if names else []
        return cls(_subject(name, organisation), tuple(alternatives), (CLIENT,))

    @classmethod
    def of(cls, certificate: x509.Certificate) -> "Holder":
        """Return what a certificate of ours says, to say it again."""
        extensions = certificate.extensions
        try:
            names = tuple(extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        except x509.ExtensionNotFound:
            names = ()
        try:
            purposes = tuple(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        except x509.ExtensionNotFound:
            purposes = ()
        return cls(certificate.subject, names, purposes)


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA that can issue: its certificate and its key, which belong together."""

    certificate: x509.Certificate
    key: OurPrivateKey

    def issue(
        self,
        public_key: CertificatePublicKeyTypes,
        holder: Holder,
        now: dt.datetime,
        validity: dt.timedelta = LEAF_VALIDITY,
    ) -> x509.Certificate:
        """Issue a certificate, which never outlives the CA."""
        start = _start(now)
        end = min(start + validity, self.certificate.not_valid_after_utc)
        builder = _leaf(public_key, holder, self.certificate.subject, start=start, end=end)
        builder = builder.add_extension(self._identifier(), critical=False)
        return builder.sign(self.key, signature_hash(self.key))

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
    name = _subject(f"{_ORGANIZATION} CA {identifier.digest[:4].hex()}", _ORGANIZATION)
    builder = _certificate(key.public_key(), name, name, start=_start(now), end=_start(now) + CA_VALIDITY)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(certificates=True), critical=True)
    builder = builder.add_extension(_own_identifier(identifier), critical=False)
    return Authority(builder.sign(key, signature_hash(key)), key)


def self_signed(key: OurPrivateKey, names: Sequence[str], now: dt.datetime) -> x509.Certificate:
    """Sign a server's certificate with its own key: good for whoever is told to trust this very one.

    Raises CertificateError for a wrong name.
    """
    holder = Holder.server(names)
    start, end = _start(now), _start(now) + LEAF_VALIDITY
    return _leaf(key.public_key(), holder, holder.subject, start=start, end=end).sign(key, signature_hash(key))


def self_signed_like_openssl(
    key: OurPrivateKey, names: Sequence[str], now: dt.datetime, validity: dt.timedelta = SELF_SIGNED_VALIDITY
) -> x509.Certificate:
    """Sign what `openssl req -x509` signs, with names, for which browsers look, and a purpose, for which Apple does.

    As there it is a CA as well, which Firefox holds against a server; valid from this second on. Raises
    CertificateError for a wrong name.
    """
    holder = Holder.server(names)
    subject = _subject(str(holder.names[0].value), None)
    start = now.replace(microsecond=0)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = _certificate(key.public_key(), subject, subject, start=start, end=start + validity)
    builder = builder.add_extension(_own_identifier(identifier), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName(holder.names), critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage(holder.purposes), critical=False)
    return builder.sign(key, signature_hash(key))


def _start(now: dt.datetime) -> dt.datetime:
    return now.replace(microsecond=0) - _CLOCK_SKEW  # certificates know whole seconds


def _leaf(
    public_key: CertificatePublicKeyTypes, holder: Holder, issuer: x509.Name, *, start: dt.datetime, end: dt.datetime
) -> x509.CertificateBuilder:
    """Everything of a server's or client's certificate but the issuer's key identifier."""
    builder = _certificate(public_key, holder.subject, issuer, start=start, end=end)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(certificates=False), critical=True)
    if holder.purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(holder.purposes), critical=False)
    if holder.names:
        builder = builder.add_extension(x509.SubjectAlternativeName(holder.names), critical=False)
    return builder


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


def _own_identifier(identifier: x509.SubjectKeyIdentifier) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _subject(common_name: str, organisation: str | None) -> x509.Name:
    # Of a server only people read the common name nowadays; one that is too long for the field is left out.
    fields = [] if organisation is None else [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation)]
    if len(common_name) <= _NAME_LENGTH:
        fields.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    return x509.Name(fields)


def _usage(*, certificates: bool) -> x509.KeyUsage:
    """A CA signs certificates; others sign handshakes (no cipher of ours lets RSA encrypt a secret)."""
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
