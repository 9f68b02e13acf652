"""What a server offers in a 401, and which of it a client takes."""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from digest_auth._algorithms import BY_LOWERED_NAME, Algorithm
from digest_auth._header import challenges
from digest_auth._response import Qop

_NO_OCTET: Final = re.compile(r"[^\x00-\xff]")


class Challenge(NamedTuple):
    """A challenge that can be answered (RFC 7616 section 3.3). Text as in the header: a character for each octet."""

    algorithm: Algorithm
    qop: Qop
    realm: str
    nonce: str
    opaque: str | None
    domain: tuple[str, ...]
    userhash: bool
    utf8: bool  # charset=UTF-8: names and passwords are hashed as UTF-8 in NFC (section 4)
    stale: bool

    def hashes_as(self, other: "Challenge") -> bool:
        """Whether H(A1), but for -sess, is the same."""
        return (self.algorithm.plain, self.realm, self.utf8) == (other.algorithm.plain, other.realm, other.utf8)


def best_offer(www_authenticate: Iterable[str], *, prefers_auth_int: bool) -> Challenge | None:
    """The challenge to answer among those of the WWW-Authenticate lines; None when there is none.

    One with a hash of 256 bits comes before any with MD5, wherever it stands: whoever can alter a header must not get
    the weaker hash by putting it first. SHA-256 and SHA-512-256 are equally strong, and -sess takes nothing away; among
    equals the first is taken, for servers list what they like best first (RFC 7616 section 3.7).

    Left out: lines that were not read as ISO 8859-1, RFC 2069's form without qop, and algorithms that this Python
    cannot compute.
    """
    best: Challenge | None = None
    for parameters in challenges(filter(_is_octets, www_authenticate)):
        challenge = _read(parameters, prefers_auth_int=prefers_auth_int)
        if challenge is not None and (best is None or (_is_weak(best.algorithm) and not _is_weak(challenge.algorithm))):
            best = challenge
    return best


def _read(parameters: dict[str, str], *, prefers_auth_int: bool) -> Challenge | None:
    value = parameters.get
    algorithm = BY_LOWERED_NAME.get(value("algorithm", "MD5").lower())
    qop = _choose_qop(value("qop", ""), prefers_auth_int=prefers_auth_int)
    realm, nonce = value("realm"), value("nonce")
    if algorithm is None or not algorithm.is_available or qop is None or realm is None or nonce is None:
        return None
    return Challenge(
        algorithm,
        qop,
        realm,
        nonce,
        value("opaque"),
        tuple(value("domain", "").split()),
        userhash=value("userhash", "").lower() == "true",
        utf8=value("charset", "").upper() == "UTF-8",
        stale=value("stale", "").lower() == "true",
    )


def _choose_qop(offered: str, *, prefers_auth_int: bool) -> Qop | None:
    qops = [qop.strip() for qop in offered.lower().split(",")]
    first, second = (Qop.AUTH_INT, Qop.AUTH) if prefers_auth_int else (Qop.AUTH, Qop.AUTH_INT)
    if first in qops:
        return first
    return second if second in qops else None


def _is_weak(algorithm: Algorithm) -> bool:
    return algorithm.plain is Algorithm.MD5


def _is_octets(text: str) -> bool:
    """Whether it is what a header's octets read as, as ISO 8859-1."""
    return _NO_OCTET.search(text) is None
