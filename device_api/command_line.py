"""The command line of `python -m flask_impl` and `python -m quart_impl`: options to Settings, errors to one line.

Options are another spelling of the `DEVICE_*` variables: they are laid over the environment, and `Settings` reads
the sum, so that each value is checked and complained about in one place. What is talked about goes to stdout; stderr
holds the log of the server that runs, or the one line that says why it does not (exit status 2).
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias

from certs import KeyKind
from device_api.device import OPEN_ERRORS
from device_api.ready import ReadyFileError
from device_api.settings import PREFIX, Settings, SettingsError, TlsBackend, problem
from device_api.startup import StartupError

USER_ERRORS: Final = (*OPEN_ERRORS, ReadyFileError, StartupError)
"""What a person can mend; each one's text is already the whole line: what, where, what to do."""

_Option: TypeAlias = str | list[str] | bool | None

_BAD_USE: Final = 2  # exit status
_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it

_TLS_CHOICE: Final = ("tls", "adhoc", "certificate", "key")
"""Variables that choose between certificate, ad-hoc certificate and none; an option takes their choice back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One of the programs that share this command line, and where they differ."""

    name: str  # as its user types it: "python -m flask_impl"
    summary: str  # the first sentence of --help
    tls_backends: tuple[TlsBackend, ...] = ("stdlib",)
    threaded: bool = False  # has --threads


def parse(
    program: Program, arguments: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ
) -> Settings:
    """Read the settings from a command line, and from the environment what it leaves open.

    Raises SettingsError. `--help` prints and raises SystemExit, as argparse does.
    """
    options = vars(_parser(program).parse_args(arguments))
    settings = Settings.from_environ(_overlaid(environ, options))
    if settings.tls_backend not in program.tls_backends:
        raise problem("tls_backend", f"{program.name} can only use {' or '.join(program.tls_backends)}")
    return settings


