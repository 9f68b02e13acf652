"""A server's TLS while it runs: several certificates, chosen by name and kind of key, renewed without a restart.

A server takes a context once, when it begins to listen. That one context stays, with the keys of its session tickets;
during each handshake OpenSSL asks it which context the connection is to go on with (the server-name callback, which
both libraries have), and the answer is the newest one for the name that the client asked for. So no server needs to
know of renewal, no connection is touched by it, and nothing has to run in the background: files are looked at when a
client comes, and not more often than `watch_s`.

What cannot be used changes nothing: the certificates from before go on being served. Files that are just being replaced
look like that for a moment, so that a warning is only given when they still do at the next look.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Generic, TypeAlias, TypeVar

from certs._errors import CertificateError
from certs._files import CertificateFiles
from certs._keys import key_kind
from certs._names import shown_names
from certs._pairs import read_certificates
from certs._policy import TlsPolicy

C = TypeVar("C")  # the library's context

_log = logging.getLogger("certs")

WATCH_S: Final = 0.25
"""How often files are looked at, at most. A look takes some microseconds; a renewal shows well within a second."""

_Make: TypeAlias = Callable[[Sequence[CertificateFiles], TlsPolicy], C]
_Choose: TypeAlias = Callable[[C, Callable[[str | None], C]], None]
_Stamp: TypeAlias = tuple[tuple[int, int, int] | None, ...]


class ServerTls(Generic[C]):
    """What a server needs for TLS; `context` is given to it once. Any thread may use it."""

    def __init__(
        self,
        certificates: Sequence[CertificateFiles],
        policy: TlsPolicy,
        *,
        make: _Make[C],
        let_choose: _Choose[C],
        watch_s: float = WATCH_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read all files. Raises CertificateError.

        certificates: those of the same names, each with another kind of key, are offered together; those of other
        names are for clients that ask for these; a client that asks for none of the names, or does not say, gets the
        first. watch_s: how often files are looked at, at most, in seconds.
        make and let_choose: the library's, from `_contexts_stdlib` or `_contexts_pyopenssl`.
        """
        self._certificates = tuple(certificates)
        self._policy = policy
        self._make = make
        self._watch_s = watch_s
        self._clock = clock
        self._paths = [path for files in certificates for path in (files.chain, files.key)]
        if policy.client_ca is not None:
            self._paths.append(policy.client_ca)
        self._reading = threading.Lock()
        self._served = self._read()
        self._failed: _Failure | None = None
        self._look_again_s = clock() + watch_s
        self.context: Final = make(self._served.first, policy)
        let_choose(self.context, self._choose)

    def reload(self) -> None:
        """Read all files again. Raises CertificateError, and what was served goes on being served."""
        with self._reading:
            stamp = _stamp(self._paths)
            try:
                self._replace(self._read())
            except CertificateError:
                self._failed = _Failure(stamp, told=True)  # to who asked; the next look need not repeat it
                raise

    def _choose(self, name: str | None) -> C:
        """Return the context for a client that asks for a server by this name, in the middle of its handshake."""
        # A client never waits for another one's reading: meanwhile it is served as before.
        if self._clock() >= self._look_again_s and self._reading.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._look_again_s = self._clock() + self._watch_s
                self._reading.release()
        return self._served.chosen(name)

    def _look(self) -> None:
        stamp = _stamp(self._paths)
        if stamp == self._served.stamp:
            self._failed = None
            return
        failed = self._failed if self._failed is not None and self._failed.stamp == stamp else None
        if failed is not None and failed.told:
            return
        try:
            self._replace(self._read())
        except CertificateError as error:
            if failed is not None:
                _log.warning("%s (until then the certificate from before is served)", error)
            self._failed = _Failure(stamp, told=failed is not None)

    def _replace(self, read: "_Served[C]") -> None:
        self._served = read
        self._failed = None
        _log.info("serving the certificates of %s", ", ".join(str(files.chain) for files in self._certificates))

    def _read(self) -> "_Served[C]":
        stamp = _stamp(self._paths)  # before the reading: what changes meanwhile is read again
        sites = _by_names(self._certificates)
        contexts = [(names, self._make(certificates, self._policy)) for names, certificates in sites.items()]
        return _Served(stamp, next(iter(sites.values())), contexts[0][1], _by_name(contexts))


@dataclass(frozen=True, slots=True)
class _Served(Generic[C]):
    """What was read at one time."""

    stamp: _Stamp
    first: Sequence[CertificateFiles]
    default: C
    by_name: Mapping[str, C] = field(repr=False)  # a wildcard with its star

    def chosen(self, name: str | None) -> C:
        """Return what is for a DNS name, which a wildcard in place of its first label may cover (RFC 9525, 6.3)."""
        if name is None or not self.by_name:
            return self.default
        name = name.lower()
        wildcard = f"*.{name.partition('.')[2]}"
        return self.by_name.get(name, self.by_name.get(wildcard, self.default))


@dataclass(frozen=True, slots=True)
class _Failure:
    """Files that cannot be used."""

    stamp: _Stamp
    told: bool


def _by_names(certificates: Sequence[CertificateFiles]) -> dict[frozenset[str], list[CertificateFiles]]:
    """Put certificates for the same names together. Raises CertificateError, also for two of one kind of key."""
    if not certificates:
        raise CertificateError("a TLS server needs a certificate; name one")
    together: dict[frozenset[str], dict[str, CertificateFiles]] = {}
    for files in certificates:
        leaf = read_certificates(files.chain)[0]
        kinds = together.setdefault(frozenset(name.lower() for name in shown_names(leaf)), {})
        other = kinds.setdefault(key_kind(leaf), files)
        if other is not files:
            raise CertificateError(
                f"{files.chain}: has the names and the kind of key ({key_kind(leaf)}) that {other.chain} has too; "
                "leave out one of them"
            )
    return {names: list(kinds.values()) for names, kinds in together.items()}


def _by_name(contexts: Sequence[tuple[frozenset[str], C]]) -> dict[str, C]:
    """Say which context is for each name; where several are, the first. With one context nothing needs choosing."""
    if len(contexts) == 1:
        return {}
    found: dict[str, C] = {}
    for names, context in contexts:
        for name in names:
            found.setdefault(name, context)
    return found


def _stamp(paths: Sequence[Path]) -> _Stamp:
    """Tell files as they are now from files as they were: a link, as certbot has them, counts as what it leads to."""
    return tuple(_stamp_of(path) for path in paths)


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
