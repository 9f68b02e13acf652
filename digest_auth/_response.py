"""The hashes of RFC 7616 section 3.4: A1, A2, the response, and what stands for a hidden user name.

Values are bytes exactly as they stand on the wire; hashes are lower-case hexadecimal digits. Server and client compute
them here alone, but for what the client can hash beforehand.
"""

from enum import StrEnum

from digest_auth._algorithms import Algorithm


class Qop(StrEnum):
    """The quality of protection: what the response covers (RFC 7616 section 3.4.3)."""

    AUTH = "auth"  # method and target
    AUTH_INT = "auth-int"  # the body as well


def hash_a1(algorithm: Algorithm, user: str, realm: str, password: str) -> bytes:
    """H(A1) without -sess, section 3.4.2: what a users file stores. Text is hashed as UTF-8 (section 4)."""
    return algorithm.new(f"{user}:{realm}:{password}".encode()).hexdigest().encode("ascii")


def hash_a1_of_session(algorithm: Algorithm, ha1: bytes, nonce: bytes, cnonce: bytes) -> bytes:
    """H(A1) of a -sess algorithm, section 3.4.2, from the plain one.

    The section means the nonce and the cnonce with which the session began. Clients in the wild (curl, requests, wget)
    take those of the request; who keeps the cnonce for as long as the nonce agrees with both.
    """
    return algorithm.new(b"%b:%b:%b" % (ha1, nonce, cnonce)).hexdigest().encode("ascii")


def hash_a2(algorithm: Algorithm, method: bytes, uri: bytes, body_hash: bytes | None = None) -> bytes:
    """H(A2), section 3.4.3. method: empty for a server's answer (section 3.5). body_hash: for auth-int, hexadecimal."""
    a2 = b"%b:%b" % (method, uri) if body_hash is None else b"%b:%b:%b" % (method, uri, body_hash)
    return algorithm.new(a2).hexdigest().encode("ascii")


def response(  # one parameter for each part of the formula
    algorithm: Algorithm, ha1: bytes, nonce: bytes, nc: bytes, cnonce: bytes, qop: bytes, ha2: bytes
) -> bytes:
    """The `response` parameter, section 3.4.1; with H(A2) of an answer it is `rspauth`, section 3.5."""
    parts = b"%b:%b:%b:%b:%b:%b" % (ha1, nonce, nc, cnonce, qop, ha2)
    return algorithm.new(parts).hexdigest().encode("ascii")


def hash_user(algorithm: Algorithm, user: str, realm: str) -> str:
    """What `username` holds where userhash=true, section 3.4.4."""
    return algorithm.new(f"{user}:{realm}".encode()).hexdigest()
