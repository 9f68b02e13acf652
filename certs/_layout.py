"""A folder with a CA and the certificates that it issued; this module alone knows its layout.

    ca/ca.pem, ca/ca-key.pem                        the CA; clients trust the first, the second is secret
    ca/lock                                         held while anything is written
    certificates/KIND/chain.pem, key.pem            a server's certificate of each kind (KIND as in ecdsa-p256)
    certificates/clients/NAME/chain.pem, key.pem    clients' certificates

A key is always in place before its certificate is, so ca.pem or chain.pem is the sign that both are there.
"""

import contextlib
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from certs._errors import CertificateError
from certs._files import CertificateFiles, locked, writable
from certs._issuing import Authority
from certs._keys import our_key
from certs._kinds import KeyKind
from certs._pairs import read_certificates, read_pair


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything in a folder is, whether it exists or not."""

    folder: Path

    @property
    def ca(self) -> CertificateFiles:
        """The CA's certificate and key."""
        return CertificateFiles(self.folder / "ca" / "ca.pem", self.folder / "ca" / "ca-key.pem")

    @property
    def lock(self) -> Path:
        """Held by whoever writes in the folder."""
        return self.folder / "ca" / "lock"

    @property
    def clients(self) -> Path:
        """The folder of clients' certificates."""
        return self.folder / "certificates" / "clients"

    def certificate(self, kind: KeyKind) -> CertificateFiles:
        """A server's certificate and key."""
        return pair_in(self.folder / "certificates" / kind)

    def client(self, name: str) -> CertificateFiles:
        """Return where a client's certificate and key are. Raises CertificateError for what cannot name a folder."""
        if "/" in name or "\0" in name or name.startswith("."):
            raise CertificateError(
                f"{name!r} cannot name a folder, which a client's certificate gets; leave out slashes and dots in front"
            )
        return pair_in(self.clients / name)

    def issued(self) -> list[CertificateFiles]:
        """Return the certificates that are there: servers' by kind, then clients' by name."""
        servers = [self.certificate(kind) for kind in KeyKind]
        clients = [pair_in(folder) for folder in sorted(self.clients.glob("*")) if not folder.name.startswith(".")]
        return [files for files in (*servers, *clients) if files.chain.exists()]


def pair_in(folder: Path) -> CertificateFiles:
    """Return how a certificate's two files are called in any folder of ours."""
    return CertificateFiles(folder / "chain.pem", folder / "key.pem")


def read_ca(layout: Layout, now: dt.datetime) -> x509.Certificate:
    """Return the certificate of a folder's CA. Raises CertificateError, also when its time is over."""
    certificate = read_certificates(layout.ca.chain)[0]
    end = certificate.not_valid_after_utc
    if now > end:
        raise CertificateError(
            f"{layout.ca.chain}: the CA expired on {end:%Y-%m-%d}; "
            f"remove {layout.ca.chain.parent} to have a new one made, and have clients trust that"
        )
    return certificate


def read_authority(layout: Layout, now: dt.datetime) -> Authority:
    """Return a folder's CA with its key, to issue with. Raises CertificateError."""
    certificate = read_ca(layout, now)
    if not layout.ca.key.exists():
        raise CertificateError(
            f"{layout.ca.key}: the CA's key is not here, and without it nothing can be issued; "
            f"bring it from where the CA was made, or remove {layout.ca.chain.parent} to have a new CA made"
        )
    key = our_key(read_pair(layout.ca).key)
    if key is None:
        raise CertificateError(f"{layout.ca.key}: a CA's key has to be RSA, ECDSA or Ed25519 here; bring another CA")
    return Authority(certificate, key)


def issued_by(ca: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Say whether a CA has signed a certificate."""
    try:
        certificate.verify_directly_issued_by(ca)
    except (InvalidSignature, TypeError, ValueError):  # another signature, kind of key, or name
        return False
    return True


@contextlib.contextmanager
def changing(layout: Layout) -> Iterator[None]:
    """Hold the folder's lock; what the system refuses meanwhile becomes a CertificateError."""
    # The folder also holds what only its owner may read: passwords, the datastore.
    with writable(layout.folder, mode=0o700), locked(layout.lock):
        yield
