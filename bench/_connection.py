"""One HTTP/1.1 connection, lean: TLS on two memory BIOs over a bare wire, answers parsed by httptools.

Why not gevent's SSLSocket: it tries a read that fails and asks getsockopt for each request, which doubles what a
request costs the generator. Here a request is one send, one poll, one receive.

What may surprise a reader:
- `SSLObject.read` gives one record. Head and body may come in two, a record may come in pieces, tickets come before
  any answer: read until the answer is whole or TLS wants more.
- The receive buffer is shared by all connections: nothing lets another greenlet run between filling and using it.
- `exchange` is written out where functions of its own would read better: a call of each would take 5 % of a request.
"""

from __future__ import annotations

import contextlib
import ssl
import time
from dataclasses import dataclass
from typing import Final

import httptools

from bench._answers import Answers, WholeAnswer
from bench._deadlines import Deadlines
from bench._errors import BadAnswerError, CertificateRefusedError, ClientError, DroppedError, HandshakeError, describe
from bench._target import Target
from bench._wire import Traffic, Wire

_RECORD: Final = 16_384  # the most plain text in one TLS record, RFC 8446 section 5.1
# Not made for each answer: malloc would get such a large piece from the kernel, and give it back, many times a second.
_RECEIVED = bytearray(65_536)
_RECEIVED_VIEW = memoryview(_RECEIVED)


@dataclass(frozen=True, slots=True)
class Handshake:
    """A TLS handshake that was done. us: from first to last message. resumed: as TLS says, not as was asked."""

    us: int
    resumed: bool
    version: str  # "TLSv1.3"
    cipher: str


class _Tls:
    """TLS between the wire and the plain text."""

    def __init__(self, wire: Wire, context: ssl.SSLContext, server_name: str, session: ssl.SSLSession | None) -> None:
        self._wire = wire
        self.incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self.incoming, self._outgoing, server_hostname=server_name, session=session)
        self.write, self.read = self._object.write, self._object.read
        self.to_send = self._outgoing.read  # what `write` made of it

    @property
    def session(self) -> ssl.SSLSession | None:
        return self._object.session

    def shake_hands(self) -> Handshake:
        """Raises HandshakeError, DeadlineError."""
        self._wire.phase = "in the TLS handshake"
        self._wire.since_ns = started_ns = time.monotonic_ns()
        try:
            while not self._step():
                if not (count := self._wire.receive_into(_RECEIVED)):
                    raise HandshakeError("TLS handshake failed: connection closed")
                self.incoming.write(_RECEIVED_VIEW[:count])
        except ssl.SSLCertVerificationError as error:
            raise CertificateRefusedError(error) from error
        except ssl.SSLError as error:
            raise HandshakeError(f"TLS handshake failed: {in_words(error)}") from error
        except OSError as error:
            raise HandshakeError(f"TLS handshake failed: {describe(error)}") from error
        us = (time.monotonic_ns() - started_ns) // 1000
        cipher = self._object.cipher()
        return Handshake(
            us, bool(self._object.session_reused), self._object.version() or "", cipher[0] if cipher else ""
        )

    def goodbye(self) -> bytes:
        """Take the close_notify to send, RFC 8446 section 6.1. The peer's is not waited for."""
        with contextlib.suppress(ssl.SSLError):  # "want read" for the peer's; anything else: the session is broken
            self._object.unwrap()
        return self._outgoing.read()

    def _step(self) -> bool:
        """Go on, and send what there is to say, which may be an alert; True when it is done."""
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            if data := self._outgoing.read():
                self._wire.send(data)
        return True


