"""A body that is too large to wait for: the application reads it while it arrives."""

import io
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestTimeout

from flask_impl.server._connection import Connection, receive_by, send_all
from flask_impl.server._http import Request, RequestReader
from flask_impl.server._limits import Limits

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

STOPPING_IDLE_S: Final = 3.0
"""Between two pieces of a body while the server stops, in place of `Limits.body_idle_s` if that is more."""

_LOOK_S: Final = 0.5  # how soon a thread that waits for a body finds out that the server stops
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class BodyCutError(ClientDisconnected, ConnectionResetError):
    """The client left in the middle of its body. Flask makes it a 400 that nobody reads, without a traceback."""


class BodyTimeoutError(RequestTimeout, TimeoutError):
    """The body did not come, or not fast enough. Flask answers 408."""


class BodyMalformedError(BadRequest, ConnectionAbortedError):
    """What came is no chunk. Flask answers 400."""


class StreamedBody(io.RawIOBase):
    """The octets of a body, without its chunks' framing; ends where the body ends.

    The first read sends "100 Continue" where the client waits for it, so that a request can be refused before its body
    was sent; but not into the middle of an answer that has begun.

    Raises the three errors above, which are OSErrors to any application and HTTP errors to one on Werkzeug.
    """

    def __init__(
        self,
        connection: Connection,
        reader: RequestReader,
        request: Request,
        limits: Limits,
        answered: Callable[[], bool],
        stopping: Callable[[], bool],
    ) -> None:
        """answered: whether something of the answer has been sent. stopping: whether the server stops."""
        self._connection = connection
        self._reader = reader
        self._request = request
        self._limits = limits
        self._answered = answered
        self._stopping = stopping
        self._continue_due = request.expects_continue
        self._waited_s = 0.0  # for the client. The application's own time is not the client's slowness
        self._received = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        request = self._request
        while not request.body:
            if request.complete:
                return 0
            self._receive()
        view = memoryview(buffer).cast("B")
        size = min(len(view), len(request.body))
        with memoryview(request.body) as body:
            view[:size] = body[:size]
        del request.body[:size]
        return size

    def _receive(self) -> None:
        if self._reader.refused is not None:
            raise BodyMalformedError(self._reader.refused.reason)
        try:
            if self._continue_due and not self._answered():
                self._continue_due = False
                send_all(self._connection, _CONTINUE, self._limits.send_idle_s, self._limits.send_rate)
            data = self._receive_in_time()
        except TimeoutError as error:
            raise BodyTimeoutError("the body did not arrive in time") from error
        except OSError as error:
            raise BodyCutError("the client left in the middle of the body") from error
        if not data:
            raise BodyCutError("the client left in the middle of the body")
        self._received += len(data)
        self._reader.feed(data)

    def _receive_in_time(self) -> bytes:
        limits = self._limits
        before_s = time.monotonic()
        left_s = limits.body_idle_s + min(0.0, self._received / limits.body_rate - self._waited_s)
        try:
            return self._receive_by(before_s, before_s + left_s)
        finally:
            self._waited_s += time.monotonic() - before_s

    def _receive_by(self, since_s: float, deadline_s: float) -> bytes:
        while True:
            try:
                return receive_by(self._connection, min(deadline_s, time.monotonic() + _LOOK_S))
            except TimeoutError:
                now_s = time.monotonic()
                if now_s >= deadline_s or (self._stopping() and now_s >= since_s + STOPPING_IDLE_S):
                    raise