def run(
    program: Program,
    serve: Callable[[Settings], None],
    arguments: Sequence[str] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> int:
    """Serve with the settings of a command line until the server stops; returns the exit status."""
    try:
        settings = parse(program, arguments, environ)
        # Time and level as in nginx's error log; a service manager adds the host and the process.
        logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        serve(settings)
    except USER_ERRORS as error:
        line = " ".join(str(error).splitlines())
        print(f"{program.name}: error: {line}", file=sys.stderr)
        return _BAD_USE
    except KeyboardInterrupt:  # before the server took over the signal, or after it let go
        return _INTERRUPTED
    return 0


class _Parser(argparse.ArgumentParser):
    """Examples first; a wrong option is an error like every other."""

    def __init__(self, program: Program) -> None:
        super().__init__(
            prog=program.name,
            usage=f"{program.name} [option ...]",
            add_help=False,
            allow_abbrev=False,
            epilog=f"Each option can be a variable as well: {PREFIX}PORT=9443, {PREFIX}TLS=off, "
            f"{PREFIX}TLS_VERSIONS=1.2,1.3, {PREFIX}ADHOC=on; an option wins over its variable. "
            f"Only variables: {PREFIX}ALGORITHMS=SHA-256,MD5, {PREFIX}QOP=auth,auth-int, {PREFIX}USERHASH=on, "
            f"{PREFIX}REALM, {PREFIX}DOMAIN, {PREFIX}OPAQUE, {PREFIX}NONCE_LIFETIME_S, {PREFIX}NONCE_COUNT_LIMIT, "
            f"{PREFIX}AUTHENTICATION_INFO=off, {PREFIX}FAILED_TRIES, {PREFIX}FAILED_TRIES_PER_MINUTE, "
            f"{PREFIX}WORKERS, {PREFIX}CONNECTIONS, {PREFIX}PENDING_CONNECTIONS, {PREFIX}LOG_LEVEL, "
            f"{PREFIX}ADDED_CPU_US, {PREFIX}ADDED_DELAY_MS. "
            "A renewed certificate is served by itself, and at once at SIGHUP.",
        )
        self._opening = f"{program.summary}\n\nexamples:\n{_examples(program.name)}\n\n"

    def format_help(self) -> str:
        return self._opening + super().format_help()

    def error(self, message: str) -> NoReturn:
        raise SettingsError(f"{message}; --help lists all options")


def _examples(name: str) -> str:
    examples = (
        ("", "https on 127.0.0.1:8443; CA, certificate, user: made in .device"),
        ("--port 0 --ready-file ready.json", "any free port; ready.json says which"),
        ("--certificate chain.pem --key key.pem", "a certificate of your own"),
        ("--tls 1.3 --client-ca clients.pem", "clients show a certificate as well"),
        ("--no-tls --auth none", "neither: what do TLS and Digest cost?"),
    )
    width = max(len(options) for options, _ in examples)
    return "\n".join(f"  {name} {options:<{width}}  {meaning}" for options, meaning in examples)


def _parser(program: Program) -> argparse.ArgumentParser:
    default = Settings()
    parser = _Parser(program)

    place = parser.add_argument_group("where it listens")
    place.add_argument("--host", metavar="ADDRESS", help=f"address or name (default: {default.host})")
    place.add_argument("--port", metavar="N", help=f"0 is any free one (default: {default.port})")
    place.add_argument(
        "--ready-file", metavar="FILE", help="JSON with URL, pid and CA, there while connections are accepted"
    )
    if program.threaded:
        place.add_argument("--threads", metavar="N", help=f"requests worked on at a time (default: {default.threads})")

    tls = parser.add_argument_group("TLS")
    tls.add_argument("--tls", choices=("1.2", "1.3", "1.2+1.3"), help="versions (default: 1.2+1.3)")
    tls.add_argument(
        "--tls-backend",
        metavar="|".join(program.tls_backends),
        help=f"whose TLS (default: {default.tls_backend})",
    )
    tls.add_argument(
        "--certificate",
        metavar="FILE",
        action="append",
        help="PEM, the server's first (default: made in --state); again for another name or kind of key",
    )
    tls.add_argument("--key", metavar="FILE", action="append", help="the key of --certificate, PEM without a password")
    tls.add_argument(
        "--certificate-kind",
        metavar="KIND[,KIND]",
        help=f"of those made in --state: {', '.join(KeyKind)} (default: {default.certificate_kind[0].value})",
    )
    tls.add_argument(
        "--adhoc", action="store_true", help="a self-signed certificate, thrown away when the server stops"
    )
    tls.add_argument("--no-tls", action="store_true", help="plain HTTP")
    tls.add_argument("--client-ca", metavar="FILE", help="let in only clients with a certificate of this CA (PEM)")
    tls.add_argument(
        "--client-certificates",
        metavar="required|optional",
        help=f"optional: also clients that show none (default: {default.client_certificates})",
    )

    people = parser.add_argument_group("who may come in")
    people.add_argument(
        "--auth",
        metavar="digest|none",
        help=f"none: everybody, and only on a loopback address (default: {default.auth})",
    )
    people.add_argument(
        "--users",
        metavar="FILE",
        help="htdigest lines, which `python -m digest_auth` changes (default: users in --state)",
    )
    people.add_argument(
        "--replay-store",
        metavar="STORE",
        help=f"of used nonces: memory, shm:NAME (one host) or redis://HOST (default: {default.replay_store})",
    )

    kept = parser.add_argument_group("what it keeps")
    kept.add_argument("--state", metavar="DIR", help=f"CA, certificates, users, database (default: {default.state})")
    kept.add_argument("--datastore", metavar="URL", help="of SQLAlchemy (default: SQLite in --state)")

    parser.add_argument_group("help").add_argument("-h", "--help", action="help", help="print this and leave")
    return parser


def _overlaid(environ: Mapping[str, str], options: Mapping[str, _Option]) -> Mapping[str, str]:
    """Return the environment as it would be, had the options been given as variables."""
    given = dict(_variables(options))
    overlaid = dict(environ)
    if {"tls", "adhoc"} & given.keys():
        replaced: tuple[str, ...] = _TLS_CHOICE
    elif {"certificate", "key"} & given.keys():
        replaced = ("tls", "adhoc")  # half of a pair may well come from a variable
    else:
        replaced = ()
    for name in replaced:
        overlaid.pop(_variable(name), None)
    return overlaid | {_variable(name): value for name, value in given.items()}


def _variables(options: Mapping[str, _Option]) -> Iterator[tuple[str, str]]:
    """Yield the settings that options stand for: field and text, as `Settings` reads them from variables."""
    for name, value in options.items():
        if value is None or value is False:
            continue  # not on the command line
        if name == "tls":
            yield "tls_versions", str(value).replace("+", ",")
        elif name == "no_tls":
            yield "tls", "off"
        elif value is True:
            yield name, "on"
        elif not all(
            map(str.strip, value if isinstance(value, list) else [str(value)])
        ):  # a variable would count as unset, an option was meant
            raise problem(name, "is empty; give a value, or leave it out")
        elif isinstance(value, list):
            yield name, ",".join(value)
        else:
            yield name, str(value)


def _variable(field: str) -> str:
    return PREFIX + field.upper()
