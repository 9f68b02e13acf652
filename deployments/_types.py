"""What a server module says of each of its deployments. Data only: nothing here starts or writes anything."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from certs import CertificateFiles, TlsVersion
from deployments._errors import DeploymentError
from deployments._name import DeploymentName
from deployments._stacks import KeyExchange, TlsStack, key_exchange


@dataclass(frozen=True, slots=True)
class AskedOfClients:
    """That clients are to show a certificate in the handshake."""

    ca: Path  # PEM: whose certificates are let in
    required: bool  # False: who shows none is let in; who shows another CA's never is


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """Where an application listens behind a proxy: at a TCP port of this machine, or at a UNIX socket."""

    host: str = "127.0.0.1"
    port: int = 0
    socket: Path | None = None  # None: TCP

    @property
    def authority(self) -> str:
        """Host and port; of TCP alone."""
        return _authority(self.host, self.port)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a deployment stands: all that its templates may use."""

    folder: Path  # holds the rendered files; the server's working directory
    host: str
    port: int
    certificate: CertificateFiles | None  # None: plain HTTP
    tls_versions: frozenset[TlsVersion]
    client_certificates: AskedOfClients | None = None
    threads: int | None  # what the deployment's Threads make of the wish
    workers: int = 1  # processes that serve
    group: str | None = (
        None  # of the key exchange, for TLS stacks that OPENSSL_CONF does not tell; None: their own choice
    )
    upstream: Upstream | None = None  # of a deployment behind a proxy, which has host, port and TLS
    more_upstreams: tuple[Upstream, ...] = ()  # of further processes of the application, among which its proxy chooses
    own_user: bool = False  # a user of its own starts it, as a system's service; False: whoever renders it

    @property
    def authority(self) -> str:
        """Host and port as in a URL: an IPv6 address stands in brackets."""
        return _authority(self.host, self.port)

    @property
    def reachable_host(self) -> str:
        """The address by which this machine reaches it, also when it listens on all addresses."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)

    @property
    def reachable_authority(self) -> str:
        """As `authority`, but always one that a client can connect to."""
        return _authority(self.reachable_host, self.port)


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A deployment ready to be written down and started."""

    files: Mapping[str, str]  # name inside the site's folder: whole text
    command: tuple[str, ...]  # run in the site's folder
    environment: Mapping[str, str]  # all that the server needs beyond a bare environment
    proxy_command: tuple[str, ...] | None = None  # run there too; None: nobody stands in front
    links: Mapping[str, Path] = field(default_factory=dict)  # name inside the site's folder: file that it leads to
    more_commands: tuple[tuple[str, ...], ...] = ()  # of further processes of the application
    apart: bool = False  # these run each in a folder of its own within the site's: `app_folder`


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What one server's templates give: its own files, its command, variables that it alone needs.

    links: for who wants a file under another name, and who is never to hold a copy of a key.
    """

    files: Mapping[str, str]
    command: tuple[str, ...]
    environment: Mapping[str, str]
    proxy_command: tuple[str, ...] | None = None
    links: Mapping[str, Path] = field(default_factory=dict)
    more_commands: tuple[tuple[str, ...], ...] = ()
    apart: bool = False


def app_folder(number: int) -> str:
    """Return the name of the folder of one process of an application, counted from 1, where each has its own."""
    return f"app{number}"


@dataclass(frozen=True, slots=True)
class Program:
    """A program of the system that a deployment needs, or a module of one, and the Debian package that brings it."""

    name: str
    package: str
    file: str | None = None  # where a module is; None: it is a program, and found as a shell finds one


@dataclass(frozen=True, slots=True)
class Threads:
    """How many threads run requests. count None: there is no such number, or no bound."""

    count: int | None
    meaning: str  # "16 threads", "a thread per connection", "one event loop"
    refusal: str | None = None  # why another number cannot be asked for; None: it can

    def chosen(self, name: DeploymentName, wanted: int | None) -> int | None:
        """Return the effective number. Raises DeploymentError where it is not to be chosen."""
        if wanted is None or wanted == self.count:
            return self.count
        if self.refusal is not None:
            raise DeploymentError(f"{name} takes no number of threads: {self.refusal}; leave out --threads")
        return wanted


class KilledWorker(StrEnum):
    """What becomes of a server one of whose workers was killed."""

    REPLACED = "is replaced"
    ENDS_ALL = "ends the whole server"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeveralWorkers:
    """What is different where more than one process serves, as against `Abilities`."""

    resumed_by_all: bool  # whether a session is resumed by every worker; else by the one that it was made with
    killed_worker: KilledWorker
    stop_finishes_requests: bool
    stop_status: int
    warning: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """Whether several processes can serve. several None: they cannot, and refusal says why and what can."""

    several: SeveralWorkers | None = None
    refusal: str = ""

    def check(self, name: DeploymentName, wanted: int) -> None:
        """Refuse a number that cannot be had. Raises DeploymentError."""
        if wanted > 1 and self.several is None:
            raise DeploymentError(f"{name} cannot serve with {wanted} workers: {self.refusal}")


class Handshake(StrEnum):
    """Where a client that stalls during the TLS handshake makes others wait."""

    IN_ACCEPT = "in the accept loop"  # one silent client stops everybody
    IN_POOL = "in a pool thread"  # as many silent clients as threads stop everybody
    IN_EVENT_LOOP = "in the event loop"  # nobody waits for it


class ClientCertificates(StrEnum):
    """What the server makes of a client's certificate when it is told to ask for one."""

    TOLD = "verified, told to the app"
    NOT_TOLD = "verified, not told to the app"
    ANSWERED = "verified, not told to the app; who is refused gets a 400 for each request"  # not an alert


