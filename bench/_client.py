"""A client of the device: keeps a connection, answers Digest challenges in advance, counts what it does.

One logical request is what the user asked for: a 401 that brings a challenge and the request that answers it are both
part of it, and so is a second try where the server had closed an idle connection. Its latency runs from the sending of
its first byte to the arrival of its last; connecting and the TLS handshake are counted apart. Under an open load it
runs from when the request was due, and holds whatever came in between.
"""

from __future__ import annotations

import ssl
import time
from typing import Final

import gevent

from bench._answers import WholeAnswer
from bench._arrivals import Arrivals
from bench._connection import Connection
from bench._deadlines import Deadlines
from bench._errors import BadAnswerError, ClientError, DroppedError, NotResumedError, StatusError
from bench._tally import Row, Tally
from bench._target import Target
from digest_auth import DigestClient

TIMEOUT_S: Final = 10.0  # a device that takes longer than this over anything has failed
# After a broken or refused connection: a refusal takes no time, so a user would spin and starve the others.
PAUSE_S: Final = 0.1
# Where an answer's head is searched for a nextnonce, in 0.1 µs; to parse it takes 15. The heads of our devices have 500
# octets or so; one that comes in pieces may be missed, and then the nonce becomes stale some time.
_HEAD: Final = 1024
_REFUSED: Final = "credentials refused"


class Request:
    """A request whose every byte but the Authorization is prepared."""

    __slots__ = ("_after", "_before", "_line", "_plain", "_wire", "idempotent", "row")

    def __init__(self, client: Client, row: Row, path: str, content: bytes | None) -> None:
        target = client.target.prefix + path
        lines = [
            f"{row.method} {target} HTTP/1.1",
            f"Host: {client.target.host_header}",
            "Accept: application/yang-data+json",
            "User-Agent: https-digest-bench",
        ]
        if content is not None:
            lines += ["Content-Type: application/yang-data+json", f"Content-Length: {len(content)}"]
        head = "".join(f"{line}\r\n" for line in lines).encode("ascii")
        self._plain = head + b"\r\n" + (content or b"")
        self._before, self._after = head + b"Authorization: ", b"\r\n\r\n" + (content or b"")
        self._line = client.digest.prepare(row.method, target, content or b"").authorization
        self._wire = b""  # what was sent last
        self.row = row
        self.idempotent = row.method in {"GET", "HEAD", "PUT", "DELETE"}  # RFC 9110 section 9.2.2

    def wire(self) -> bytes:
        """Return the bytes to send, with the next nonce count if a challenge was learnt."""
        self._wire = wire = self._line(self._before, self._after) or self._plain
        return wire

    @property
    def authorization(self) -> str:
        """What was sent last; empty where that was nothing."""
        if self._wire == self._plain:
            return ""
        return self._wire[len(self._before) : -len(self._after)].decode("latin-1")


