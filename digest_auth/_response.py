"""The hashes of RFC 7616 section 3.4: A1, A2 and the response. Server and client compute them here alone.

All values are bytes exactly as they stand on the wire; hashes are lower-case hexadecimal digits, as bytes.
"""

from digest_auth._algorithms import Algorithm


def hash_a1(algorithm: Algorithm, user: str, realm: str, password: str) -> bytes:
    """H(A1), section 3.4.2: what a users file stores. Text is hashed as UTF-8 (RFC 7616 section 4)."""
    return algorithm.new(f"{user}:{realm}:{password}".encode()).hexdigest().encode("ascii")


def hash_a2(algorithm: Algorithm, method: str, uri: bytes) -> bytes:
    """H(A2) for qop=auth, section 3.4.3."""
    return algorithm.new(method.encode("ascii") + b":" + uri).hexdigest().encode("ascii")


def response(  # one parameter for each part of the formula
    algorithm: Algorithm, ha1: bytes, nonce: bytes, nc: bytes, cnonce: bytes, qop: bytes, ha2: bytes
) -> bytes:
    """The `response` parameter, section 3.4.1."""
    secret_and_data = b":".join((ha1, nonce, nc, cnonce, qop, ha2))
    return algorithm.new(secret_and_data).hexdigest().encode("ascii")
