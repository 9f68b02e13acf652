"""The Redis or Valkey of a replay table: where it is, what it must be, and what is said when it is not."""

import os
import re
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn, Protocol, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import redis
import redis.asyncio
from redis import exceptions

from digest_auth._replay import StoreUnavailableError


def bulk(word: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(word), word)


def command(*words: bytes) -> bytes:
    return b"*%d\r\n%b" % (len(words), b"".join(map(bulk, words)))


FAILURES: Final = (exceptions.RedisError, OSError, ValueError)
"""What redis-py raises for what a server or the network does; ValueError is its parser's for what is no number."""


class Wire(Protocol):
    """What is used of redis.Connection: it sends and parses. As used here it never reconnects by itself."""

    def connect(self) -> None: ...
    def send_packed_command(self, command: Sequence[bytes], *, check_health: bool) -> None: ...
    def read_response(self, *, disable_decoding: bool, timeout: float = ...) -> object: ...
    def disconnect(self) -> None: ...


class AsyncWire(Protocol):
    """What is used of redis.asyncio.Connection."""

    async def connect(self) -> None: ...
    async def send_packed_command(self, command: bytes, *, check_health: bool) -> None: ...
    async def read_response(self, *, disable_decoding: bool) -> object: ...
    async def disconnect(self, *, nowait: bool) -> None: ...


