"""The server's check. The order of its steps is a security property; do not swap two.

 1. parse, with limits                     before anything is computed from what was sent
 2. algorithm and qop are among those offered   or a peer could choose RFC 2069's weaker form
 3. realm                                  ours, since A1 holds it
 4. uri is the raw request target          or a captured header opens another resource
 5. the nonce's own HMAC                   what we did not issue costs one HMAC and learns nothing more
    the throttle                           of failed tries: before 6, so it tells nothing of who exists
 6. the user                               an unknown one goes on with a secret that nobody has
 7. the response, in constant time         a wrong one is charged to the throttle: here alone, behind a genuine nonce
 8. the nonce's age                        after 7: stale=true tells only someone who knows the password
 9. the nonce count                        last: only a right response may mark a count, so nobody else can burn one

So nothing that an unauthenticated peer sends can take memory beyond the throttle's bound, burn a count, tell whether a
user exists, or raise. Steps 1 to 8 are pure, but for the throttle, and end in a Claim; step 9 is the replay store's,
and only its outcome turns a Claim into a Granted, which alone holds the user's name: code that forgets the store has no
user. A response of qop=auth-int covers the body: between 5 and 6 the check then waits for it (AwaitingBody), so nobody
without a nonce of ours makes a server read one.
"""

import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from digest_auth._algorithms import Algorithm
from digest_auth._header import Credentials, HeaderError, extended_value, quote
from digest_auth._nonces import Issued, Nonces
from digest_auth._replay import COUNT_LIMIT
from digest_auth._response import Qop, hash_a1_of_session, hash_a2, response
from digest_auth._throttle import Throttle
from digest_auth._users import UserTable

if TYPE_CHECKING:
    from hashlib import _Hash

_NC: Final = re.compile(r"[0-9a-fA-F]{8}")
_AUTH_INT: Final = Qop.AUTH_INT.encode("ascii")

CLOCK_SKEW_S: Final = 5.0
"""A nonce may be this much younger than now: hosts that share a key do not share a clock."""

_NEARLY_USED_UP: Final = 0.8
"""From this share of its lifetime or of its counts on, a nonce's successor is sent along (nextnonce)."""


class DigestRequest(NamedTuple):
    """What the check needs of an HTTP request.

    target: the request target exactly as it was sent, never rebuilt from a decoded path. authorization: the value of
    each Authorization header field. address: the client's, for the throttle. Text in which each character stands for
    an octet (ISO 8859-1).
    """

    method: str
    target: str
    authorization: Sequence[str]
    address: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The request is not to be served.

    status: 400 what cannot be parsed or a uri that is not the target; 429 too many failed tries; 401 all else.
    www_authenticate: a header field each, empty unless 401. reason: for logs and error bodies, holds nothing that was
    sent. stale: the password was right, the nonce was not. nonce_genuine: the header carried a nonce that this server
    had issued. retry_after_s: of a 429, for Retry-After.
    """

    status: int
    reason: str
    www_authenticate: tuple[str, ...] = ()
    stale: bool = False
    nonce_genuine: bool = False
    retry_after_s: int | None = None


class _Offer(NamedTuple):
    """An algorithm that is offered, and what is the same for every request that takes it."""

    algorithm: Algorithm
    nobody: bytes  # an H(A1) that nobody has: users that do not exist get the same work done
    before_nonce: str  # of a challenge
    after_nonce: str


class _Hashed(NamedTuple):
    """What the response covers, and the response: octets as they were sent."""

    method: bytes
    uri: bytes
    nonce: bytes
    nc: bytes
    cnonce: bytes
    qop: bytes
    response: bytes  # lowered


class _Pending(NamedTuple):
    """What steps 1 to 5 made of a request."""

    sent: _Hashed
    offer: _Offer
    user: str  # decoded; a hash where hashed is true
    hashed: bool
    username: str | None  # as it was sent
    address: str
    issued: Issued
    now_s: float

    @property
    def covers_body(self) -> bool:
        """Whether the qop is auth-int."""
        return self.sent.qop.lower() == _AUTH_INT


class Claim:
    """All is right but for one question, whether this nonce count was used before; `settle` takes the answer."""

    __slots__ = ("_authenticator", "_ha1", "_pending", "_user", "count", "epoch", "identity", "issued_us", "now_us")

    def __init__(
        self, authenticator: "Authenticator", pending: _Pending, user: str, ha1: bytes, count: int, now_us: int
    ) -> None:
        self._authenticator = authenticator
        self._pending = pending
        self._user = user
        self._ha1 = ha1
        self.identity, self.issued_us, self.epoch = pending.issued
        self.count = count
        self.now_us = now_us

    def settle(self, *, unused: bool) -> "Granted | Refused":
        """Step 9. unused: what the replay store's `use(claim)` answered."""
        if unused:
            return Granted(self._user, self)
        return self._authenticator.stale("the nonce count was used before", self._pending.now_s)

    @property
    def covers_body(self) -> bool:
        """For Granted."""
        return self._pending.covers_body

    def authentication_info(self, body: bytes) -> str:
        """For Granted."""
        algorithm = self._pending.offer.algorithm
        _, uri, nonce, nc, cnonce, qop, _ = self._pending.sent
        body_hash = algorithm.new(body).hexdigest().encode("ascii") if self.covers_body else None
        rspauth = response(
            algorithm, self._ha1, nonce, nc, cnonce, qop, hash_a2(algorithm, b"", uri, body_hash)
        ).decode("ascii")
        value = f'qop={qop.decode("ascii")}, rspauth="{rspauth}", cnonce={quote(cnonce.decode("latin-1"))}'
        value = f"{value}, nc={nc.decode('ascii')}"
        next_nonce = self._authenticator.next_nonce(self, self._pending)
        return value if next_nonce is None else f'{value}, nextnonce="{next_nonce}"'


