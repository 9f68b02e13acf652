"""Does a chain lead to a certificate that is trusted? OpenSSL's own answer, as curl, Python and most servers get it."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from OpenSSL import crypto

from certs._description import common_name, is_self_issued
from certs._findings import Finding
from certs._pairs import read_certificates

# X509_V_FLAG_NO_CHECK_TIME: expiry is said of each certificate by name elsewhere, not as a fault of the chain.
_NO_CHECK_TIME: Final = 0x200000

# X509_verify_cert_error_string(3): no certificate of the issuer to be found.
_ISSUER_MISSING: Final = frozenset({2, 20, 21})


@dataclass(frozen=True, slots=True)
class Led:
    """Where a chain leads: to a trusted certificate, or nowhere, and why."""

    to: str  # empty if nowhere
    whole: tuple[x509.Certificate, ...] = ()  # from the leaf to what is trusted
    finding: Finding | None = None


class Trust:
    """Certificates that are trusted: those of a PEM file, or the system's."""

    def __init__(self, ca_file: Path | None) -> None:
        """Read a file; None: the system's certificates. Raises CertificateError."""
        self._store = crypto.X509Store()
        # What is trusted need not be a root: it may be a server's own certificate.
        self._store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN | _NO_CHECK_TIME)
        if ca_file is None:
            paths = ssl.get_default_verify_paths()
            if paths.cafile or paths.capath:
                self._store.load_locations(paths.cafile, paths.capath)
        else:
            for certificate in read_certificates(ca_file):
                self._store.add_cert(crypto.X509.from_cryptography(certificate))

    def follow(self, chain: Sequence[x509.Certificate]) -> Led:
        """Follow a chain, its first certificate being the one in question, the others in any order."""
        leaf, *others = (crypto.X509.from_cryptography(certificate) for certificate in chain)
        context = crypto.X509StoreContext(self._store, leaf, others)
        try:
            verified = context.get_verified_chain()
        except crypto.X509StoreContextError as error:
            return Led("", finding=_finding(chain, error))
        whole = tuple(certificate.to_cryptography() for certificate in verified)
        return Led(common_name(whole[-1].subject) or "an unnamed certificate", whole)


def follow(chain: Sequence[x509.Certificate], trusts: Sequence[Trust]) -> Led:
    """Follow a chain to the first that leads somewhere; if none does, the first one's reason counts."""
    answers = [trust.follow(chain) for trust in trusts]
    return next((led for led in answers if led.to), answers[0])


def _finding(chain: Sequence[x509.Certificate], error: crypto.X509StoreContextError) -> Finding:
    code, reason = error.errors[0], error.errors[2]
    if is_self_issued(chain[0]):
        return Finding(
            "self-signed",
            "self-signed: clients refuse it, unless told to trust this very file",
            "if they are told so, add --ca with that file; otherwise have a CA issue one (python -m certs issue)",
        )
    if code in _ISSUER_MISSING:
        missing = _missing_issuer(chain)
        return Finding(
            "untrusted",
            f"nothing that is trusted leads to it: there is no certificate of {missing}",
            "serve the whole chain (certbot's fullchain.pem); if that is your own CA, name its file with --ca",
        )
    if is_self_issued(chain[-1]):
        return Finding(
            "untrusted",
            f"leads to {common_name(chain[-1].subject)}, which is not trusted ({reason})",
            "name that CA's file with --ca, or have the system trust it",
        )
    return Finding("untrusted", f"leads to nothing that is trusted ({reason})", "have a CA issue a new one")


def _missing_issuer(chain: Sequence[x509.Certificate]) -> str:
    held = {certificate.subject for certificate in chain}
    certificate = chain[0]
    by_subject = {one.subject: one for one in chain}
    seen = set[x509.Name]()
    while certificate.issuer in held and certificate.issuer not in seen:
        seen.add(certificate.issuer)
        certificate = by_subject[certificate.issuer]
    return common_name(certificate.issuer) or "an unnamed CA"
