"""The server's check. The order of its steps is a security property; do not swap two.

 1. parse, with limits                     before anything is computed from what was sent
 2. algorithm and qop are among those offered   or a peer could choose RFC 2069's weaker form
 3. realm                                  ours, since A1 holds it
 4. uri is the raw request target          or a captured header opens another resource
 5. the nonce's own HMAC                   what we did not issue costs one HMAC and learns nothing more
 6. the user                               an unknown one goes on with a secret that nobody has
 7. the response, in constant time
 8. the nonce's age                        after 7: stale=true tells only someone who knows the password
 9. the nonce count                        last: only a right response may mark a count, so nobody else can burn one

So nothing that an unauthenticated peer sends can take memory, burn a count, tell whether a user exists, or raise.
Steps 1 to 8 are pure and end in a Claim; step 9 is the replay store's, and only its outcome turns a Claim into a
Granted, which alone holds the user's name: code that forgets the store has no user.
"""

import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from digest_auth._algorithms import BY_LOWERED_NAME, Algorithm
from digest_auth._header import HeaderError, credentials, quote
from digest_auth._nonces import Nonces
from digest_auth._replay import COUNT_LIMIT
from digest_auth._response import hash_a2, response
from digest_auth._users import UserTable

_QOP = "auth"
_NC = re.compile(r"[0-9a-fA-F]{8}")
_REQUIRED = ("username", "realm", "nonce", "uri", "response")
_REQUIRED_WITH_QOP = ("nc", "cnonce")

CLOCK_SKEW_S = 5.0
"""A nonce may be this much younger than now: hosts that share a key do not share a clock."""


class DigestRequest(NamedTuple):
    """What the check needs of an HTTP request.

    target: the request target exactly as it was sent, never rebuilt from a decoded path. authorization: the value of
    each Authorization header field. Text in which each character stands for an octet (ISO 8859-1).
    """

    method: str
    target: str
    authorization: Sequence[str]


@dataclass(frozen=True, slots=True)
class Granted:
    """The request is the user's."""

    user: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The request is not to be served.

    status: 400 what cannot be parsed or a uri that is not the target; 401 all else. www_authenticate: a header field
    each, empty unless 401. reason: for logs and error bodies, holds nothing that was sent. stale: the password was
    right, the nonce was not. nonce_genuine: the header carried a nonce that this server had issued (a throttle charges
    only such).
    """

    status: int
    reason: str
    www_authenticate: tuple[str, ...] = ()
    stale: bool = False
    nonce_genuine: bool = False


class Claim:
    """All is right but for one question, whether this nonce count was used before; `settle` takes the answer."""

    __slots__ = ("_authenticator", "_user", "count", "epoch", "identity", "issued_us", "now_us")

    def __init__(
        self,
        authenticator: "Authenticator",
        user: str,
        epoch: bytes,
        identity: bytes,
        issued_us: int,
        count: int,
        now_us: int,
    ) -> None:
        self._authenticator = authenticator
        self._user = user
        self.epoch = epoch
        self.identity = identity
        self.issued_us = issued_us
        self.count = count
        self.now_us = now_us

    def settle(self, *, unused: bool) -> Granted | Refused:
        """Step 9. unused: what the replay store's `use(claim)` answered."""
        if unused:
            return Granted(self._user)
        return self._authenticator.stale("the nonce count was used before", self.now_us / 1e6)