@dataclass(frozen=True, slots=True)
class Granted:
    """The request is the user's."""

    user: str
    _claim: Claim | None = field(default=None, repr=False, compare=False)

    @property
    def covers_body(self) -> bool:
        """Whether the body of the answer counts in its Authentication-Info: the request's qop was auth-int."""
        return self._claim is not None and self._claim.covers_body

    def authentication_info(self, body: bytes = b"") -> str:
        """The value of the answer's Authentication-Info (RFC 7615; RFC 7616 section 3.5).

        It proves that the server knows the password too (rspauth), and names the next nonce once the one in use nears
        its end. body: of the answer, content codings applied; it counts where the request's qop was auth-int alone.
        """
        if self._claim is None:
            raise ValueError("this Granted comes from no claim")
        return self._claim.authentication_info(body)


class AwaitingBody:
    """A request with qop=auth-int and a genuine nonce: nothing is known of the password before its body was seen.

    Pass the body to `update`, in chunks, as it is read, without its transfer coding; then `decide`. How long it may be
    is up to who reads it. A body that takes longer than what is left of the nonce's lifetime ends in stale=true.
    """

    __slots__ = ("_authenticator", "_hash", "_pending")

    def __init__(self, authenticator: "Authenticator", pending: _Pending) -> None:
        self._authenticator = authenticator
        self._pending = pending
        self._hash: _Hash = pending.offer.algorithm.new(b"")

    def update(self, chunk: bytes) -> None:
        """Hash the next part of the body."""
        self._hash.update(chunk)

    def decide(self, *, now_s: float) -> Claim | Refused:
        """Steps 6 to 8, once the whole body was seen. now_s: seconds since 1970, now: reading may have taken long.

        The throttle is asked again: who had many bodies waiting would else have as many tries.
        """
        pending = self._pending._replace(now_s=now_s)
        slowed = self._authenticator.slowed(pending.user, pending.address, now_s)
        if slowed is not None:
            return slowed
        return self._authenticator.verify(pending, self._hash.hexdigest().encode("ascii"))


