"""`show`: what certificates there are."""

import argparse
import datetime as dt
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from cryptography import x509

from certs._command_line._frame import PROGRAM, Commands, Outcome, add_folder, quoted, state_option
from certs._description import days_left, facts
from certs._errors import CertificateError
from certs._layout import Layout
from certs._pairs import read_certificates
from certs._table import table

_DESCRIPTION = f"""\
examples:
  {PROGRAM} show                                the CA, servers' and clients' certificates
  {PROGRAM} show /etc/letsencrypt/live/device.example/fullchain.pem
  {PROGRAM} show --json | jq '.certificates[] | select(.days_left < 30).file'

Lists the certificates of the folder, or all of those in files, and for how long they are valid.
Always exits with 0 when they can be read; `check` is for finding fault with them.
"""

_Found: TypeAlias = Sequence[tuple[Path, x509.Certificate]]


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add("show", _run, summary="list certificates and their validity", description=_DESCRIPTION)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="PEM file to show instead of the folder")
    parser.add_argument("--json", action="store_true", help="for programs")
    add_folder(parser)


def _run(options: argparse.Namespace) -> Outcome:
    now = dt.datetime.now(dt.UTC)
    layout = Layout(options.state)
    found = _in_files(options.files) if options.files else _in_folder(layout)
    if options.json:
        listed = [{"file": str(path), **facts(certificate, now)} for path, certificate in found]
        return Outcome([json.dumps({"certificates": listed}, indent=2)])
    return Outcome([*table(found, now), *_advice(options, layout, found, now)])


def _in_files(files: Sequence[Path]) -> _Found:
    return [(path, certificate) for path in files for certificate in read_certificates(path)]


def _in_folder(layout: Layout) -> _Found:
    """Return what is there; a chain ends with the CA, which is listed once. Raises CertificateError without a CA."""
    if not layout.ca.chain.exists():
        raise CertificateError(
            f"{layout.folder}: no CA there; make one with `{PROGRAM} init{state_option(layout)}`, "
            "or name the folder with --state"
        )
    paths = [layout.ca.chain, *(files.chain for files in layout.issued())]
    return [(path, read_certificates(path)[0]) for path in paths]


def _advice(options: argparse.Namespace, layout: Layout, found: _Found, now: dt.datetime) -> Iterator[str]:
    expired = dict.fromkeys(str(path) for path, certificate in found if days_left(certificate, now) < 0)
    if options.files:
        yield f"next: {PROGRAM} check {' '.join(map(quoted, options.files))}"
    elif expired:
        yield f"expired: {', '.join(expired)}; next: {PROGRAM} renew{state_option(layout)}"
    elif len(found) == 1:
        yield f"next: {PROGRAM} issue{state_option(layout)}"
    else:
        yield f"clients trust these so: curl --cacert {quoted(layout.ca.chain)} https://localhost:8443/health"
