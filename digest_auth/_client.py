"""The client side: one DigestClient for each user (or session) of a server, outliving its connections.

It learns a challenge, then answers every request in advance with the same nonce and a rising nc, so that a 401 comes
but once. `prepare` is for loops that ask for the same resource many times: what can be hashed beforehand is.

    client = DigestClient(user, password)
    authorization = client.authorization("GET", target)  # None at first: send the request without
    ...
    if status == 401:
        if client.accept(www_authenticate_lines, authorization=authorization or ""):
            ...  # once more, with a new authorization
    elif authorization and authentication_info:
        client.learn(authentication_info, authorization=authorization)

What is passed and returned is text in which each character stands for one octet (ISO 8859-1), as in headers.
"""

import hmac
import itertools
import re
import secrets
import threading
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final
from urllib.parse import quote as percent_encode

from digest_auth._algorithms import BY_LOWERED_NAME, Algorithm
from digest_auth._header import HeaderError, credentials, quote
from digest_auth._offers import Challenge, best_offer
from digest_auth._response import Qop, hash_a1_of_session, hash_a2, response

if TYPE_CHECKING:
    from hashlib import _Hash

_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")
_SURROGATES: Final = re.compile(r"[\ud800-\udfff]")
_ATTR_CHARS: Final = "!#$&+-.^_`|~"  # attr-char of RFC 8187 section 3.2.1, beside letters and digits


class RspauthError(ValueError):
    """Who answered does not know the password, or the answer was altered (RFC 7616 section 3.5)."""


class _Account:
    """Who asks. Its representation holds no password."""

    __slots__ = ("_name", "_password")

    def __init__(self, name: str, password: str) -> None:
        if _CONTROLS.search(name):
            raise ValueError("the user's name holds a control character, which no header can carry")
        self._name = name
        self._password = password
        for what, text in (("user's name", name), ("password", password)):
            if _SURROGATES.search(text):  # before Python's own error, which holds the whole text
                raise ValueError(f"the {what} is not Unicode text: it has a lone surrogate")

    def name(self, *, utf8: bool) -> str:
        return _normalised(self._name, utf8=utf8)

    def hash_a1(self, algorithm: Algorithm, realm: str, *, utf8: bool) -> bytes:
        """H(A1) without -sess. The realm counts as the octets that came, whatever they mean."""
        name, password = self.name(utf8=utf8), _normalised(self._password, utf8=utf8)
        a1 = b"%b:%b:%b" % (name.encode(), realm.encode("latin-1"), password.encode())
        return algorithm.new(a1).hexdigest().encode("ascii")

    def username(self, challenge: Challenge) -> str:
        """The username parameter, in that of its forms which the server can read (RFC 7616 sections 3.4 and 3.4.4)."""
        name = self.name(utf8=challenge.utf8)
        if challenge.userhash:
            name_and_realm = name.encode() + b":" + challenge.realm.encode("latin-1")
            return f'username="{challenge.algorithm.new(name_and_realm).hexdigest()}", userhash=true'
        if challenge.utf8 and not name.isascii():
            return f"username*=UTF-8''{percent_encode(name, safe=_ATTR_CHARS)}"
        return f"username={quote(name.encode().decode('latin-1'))}"


