"""`python -m certs`: a local CA and the certificates that it issues, from the command line."""

import argparse
import datetime as dt
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NoReturn

from cryptography import x509

from certs._errors import CertificateError
from certs._folder import Layout, ensure_ca, issue_certificate
from certs._issuing import LOOPBACK_NAMES, covers_loopback
from certs._kinds import KeyKind
from certs._pairs import read_certificates
from certs._table import common_name, days_left, table

_PROGRAM: Final = "python -m certs"
_DEFAULT_FOLDER: Final = ".device"

_EXAMPLES: Final = f"""\
examples:
  {_PROGRAM} init                                   a CA of your own, in {_DEFAULT_FOLDER}/ca
  {_PROGRAM} issue                                  an ECDSA P-256 certificate for this machine
  {_PROGRAM} issue --kind rsa-2048 --name device.lan --name 192.0.2.1 --out lan
  {_PROGRAM} show                                   what is there, and for how long it is valid
  {_PROGRAM} show other/chain.pem
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as everything else here does."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{_PROGRAM}: error: {message}; `{self.prog} --help` shows examples\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status. What is wrong is one line on stderr, and status 2."""
    options = _parser().parse_args(arguments)
    try:
        lines = list(options.command(options))
    except CertificateError as error:
        print(f"{_PROGRAM}: error: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=_PROGRAM,
        description="A local CA, and the server certificates that it issues.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    folder = _Parser(add_help=False)
    folder.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        default=Path(os.environ.get("DEVICE_STATE") or _DEFAULT_FOLDER),
        help=f"folder of the CA and its certificates (default: $DEVICE_STATE, or {_DEFAULT_FOLDER})",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    init = commands.add_parser(
        "init",
        parents=[folder],
        help="make a CA, unless there is one",
        description="Make a CA, unless there is one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"example: {_PROGRAM} init --state /srv/device",
    )
    init.set_defaults(command=_init)
    issue = commands.add_parser(
        "issue",
        parents=[folder],
        help="issue a server certificate",
        description="Issue a server certificate with a new key. Makes the CA too, if there is none.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"example: {_PROGRAM} issue --kind rsa-2048 --name device.lan --name 192.0.2.1 --out lan",
    )
    issue.set_defaults(command=_issue)
    issue.add_argument(
        "--kind",
        choices=[kind.value for kind in KeyKind],  # as strings: argparse then lists them when none of them is given
        default=KeyKind.ECDSA_P256.value,
        help="kind of key: %(choices)s (default: %(default)s)",
        metavar="KIND",
    )
    issue.add_argument(
        "--name",
        action="append",
        metavar="NAME",
        dest="names",
        help=f"host name or address that it is good for; repeatable (default: {', '.join(LOOPBACK_NAMES)})",
    )
    issue.add_argument(
        "--out", type=Path, metavar="DIR", help="write chain.pem and key.pem there (default: DIR/certificates/KIND)"
    )
    show = commands.add_parser(
        "show",
        parents=[folder],
        help="list certificates",
        description="List the certificates of the folder, or those in files, and for how long they are valid.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"example: {_PROGRAM} show other/chain.pem",
    )
    show.set_defaults(command=_show)
    show.add_argument("files", nargs="*", type=Path, metavar="FILE", help="PEM file to show instead of the folder")
    return parser


def _init(options: argparse.Namespace) -> Iterator[str]:
    layout = Layout(options.state)
    was_there = layout.ca.chain.exists()
    ca = read_certificates(ensure_ca(layout.folder))[0]
    yield f"{'there is' if was_there else 'made'} {common_name(ca.subject)}, valid until {_day(ca)}"
    yield f"  certificate: {layout.ca.chain}"
    yield f"  key:         {layout.ca.key} (keep it to yourself: whoever has it can pose as any of your servers)"
    yield f"clients trust it so: curl --cacert {_quoted(layout.ca.chain)} https://localhost:8443/health"
    yield f"next: {_PROGRAM} issue{_state_option(layout)}"


def _issue(options: argparse.Namespace) -> Iterator[str]:
    layout = Layout(options.state)
    names = options.names or list(LOOPBACK_NAMES)
    files = issue_certificate(layout.folder, KeyKind(options.kind), names, out=options.out)
    leaf = read_certificates(files.chain)[0]
    yield f"issued {options.kind} for {', '.join(names)}, valid until {_day(leaf)}"
    yield f"  chain: {files.chain}"
    yield f"  key:   {files.key}"
    if options.out is None and not covers_loopback(leaf):
        yield f"note: not good for all of {', '.join(LOOPBACK_NAMES)}; whoever connects to those is warned of it"
    yield f"serve with it: python -m flask_impl --certificate {_quoted(files.chain)} --key {_quoted(files.key)}"
    yield f"clients trust it so: curl --cacert {_quoted(layout.ca.chain)} https://{_in_url(names[0])}:8443/health"


def _show(options: argparse.Namespace) -> Iterator[str]:
    now = dt.datetime.now(dt.UTC)
    layout = Layout(options.state)
    files = options.files or _files_of(layout)
    # A chain in the folder ends with the CA, which is listed once, by itself.
    found = [
        (path, certificate)
        for path in files
        for certificate in (read_certificates(path) if options.files else read_certificates(path)[:1])
    ]
    yield from table(found, now)
    expired = [path for path, certificate in found if days_left(certificate, now) < 0]
    if expired:
        yield f"expired: {', '.join(map(str, expired))}; next: {_PROGRAM} issue --help"
    elif not options.files and len(found) == 1:
        yield f"next: {_PROGRAM} issue{_state_option(layout)}"
    elif not options.files:
        yield f"clients trust these so: curl --cacert {_quoted(layout.ca.chain)} https://localhost:8443/health"


def _files_of(layout: Layout) -> list[Path]:
    """The CA's certificate and those of the servers, as far as they are there. Raises CertificateError without a CA."""
    if not layout.ca.chain.exists():
        raise CertificateError(
            f"{layout.folder}: no CA there; make one with `{_PROGRAM} init{_state_option(layout)}`, "
            "or name the folder with --state"
        )
    chains = (layout.certificate(kind).chain for kind in KeyKind)
    return [layout.ca.chain, *(chain for chain in chains if chain.exists())]


def _state_option(layout: Layout) -> str:
    return "" if layout.folder == Path(_DEFAULT_FOLDER) else f" --state {_quoted(layout.folder)}"


def _in_url(name: str) -> str:
    return f"[{name}]" if ":" in name else name.replace("*", "any", 1)


def _day(certificate: x509.Certificate) -> str:
    return f"{certificate.not_valid_after_utc:%Y-%m-%d}"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


if __name__ == "__main__":
    sys.exit(main())