class Client:
    """One virtual user's client. Not shared between greenlets."""

    def __init__(
        self,
        target: Target,
        credentials: tuple[str, str],
        tally: Tally,
        deadlines: Deadlines,
        *,
        requests_per_connection: int = 1,
        arrivals: Arrivals | None = None,
    ) -> None:
        """Make one. requests_per_connection: of `perform_reconnecting` alone. arrivals: of an open load."""
        self.target = target
        self._requests_per_connection = requests_per_connection
        self._arrivals = arrivals
        self.digest = DigestClient(*credentials)
        self._tally = tally
        self._deadlines = deadlines
        self._connection: Connection | None = None
        self._session: ssl.SSLSession | None = None

    def prepare(self, name: str, method: str, path: str, content: bytes | None = None) -> Request:
        """Make a request that is sent many times. name: of its row in the statistics."""
        return Request(self, self._tally.row(name, method), path, content)

    def perform(self, request: Request, *, resumes: bool = False) -> int:
        """Do one logical request and count it, as a failure too; return the time when it was over (monotonic ns).

        Under an open load it is done when it is due, and its latency runs from then. resumes: a full TLS handshake is a
        failure.
        """
        arrivals = self._arrivals
        due_ns = None if arrivals is None else arrivals.take()
        try:
            connection, began_ns = self._obtain(request)
            if resumes:
                self._insist_on_resumed(connection)
        except ClientError as error:
            if arrivals is None:
                self._failed(request.row, error, pause_s=PAUSE_S)
            elif arrivals.finish():  # no pause: the next comes when it is due, but where many are, others have a turn
                self._failed(request.row, error, pause_s=0)
            return time.monotonic_ns()
        now_ns = time.monotonic_ns()
        if due_ns is None or arrivals is None:
            due_ns = began_ns
        elif not arrivals.finish():
            return now_ns
        row = request.row
        row.latency.record((now_ns - due_ns) // 1000)
        for body in connection.bodies:
            row.content_bytes += len(body)
        return now_ns

    def perform_anew(self, request: Request) -> int:
        """Do it on a connection of its own, with a full handshake."""
        self.close()
        over_ns = self.perform(request)
        self.close()
        return over_ns

    def perform_reconnecting(self, request: Request) -> int:
        """Do it on the connection that is open, or on a new one where that has done its number of requests."""
        connection = self._connection
        if connection is not None and connection.exchanges >= self._requests_per_connection:
            self.close()
        return self.perform(request)

    def perform_resumed(self, request: Request) -> int:
        """Do it on a connection of its own that resumes the session of the one before.

        Where TLS says that it was not resumed the request counts as failed, whatever its answer.
        """
        self.close()
        over_ns = self.perform(request, resumes=self._session is not None)
        self.keep_session()
        self.close()
        return over_ns

    def perform_challenged(self, request: Request) -> int:
        """Do it without a nonce at hand: a 401, then the answer."""
        self.digest.forget()
        return self.perform(request)

    def fetch(self, request: Request) -> WholeAnswer:
        """Do one logical request without counting it, and return the answer. Raises ClientError."""
        connection, _ = self._obtain(request)
        return connection.answer()

    def warm_up(self, request: Request) -> WholeAnswer | None:
        """Connect and learn the first challenge, so that what is counted afterwards is alike.

        Only a failure is counted, and then None returned.
        """
        try:
            return self.fetch(request)
        except ClientError as error:
            self._failed(request.row, error, pause_s=PAUSE_S)
            return None

    def keep_session(self) -> None:
        """Resume the open connection's session from now on. Call it after an answer: TLS 1.3's tickets come late."""
        if self._connection is not None:
            self._session = self._connection.session

    def close(self) -> None:
        """Close the connection, if one is open."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _obtain(self, request: Request) -> tuple[Connection, int]:
        """Get a good answer; return on which connection, and when the first byte was sent. Raises ClientError."""
        connection = self._connection
        if connection is None or not connection.reusable:
            connection = self._connect()
        try:
            status = connection.exchange(request.wire())
            sent_ns = connection.started_ns
        except DroppedError as error:
            if not (error.before_answer and connection.exchanges and request.idempotent):
                raise
            # The server closed a connection that it had kept, as it may at any time (RFC 9112 section 9.3.1).
            sent_ns = connection.started_ns
            connection = self._connect()
            status = connection.exchange(request.wire())
        if status == 401:
            connection, status = self._answer_challenge(connection, request)
        if not 200 <= status < 300:
            raise StatusError(status)
        pieces = connection.pieces
        if pieces and pieces[0].find(b"nextnonce", 0, _HEAD) >= 0:
            self._take_next_nonce(connection, request)
        return connection, sent_ns

    def _answer_challenge(self, connection: Connection, request: Request) -> tuple[Connection, int]:
        if not self._accept(connection, request):
            why = _REFUSED if self.digest.refused else "no Digest challenge that this client can answer"
            raise StatusError(401, why)
        self._tally.challenges += 1
        if not connection.reusable:
            connection = self._connect()
        status = connection.exchange(request.wire())
        if status == 401:
            self._accept(connection, request)  # for the next request
            raise StatusError(401, _REFUSED)
        return connection, status

    def _accept(self, connection: Connection, request: Request) -> bool:
        challenges = connection.answer().header("www-authenticate")
        return self.digest.accept(challenges, authorization=request.authorization)

    def _take_next_nonce(self, connection: Connection, request: Request) -> None:
        """Go on with the nonce that the answer names, so that the one in use never becomes stale.

        Only such answers have their rspauth checked: it would cost as much as the rest of a request does here.
        """
        answer = connection.answer()
        info = ", ".join(answer.header("authentication-info"))
        try:
            self.digest.learn(info, authorization=request.authorization, content=answer.content)
        except ValueError as error:  # RspauthError, or an rspauth where no credentials were sent
            raise BadAnswerError("wrong Authentication-Info") from error

    def _insist_on_resumed(self, connection: Connection) -> None:
        if connection.handshake is not None and not connection.handshake.resumed:
            self._session = connection.session
            raise NotResumedError

    def _connect(self) -> Connection:
        self.close()
        connection = Connection(self.target, self._deadlines, self._tally.traffic, session=self._session)
        if connection.handshake is not None:
            self._tally.shook_hands(connection.handshake)
        self._connection = connection
        return connection

    def _failed(self, row: Row, error: ClientError, *, pause_s: float) -> None:
        row.failures[str(error)] += 1
        self.close()
        if not isinstance(error, (StatusError, NotResumedError)):
            gevent.sleep(pause_s)