class _Session:
    """A challenge that was accepted: RFC 7616 section 3.6 calls it an authentication session.

    before: the one in use until now, if it is of the same realm. after_refusal: the challenge came with the word that
    these credentials are wrong, and nothing since said otherwise.
    """

    __slots__ = (
        "after_refusal",
        "after_uri",
        "algorithm",
        "before_ha2",
        "before_uri",
        "challenge",
        "cnonce",
        "counts",
        "covers_body",
        "ha1",
        "secret_and_nonce",
    )

    def __init__(
        self, challenge: Challenge, account: _Account, *, before: "_Session | None", after_refusal: bool = False
    ) -> None:
        algorithm, qop, realm, nonce, opaque = challenge[:5]
        self.challenge = challenge
        self.algorithm = algorithm
        self.covers_body = qop is Qop.AUTH_INT
        self.after_refusal = after_refusal
        if before is not None and before.challenge.nonce == nonce:
            # Some servers give out a nonce more than once: a count must not be used again for all that.
            cnonce, counts = before.cnonce, before.counts
        else:
            # One cnonce for a nonce: only so is A1 of a -sess algorithm the same whether a server takes the cnonce of
            # the first request, as RFC 7616 section 3.4.2 says, or that of the request at hand, as many do.
            cnonce = secrets.token_hex(8).encode("ascii")
            counts = itertools.count(1)  # next() is atomic: threads and greenlets may share a session
        self.cnonce: bytes = cnonce
        self.counts: itertools.count[int] = counts
        if before is not None and before.challenge.hashes_as(challenge):
            self.ha1: bytes = before.ha1
        else:
            self.ha1 = account.hash_a1(algorithm, realm, utf8=challenge.utf8)
        nonce_octets = nonce.encode("latin-1")
        secret = hash_a1_of_session(algorithm, self.ha1, nonce_octets, cnonce) if algorithm.is_session else self.ha1
        # H(A1):nonce: is hashed once; each response goes on from a copy of this state.
        self.secret_and_nonce: _Hash = algorithm.new(b"%b:%b:" % (secret, nonce_octets))
        self.before_ha2 = b":%b:%b:" % (cnonce, qop.encode("ascii"))
        username = account.username(challenge)
        self.before_uri = f"Digest {username}, realm={quote(realm)}, nonce={quote(nonce)}, uri=".encode("latin-1")
        echoed = "" if opaque is None else f", opaque={quote(opaque)}"
        self.after_uri = f'{echoed}, algorithm={algorithm}, cnonce="{cnonce.decode("ascii")}", qop={qop}, nc='.encode(
            "latin-1"
        )


