"""`issue`: certificates of our CA, for servers, for clients, and for keys that somebody else keeps."""

import argparse
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

from certs._command_line._frame import (
    PROGRAM,
    Commands,
    Outcome,
    add_folder,
    add_force,
    add_kind,
    add_names,
    day,
    days,
    notes_on_validity,
    quoted,
    trust_line,
)
from certs._errors import CertificateError
from certs._folder import Replace, issue_certificate, issue_client_certificate, issue_for_key
from certs._issuing import LEAF_VALIDITY, LOOPBACK_NAMES, Holder, covers_loopback
from certs._kinds import KeyKind
from certs._layout import Layout
from certs._pairs import read_certificates
from certs._requests import read_request

_DESCRIPTION = f"""\
examples:
  {PROGRAM} issue                               for this machine, ECDSA P-256
  {PROGRAM} issue --kind rsa-2048 --name device.lan --name 192.0.2.1 --out lan
  {PROGRAM} issue --client router-7 --organisation Example
  {PROGRAM} issue --csr device.csr              for a key that stays where it is

Issues a certificate with a new key (mode 0600), and makes the CA if there is none. Nothing is
overwritten without --force; `renew` prolongs a certificate and keeps its key. Of a request (--csr)
only the signature, the key and the names count; it gets chain.pem and no key.
"""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "issue", _run, summary="issue a certificate for a server or a client", description=_DESCRIPTION
    )
    add_names(parser, default=f"{', '.join(LOOPBACK_NAMES)}; a client's: none; with --csr: the request's")
    add_kind(parser, None, shown=KeyKind.ECDSA_P256.value)
    parser.add_argument("--client", metavar="NAME", help="a client's certificate, with this common name")
    parser.add_argument("--organisation", "--organization", metavar="ORG", help="a client's organisation")
    parser.add_argument("--csr", type=Path, metavar="FILE", help="certificate signing request (PEM) to answer")
    parser.add_argument(
        "--days",
        type=days(1),
        metavar="N",
        default=LEAF_VALIDITY.days,
        help="valid for so many days, never longer than the CA (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write chain.pem and key.pem there (default: certificates/KIND or certificates/clients/NAME of the "
        "CA's folder; with --csr: beside the request)",
    )
    add_force(parser)
    add_folder(parser)


def _run(options: argparse.Namespace) -> Outcome:
    if options.organisation is not None and options.client is None:
        raise CertificateError("--organisation is a client's; name the client with --client")
    if options.csr is not None:
        if options.kind is not None:
            raise CertificateError("--kind goes without --csr: a request comes with its key; leave out one of them")
        return Outcome(list(_for_request(options)))
    return Outcome(list(_for_client(options) if options.client is not None else _for_server(options)))


def _for_server(options: argparse.Namespace) -> Iterator[str]:
    layout = Layout(options.state)
    names = options.names or list(LOOPBACK_NAMES)
    kind = KeyKind(options.kind or KeyKind.ECDSA_P256)
    validity, replace = _wishes(options)
    files = issue_certificate(layout.folder, kind, names, out=options.out, validity=validity, replace=replace)
    leaf, ca = read_certificates(files.chain)[:2]
    yield f"issued {kind} for {', '.join(names)}, valid until {day(leaf)}"
    yield f"  chain: {files.chain}"
    yield f"  key:   {files.key}"
    yield from notes_on_validity(leaf, ca, validity)
    if kind is KeyKind.ED25519:
        yield "note: no browser takes Ed25519; curl and Python do"
    if options.out is None and not covers_loopback(leaf):
        yield f"note: not good for all of {', '.join(LOOPBACK_NAMES)}; whoever connects to those is warned of it"
    yield f"serve with it: python -m flask_impl --certificate {quoted(files.chain)} --key {quoted(files.key)}"
    if options.out is not None:
        yield f"renew it, by name, with: python -m certs renew {quoted(options.out)}"
    yield trust_line(layout.ca.chain, names[0])


def _for_client(options: argparse.Namespace) -> Iterator[str]:
    layout = Layout(options.state)
    validity, replace = _wishes(options)
    files = issue_client_certificate(
        layout.folder,
        options.client,
        organisation=options.organisation,
        names=options.names or (),
        kind=KeyKind(options.kind or KeyKind.ECDSA_P256),
        out=options.out,
        validity=validity,
        replace=replace,
    )
    leaf, ca = read_certificates(files.chain)[:2]
    yield f"issued a client's certificate for {leaf.subject.rfc4514_string()}, valid until {day(leaf)}"
    yield f"  chain: {files.chain}"
    yield f"  key:   {files.key}"
    yield from notes_on_validity(leaf, ca, validity)
    yield f"servers ask for it with: python -m flask_impl --client-ca {quoted(layout.ca.chain)}"
    yield (
        f"use it so: curl --cert {quoted(files.chain)} --key {quoted(files.key)} "
        f"--cacert {quoted(layout.ca.chain)} https://localhost:8443/health"
    )


def _for_request(options: argparse.Namespace) -> Iterator[str]:
    layout = Layout(options.state)
    request = read_request(options.csr)
    names = options.names or request.names
    validity, replace = _wishes(options)
    if options.client is not None:
        holder = Holder.client(options.client, options.organisation, names)
        out = options.out or layout.client(options.client).chain.parent
    elif names:
        holder = Holder.server(names)
        out = options.out or options.csr.parent
    else:
        raise CertificateError(f"{options.csr}: asks for no names; say what it is to be good for with --name")
    chain = issue_for_key(layout.folder, request.public_key, holder, out=out, validity=validity, replace=replace)
    leaf, ca = read_certificates(chain)[:2]
    whom = ", ".join(names) if options.client is None else leaf.subject.rfc4514_string()
    yield f"issued {request.kind} for {whom}, valid until {day(leaf)}"
    yield f"  chain: {chain}"
    yield from notes_on_validity(leaf, ca, validity)
    if request.ignored:
        yield f"note: not taken over from the request: {', '.join(request.ignored)}"
    yield f"send back {quoted(chain)}, and {quoted(layout.ca.chain)} for those who are to trust it"


def _wishes(options: argparse.Namespace) -> tuple[dt.timedelta, Replace]:
    return dt.timedelta(days=options.days), Replace.ANYTHING if options.force else Replace.NOTHING
