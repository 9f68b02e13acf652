"""How a device is served: one frozen value, from `DEVICE_*` variables or from a command line.

Each field has one name in three spellings: `tls_backend` here, `DEVICE_TLS_BACKEND` in the environment and
`--tls-backend` on a command line. A message names the last two, whichever of them the reader used.
"""

import difflib
import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from certs import KeyKind, TlsVersion
from digest_auth import COUNT_LIMIT, Algorithm, AlgorithmUnavailableError, Qop

PREFIX: Final = "DEVICE_"

MEMORY: Final = "memory"
"""The replay store of one process."""

MAX_ADDED_CPU_US: Final = 1_000_000
MAX_ADDED_DELAY_MS: Final = 10_000

_REPLAY_STORE: Final = re.compile(r"memory|shm:[A-Za-z0-9._-]{1,100}|(?:rediss?|unix)://[^\s]+")

TlsBackend = Literal["stdlib", "pyopenssl"]
Auth = Literal["digest", "none"]
ClientCertificates = Literal["required", "optional"]
LogLevel = Literal["debug", "info", "warning", "error"]

_Name = TypeVar("_Name", bound=StrEnum)
_Item = TypeVar("_Item")


class SettingsError(ValueError):
    """A setting that cannot be used; the message is one whole line: what, where, what to do."""


