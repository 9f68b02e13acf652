"""What can be wrong with a certificate, each with what to do about it. Nothing here reads a file or a clock."""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from certs._description import common_name, days_left, is_ca, is_self_issued, purposes
from certs._issuing import LONGEST_ACCEPTED
from certs._keys import weakness
from certs._names import covers, shown_names


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    code: str  # for programs; stays the same from version to version
    problem: str
    advice: str


def role(certificate: x509.Certificate) -> str:
    """Return what a certificate is meant for: "CA", "client", or "server", which is also what says nothing."""
    found = purposes(certificate)
    if "client" in found and "server" not in found:
        return "client"
    return "CA" if _signs_certificates(certificate) and not shown_names(certificate) else "server"


def _signs_certificates(certificate: x509.Certificate) -> bool:
    """Say whether a certificate is a CA's; `openssl req -x509` makes each a CA, but without this usage."""
    try:
        return is_ca(certificate) and certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return False


def validity(
    certificate: x509.Certificate, now: dt.datetime, margin: dt.timedelta, advice: str, whose: str = ""
) -> Iterator[Finding]:
    """Find what has expired, ends within a margin, or is not valid yet. `whose`: names another one than the leaf."""
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        yield Finding("expired", f"{whose}expired on {end:%Y-%m-%d}", advice)
    elif end - now < margin:
        left = days_left(certificate, now)
        when = "in a day" if left == 1 else f"in {left} days" if left else "within a day"
        yield Finding("ends-soon", f"{whose}ends {when}, on {end:%Y-%m-%d}", advice)
    if now < start:
        yield Finding(
            "not-yet-valid", f"{whose}not valid before {start:%Y-%m-%d %H:%M} UTC", "check the clock of this machine"
        )


def names(certificate: x509.Certificate, wanted: Sequence[str]) -> Iterator[Finding]:
    """Find which names a server's certificate lacks."""
    held = shown_names(certificate)
    if not held:
        yield Finding(
            "no-names",
            "has no names (subjectAltName); browsers, requests and Go refuse it",
            "have one issued with them (--name)",
        )
        return
    for name in wanted:
        if not covers(certificate, name):
            yield Finding(
                "name-mismatch",
                f"not good for {name}, only for {', '.join(held)}",
                f"connect by such a name, or have one issued with --name {name} as well",
            )


def purpose(certificate: x509.Certificate, wanted: str) -> Iterator[Finding]:
    """Find out whether a certificate is not for a server, or a client."""
    found = purposes(certificate)
    if wanted != "CA" and found and found != ("CA",) and wanted not in found:
        yield Finding(
            "wrong-purpose",
            f"not for a {wanted} (its purpose is {', '.join(found)})",
            "have one issued without --client" if wanted == "server" else "have one issued with --client",
        )


def strength(certificate: x509.Certificate, whose: str = "") -> Iterator[Finding]:
    """Find weak keys and signatures. A root's own signature is nothing that a client looks at."""
    try:
        weak = weakness(certificate.public_key())
    except ValueError as error:
        weak = f"a key that cannot be read ({error})"
    if weak:
        yield Finding(
            "weak-key",
            f"{whose}has {weak}",
            "have one issued for a new, stronger key",
        )
    used = certificate.signature_hash_algorithm
    if used is not None and used.name in _BROKEN and not is_self_issued(certificate):
        yield Finding(
            "weak-signature",
            f"{whose}signed with {used.name.upper()}, which can be forged; clients refuse it",
            "have it issued again by a CA that signs with SHA-256",
        )


_BROKEN: Final = frozenset({hashes.MD5.name, hashes.SHA1.name})


def notes(certificate: x509.Certificate, wanted: str) -> Iterator[str]:
    """Say what is not wrong but may surprise."""
    if wanted != "server":
        return
    if certificate.not_valid_after_utc - certificate.not_valid_before_utc > LONGEST_ACCEPTED:
        yield f"valid for more than {LONGEST_ACCEPTED.days} days: Apple's systems refuse it"
    if is_ca(certificate):
        yield "also a CA, which a server should not be: Firefox refuses it"
    if certificate.public_key_algorithm_oid == x509.ObjectIdentifier("1.3.101.112"):  # RFC 8410, section 3
        yield "Ed25519: no browser takes it"


def issuer_s_advice(certificate: x509.Certificate) -> str:
    """Say who has to renew a certificate that our CA did not issue."""
    if is_self_issued(certificate):
        return "make it anew (python -m certs self-signed --force) and have its clients trust it again"
    organisation = certificate.issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    if organisation and organisation[0].value == "Let's Encrypt":
        return "renew it with the tool that fetched it: certbot renew"
    return f"its issuer has to renew it: {common_name(certificate.issuer) or 'unnamed'} (by ACME: certbot renew)"
