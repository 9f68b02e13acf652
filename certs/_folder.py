"""Certificates of a folder's CA: made on demand, kept while they are sound, replaced when they are not.

Several processes may ask for the same certificate at once: what is sound is returned without a lock; otherwise the
one that gets the lock makes it and the others find it made. If a process was killed between writing a key and its
certificate, the two do not belong together and are made again.

How a pair is replaced. With its key kept: by one rename; nobody ever reads half of a new pair. With a new key: both
files are whole on the disk first, then two renames follow each other within 0.1 ms (seen), the key's first. Someone who
reads both files just then finds a key that does not belong to the certificate; a server of ours that runs goes on with
the pair from before and looks again within a quarter of a second.
"""

import datetime as dt
from collections.abc import Sequence
from enum import Enum, auto
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from certs._errors import CertificateError
from certs._files import PRIVATE, PUBLIC, CertificateFiles, NewContent, writable, write_together
from certs._issuing import LEAF_VALIDITY, LOOPBACK_NAMES, Holder, make_authority, self_signed
from certs._keys import OurPrivateKey, key_kind, key_pem, make_key, our_key, public_key_kind
from certs._kinds import KeyKind
from certs._layout import Layout, changing, issued_by, pair_in, read_authority, read_ca
from certs._pairs import belong_together, check_validity, read_certificates, read_key, read_pair

# A certificate that ends sooner is made again: a server that starts with it shall not outlive it within the day.
_REISSUE_BEFORE: Final = dt.timedelta(days=1)


class Replace(Enum):
    """What may be written over."""

    NOTHING = auto()
    OURS = auto()  # what this CA issued
    ANYTHING = auto()


def ensure_ca(folder: Path, *, now: dt.datetime | None = None) -> Path:
    """Make a CA in a folder unless it has one, and return the file that clients trust.

    Raises CertificateError when the folder cannot be written, or its CA cannot be read or has expired.
    """
    layout = Layout(folder)
    if not layout.ca.chain.exists():
        with changing(layout):
            if not layout.ca.chain.exists():  # nobody made it while we waited
                authority = make_authority(_now(now))
                write_pair(layout.ca, [authority.certificate], authority.key)
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
        with changing(layout):
            if not _is_sound(files, kind, read_ca(layout, now), now):  # nobody made it while we waited
                key = _key_there(files.key, kind) or make_key(kind)
                _issue(layout, files, Holder.server(LOOPBACK_NAMES), key, LEAF_VALIDITY, now)
    return files


def issue_certificate(
    folder: Path,
    kind: KeyKind,
    names: Sequence[str],
    *,
    out: Path | None = None,
    validity: dt.timedelta = LEAF_VALIDITY,
    replace: Replace = Replace.OURS,
    now: dt.datetime | None = None,
) -> CertificateFiles:
    """Issue a server's certificate with a new key, in place of one that is there; make the CA if need be.

    out: a folder to write chain.pem and key.pem to, None for the CA's own. replace: what may be written over.
    Raises CertificateError.
    """
    files = Layout(folder).certificate(kind) if out is None else pair_in(out)
    return _issue_new(folder, files, Holder.server(names), kind, validity, replace, _now(now))


def issue_client_certificate(
    folder: Path,
    name: str,
    *,
    organisation: str | None = None,
    names: Sequence[str] = (),
    kind: KeyKind = KeyKind.ECDSA_P256,
    out: Path | None = None,
    validity: dt.timedelta = LEAF_VALIDITY,
    replace: Replace = Replace.OURS,
    now: dt.datetime | None = None,
) -> CertificateFiles:
    """Issue a client's certificate with a new key, by which a server can know it; make the CA if need be.

    name: its common name, and its folder's under certificates/clients unless `out` is another one. names: host names
    and addresses, if it has some. replace: what may be written over. Raises CertificateError.
    """
    holder = Holder.client(name, organisation, names)
    files = Layout(folder).client(name) if out is None else pair_in(out)
    return _issue_new(folder, files, holder, kind, validity, replace, _now(now))


def issue_for_key(
    folder: Path,
    public_key: CertificatePublicKeyTypes,
    holder: Holder,
    *,
    out: Path,
    validity: dt.timedelta = LEAF_VALIDITY,
    replace: Replace = Replace.NOTHING,
    now: dt.datetime | None = None,
) -> Path:
    """Issue a certificate for a key that somebody else keeps, write it to out/chain.pem and return that path.

    A key.pem that is there already has to be the one. Makes the CA if need be. Raises CertificateError.
    """
    now = _now(now)
    layout, files = Layout(folder), pair_in(out)
    ensure_ca(folder, now=now)
    with changing(layout), writable(out):
        if files.chain.exists():
            _refuse_to_replace(files, replace, read_ca(layout, now))
        if files.key.exists() and not belong_together(public_key, read_key(files.key)):
            raise CertificateError(
                f"{files.key}: the key of something else, which cannot serve with this certificate; "
                "choose another folder (--out)"
            )
        authority = read_authority(layout, now)
        leaf = authority.issue(public_key, holder, now, validity)
        write_chain(files.chain, [leaf, authority.certificate])
    return files.chain