_WIRES = {"redis": redis.Connection, "rediss": redis.SSLConnection, "unix": redis.UnixDomainSocketConnection}
_ASYNC_WIRES = {
    "redis": redis.asyncio.Connection,
    "rediss": redis.asyncio.SSLConnection,
    "unix": redis.asyncio.UnixDomainSocketConnection,
}
_PARAMETERS = {
    "redis": {"db"},
    "rediss": {"db", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"},
    "unix": {"db", "username", "password"},
}
# RESP2, because the script answers no more than it can say; no CLIENT SETINFO, which is two more round trips.
_SETTINGS: Final = {"protocol": 2, "driver_info": None}


@dataclass(frozen=True)
class Server:
    """Where Redis is, and what it must be."""

    where: str  # as in messages
    scheme: str
    options: Mapping[str, object]  # of redis-py's connections
    credentials: tuple[bytes, ...] = field(repr=False)  # of AUTH
    database: int
    prefix: str
    lifetime_s: float

    @classmethod
    def at(cls, url: str, prefix: str, lifetime_s: float) -> "Server":
        """Raises ValueError, which repeats nothing of the url: a password may stand anywhere in a wrong one."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or 6379
            parameters = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        except ValueError:
            _refuse_url()
        scheme, path = parts.scheme, unquote(parts.path)
        if scheme not in _WIRES or parts.fragment or not parameters.keys() <= _PARAMETERS[scheme]:
            _refuse_url()
        database = parameters.pop("db", "" if scheme == "unix" else path.removeprefix("/")) or "0"
        if re.fullmatch(r"[0-9]{1,9}", database) is None:
            _refuse_url()
        user = parameters.pop("username", unquote(parts.username or ""))
        password = parameters.pop("password", unquote(parts.password or ""))
        if user and not password:
            _refuse_url()
        options: dict[str, object] = dict(parameters)
        if scheme == "unix":
            if not path or host:
                _refuse_url()
            where, options["path"] = f"Redis at {path}", path
        else:
            if not host or not _is_host(host):
                _refuse_url()
            where = f"Redis at [{host}]:{port}" if ":" in host else f"Redis at {host}:{port}"
            options |= {"host": host, "port": port}
        credentials = tuple(word.encode() for word in (user, password) if word)
        return cls(where, scheme, options, credentials, int(database), prefix, lifetime_s)

    def wire(self, connect_s: float, timeout_s: float) -> Wire:
        """One that is not connected yet."""
        make = cast("Callable[..., Wire]", _WIRES[self.scheme])
        return make(**self.options, **_SETTINGS, socket_connect_timeout=connect_s, socket_timeout=timeout_s)

    def async_wire(self) -> AsyncWire:
        """One that is not connected yet, and leaves time to the caller."""
        make = cast("Callable[..., AsyncWire]", _ASYNC_WIRES[self.scheme])
        return make(**self.options, **_SETTINGS, socket_connect_timeout=None, socket_timeout=None)

    @property
    def greetings(self) -> list[bytes]:
        """The first commands on a connection, sent together; `examine` takes the replies."""
        greetings = [command(b"INFO"), command(b"TIME")]
        if self.database:
            greetings.insert(0, command(b"SELECT", b"%d" % self.database))
        if self.credentials:
            greetings.insert(0, command(b"AUTH", *self.credentials))
        return greetings

    @property
    def greeting(self) -> bytes:
        return b"".join(self.greetings)

    def examine(self, replies: Sequence[object], asked_s: float, answered_s: float) -> None:
        """Raise StoreUnavailableError when replay control would not be exact in this Redis."""
        match replies[-2:]:
            case [bytes(info), [bytes(seconds), bytes(microseconds)]]:
                facts = dict(re.findall(r"^(\w+):(.*?)\r?$", info.decode("latin-1"), re.MULTILINE))
                now_s = int(seconds) + int(microseconds) / 1e6
            case _:
                raise StoreUnavailableError(self.nonsense())
        refusal = _unsuitable(facts) or self._clock(now_s, asked_s, answered_s)
        if refusal:
            raise StoreUnavailableError(f"{self.where} {refusal}")

    def _clock(self, now_s: float, asked_s: float, answered_s: float) -> str | None:
        apart_s = max(now_s - answered_s, asked_s - now_s)
        if apart_s <= self.lifetime_s / 2:
            return None
        return (
            f"has a clock that is {apart_s:.0f} s from this host's, and nonces live for {self.lifetime_s:g} s: "
            "set both by NTP"
        )

    def trouble(self, error: Exception, timeout_s: float) -> str:
        """One line for what went wrong: where, what, and what to do. error: one of FAILURES."""
        if isinstance(error, (TimeoutError, exceptions.TimeoutError)):
            tls = " does it speak TLS," if self.scheme == "rediss" else ""
            return f"{self.where} did not answer within {timeout_s:g} s: is it up,{tls} and is a firewall between?"
        sentence = next(sentence for kind, sentence in _TROUBLES.items() if isinstance(error, kind))
        return f"{self.where} " + sentence.format(prefix=self.prefix, reason=self._reason(error))

    def nonsense(self) -> str:
        """For an answer that is no error and makes no sense."""
        return f"{self.where} answers what Redis would not: is it another server?"

    def _reason(self, error: Exception) -> str:
        """What the system or Redis said, in one short line and without the password, which a server may repeat."""
        cause = error.__cause__ or error.__context__
        said = str(error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            said = cause.verify_message
        elif isinstance(cause, (ssl.SSLError, socket.gaierror)):
            said = cause.strerror or str(cause)
        elif isinstance(cause, OSError):
            said = os.strerror(cause.errno) if cause.errno else str(cause)
        if any(word.decode() in said for word in self.credentials):
            return "its words hold the password"
        return re.sub(r"[^ -~]+", " ", said)[:120].strip(" .")


def _unsuitable(facts: Mapping[str, str]) -> str | None:
    """facts: INFO's lines. What is wrong with this Redis, and what to do."""
    mode = facts.get("redis_mode") or facts.get("server_mode") or "standalone"  # the latter is Valkey's
    if mode != "standalone":
        return f"is part of a {mode}, which this store is not for: name a Redis that holds all keys itself"
    if facts.get("role") != "master":
        return "is a replica, whose data may lag: name the primary"
    if re.fullmatch(r"[0-9a-f]{40}", facts.get("master_replid", "")) is None:
        return "has no master_replid in INFO, so that lost data could not be told: use Redis 6.2 or later, or Valkey"
    if "maxmemory" not in facts or "maxmemory_policy" not in facts:
        return "does not tell its maxmemory_policy in INFO, so that it may evict nonces: use one that does"
    if facts["maxmemory"] != "0" and facts["maxmemory_policy"] != "noeviction":
        return (
            f"may evict nonces when it is full (maxmemory-policy {facts['maxmemory_policy']}), and requests could then "
            "be replayed: set maxmemory-policy noeviction there"
        )
    return None


_CLUSTER = "is part of a cluster, which this store is not for: name a Redis that holds all keys itself"
_REPLICA = "is a replica: name the primary"
_STRANGER = "does not speak Redis' protocol: is the port right, and does it want TLS (rediss://)?"
_NOT_REACHED = "cannot be reached ({reason}): start it, or correct the URL"

# The first that the error is an instance of; redis-py's classes are named by what Redis answers.
_TROUBLES: Final[Mapping[type[Exception], str]] = {
    exceptions.AuthenticationError: "wants another user or password than the URL has: correct them there",
    exceptions.NoPermissionError: (
        "does not let the user of the URL do enough: allow it EVALSHA, EVAL, INFO, TIME, GET, SET, SETBIT, PTTL and "
        "PEXPIRE, and all keys that begin with {{{prefix}}}:"
    ),
    exceptions.BusyLoadingError: "is still loading its data: it will answer when it has",
    exceptions.ReadOnlyError: _REPLICA,
    exceptions.MasterDownError: _REPLICA,
    exceptions.OutOfMemoryError: "is full: raise its maxmemory, or wait until nonces have expired",
    exceptions.AskError: _CLUSTER,
    exceptions.ClusterError: _CLUSTER,
    exceptions.ClusterCrossSlotError: _CLUSTER,
    exceptions.ResponseError: "answered with an error ({reason}): see who else uses its keys {{{prefix}}}:*",
    exceptions.InvalidResponse: _STRANGER,
    exceptions.ConnectionError: _NOT_REACHED,
    exceptions.RedisError: _NOT_REACHED,
    OSError: _NOT_REACHED,
    ValueError: _STRANGER,
}


def _is_host(host: str) -> bool:
    try:
        return len(host.encode("idna")) > 0 and host.isprintable() and " " not in host
    except UnicodeError:
        return False


def _refuse_url() -> NoReturn:
    raise ValueError(
        "the URL of the replay store is none of redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], the same with "
        "rediss:// and perhaps ?ssl_ca_certs=FILE, and unix:///PATH[?db=DATABASE&password=PASSWORD]: write "
        "what is no letter or digit in a password as %XX"
    ) from None