class Authenticator:
    """Checks requests for one realm.

    users: an immutable snapshot; assign a new one to `users` to change who may come in. nonces: of the same realm, made
    with the replay store. algorithms: those offered, in the order of the challenges; SHA-256 first suits every client
    that knows it. qops: those offered. nonce_lifetime_s: after it a nonce is stale, and so it is above count_limit.
    userhash: whether clients may send a hash in place of the user's name. domain: URIs of the protection space.
    opaque: sent along and expected back. throttle: of failed tries; None slows nobody.

    Raises AlgorithmUnavailableError for an algorithm that this Python lacks, ValueError for an empty list or a
    count_limit that no replay store keeps.
    """

    def __init__(
        self,
        *,
        realm: str,
        users: UserTable,
        nonces: Nonces,
        algorithms: Sequence[Algorithm] = (Algorithm.SHA_256,),
        qops: Sequence[Qop] = (Qop.AUTH,),
        nonce_lifetime_s: float = 300.0,
        count_limit: int = COUNT_LIMIT,
        userhash: bool = False,
        domain: Sequence[str] = (),
        opaque: str | None = None,
        throttle: Throttle | None = None,
    ) -> None:
        if not algorithms:
            raise ValueError("no algorithm is offered: name at least one")
        if not qops:
            raise ValueError("no qop is offered: name at least one")
        if not 1 <= count_limit <= COUNT_LIMIT:
            raise ValueError(f"a nonce can be good for 1 to {COUNT_LIMIT} requests, not for {count_limit}")
        self.users = users
        self._realm = realm
        self._nonces = nonces
        self._lifetime_us = int(nonce_lifetime_s * 1e6)
        self._skew_us = int(CLOCK_SKEW_S * 1e6)
        self._count_limit = count_limit
        self._userhash = userhash
        self._opaque = opaque
        self._throttle = throttle
        self._qops = frozenset(qops)
        # Realm first: old clients look for it there (RFC 7616 section 3.3 shows it so).
        start = f"Digest realm={quote(realm.encode().decode('latin-1'))}"  # octets of UTF-8, as in A1
        if domain:
            start += f", domain={quote(' '.join(domain))}"
        start += f', qop="{", ".join(dict.fromkeys(qops))}"'
        end = '"' if opaque is None else f'", opaque={quote(opaque)}'
        end += ", charset=UTF-8, userhash=true" if userhash else ", charset=UTF-8"
        self._offers: list[_Offer] = []
        for algorithm in algorithms:  # one may stand twice: SHA-256, SHA-512-256, SHA-256 suits most clients
            algorithm.require()
            nobody = secrets.token_hex(algorithm.hex_length // 2).encode("ascii")
            before = f'{start}, algorithm={algorithm}, nonce="'
            self._offers.append(_Offer(algorithm, nobody, before, end))
        self._by_lowered_name = {offer.algorithm.lower(): offer for offer in self._offers}

    def check(  # noqa: C901, PLR0911, PLR0912 (the order of its steps is to be read whole)
        self, request: DigestRequest, *, now_s: float
    ) -> Claim | AwaitingBody | Refused:
        """Decide on a request, but for whether its nonce count was used before. now_s: seconds since 1970."""
        # 1. Parse.
        if not request.authorization:
            return self._unauthorized("no credentials were sent", now_s)
        if len(request.authorization) > 1:
            return Refused(400, "more than one Authorization header was sent")
        try:
            sent = Credentials.parse(request.authorization[0])
            if sent is None:
                return self._unauthorized("the credentials are not Digest", now_s)
            user, hashed = _user(sent)
        except HeaderError as error:
            return Refused(400, str(error))
        _, realm, nonce, uri, answer, cnonce, algorithm, qop, nc, opaque, _, _ = sent
        if realm is None or nonce is None or uri is None or answer is None:
            return Refused(400, _missing(sent, "realm", "nonce", "uri", "response"))
        if qop is not None and (nc is None or cnonce is None):
            return Refused(400, _missing(sent, "nc", "cnonce"))
        if nc is not None and (_NC.fullmatch(nc) is None or nc == "00000000"):
            return Refused(400, "nc is not a count of eight hexadecimal digits")

        # 2. Algorithm and qop. No algorithm means MD5 (RFC 7616 section 3.3).
        offer = self._by_lowered_name.get("md5" if algorithm is None else algorithm.lower())
        if offer is None:
            return self._unauthorized("the algorithm is not one of those offered", now_s)
        if qop is None or nc is None or cnonce is None or qop.lower() not in self._qops:
            return self._unauthorized("the qop is not one of those offered", now_s)
        if hashed and not self._userhash:
            return self._unauthorized("a hashed user name was not offered", now_s)

        # 3. Realm, and what else is to come back as it was sent out.
        if realm != self._realm and utf8_of(realm) != self._realm:
            return self._unauthorized("the realm is another one", now_s)
        if self._opaque is not None and opaque is not None and opaque != self._opaque:
            return self._unauthorized("the opaque parameter is another one", now_s)

        # 4. The request target. ASGI servers lose a lone trailing "?", so its absence there is borne.
        if uri != request.target and uri != request.target + "?":
            return Refused(400, "the uri parameter is not the request target")

        # 5. The nonce's own HMAC.
        issued = self._nonces.recognise(nonce)
        if issued is None:
            return self._unauthorized("the nonce was not issued here", now_s)
        slowed = self.slowed(user, request.address, now_s)
        if slowed is not None:
            return slowed

        try:
            hashes = _Hashed(
                request.method.encode("latin-1"),
                uri.encode("latin-1"),
                nonce.encode("latin-1"),
                nc.encode("latin-1"),
                cnonce.encode("ascii"),  # it is sent back, and no client makes any other
                qop.encode("latin-1"),
                answer.lower().encode("latin-1"),
            )
        except UnicodeEncodeError:
            return Refused(
                400,
                "the method or the Authorization header has a character that cannot stand there",
                nonce_genuine=True,
            )
        pending = _Pending(hashes, offer, user, hashed, sent.username, request.address, issued, now_s)
        if qop.lower() == Qop.AUTH_INT:
            return AwaitingBody(self, pending)
        return self.verify(pending, None)

    def verify(self, pending: _Pending, body_hash: bytes | None) -> Claim | Refused:
        """Steps 6 to 8. body_hash: hexadecimal, for qop=auth-int. `check` and AwaitingBody call it."""
        sent, offer, user, hashed, username, address, issued, now_s = pending
        method, uri, nonce, nc, cnonce, qop, given = sent
        algorithm = offer.algorithm

        # 6. The user, or a secret that nobody has.
        if hashed:
            user = self.users.find_hashed(algorithm, self._realm, user) or ""
        secret = self.users.find(algorithm, self._realm, user)
        if username is not None and not user.isascii():
            # Octets that are good UTF-8 may yet have been meant as ISO 8859-1: the decoding that names a user is right.
            # Looked up whether the first one did or not: the same work for all names.
            otherwise = self.users.find(algorithm, self._realm, username)
            if secret is None and otherwise is not None:
                secret, user = otherwise, username
        known = secret is not None

        # 7. The response.
        ha1 = secret if secret is not None else offer.nobody
        if algorithm.is_session:
            ha1 = hash_a1_of_session(algorithm, ha1, nonce, cnonce)
        expected = response(algorithm, ha1, nonce, nc, cnonce, qop, hash_a2(algorithm, method, uri, body_hash))
        if not hmac.compare_digest(expected, given) or not known:
            if self._throttle is not None:
                self._throttle.charge(pending.user, address, now_s)
            return self._unauthorized("the user or the password is wrong", now_s, nonce_genuine=True)

        # 8. The nonce's age. Whether its epoch is still the table's is the store's to say: several hosts may share the
        # table, and this one may not have heard of the newest epoch yet.
        now_us = int(now_s * 1e6)
        age_us = now_us - issued.issued_us
        if age_us > self._lifetime_us or age_us < -self._skew_us:
            return self.stale("the nonce is too old", now_s)
        count = int(nc, 16)
        if count > self._count_limit:
            return self.stale("the nonce was used as often as it may be", now_s)

        # 9. is the replay store's.
        return Claim(self, pending, user, ha1, count, now_us)

    def slowed(self, user: str, address: str, now_s: float) -> Refused | None:
        """The throttle's word: 429 for who has no try left."""
        wait_s = 0 if self._throttle is None else self._throttle.wait_s(user, address, now_s)
        if not wait_s:
            return None
        return Refused(429, "too many failed tries; wait", nonce_genuine=True, retry_after_s=wait_s)

    def stale(self, reason: str, now_s: float) -> Refused:
        """401 for someone who knows the password: try again with the fresh nonce, and ask nobody for a password."""
        return Refused(401, reason, self._fresh_challenges(now_s, stale=True), stale=True, nonce_genuine=True)

    def next_nonce(self, claim: Claim, pending: _Pending) -> str | None:
        """A nonce to go on with once that of a claim nears its end, else None.

        Never for a -sess algorithm: its A1 holds the nonce that the session began with, which is not kept here.
        """
        nearly = (
            claim.count >= self._count_limit * _NEARLY_USED_UP
            or claim.now_us - claim.issued_us >= self._lifetime_us * _NEARLY_USED_UP
        )
        return self._nonces.issue(pending.now_s) if nearly and not pending.offer.algorithm.is_session else None

    def _unauthorized(self, reason: str, now_s: float, *, nonce_genuine: bool = False) -> Refused:
        return Refused(401, reason, self._fresh_challenges(now_s, stale=False), False, nonce_genuine)

    def _fresh_challenges(self, now_s: float, *, stale: bool) -> tuple[str, ...]:
        nonce = self._nonces.issue(now_s)
        end = ", stale=true" if stale else ""
        return tuple([f"{offer.before_nonce}{nonce}{offer.after_nonce}{end}" for offer in self._offers])


def _user(sent: Credentials) -> tuple[str, bool]:
    """The user's name, decoded, or its hash and True. Raises HeaderError (RFC 7616 section 3.4)."""
    name, extended = sent.username, sent.extended_username
    hashed = sent.userhash is not None and sent.userhash.lower() == "true"
    if extended is not None:
        if name is not None or hashed:
            raise HeaderError("username* goes neither with username nor with userhash=true")
        return extended_value(extended), False
    if name is None:
        raise HeaderError("username is missing in the Authorization header")
    if hashed:
        return name.lower(), True
    return (name if name.isascii() else utf8_of(name)), False


def _missing(sent: Credentials, *names: str) -> str:
    missing = " and ".join(name for name in names if getattr(sent, name) is None)
    return f"{missing} is missing in the Authorization header"


def utf8_of(text: str) -> str:
    """What the octets mean as UTF-8; the text as it is where they are not UTF-8."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text
