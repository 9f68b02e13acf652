"""Certificates of our CA, issued again before they end: same holder, same purpose, same length, same key unless asked.

With the key kept, one rename puts the new chain in place of the old one. A key that is not there (its certificate
answered a request) is no hindrance: the new certificate is for the same public key.
"""

import datetime as dt
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from certs._description import common_name
from certs._errors import CertificateError
from certs._files import CertificateFiles, writable
from certs._findings import issuer_s_advice
from certs._folder import write_chain, write_pair
from certs._issuing import Authority, Holder
from certs._keys import key_kind, make_key, our_key
from certs._kinds import KeyKind
from certs._layout import Layout, issued_by, pair_in, read_authority, read_ca
from certs._pairs import belong_together, read_certificates, read_key


class State(Enum):
    """What became of a certificate."""

    NOT_DUE = auto()
    RENEWED = auto()
    FAILED = auto()  # it is due, and somebody has to see to it


@dataclass(frozen=True, slots=True)
class Renewal:
    """What became of a certificate, in words."""

    chain: Path
    state: State
    what: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What is due, and how it is renewed."""

    margin: dt.timedelta  # what ends within it is due
    new_key: bool
    now: dt.datetime


def to_renew(layout: Layout, names: list[str]) -> list[CertificateFiles]:
    """Return the certificates that are meant: named ones, or all in the folder.

    A name is a kind's or a client's in the folder, or a folder anywhere, or the chain.pem in it. Raises
    CertificateError for an unknown one.
    """
    if not names:
        return layout.issued()
    return [_named(layout, name) for name in names]


def _named(layout: Layout, name: str) -> CertificateFiles:
    named = Path(name)
    folder = named.parent if named.name == pair_in(named).chain.name else named
    places = [layout.folder / "certificates" / name, layout.clients / name, folder]
    for place in places:
        if pair_in(place).chain.exists():
            return pair_in(place)
    known = [files.chain.parent.name for files in layout.issued()]
    raise CertificateError(
        f"{name}: neither a certificate in {layout.folder} ({', '.join(known) or 'there is none'}) "
        "nor a folder with a chain.pem; name one of these"
    )


def renew(layout: Layout, files: CertificateFiles, terms: Terms) -> Renewal:
    """Issue a certificate again if it is due; the folder's lock has to be held. What fails is in the answer."""
    try:
        leaf = read_certificates(files.chain)[0]
        ca = read_ca(layout, terms.now)
        mismatch = files.key.exists() and not belong_together(leaf.public_key(), read_key(files.key))
        end = leaf.not_valid_after_utc
        if end - terms.now >= terms.margin and not mismatch:
            return Renewal(files.chain, State.NOT_DUE, f"valid until {end:%Y-%m-%d}")
        if not issued_by(ca, leaf):
            return Renewal(
                files.chain, State.FAILED, f"ends on {end:%Y-%m-%d} and is not our CA's; {issuer_s_advice(leaf)}"
            )
        return _issue_again(layout, files, leaf, terms, mismatch=mismatch)
    except CertificateError as error:
        return Renewal(files.chain, State.FAILED, str(error).removeprefix(f"{files.chain}: "))


def _issue_again(
    layout: Layout, files: CertificateFiles, leaf: x509.Certificate, terms: Terms, *, mismatch: bool
) -> Renewal:
    authority = read_authority(layout, terms.now)
    length = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    if not mismatch and authority.certificate.not_valid_after_utc <= leaf.not_valid_after_utc:
        raise CertificateError(
            f"ends with its CA, {common_name(authority.certificate.subject)}; remove {layout.ca.chain.parent} "
            "to have a new CA made, and have clients trust that"
        )
    with writable(files.chain.parent):
        new, how = _write(authority, files, leaf, length, terms, mismatch=mismatch)
    return Renewal(files.chain, State.RENEWED, f"valid until {new.not_valid_after_utc:%Y-%m-%d}, {how}")


def _write(
    authority: Authority,
    files: CertificateFiles,
    leaf: x509.Certificate,
    length: dt.timedelta,
    terms: Terms,
    *,
    mismatch: bool,
) -> tuple[x509.Certificate, str]:
    holder = Holder.of(leaf)
    if terms.new_key:
        if not files.key.exists():
            raise CertificateError("its key is elsewhere; without --new-key it is renewed for the same one")
        key = make_key(_our_kind(leaf))
        new = authority.issue(key.public_key(), holder, terms.now, length)
        write_pair(files, [new, authority.certificate], key)
        return new, "with a new key"
    if mismatch:
        # A new key beside an old certificate: somebody was stopped between the two. The key is the one to go on with.
        found = our_key(read_key(files.key))
        if found is None:
            raise CertificateError(f"the key beside it, {files.key}, is no server's; remove it, then issue anew")
        public_key: CertificatePublicKeyTypes = found.public_key()
    else:
        public_key = leaf.public_key()
    new = authority.issue(public_key, holder, terms.now, length)
    write_chain(files.chain, [new, authority.certificate])
    return new, "for the key beside it, which did not belong to it" if mismatch else "key kept"


def _our_kind(leaf: x509.Certificate) -> KeyKind:
    kind = key_kind(leaf)
    try:
        return KeyKind(kind)
    except ValueError:
        raise CertificateError(f"a new {kind} key cannot be made here; renew it without --new-key") from None