def adhoc_certificate(folder: Path, *, now: dt.datetime | None = None) -> CertificateFiles:
    """Make a self-signed certificate for this machine's own names in a folder, usually a temporary one.

    Clients trust its chain file itself. Raises CertificateError.
    """
    files = pair_in(folder)
    key = make_key(KeyKind.ECDSA_P256)
    with writable(folder):
        write_pair(files, [self_signed(key, LOOPBACK_NAMES, _now(now))], key)
    return files


def write_pair(files: CertificateFiles, chain: Sequence[x509.Certificate], key: OurPrivateKey) -> None:
    """Put a pair in place of whatever is there, as this module's head says. Raises OSError."""
    files.key.parent.mkdir(parents=True, exist_ok=True)
    pem = key_pem(key)
    certificate = NewContent(files.chain, _pem(chain), PUBLIC)
    if files.key.exists() and files.key.read_bytes() == pem:
        write_together([certificate])
    else:
        write_together([NewContent(files.key, pem, PRIVATE), certificate])


def write_chain(path: Path, chain: Sequence[x509.Certificate]) -> None:
    """Put a chain in place of whatever is there, its key being elsewhere or staying. Raises OSError."""
    write_together([NewContent(path, _pem(chain), PUBLIC)])


def refuse_to_replace(files: CertificateFiles) -> None:
    """Raise CertificateError if any of two files is there."""
    for path in (files.chain, files.key):
        if path.exists():
            raise CertificateError(
                f"{path}: is there already; choose another folder (--out), or replace it with --force"
            )


def _pem(chain: Sequence[x509.Certificate]) -> bytes:
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)


def _now(now: dt.datetime | None) -> dt.datetime:
    return dt.datetime.now(dt.UTC) if now is None else now


def _is_sound(files: CertificateFiles, kind: KeyKind, ca: x509.Certificate, now: dt.datetime) -> bool:
    """Say whether what stands in our own folder can be served; whatever is wrong with it, it is made again."""
    try:
        pair = read_pair(files)
        check_validity(files.chain, pair.leaf, now)
        check_validity(files.chain, pair.leaf, now + _REISSUE_BEFORE)
    except CertificateError:
        return False
    return key_kind(pair.leaf) == kind and issued_by(ca, pair.leaf)


def _issue_new(
    folder: Path,
    files: CertificateFiles,
    holder: Holder,
    kind: KeyKind,
    validity: dt.timedelta,
    replace: Replace,
    now: dt.datetime,
) -> CertificateFiles:
    layout = Layout(folder)
    ensure_ca(folder, now=now)
    with changing(layout):
        # In our own folder a key alone is what somebody left who was stopped before its certificate.
        if files.chain.exists() or (files.key.exists() and layout.folder not in files.key.parents):
            _refuse_to_replace(files, replace, read_ca(layout, now))
        with writable(files.chain.parent):
            _issue(layout, files, holder, make_key(kind), validity, now)
    return files


def _refuse_to_replace(files: CertificateFiles, replace: Replace, ca: x509.Certificate) -> None:
    """Keep what others may need: raise CertificateError unless what is there may be written over."""
    if replace is Replace.ANYTHING:
        return
    try:
        ours = issued_by(ca, read_certificates(files.chain)[0])
    except CertificateError:
        ours = False
    if not ours:
        raise CertificateError(
            f"{files.chain.parent}: holds a chain.pem or key.pem that this CA did not issue; "
            "remove them, or choose another folder (--out), or replace them with --force"
        )
    if replace is Replace.NOTHING:
        raise CertificateError(
            f"{files.chain.parent}: holds a certificate already; `python -m certs renew` prolongs it and keeps its "
            "key, --force replaces it and its key, --out writes to another folder"
        )


def _issue(
    layout: Layout,
    files: CertificateFiles,
    holder: Holder,
    key: OurPrivateKey,
    validity: dt.timedelta,
    now: dt.datetime,
) -> None:
    authority = read_authority(layout, now)
    leaf = authority.issue(key.public_key(), holder, now, validity)
    write_pair(files, [leaf, authority.certificate], key)


def _key_there(path: Path, kind: KeyKind) -> OurPrivateKey | None:
    """Return the key that an outdated certificate leaves behind, if it is one of this kind.

    A certificate that is renewed by itself keeps its key: then one rename replaces it, and a server that starts at
    that moment can never read the new certificate with the old key.
    """
    try:
        key = our_key(read_key(path))
    except CertificateError:
        return None
    return key if key is not None and public_key_kind(key.public_key()) == kind else None