class DigestClient:
    """Answers one server's Digest challenges for one user. Safe to share between threads and greenlets.

    prefers_auth_int: whether to protect bodies too where the server leaves the choice; where it offers auth-int alone,
    that is taken anyway. Raises ValueError for a user or password that cannot be sent.

    What this object is told it answers for whatever target it is asked about. Its caller keeps it to the server that
    sent the challenge: that is the protection space unless `domain` names more (RFC 7616 section 3.3), and to answer
    other servers in advance, because the one said so, would show them the user's name and a hash to try passwords on.
    """

    def __init__(self, user: str, password: str, *, prefers_auth_int: bool = False) -> None:
        self._account = _Account(user, password)
        self._prefers_auth_int = prefers_auth_int
        self._lock = threading.Lock()  # of what replaces the session after a look at the one in use
        self._session: _Session | None = None

    def accept(self, www_authenticate: Iterable[str], *, authorization: str | None = None) -> bool:
        """Learn from the values of a 401's WWW-Authenticate lines. True: it is worth sending the request once more.

        authorization: what the refused request carried; empty where it carried none. With it, a challenge that comes
        late (to a request sent with an older nonce) leaves the newer session alone, and a refusal of the credentials
        is told from that of a nonce. Without it (None) the challenge is taken as it comes.

        False: no challenge that can be answered (see `best_offer`), and what was learnt before is kept; or the
        credentials were refused, and then `refused` is True. They were refused where a nonce used for the first time
        brings a challenge without stale=true (RFC 7616 section 3.3). A nonce used before gets another try: not every
        server says stale when it should.
        """
        challenge = best_offer(www_authenticate, prefers_auth_int=self._prefers_auth_int)
        if challenge is None:
            return False
        sent = _parameters(authorization) if authorization else {}
        answered = sent.get("realm") == challenge.realm  # else it refuses nothing: the server has another realm there
        with self._lock:
            current = self._session
            if current is not None and current.challenge.realm != challenge.realm:
                current = None
            doubted = current is not None and current.after_refusal
            if authorization is not None and current is not None and sent.get("nonce") != current.challenge.nonce:
                return not (answered and doubted and not challenge.stale)
            once_more = current is not None and current.challenge.nonce == challenge.nonce
            refused = answered and not challenge.stale and (doubted or once_more or sent.get("nc") == "00000001")
            self._session = _Session(challenge, self._account, before=current, after_refusal=refused)
        return not refused

    @property
    def refused(self) -> bool:
        """Whether the server said that user or password are wrong: ask for others, do not go on trying.

        Until a challenge with stale=true or `learn` says otherwise. Requests are still answered: the server may have
        changed its mind.
        """
        session = self._session
        return session is not None and session.after_refusal

    def learn(self, authentication_info: str, *, authorization: str, content: bytes | None = None) -> bool:
        """Learn from an answer's Authentication-Info (RFC 7615; RFC 7616 section 3.5).

        authorization: what the answered request carried. content: the answer's, as it came, content codings and all;
        needed only where `covers_content` says so.

        nextnonce is the nonce from here on, if that of the answered request is the one still in use: of many answers
        that each bring one, the first counts. With a -sess algorithm it is left alone: servers disagree on whether A1
        then holds the new nonce or the first.

        True: the server has proved (rspauth) that it knows the password. False: it did not say. Raises RspauthError
        where it says so wrongly; ValueError where the content is needed.
        """
        sent, info = _parameters(authorization), _parameters(f"Digest {authentication_info}")
        proved = "rspauth" in info
        if proved:
            self._verify(info, sent, content)
        nextnonce = info.get("nextnonce")
        with self._lock:
            current = self._session
            if info and current is not None and current.challenge.nonce == sent.get("nonce"):
                current.after_refusal = False
                if nextnonce and nextnonce != current.challenge.nonce and not current.challenge.algorithm.is_session:
                    self._session = _Session(
                        current.challenge._replace(nonce=nextnonce, stale=False), self._account, before=current
                    )
        return proved

    @staticmethod
    def covers_content(authentication_info: str) -> bool:
        """Whether `learn` needs the answer's content: the rspauth is one of qop=auth-int."""
        info = _parameters(f"Digest {authentication_info}")
        return "rspauth" in info and info.get("qop", "").lower() == Qop.AUTH_INT

    def forget(self) -> None:
        """Drop the nonce: the next request goes out without credentials and is challenged."""
        with self._lock:
            self._session = None

    def authorization(self, method: str, target: str, body: bytes = b"") -> str | None:
        """An Authorization value for one request; None before a challenge was accepted.

        target: the request target exactly as it will be sent. body: of the request, without its transfer coding;
        needed only where `covers_body` is True.
        """
        value = self.prepare(method, target, body).authorization()
        return None if value is None else value.decode("latin-1")

    def prepare(self, method: str, target: str, body: bytes = b"") -> "Prepared":
        """What can be computed beforehand for requests with this method, target and body."""
        return Prepared(self, method, target, body)

    @property
    def covers_body(self) -> bool:
        """Whether a request's body is needed to authorize it: the qop in use is auth-int, or may become so."""
        session = self._session
        return self._prefers_auth_int if session is None else session.covers_body

    @property
    def domain(self) -> tuple[str, ...]:
        """The URIs that the challenge in use gave as its protection space; empty: the whole server."""
        session = self._session
        return () if session is None else session.challenge.domain

    @property
    def session(self) -> _Session | None:
        """The challenge in use, for Prepared."""
        return self._session

    def _verify(self, info: dict[str, str], sent: dict[str, str], content: bytes | None) -> None:
        """Raise RspauthError unless the rspauth is the one that goes with what was sent."""
        algorithm = BY_LOWERED_NAME.get(sent.get("algorithm", "").lower())
        if algorithm is None or not {"realm", "nonce", "nc", "cnonce", "qop", "uri"} <= sent.keys():
            raise ValueError("authorization is not what this client sent")
        for name in ("nc", "cnonce"):
            if info.get(name, sent[name]) != sent[name]:
                raise RspauthError(f"the answer's Authentication-Info has the {name} of another request")
        qop = info.get("qop", sent["qop"])
        body_hash = None
        if qop.lower() == Qop.AUTH_INT:
            if content is None:
                raise ValueError("the answer's content is needed to check its rspauth")
            body_hash = algorithm.new(content).hexdigest().encode("ascii")
        octets = {name: text.encode("latin-1") for name, text in sent.items()}
        expected = response(
            algorithm,
            self._secret_of(algorithm, sent, octets),
            octets["nonce"],
            octets["nc"],
            octets["cnonce"],
            qop.encode("latin-1"),
            hash_a2(algorithm, b"", octets["uri"], body_hash),
        )
        if not hmac.compare_digest(expected, info["rspauth"].lower().encode("latin-1", "replace")):
            raise RspauthError(
                "the answer's rspauth is wrong: the server does not know the password, or it was altered"
            )

    def _secret_of(self, algorithm: Algorithm, sent: dict[str, str], octets: dict[str, bytes]) -> bytes:
        """H(A1) of a request, whose session may have been replaced meanwhile."""
        session = self._session
        challenge = None if session is None else session.challenge
        if session is not None and (session.challenge.algorithm, session.challenge.realm) == (algorithm, sent["realm"]):
            ha1 = session.ha1
        else:
            ha1 = self._account.hash_a1(algorithm, sent["realm"], utf8=challenge is None or challenge.utf8)
        if not algorithm.is_session:
            return ha1
        return hash_a1_of_session(algorithm, ha1, octets["nonce"], octets["cnonce"])


