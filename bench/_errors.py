"""What can go wrong between a client and a server, each with the short reason under which Locust counts it.

    ClientError
    ├── ConnectError         no TCP connection
    ├── HandshakeError       no TLS session
    │   └── CertificateRefusedError
    ├── DeadlineError        in any phase
    ├── DroppedError         the connection ended before the answer did
    ├── BadAnswerError       not HTTP/1.1
    ├── StatusError          an answer, but not the one that was asked for
    └── NotResumedError      a full handshake where a resumed one was asked for

Reasons hold nothing that differs from request to request (no port, no time), so that equal failures count as one row.
"""

from __future__ import annotations

import os
import ssl


class ClientError(Exception):
    """A request that failed; str() is the reason."""


class ConnectError(ClientError):
    """TCP could not connect."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"cannot connect: {describe(error)}")


class HandshakeError(ClientError):
    """TCP connected, TLS did not."""


class CertificateRefusedError(HandshakeError):
    """The server's certificate is not one that the given CA vouches for, or not this server's."""

    def __init__(self, error: ssl.SSLCertVerificationError) -> None:
        super().__init__(f"certificate refused: {error.verify_message.rstrip('.')}")


class DeadlineError(ClientError):
    """Too long without a complete answer. The phase says where it was waiting."""

    def __init__(self, phase: str) -> None:
        super().__init__(f"timed out {phase}")


class DroppedError(ClientError):
    """The connection was closed or reset. before_answer: not one byte of the answer had come."""

    def __init__(self, how: str, *, before_answer: bool) -> None:
        where = "before the answer" if before_answer else "in mid-answer"
        super().__init__(f"connection {how} {where}")
        self.before_answer = before_answer


class BadAnswerError(ClientError):
    """What came is not an HTTP/1.1 answer to what was asked."""


class StatusError(ClientError):
    """A whole answer with a status that is a failure here."""

    def __init__(self, status: int, why: str = "") -> None:
        super().__init__(f"HTTP {status} ({why})" if why else f"HTTP {status}")
        self.status = status


class NotResumedError(ClientError):
    """The server answered, but did not take up the session that was offered."""

    def __init__(self) -> None:
        super().__init__("TLS session not resumed")


def describe(error: OSError) -> str:
    """Return an OSError in words, without the address, which differs from connection to connection."""
    return os.strerror(error.errno).lower() if error.errno else str(error)
