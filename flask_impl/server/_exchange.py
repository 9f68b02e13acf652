"""One request answered: environment, application, and what becomes of the connection."""

import enum
import io
import logging
from collections.abc import Callable
from typing import Any, Final
from wsgiref.types import WSGIApplication

from flask_impl.server._answer import Answer, refusal
from flask_impl.server._body import BodyCutError, BodyMalformedError, BodyTimeoutError, StreamedBody
from flask_impl.server._client import Client
from flask_impl.server._connection import Connection, send_all
from flask_impl.server._environ import request_environ
from flask_impl.server._http import RefusedError, Request
from flask_impl.server._limits import Limits

_log = logging.getLogger("flask_impl.server")
_READ_AHEAD: Final = 65536  # of a streamed body, so that an application that reads line by line is not slow


class Outcome(enum.Enum):
    """What becomes of a connection after an answer."""

    NEXT = enum.auto()  # it waits for the next request
    CLOSE = enum.auto()  # it ends as both sides expect
    LINGER = enum.auto()  # it ends although the client may still be sending
    BROKEN = enum.auto()  # there is nobody there, or the answer was cut off and must not look whole


class LostClientError(ConnectionError):
    """An answer could not be sent. A class of its own: applications have OSErrors too."""


class Exchange:
    """How to answer requests with one application. Any number of threads may do so at once."""

    def __init__(self, application: WSGIApplication, limits: Limits, closing: Callable[[], bool]) -> None:
        """closing: whether connections should end with their answers."""
        self.environ: dict[str, Any] = {}  # what is the same for each request
        self._application = application
        self._limits = limits
        self._closing = closing

    def answer(self, client: Client) -> Outcome:
        """Answer the first request of a client that is ready."""
        reader = client.reader
        try:
            if not reader.requests or (reader.refused is not None and not reader.requests[0].complete):
                if reader.refused is None:
                    raise RuntimeError("there is nothing to answer")
                return self._refuse(client.connection, reader.refused)
            outcome = self._run(client, reader.requests[0])
        except LostClientError as error:
            _log.debug("%s: gone before its answer: %s", client, error)
            return Outcome.BROKEN
        reader.requests.pop(0)
        return outcome

    def _run(self, client: Client, request: Request) -> Outcome:
        connection = client.connection
        answer = Answer(
            request,
            lambda data: self._send(connection, data),
            lambda: self._closing() and len(client.reader.requests) == 1,  # pipelined requests have arrived as well
        )
        body = self._body(client, request, lambda: answer.head_sent)
        environ = request_environ(self.environ, client.environ, request, body)
        try:
            answer.run(self._application, environ)
        except (LostClientError, BodyCutError) as error:
            raise LostClientError(str(error)) from error
        except (BodyTimeoutError, BodyMalformedError) as error:
            refused = RefusedError(error.code or 400, error.description or "")
        except BaseException:  # noqa: BLE001 (an application's SystemExit must not end a thread of the pool either)
            _log.exception("%s: the application failed at %s %s", client, request.method, environ["RAW_URI"])
            refused = RefusedError(500, "the application failed")
        else:
            if answer.keep_alive:
                return Outcome.NEXT
            return Outcome.CLOSE if request.complete else Outcome.LINGER
        if answer.head_sent:
            return Outcome.BROKEN
        self._refuse(connection, refused)
        return Outcome.CLOSE if request.complete else Outcome.LINGER

    def _body(self, client: Client, request: Request, answered: Callable[[], bool]) -> io.BufferedIOBase:
        if request.complete:
            return io.BytesIO(request.body)
        body = StreamedBody(client.connection, client.reader, request, self._limits, answered, self._closing)
        return io.BufferedReader(body, _READ_AHEAD)

    def _refuse(self, connection: Connection, refused: RefusedError) -> Outcome:
        self._send(connection, refusal(refused))
        return Outcome.LINGER

    def _send(self, connection: Connection, data: bytes | memoryview) -> None:
        try:
            send_all(connection, data, self._limits.send_idle_s, self._limits.send_rate)
        except OSError as error:
            raise LostClientError(str(error)) from error