class Prepared:
    """Authorization values for one method, target and body; follows its client from nonce to nonce."""

    __slots__ = ("_adopted", "_body", "_client", "_method", "_target")

    def __init__(self, client: DigestClient, method: str, target: str, body: bytes = b"") -> None:
        self._client = client
        self._method = method.encode("ascii")
        self._target = target
        self._body = body
        self._adopted: tuple[_Session | None, bytes, bytes] = (None, b"", b"")  # replaced as a whole: threads share it

    def authorization(self, before: bytes = b"", after: bytes = b"") -> bytes | None:
        """A value with the next nonce count; None before a challenge was accepted.

        before, after: of a request, put around the value here because to copy it once more takes a fifth as long.
        """
        session = self._client.session
        if session is None:
            return None
        adopted, before_nc, tail = self._adopted
        if session is not adopted:
            before_nc, tail = self._adopt(session)
        nc = b"%08x" % next(session.counts)
        state = session.secret_and_nonce.copy()
        state.update(nc + tail)
        return b"".join((before, before_nc, nc, b', response="', state.hexdigest().encode("ascii"), b'"', after))

    def _adopt(self, session: _Session) -> tuple[bytes, bytes]:
        """What comes before nc, and what is hashed after it."""
        algorithm = session.algorithm
        body_hash = algorithm.new(self._body).hexdigest().encode("ascii") if session.covers_body else None
        before_nc = session.before_uri + quote(self._target).encode("latin-1") + session.after_uri
        tail = session.before_ha2 + hash_a2(algorithm, self._method, self._target.encode("latin-1"), body_hash)
        self._adopted = session, before_nc, tail
        return before_nc, tail


def _normalised(text: str, *, utf8: bool) -> str:
    """RFC 7616 section 4: a server that says charset=UTF-8 means Unicode's Normalization Form C."""
    return unicodedata.normalize("NFC", text) if utf8 else text


def _parameters(value: str) -> dict[str, str]:
    """Those of a header that can be read and is Digest's, else none: what cannot be read says nothing."""
    try:
        return credentials(value) or {}
    except HeaderError:
        return {}