class Connection:
    """An open connection. `exchange` may be called as long as `reusable` is true; `close` must be, in the end.

    handshake: None without TLS. exchanges: how many went well. started_ns: when the last request was sent.
    pieces: the answer now being read, or read last, as it came. bodies: its content.
    """

    def __init__(
        self, target: Target, deadlines: Deadlines, traffic: Traffic, *, session: ssl.SSLSession | None = None
    ) -> None:
        """Connect and, where the target has it, begin TLS. Raises ConnectError, HandshakeError, DeadlineError."""
        self._wire = Wire(target.addresses, deadlines, traffic)
        self.pieces: list[bytes | bytearray] = []
        self._answers = Answers()
        self.bodies = self._answers.bodies
        self._tls: _Tls | None = None
        self.reusable = True
        self.exchanges = 0
        self.started_ns = 0
        self.handshake: Handshake | None = None
        if target.context is not None:
            try:
                self._tls = _Tls(self._wire, target.context, target.server_name, session)
                self.handshake = self._tls.shake_hands()
            except BaseException:  # GreenletExit too: Locust stops a user wherever it is
                self._wire.close()
                raise
        self._wire.phase = "waiting for the answer"

    def exchange(self, request: bytes) -> int:
        """Send a request and read its whole answer; return the status.

        Raises DroppedError, BadAnswerError, DeadlineError; the connection is then good for closing only.
        """
        answers, wire, tls, pieces = self._answers, self._wire, self._tls, self.pieces
        self.reusable = False  # until all went well
        answers.whole = 0
        answers.bodies.clear()
        pieces.clear()
        self.started_ns = wire.since_ns = time.monotonic_ns()
        try:
            if tls is None:
                self._exchange_openly(request)
            else:
                tls.write(request)
                wire.send(tls.to_send())
                incoming = tls.incoming
                while not answers.whole:
                    if not (count := wire.receive_into(_RECEIVED)):
                        self._ended()
                        break
                    incoming.write(_RECEIVED_VIEW[:count])
                    try:
                        while incoming.pending:
                            if not (data := tls.read(_RECORD)):  # close_notify
                                self._ended()
                                break
                            pieces.append(data)
                            answers.feed(data)
                    except ssl.SSLWantReadError:  # a ticket, or the first part of a record
                        continue
        except (OSError, httptools.HttpParserError) as error:
            raise self._explained(error) from error
        if answers.whole > 1:
            raise BadAnswerError("two answers to one request")
        self.exchanges += 1
        self.reusable = answers.keep_alive
        return answers.status

    @property
    def session(self) -> ssl.SSLSession | None:
        """The session to resume from; None without TLS.

        Under TLS 1.3 it is good only once an answer was read: tickets come after the handshake.
        """
        return None if self._tls is None else self._tls.session

    def answer(self) -> WholeAnswer:
        """Return the last answer with its headers and content."""
        return WholeAnswer(self.pieces)

    def close(self) -> None:
        """Say goodbye in TLS, as far as that needs no waiting, and close."""
        self.reusable = False
        self._answers.close()
        self._wire.close(last_words=b"" if self._tls is None else self._tls.goodbye())

    def _exchange_openly(self, request: bytes) -> None:
        self._wire.send(request)
        while not self._answers.whole:
            if count := self._wire.receive_into(_RECEIVED):
                self.pieces.append(data := _RECEIVED[:count])
                self._answers.feed(data)
            else:
                self._ended()

    def _ended(self) -> None:
        """Take the end of the connection for the end of the answer where HTTP means it so, else for an error."""
        answers = self._answers
        if answers.whole:  # the answer came with the end
            answers.keep_alive = False
            return
        answer = self.answer()
        if not answer.delimited_by_closing:
            raise DroppedError("closed", before_answer=not self.pieces)
        answers.whole, answers.status, answers.keep_alive = 1, answer.status, False

    def _explained(self, error: Exception) -> ClientError:
        if isinstance(error, ssl.SSLError):
            return BadAnswerError(f"TLS failed: {in_words(error)}")
        if isinstance(error, OSError):
            reset = isinstance(error, (ConnectionResetError, BrokenPipeError))
            return DroppedError("reset" if reset else f"lost ({describe(error)})", before_answer=not self.pieces)
        return BadAnswerError("not an HTTP answer")


def in_words(error: ssl.SSLError) -> str:
    """Return what OpenSSL calls an error, such as "tlsv1 alert protocol version"."""
    return (error.reason or "unknown").lower().replace("_", " ")