class Reload(StrEnum):
    """How a renewed certificate, put in place of the old one, gets to clients."""

    WATCHED = "watched"  # within a second; SIGHUP does something else, mostly the worst
    WATCHED_OR_SIGHUP = "watched, SIGHUP"  # within a second, or at once by the signal
    SIGHUP = "SIGHUP"  # by new workers; the old ones cut connections that are idle, and those that are just being made
    SIGUSR1 = "SIGUSR1 (503s)"  # requests that come while mod_wsgi's daemon is replaced may get 503
    ASKED = "told to reload"  # by a signal or a command of its own; RunningServer.reload knows it
    ASKED_CUTS_NEW = "told, cuts new"  # a connection that is just being made may be reset
    RESTART = "restart"


class RawTarget(StrEnum):
    """How much of the request target, which Digest signs, reaches the application as it was sent."""

    EXACT = "exact"
    LOST_QUESTION_MARK = "exact but for a bare ? at its end"
    PATH_AND_QUERY = "exact but for scheme and host"  # so Digest refuses absolute-form
    ONE_LEADING_SLASH = "exact but for a second leading slash, and scheme and host"
    ORIGIN_FORM_ALONE = "exact; absolute-form and two leading slashes get 400"
    ORIGIN_FORM = "exact but for a bare ? at its end, and scheme and host"  # so Digest refuses absolute-form
    REBUILT = "put together again: escapes are lost"  # so Digest refuses all that need not be, slashes, absolute-form
    VALID_PATH_AND_QUERY = "exact but for scheme and host, and a path that is no URL's"  # Digest refuses both
    VALID_ORIGIN_FORM = "exact but for a bare ? at its end, scheme and host, and a path that is no URL's"


@dataclass(frozen=True, slots=True)
class Resumption:
    """Which sessions can be resumed on one worker, after their connection was closed in good order.

    By id not with servers that hang up without a close_notify: OpenSSL then forgets the session.
    """

    tls_1_2_ticket: bool
    tls_1_2_session_id: bool
    tls_1_3_ticket: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What a deployment can do on one worker. Each claim was seen with the versions that requirements/ pins.

    tests/deployments checks those that one request can show; a new version that changes one turns it red.
    """

    tls_stack: TlsStack
    tls_restriction: str  # how one TLS version is switched off
    alpn: tuple[str, ...]  # protocols offered in the handshake, in order; empty: the extension is not answered
    keep_alive: bool  # more than one request on a connection
    resumption: Resumption
    client_certificates: ClientCertificates
    handshake: Handshake
    reload: Reload
    stop_finishes_requests: bool  # at SIGTERM, within the server's own patience
    stop_status: int  # of a stop by SIGTERM that went well; negative: the signal that it ends by
    raw_target: RawTarget
    http_3: bool = False  # over QUIC, at the same port; TLS 1.3 alone

    @property
    def key_exchange(self) -> KeyExchange:
        """What its TLS stack can do with key-exchange groups, as it is installed here."""
        return key_exchange(self.tls_stack)


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """How the proxy in front of an application is told things, and what stands between the two.

    renew: at which it reads certificates; or a command, run in the site's folder, that makes it; None: it has none.
    """

    stop: signal.Signals  # at which it finishes what it forwards, and ends
    renew: signal.Signals | tuple[str, ...] | None
    keeps_sessions: bool = False  # whether a session from before is resumed after that
    over_socket: bool = False  # a UNIX socket is between them; False: a TCP port
    over_uwsgi: bool = False  # they speak uwsgi; False: HTTP
    passes_tls: bool = False  # as it comes, to the application, which is told of no other client than the proxy
    balances: bool = False  # each worker is a process of its own, at a port of its own; False: the server has workers
    checks_peer: bool = False  # the application believes the proxy's address alone; False: who reaches its port


def _no_hindrance() -> str | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One way to serve, as its module describes it."""

    name: DeploymentName
    summary: str
    warning: str | None = None  # why a careful engineer would think twice
    needs: tuple[str, ...]  # distributions, as the package index calls them
    programs: tuple[Program, ...] = ()
    threads: Threads
    workers: Workers
    abilities: Abilities
    launch: Callable[[Site], Launch]
    front: Front | None = None  # None: the application's server faces the clients itself
    refuses: frozenset[str] = frozenset()  # targets, as "/%", that get a 400 and no application sees
    answers: frozenset[str] = frozenset()  # targets, as "*" of OPTIONS, that get a 200 and no application sees
    stop: signal.Signals = signal.SIGTERM  # at which the application's server finishes what it does, if any does that
    tls_refusals: Mapping[str, str] = field(default_factory=dict)  # choice of TLS versions: why it cannot be had
    one_client_ca: bool = False  # of a file of CAs whose clients are let in it reads the first certificate alone
    hindrance: Callable[[], str | None] = _no_hindrance  # why it cannot run here with all installed; follows its name

    def check_tls(self, wanted: str) -> None:
        """Refuse a choice of TLS versions that cannot be had. Raises DeploymentError."""
        if wanted in self.tls_refusals:
            raise DeploymentError(f"{self.name} cannot serve TLS {wanted} alone: {self.tls_refusals[wanted]}")

    def check_client_cas(self, count: int) -> None:
        """Refuse CAs whose clients it would silently keep out. Raises DeploymentError."""
        if count > 1 and self.one_client_ca:
            raise DeploymentError(
                f"{self.name} reads one certificate of a file of CAs, and this one has {count}; give --client-ca a "
                "file that has one, or serve behind another proxy"
            )

    @property
    def install(self) -> str:
        """The commands that bring what it needs."""
        packages = " ".join(program.package for program in self.programs)
        python = f"pip install {' '.join(self.needs)}"
        return f"apt-get install {packages}; {python}" if packages else python