class Authenticator:
    """Checks requests for one realm.

    users: an immutable snapshot; assign a new one to `users` to change who may come in. nonces: of the same realm, with
    the replay store's epoch. algorithms: those offered, in the order of the challenges; SHA-256 first suits every
    client that knows it. nonce_lifetime_s: after it a nonce is stale.
    """

    def __init__(
        self,
        *,
        realm: str,
        users: UserTable,
        nonces: Nonces,
        algorithms: Sequence[Algorithm] = (Algorithm.SHA_256,),
        nonce_lifetime_s: float = 300.0,
    ) -> None:
        if not algorithms:
            raise ValueError("no algorithm is offered: name at least one")
        self.users = users
        self._realm = realm
        self._nonces = nonces
        self._lifetime_us = int(nonce_lifetime_s * 1e6)
        self._skew_us = int(CLOCK_SKEW_S * 1e6)
        self._offered = frozenset(algorithms)
        # Realm first: old clients look for it there (RFC 7616 section 3.3 shows it so).
        self._challenges = tuple(
            (f'Digest realm={quote(realm)}, qop="{_QOP}", algorithm={algorithm}, nonce="', '"')
            for algorithm in dict.fromkeys(algorithms)
        )
        # Secrets that nobody has, for users that do not exist: the same work is then done for them.
        self._nobody = {
            algorithm: secrets.token_hex(algorithm.hex_length // 2).encode("ascii") for algorithm in self._offered
        }

    def check(self, request: DigestRequest, *, now_s: float) -> Claim | Refused:  # noqa: C901, PLR0911, PLR0912 -- read whole
        """Decide on a request, but for whether its nonce count was used before. now_s: seconds since 1970."""
        # 1. Parse.
        if not request.authorization:
            return self._unauthorized("no credentials were sent", now_s)
        if len(request.authorization) > 1:
            return Refused(400, "more than one Authorization header was sent")
        try:
            sent = credentials(request.authorization[0])
        except HeaderError as error:
            return Refused(400, str(error))
        if sent is None:
            return self._unauthorized("the credentials are not Digest", now_s)
        for name in _REQUIRED if "qop" not in sent else _REQUIRED + _REQUIRED_WITH_QOP:
            if name not in sent:
                return Refused(400, f"the parameter {name} is missing in the Authorization header")
        nc = sent.get("nc", "")
        if "nc" in sent and (_NC.fullmatch(nc) is None or nc == "00000000"):
            return Refused(400, "nc is not a count of eight hexadecimal digits")

        # 2. Algorithm and qop. No algorithm means MD5 (RFC 7616 section 3.3).
        algorithm = BY_LOWERED_NAME.get(sent.get("algorithm", "MD5").lower())
        if algorithm is None or algorithm not in self._offered:
            return self._unauthorized("the algorithm is not one of those offered", now_s)
        qop = sent.get("qop", "")
        if qop.lower() != _QOP:
            return self._unauthorized("the qop is not the one offered", now_s)

        # 3. Realm.
        if sent["realm"] != self._realm and _utf8(sent["realm"]) != self._realm:
            return self._unauthorized("the realm is another one", now_s)

        # 4. The request target. ASGI servers lose a lone trailing "?", so its absence there is borne.
        uri = sent["uri"]
        if uri != request.target and uri != request.target + "?":
            return Refused(400, "the uri parameter is not the request target")

        # 5. The nonce's own HMAC.
        issued = self._nonces.recognise(sent["nonce"])
        if issued is None:
            return self._unauthorized("the nonce was not issued here", now_s)

        # 6. The user. Names beyond ASCII come as UTF-8 or as ISO 8859-1: the decoding that names a user is right.
        user = sent["username"]
        secret = self.users.find(algorithm, self._realm, user)
        if secret is None and not user.isascii():
            user = _utf8(user)
            secret = self.users.find(algorithm, self._realm, user)
        known = secret is not None

        # 7. The response.
        try:
            expected = response(
                algorithm,
                secret if secret is not None else self._nobody[algorithm],
                sent["nonce"].encode("ascii"),
                nc.encode("ascii"),
                sent["cnonce"].encode("latin-1"),
                qop.encode("ascii"),
                hash_a2(algorithm, request.method, uri.encode("latin-1")),
            )
            given = sent["response"].lower().encode("latin-1")
        except UnicodeEncodeError:
            return Refused(
                400,
                "the Authorization header or the method has a character that is no octet",
                (),
                False,
                True,
            )
        if not hmac.compare_digest(expected, given) or not known:
            return self._unauthorized("the user or the password is wrong", now_s, nonce_genuine=True)

        # 8. The nonce's age. One of another epoch was counted by a table that is gone.
        now_us = int(now_s * 1e6)
        age_us = now_us - issued.issued_us
        if not issued.current or age_us > self._lifetime_us or age_us < -self._skew_us:
            return self.stale("the nonce is too old", now_s)
        count = int(nc, 16)
        if count > COUNT_LIMIT:
            return self.stale("the nonce was used as often as it may be", now_s)

        # 9. is the replay store's.
        return Claim(self, user, issued.epoch, issued.identity, issued.issued_us, count, now_us)

    def stale(self, reason: str, now_s: float) -> Refused:
        """401 for someone who knows the password: try again with the fresh nonce, and ask nobody for a password."""
        return Refused(401, reason, self._fresh_challenges(now_s, stale=True), stale=True, nonce_genuine=True)

    def _unauthorized(self, reason: str, now_s: float, *, nonce_genuine: bool = False) -> Refused:
        return Refused(401, reason, self._fresh_challenges(now_s, stale=False), False, nonce_genuine)

    def _fresh_challenges(self, now_s: float, *, stale: bool) -> tuple[str, ...]:
        nonce = self._nonces.issue(now_s)
        end = '", stale=true' if stale else '"'
        return tuple(before + nonce + end for before, _ in self._challenges)


def _utf8(text: str) -> str:
    """What the octets mean as UTF-8; the text as it is where they are not UTF-8."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text