def problem(field: str, message: str) -> SettingsError:
    """Return the error that names a field the way its user wrote it: option or variable."""
    return SettingsError(f"--{field.replace('_', '-')} ({PREFIX}{field.upper()}): {message}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a device needs to know before it starts. Raises SettingsError on contradictions."""

    state: Path = Path(".device")
    host: str = "127.0.0.1"
    port: int = 8443  # 0 is any free one
    tls: bool = True
    tls_backend: TlsBackend = "stdlib"
    tls_versions: frozenset[TlsVersion] = frozenset(TlsVersion)
    certificate: tuple[Path, ...] = ()  # chains, leaf first; none is the state folder's
    key: tuple[Path, ...] = ()  # one of each certificate, in the same order
    certificate_kind: tuple[KeyKind, ...] = (KeyKind.ECDSA_P256,)  # of the state folder's certificates
    adhoc: bool = False  # a self-signed certificate for this run alone
    client_ca: Path | None = None  # clients show a certificate of this CA
    client_certificates: ClientCertificates = "required"  # optional: who shows none is let in, a wrong one never is
    users: Path | None = None  # None is the state folder's
    auth: Auth = "digest"
    threads: int = 16
    connections: int = 1024  # open at a time
    pending_connections: int = 256  # of them, those that have not sent a request yet
    datastore: str | None = None  # an SQLAlchemy URL; None is SQLite in the state folder
    ready_file: Path | None = None
    algorithms: tuple[Algorithm, ...] = (Algorithm.SHA_256,)  # in the order in which they are offered
    qop: tuple[Qop, ...] = (Qop.AUTH,)
    userhash: bool = False  # clients may send a hash in place of the user's name
    realm: str = "network-device"
    domain: tuple[str, ...] = ()  # URIs of the protection space; none is the whole server
    opaque: str | None = None  # sent along with each challenge, expected back
    nonce_lifetime_s: float = 300.0
    nonce_count_limit: int = COUNT_LIMIT  # requests that one nonce is good for
    authentication_info: bool = True  # answers prove that the server knows the password, and name the next nonce
    failed_tries: int = 10  # of a user at an address, in a row; 0: as many as one likes
    failed_tries_per_minute: float = 10.0  # that come back
    replay_store: str = MEMORY  # memory, shm:NAME or the URL of a Redis
    workers: int = 1  # processes that serve one state folder; a server that starts them says so
    log_level: LogLevel = "info"
    added_cpu_us: float = 0.0  # of CPU time, burnt in every request: a known truth for a measuring tool to find
    added_delay_ms: float = 0.0  # waited in every request: a slow device

    def __post_init__(self) -> None:
        self._check_ranges()
        self._check_certificate()
        self._check_digest()
        if self.auth == "none" and not is_loopback(self.host):
            raise problem("auth", f"'none' would open {self.host} to everybody; it is for 127.0.0.1, ::1, localhost")

    def _check_ranges(self) -> None:
        if not 0 <= self.port <= 65535:
            raise problem("port", f"{self.port} is not a port; give 0 (any free one) to 65535")
        for name in ("threads", "connections", "pending_connections", "workers"):
            if getattr(self, name) < 1:
                raise problem(name, f"{getattr(self, name)} is too few; give 1 or more")
        for name, most in (("added_cpu_us", MAX_ADDED_CPU_US), ("added_delay_ms", MAX_ADDED_DELAY_MS)):
            if not 0 <= getattr(self, name) <= most:
                raise problem(name, f"{getattr(self, name):g} is out of range; give 0 (nothing) to {most}")
        if not self.realm or ":" in self.realm or not _is_header_text(self.realm):
            raise problem(
                "realm",
                f"{self.realm!r} cannot stand in a header; give printable ASCII without quotes, backslashes, colons",
            )
        for name in ("algorithms", "qop", "tls_versions", "certificate_kind"):
            if not getattr(self, name):
                raise problem(name, "the list is empty; name at least one")

    def _check_digest(self) -> None:
        if not 1 <= self.nonce_lifetime_s <= 86400:
            raise problem("nonce_lifetime_s", f"{self.nonce_lifetime_s:g} s is out of range; give 1 to 86400")
        if not 1 <= self.nonce_count_limit <= COUNT_LIMIT:
            raise problem("nonce_count_limit", f"{self.nonce_count_limit} is out of range; give 1 to {COUNT_LIMIT}")
        if not 0 <= self.failed_tries <= 1_000_000:
            raise problem("failed_tries", f"{self.failed_tries} is out of range; give 0 (no limit) to 1000000")
        if not 0.1 <= self.failed_tries_per_minute <= 1_000_000:
            raise problem(
                "failed_tries_per_minute", f"{self.failed_tries_per_minute:g} is out of range; give 0.1 to 1000000"
            )
        for name, texts in (("domain", self.domain), ("opaque", (self.opaque or "",))):
            if not all(map(_is_header_text, texts)):
                raise problem(name, "holds what cannot stand in a header; give printable ASCII without quotes")
        if _REPLAY_STORE.fullmatch(self.replay_store) is None:
            # Not repeated: it may hold a password.
            raise problem(
                "replay_store",
                "is none that is known; give memory, shm:NAME (letters, digits, dots, dashes, underscores),"
                " redis://HOST:PORT/0, rediss://… or unix://PATH",
            )
        if self.workers > 1 and self.replay_store == MEMORY and self.auth == "digest":
            raise problem(
                "replay_store",
                f"{self.workers} workers would each keep their own memory of used nonces, and send clients from one"
                " stale nonce to the next; set it to shm:NAME (workers of one host) or redis://HOST (several hosts)",
            )

    def _check_certificate(self) -> None:
        if len(self.certificate) != len(self.key):
            missing = "key" if len(self.key) < len(self.certificate) else "certificate"
            raise problem(
                missing, "a certificate and its key go together, in the same order; give this one too, or neither"
            )
        if self.adhoc and self.certificate:
            raise problem("adhoc", "makes a certificate of its own; leave out --certificate and --key")
        if self.client_ca is None and self.client_certificates == "optional":
            raise problem(
                "client_certificates", "are not asked for without --client-ca; name the CA, or leave this out"
            )
        if not self.tls:
            for name in ("certificate", "adhoc", "client_ca"):
                if getattr(self, name):
                    raise problem(name, "needs TLS, which is off; turn TLS on or leave this out")

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read `DEVICE_*` variables; an unset or empty one leaves the default. Raises SettingsError."""
        values: dict[str, Any] = {}
        for field in fields(cls):
            text = environ.get(PREFIX + field.name.upper(), "").strip()
            if text:
                values[field.name] = parse_setting(field.name, text)
        return cls(**values)


def _is_header_text(text: str) -> bool:
    return text.isascii() and text.isprintable() and not set('"\\') & set(text)


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach an address. Any name but localhost counts as reachable."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def parse_setting(field: str, text: str) -> object:
    """Turn the text of one setting into its value. Raises SettingsError, which names the field."""
    try:
        return _PARSERS[field](text)
    except ValueError as error:
        raise problem(field, str(error)) from None


def _text(text: str) -> str:
    return text


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number") from None


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number of seconds") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None


def _algorithms(text: str) -> tuple[Algorithm, ...]:
    """Return a list in which a name may stand twice: SHA-256, SHA-512-256, SHA-256 again suits most clients."""
    algorithms = tuple(_algorithm(part.strip()) for part in text.split(",") if part.strip())
    for algorithm in algorithms:
        try:
            algorithm.require()
        except AlgorithmUnavailableError as error:
            raise ValueError(str(error)) from error
    return algorithms


def _switch(text: str) -> bool:
    return _one_of(text.lower(), ("on", "off")) == "on"


def _one_of(text: str, choices: tuple[str, ...]) -> str:
    if text in choices:
        return text
    near = difflib.get_close_matches(text, choices, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{text!r} is not one of {', '.join(choices)}{hint}")


def _choice(*choices: str) -> Callable[[str], str]:
    return lambda text: _one_of(text, choices)


def _named(kind: type[_Name]) -> Callable[[str], _Name]:
    return lambda text: kind(_one_of(text, tuple(member.value for member in kind)))


def _list(parse: Callable[[str], _Item]) -> Callable[[str], tuple[_Item, ...]]:
    """Return a parser of lists with commas; a name given twice counts once."""
    return lambda text: tuple(dict.fromkeys(parse(part.strip()) for part in text.split(",") if part.strip()))


_tls_versions: Final = _list(_named(TlsVersion))
_algorithm: Final = _named(Algorithm)

_PARSERS: Final[dict[str, Callable[[str], object]]] = {
    "state": Path,
    "host": _text,
    "port": _whole_number,
    "tls": _switch,
    "tls_backend": _choice("stdlib", "pyopenssl"),
    "tls_versions": lambda text: frozenset(_tls_versions(text)),
    "certificate": _list(Path),
    "key": _list(Path),
    "certificate_kind": _list(_named(KeyKind)),
    "adhoc": _switch,
    "client_ca": Path,
    "client_certificates": _choice("required", "optional"),
    "users": Path,
    "auth": _choice("digest", "none"),
    "threads": _whole_number,
    "connections": _whole_number,
    "pending_connections": _whole_number,
    "datastore": _text,
    "ready_file": Path,
    "algorithms": _algorithms,
    "qop": _list(_named(Qop)),
    "userhash": _switch,
    "realm": _text,
    "domain": _list(_text),
    "opaque": _text,
    "nonce_lifetime_s": _seconds,
    "nonce_count_limit": _whole_number,
    "authentication_info": _switch,
    "failed_tries": _whole_number,
    "failed_tries_per_minute": _number,
    "replay_store": _text,
    "workers": _whole_number,
    "log_level": _choice("debug", "info", "warning", "error"),
    "added_cpu_us": _number,
    "added_delay_ms": _number,
}
