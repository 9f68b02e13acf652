"""`self-signed`: what the guides make with openssl, in one line and with what that lacks."""

import argparse
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

from certs._command_line._frame import (
    PROGRAM,
    Commands,
    Outcome,
    add_force,
    add_kind,
    add_names,
    day,
    days,
    notes_on_validity,
    quoted,
    trust_line,
)
from certs._files import CertificateFiles, writable
from certs._folder import refuse_to_replace, write_pair
from certs._issuing import LOOPBACK_NAMES, SELF_SIGNED_VALIDITY, self_signed_like_openssl
from certs._keys import make_key
from certs._kinds import KeyKind
from certs._pairs import read_certificates

_DESCRIPTION = f"""\
examples:
  {PROGRAM} self-signed                         ./cert.pem and ./key.pem for this machine
  {PROGRAM} self-signed --kind ecdsa-p256 --name device.lan --out lan

The same as the line that most guides give,
  openssl req -x509 -newkey rsa:4096 -nodes -out cert.pem -keyout key.pem -days 365
and two extensions that it lacks: the names (subjectAltName), without which browsers, requests and
Go refuse it, and the purpose (serverAuth), which Apple's systems ask for. Each client must be told
to trust this very file, and again at each renewal; `init` and `issue` do better.
"""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "self-signed", _run, summary="the openssl line of the guides, made good", description=_DESCRIPTION
    )
    add_names(parser, default=", ".join(LOOPBACK_NAMES))
    add_kind(parser, KeyKind.RSA_4096)
    parser.add_argument(
        "--days",
        type=days(1),
        metavar="N",
        default=SELF_SIGNED_VALIDITY.days,
        help="valid for so many days (default: %(default)s)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", default=Path(), help="write cert.pem and key.pem there (default: here)"
    )
    add_force(parser)


def _run(options: argparse.Namespace) -> Outcome:
    return Outcome(list(_lines(options)))


def _lines(options: argparse.Namespace) -> Iterator[str]:
    files = CertificateFiles(options.out / "cert.pem", options.out / "key.pem")
    names = options.names or list(LOOPBACK_NAMES)
    if not options.force:
        refuse_to_replace(files)
    validity = dt.timedelta(days=options.days)
    key = make_key(KeyKind(options.kind))
    certificate = self_signed_like_openssl(key, names, dt.datetime.now(dt.UTC), validity)
    with writable(options.out):
        write_pair(files, [certificate], key)
    leaf = read_certificates(files.chain)[0]
    yield f"made a self-signed {options.kind} certificate for {', '.join(names)}, valid until {day(leaf)}"
    yield f"  certificate: {files.chain}"
    yield f"  key:         {files.key}"
    yield from notes_on_validity(leaf, None, validity)
    yield f"note: Firefox refuses it, because it is a CA as well, as openssl makes it; `{PROGRAM} issue` does better"
    yield f"serve with it: python -m flask_impl --certificate {quoted(files.chain)} --key {quoted(files.key)}"
    yield trust_line(files.chain, names[0])
