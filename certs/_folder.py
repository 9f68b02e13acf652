"""A folder with a CA and the certificates that it issued; this module alone knows its layout.

    ca/ca.pem, ca/ca-key.pem                the CA; clients trust the first, the second is secret
    ca/lock                                 held while anything is written
    certificates/KIND/chain.pem, key.pem    a server's certificate of each kind (KIND as in ecdsa-p256)

Several processes may ask for the same certificate at once: what is sound is returned without a lock; otherwise the
one that gets the lock makes it and the others find it made. A key is always in place before its certificate is, so
ca.pem or chain.pem is the sign that both are there; if a process was killed between the two, they do not belong
together and are made again.
"""

import contextlib
import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from certs._errors import CertificateError
from certs._files import PRIVATE, PUBLIC, CertificateFiles, locked, writable, write_atomically
from certs._issuing import LOOPBACK_NAMES, Authority, make_authority, self_signed
from certs._keys import OurPrivateKey, key_kind, key_pem, make_key, public_key_kind
from certs._kinds import KeyKind
from certs._pairs import check_validity, read_certificates, read_key, read_pair

# A certificate that ends sooner is made again: a server that starts with it shall not outlive it within the day.
_REISSUE_BEFORE: Final = dt.timedelta(days=1)


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

    def certificate(self, kind: KeyKind) -> CertificateFiles:
        """A server's certificate and key."""
        return pair_in(self.folder / "certificates" / kind)


def pair_in(folder: Path) -> CertificateFiles:
    """Return how a server's two files are called in any folder."""
    return CertificateFiles(folder / "chain.pem", folder / "key.pem")


def ensure_ca(folder: Path, *, now: dt.datetime | None = None) -> Path:
    """Make a CA in a folder unless it has one, and return the file that clients trust.

    Raises CertificateError when the folder cannot be written, or its CA cannot be read or has expired.
    """
    layout = Layout(folder)
    if not layout.ca.chain.exists():
        with _changing(layout):
            if not layout.ca.chain.exists():  # nobody made it while we waited
                authority = make_authority(_now(now))
                _write_pair(layout.ca, [authority.certificate], authority.key)
    read_ca(layout, _now(now))
    return layout.ca.chain


def ensure_certificate(folder: Path, kind: KeyKind, *, now: dt.datetime | None = None) -> CertificateFiles:
    """Return a server's certificate of a kind, made if need be, and the CA too.

    A new one is good for localhost, 127.0.0.1 and ::1. One that is there is kept, whatever its names, as long as it
    is of this kind, issued by the folder's CA, whole, and valid for another day. Raises CertificateError.
    """
    now = _now(now)
    layout = Layout(folder)
    files = layout.certificate(kind)
    ensure_ca(folder, now=now)
    if not _is_sound(files, kind, read_ca(layout, now), now):
        with _changing(layout):
            if not _is_sound(files, kind, read_ca(layout, now), now):  # nobody made it while we waited
                _issue(layout, files, LOOPBACK_NAMES, _key_there(files.key, kind) or make_key(kind), now)
    return files


def issue_certificate(
    folder: Path, kind: KeyKind, names: Sequence[str], *, out: Path | None = None, now: dt.datetime | None = None
) -> CertificateFiles:
    """Issue a server's certificate with a new key, in place of one that is there; make the CA if need be.

    out: a folder to write chain.pem and key.pem to, None for the CA's own; what stands there is replaced only if the
    same CA issued it. Raises CertificateError.
    """
    now = _now(now)
    layout = Layout(folder)
    ensure_ca(folder, now=now)
    with _changing(layout):
        if out is None:
            files = layout.certificate(kind)
            _issue(layout, files, names, make_key(kind), now)
        else:
            files = pair_in(out)
            _refuse_to_replace(files, read_ca(layout, now))
            with writable(out):
                _issue(layout, files, names, make_key(kind), now)
    return files


def adhoc_certificate(folder: Path, *, now: dt.datetime | None = None) -> CertificateFiles:
    """Make a self-signed certificate for this machine's own names in a folder, usually a temporary one.

    Clients trust its chain file itself. Raises CertificateError.
    """
    files = pair_in(folder)
    key = make_key(KeyKind.ECDSA_P256)
    with writable(folder):
        _write_pair(files, [self_signed(key, LOOPBACK_NAMES, _now(now))], key)
    return files


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


def _now(now: dt.datetime | None) -> dt.datetime:
    return dt.datetime.now(dt.UTC) if now is None else now


@contextlib.contextmanager
def _changing(layout: Layout) -> Iterator[None]:
    # The folder also holds what only its owner may read: passwords, the datastore.
    with writable(layout.folder, mode=0o700), locked(layout.lock):
        yield


def _is_sound(files: CertificateFiles, kind: KeyKind, ca: x509.Certificate, now: dt.datetime) -> bool:
    """Say whether what stands in our own folder can be served; whatever is wrong with it, it is made again."""
    try:
        pair = read_pair(files)
        check_validity(files.chain, pair.leaf, now)
        check_validity(files.chain, pair.leaf, now + _REISSUE_BEFORE)
    except CertificateError:
        return False
    return key_kind(pair.leaf) == kind and _issued_by(ca, pair.leaf)


def _issued_by(ca: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(ca)
    except (InvalidSignature, TypeError, ValueError):  # another signature, kind of key, or name
        return False
    return True


def _refuse_to_replace(files: CertificateFiles, ca: x509.Certificate) -> None:
    """Keep the keys of others: what stands in a folder that the user named is replaced only if it is ours."""
    if not (files.chain.exists() or files.key.exists()):
        return
    try:
        ours = _issued_by(ca, read_certificates(files.chain)[0])
    except CertificateError:
        ours = False
    if not ours:
        raise CertificateError(
            f"{files.chain.parent}: holds a chain.pem or key.pem that this CA did not issue; "
            "remove them, or choose another folder"
        )


def _issue(layout: Layout, files: CertificateFiles, names: Sequence[str], key: OurPrivateKey, now: dt.datetime) -> None:
    authority = _authority(layout, now)
    leaf = authority.issue(key.public_key(), names, now)
    _write_pair(files, [leaf, authority.certificate], key)


def _authority(layout: Layout, now: dt.datetime) -> Authority:
    certificate = read_ca(layout, now)
    if not layout.ca.key.exists():
        raise CertificateError(
            f"{layout.ca.key}: the CA's key is not here, and without it nothing can be issued; "
            f"bring it from where the CA was made, or remove {layout.ca.chain.parent} to have a new CA made"
        )
    key = read_pair(layout.ca).key
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise CertificateError(f"{layout.ca.key}: a CA's key has to be RSA or ECDSA here; bring another CA")
    return Authority(certificate, key)


def _key_there(path: Path, kind: KeyKind) -> OurPrivateKey | None:
    """Return the key that an outdated certificate leaves behind, if it is one of this kind.

    A certificate that is renewed by itself keeps its key: then one rename replaces it, and a server that starts at
    that moment can never read the new certificate with the old key.
    """
    try:
        key = read_key(path)
    except CertificateError:
        return None
    if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) and public_key_kind(key.public_key()) == kind:
        return key
    return None


def _write_pair(files: CertificateFiles, chain: Sequence[x509.Certificate], key: OurPrivateKey) -> None:
    files.key.parent.mkdir(parents=True, exist_ok=True)
    pem = key_pem(key)
    if not (files.key.exists() and files.key.read_bytes() == pem):
        write_atomically(files.key, pem, mode=PRIVATE)
    chain_pem = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)
    write_atomically(files.chain, chain_pem, mode=PUBLIC)
