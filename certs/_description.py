"""Certificates in words: as a line of a table for a person, as plain values for a program."""

import datetime as dt
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs._keys import key_kind
from certs._names import shown_names

_PURPOSES: Final = {ExtendedKeyUsageOID.SERVER_AUTH: "server", ExtendedKeyUsageOID.CLIENT_AUTH: "client"}


def common_name(name: x509.Name) -> str:
    """Return what people call a subject or issuer: its common name, or all of it if it has none."""
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string()


def days_left(certificate: x509.Certificate, now: dt.datetime) -> int:
    """Return the whole days for which a certificate is still valid, negative once it has expired."""
    return (certificate.not_valid_after_utc - now) // dt.timedelta(days=1)


def is_ca(certificate: x509.Certificate) -> bool:
    """Say whether a certificate may sign others."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def is_self_issued(certificate: x509.Certificate) -> bool:
    """Say whether a certificate names itself as its issuer."""
    return certificate.issuer == certificate.subject


def purposes(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return what a certificate is for: "CA", "server", "client", another purpose's number; none: not restricted."""
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return ("CA",) if is_ca(certificate) else ()
    return tuple(_PURPOSES.get(usage, usage.dotted_string) for usage in usages)


def facts(certificate: x509.Certificate, now: dt.datetime) -> dict[str, object]:
    """Return what programs may want to know of a certificate, as JSON can hold it."""
    hash_algorithm = certificate.signature_hash_algorithm
    return {
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "names": shown_names(certificate),
        "for": list(purposes(certificate)),
        "key": key_kind(certificate),
        "signature_hash": None if hash_algorithm is None else hash_algorithm.name,
        "serial": f"{certificate.serial_number:x}",
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
        "not_before": certificate.not_valid_before_utc.isoformat(),
        "not_after": certificate.not_valid_after_utc.isoformat(),
        "days_left": days_left(certificate, now),
    }
