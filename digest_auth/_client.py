"""The client side: one DigestClient for each user or session, outliving its connections.

It learns a challenge, then answers every request in advance with the same nonce and a rising nc, so that a 401 comes
but once. `prepare` is for loops that ask for the same resource many times: what can be hashed beforehand is.
"""

import itertools
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING

from digest_auth._algorithms import BY_LOWERED_NAME, Algorithm
from digest_auth._header import challenges, quote
from digest_auth._response import hash_a1, hash_a2

if TYPE_CHECKING:
    from hashlib import _Hash

_STRENGTH = {algorithm: -place for place, algorithm in enumerate(Algorithm)}


class _Session:
    """A challenge that was accepted: RFC 7616 section 3.6 calls it an authentication session."""

    __slots__ = ("after_uri", "algorithm", "before_uri", "cnonce", "counts", "secret_and_nonce")

    def __init__(
        self, algorithm: Algorithm, user: str, password: str, realm: str, nonce: str, opaque: str | None
    ) -> None:
        self.algorithm = algorithm
        self.cnonce = secrets.token_hex(8).encode("ascii")
        self.counts = itertools.count(1)  # next() is atomic: threads and greenlets may share a session
        # H(A1):nonce: is hashed once; each response goes on from a copy of this state.
        octets = realm.encode("latin-1").decode("utf-8", "replace")
        self.secret_and_nonce: _Hash = algorithm.new(
            hash_a1(algorithm, user, octets, password) + b":" + nonce.encode("latin-1") + b":"
        )
        name = quote(user.encode().decode("latin-1"))
        self.before_uri = f"Digest username={name}, realm={quote(realm)}, nonce={quote(nonce)}, uri=".encode("latin-1")
        rest = f", algorithm={algorithm}, cnonce={quote(self.cnonce.decode('ascii'))}, qop=auth, nc="
        if opaque is not None:
            rest = f", opaque={quote(opaque)}" + rest
        self.after_uri = rest.encode("latin-1")


class DigestClient:
    """Answers a server's Digest challenges for one user. Safe to share between threads and greenlets."""

    def __init__(self, user: str, password: str) -> None:
        self._user = user
        self._password = password
        self._session: _Session | None = None

    def accept(self, www_authenticate: Iterable[str]) -> bool:
        """Learn from the values of a 401's WWW-Authenticate lines; the strongest algorithm offered is taken.

        False when none of them is a Digest challenge with qop=auth and an algorithm known here; what was learnt before
        is then kept.
        """
        best: tuple[Algorithm, dict[str, str]] | None = None
        for challenge in challenges(www_authenticate):
            algorithm = BY_LOWERED_NAME.get(challenge.get("algorithm", "MD5").lower())
            qops = {qop.strip() for qop in challenge.get("qop", "").lower().split(",")}
            if algorithm is None or "auth" not in qops or not {"realm", "nonce"} <= challenge.keys():
                continue
            if best is None or _STRENGTH[algorithm] > _STRENGTH[best[0]]:
                best = algorithm, challenge
        if best is None:
            return False
        algorithm, challenge = best
        self._session = _Session(
            algorithm,
            self._user,
            self._password,
            challenge["realm"],
            challenge["nonce"],
            challenge.get("opaque"),
        )
        return True

    def forget(self) -> None:
        """Drop the nonce: the next request goes out without credentials and is challenged."""
        self._session = None

    def authorization(self, method: str, target: str) -> str | None:
        """An Authorization value for one request; None before a challenge was accepted.

        target: the request target exactly as it will be sent.
        """
        value = self.prepare(method, target).authorization()
        return None if value is None else value.decode("latin-1")

    def prepare(self, method: str, target: str) -> "Prepared":
        """What can be computed beforehand for requests with this method and target."""
        return Prepared(self, method, target)

    @property
    def session(self) -> _Session | None:
        """The challenge in use, for Prepared."""
        return self._session


class Prepared:
    """Authorization values for one method and target; follows its client from nonce to nonce."""

    __slots__ = ("_after_uri", "_before_nc", "_client", "_method", "_session", "_tail", "_uri")

    def __init__(self, client: DigestClient, method: str, target: str) -> None:
        self._client = client
        self._method = method
        self._uri = target.encode("latin-1")
        self._session: _Session | None = None
        self._before_nc = self._tail = b""

    def authorization(self) -> bytes | None:
        """A value with the next nonce count; None before a challenge was accepted."""
        session = self._client.session
        if session is None:
            return None
        if session is not self._session:
            self._adopt(session)
        nc = b"%08x" % next(session.counts)
        state = session.secret_and_nonce.copy()
        state.update(nc + self._tail)
        return b'%b%b, response="%b"' % (self._before_nc, nc, state.hexdigest().encode("ascii"))

    def _adopt(self, session: _Session) -> None:
        self._session = session
        quoted = quote(self._uri.decode("latin-1")).encode("latin-1")
        self._before_nc = session.before_uri + quoted + session.after_uri
        self._tail = b":" + session.cnonce + b":auth:" + hash_a2(session.algorithm, self._method, self._uri)
