"""What the application gives back: PEP 3333 in, RFC 9112 out. h11 reads it, as a client that nobody here wrote."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TypeAlias
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import h11
import pytest

from flask_impl.server._answer import Answer, ApplicationError, refusal
from flask_impl.server._connection import RECORD
from flask_impl.server._http import RefusedError, Request

ErrorInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType]

TEXT = ("Content-Type", "text/plain")


@dataclass(frozen=True)
class Circumstances:
    """What decides, beside the answer, whether the connection goes on."""

    keep_alive: bool = True
    complete: bool = True
    closing: bool = False


class Given:
    """One answer: what was sent, in which pieces, and as h11 understands it."""

    def __init__(
        self,
        application: WSGIApplication,
        circumstances: Circumstances = Circumstances(),
        *,
        method: str = "GET",
        version: str = "1.1",
    ) -> None:
        request = Request()
        request.method, request.version = method, version
        request.keep_alive, request.complete = circumstances.keep_alive, circumstances.complete
        self.pieces: list[bytes] = []
        self.answer = Answer(request, lambda piece: self.pieces.append(bytes(piece)), lambda: circumstances.closing)
        self.error: BaseException | None = None
        try:
            self.answer.run(application, {})
        except Exception as error:  # noqa: BLE001 (tests look at it)
            self.error = error
        if self.error is None:
            self._understand(method)

    def _understand(self, method: str) -> None:
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method=method, target="/", headers=[("Host", "device")]))
        client.send(h11.EndOfMessage())
        client.receive_data(b"".join(self.pieces))
        head = client.next_event()
        assert isinstance(head, h11.Response)
        self.status = head.status_code
        self.fields = {name.decode(): value.decode() for name, value in head.headers}
        self.body = b""
        while isinstance(event := client.next_event(), h11.Data):
            self.body += event.data
        if event is h11.NEED_DATA:
            assert not self.answer.keep_alive  # only the end of the connection can end it
            client.receive_data(b"")
            event = client.next_event()
        assert isinstance(event, h11.EndOfMessage)
        assert client.trailing_data == (b"", False) or not self.answer.keep_alive


def answering(
    *body: bytes, status: str = "200 OK", fields: Iterable[tuple[str, str]] = (TEXT,), stream: bool = False
) -> WSGIApplication:
    def application(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, list(fields))
        return iter(body) if stream else list(body)

    return application


class TestFraming:
    """How the client learns where the body ends."""

    def test_a_list_has_a_length(self) -> None:
        given = Given(answering(b"hello", b" ", b"world"))
        assert (given.status, given.body) == (200, b"hello world")
        assert given.fields["content-length"] == "11"
        assert given.answer.keep_alive

    def test_a_stream_goes_in_chunks_each_sent_at_once(self) -> None:
        given = Given(answering(b"hello", b"", b"world", stream=True))
        assert given.body == b"helloworld"
        assert given.fields["transfer-encoding"] == "chunked"
        assert [piece.rpartition(b"\r\n\r\n")[2] for piece in given.pieces[:1]] == [b"5\r\nhello\r\n"]
        assert given.pieces[1:] == [b"5\r\nworld\r\n", b"0\r\n\r\n"]

    def test_a_stream_with_a_length_needs_no_chunks(self) -> None:
        given = Given(answering(b"hello", b"world", fields=[("Content-Length", "10")], stream=True))
        assert given.body == b"helloworld"
        assert "transfer-encoding" not in given.fields

    def test_nothing_has_length_zero(self) -> None:
        for stream in (False, True):
            given = Given(answering(stream=stream))
            assert (given.body, given.fields["content-length"]) == (b"", "0")

    def test_http_1_0_knows_no_chunks(self) -> None:
        given = Given(answering(b"hello", stream=True), version="1.0")
        assert given.body == b"hello"
        assert given.fields["connection"] == "close"
        assert not given.answer.keep_alive

    def test_http_1_0_may_keep_alive_if_the_length_is_known(self) -> None:
        given = Given(answering(b"hello"), version="1.0")
        assert given.fields["connection"] == "keep-alive"
        assert given.answer.keep_alive

    def test_head_is_the_head_alone(self) -> None:
        for stream in (False, True):
            given = Given(answering(b"hello", fields=[("Content-Length", "5")], stream=stream), method="HEAD")
            assert (given.body, given.fields["content-length"]) == (b"", "5")
            assert given.pieces[0].endswith(b"\r\n\r\n")

    def test_head_does_not_say_that_the_body_is_empty_if_it_does_not_know(self) -> None:
        assert "content-length" not in Given(answering(stream=True), method="HEAD").fields

    def test_204_has_neither_body_nor_length(self) -> None:
        given = Given(answering(b"hello", status="204 No Content", fields=[("Content-Length", "5")]))
        assert given.body == b""
        assert "content-length" not in given.fields

    def test_304_has_no_body(self) -> None:
        given = Given(answering(b"hello", status="304 Not Modified", fields=[("Content-Length", "5")]))
        assert given.body == b""
        assert given.fields["content-length"] == "5"

    def test_head_and_small_body_are_one_piece(self) -> None:
        assert len(Given(answering(b"hello")).pieces) == 1

    def test_a_large_body_fills_whole_records(self) -> None:
        given = Given(answering(b"a" * 100_000))
        assert len(given.pieces[0]) == RECORD
        assert given.body == b"a" * 100_000


class TestPersistence:
    """When the connection goes on, and that the client is told when it does not."""

    def test_http_1_1_goes_on(self) -> None:
        assert "connection" not in Given(answering()).fields

    @pytest.mark.parametrize(
        "reason",
        [
            Circumstances(keep_alive=False),  # the client wants no more
            Circumstances(complete=False),  # a part of the body has not arrived: it stands before the next request
            Circumstances(closing=True),  # the server stops
        ],
    )
    def test_it_ends(self, reason: Circumstances) -> None:
        given = Given(answering(), reason)
        assert given.fields["connection"] == "close"
        assert not given.answer.keep_alive

    def test_the_application_may_end_it(self) -> None:
        given = Given(answering(fields=[("Connection", "Close")]))
        assert given.fields["connection"] == "close"
        assert not given.answer.keep_alive


class TestHead:
    def test_date_and_server_are_added(self) -> None:
        given = Given(answering())
        assert given.fields["date"].endswith(" GMT")
        assert given.fields["server"]

    def test_the_applications_own_are_kept(self) -> None:
        fields = [("Date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("Server", "mine")]
        given = Given(answering(fields=fields))
        assert (given.fields["date"], given.fields["server"]) == (fields[0][1], "mine")
        assert given.pieces[0].lower().count(b"\r\ndate:") == 1

    @pytest.mark.parametrize(
        "fields",
        [
            [("A", "b\r\nEvil: c")],
            [("A", "b\nc")],
            [("A\r\n", "b")],
            [("A", "\0")],
            [("A", "\u20ac")],
            [("Transfer-Encoding", "chunked")],
            [("Content-Length", "five")],
        ],
    )
    def test_what_cannot_stand_in_a_head_is_not_sent(self, fields: list[tuple[str, str]]) -> None:
        given = Given(answering(fields=fields))
        assert isinstance(given.error, ValueError | ApplicationError)
        assert given.pieces == []

    @pytest.mark.parametrize("status", ["", "OK", "20 OK", "100 Continue", "200\r\nEvil: a", "2000 OK"])
    def test_a_status_that_is_none_is_not_sent(self, status: str) -> None:
        given = Given(answering(status=status))
        assert isinstance(given.error, ValueError | ApplicationError)
        assert given.pieces == []


class TestStartResponse:
    """PEP 3333, "The start_response() Callable" and "Error Handling"."""

    def test_is_missing(self) -> None:
        assert isinstance(Given(lambda _environ, _start: [b"hello"]).error, ApplicationError)

    def test_twice(self) -> None:
        def application(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            start_response("200 OK", [])
            start_response("200 OK", [])
            return []

        assert isinstance(Given(application).error, ApplicationError)

    def test_again_for_an_error_before_anything_was_sent(self) -> None:
        def application(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            start_response("200 OK", [TEXT])
            start_response("500 Oops", [("A", "b")], error_info())
            return [b"sorry"]

        given = Given(application)
        assert (given.status, given.body, given.fields["a"]) == (500, b"sorry", "b")
        assert "content-type" not in given.fields

    def test_again_for_an_error_after_something_was_sent_raises_it(self) -> None:
        def application(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
            start_response("200 OK", [])
            yield b"hello"
            start_response("500 Oops", [], error_info())

        given = Given(application)
        assert isinstance(given.error, ZeroDivisionError)
        assert len(given.pieces) == 1

    def test_may_be_called_late_by_a_generator(self) -> None:
        def application(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
            start_response("200 OK", [])
            yield b"hello"

        assert Given(application).body == b"hello"

    def test_write_sends_before_what_is_returned(self) -> None:
        def application(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            write = start_response("200 OK", [])
            write(b"hello ")
            return [b"world"]

        assert Given(application).body == b"hello world"


class TestEnd:
    """Whatever happens, `close` is called; and a body that is not what was announced does not look whole."""

    class Closable:
        def __init__(self, *pieces: bytes, error: Exception | None = None) -> None:
            self.pieces, self.error, self.closed = pieces, error, 0

        def __iter__(self) -> Iterator[bytes]:
            yield from self.pieces
            if self.error:
                raise self.error

        def close(self) -> None:
            self.closed += 1

    def given(self, body: Closable, *fields: tuple[str, str]) -> Given:
        def application(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            start_response("200 OK", list(fields))
            return body

        return Given(application)

    def test_close_is_called_once(self) -> None:
        body = self.Closable(b"hello")
        assert self.given(body).body == b"hello"
        assert body.closed == 1

    def test_close_is_called_after_an_error(self) -> None:
        body = self.Closable(b"hello", error=ZeroDivisionError())
        given = self.given(body)
        assert isinstance(given.error, ZeroDivisionError)
        assert body.closed == 1
        assert not given.pieces[-1].endswith(b"0\r\n\r\n")

    def test_too_little(self) -> None:
        given = self.given(self.Closable(b"hello"), ("Content-Length", "6"))
        assert isinstance(given.error, ApplicationError)

    def test_too_much_is_not_sent(self) -> None:
        given = self.given(self.Closable(b"hello", b"world"), ("Content-Length", "6"))
        assert isinstance(given.error, ApplicationError)
        assert len(given.pieces) == 1
        assert given.pieces[0].endswith(b"\r\n\r\nhello")


def test_a_refusal_is_a_whole_answer_that_ends_the_connection() -> None:
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "device")]))
    client.send(h11.EndOfMessage())
    client.receive_data(refusal(RefusedError(431, "too large")))
    head, body = client.next_event(), client.next_event()
    assert isinstance(head, h11.Response)
    assert (head.status_code, head.reason) == (431, b"Request Header Fields Too Large")
    assert (b"connection", b"close") in head.headers
    assert isinstance(body, h11.Data)
    assert body.data == b"too large\n"
    assert isinstance(client.next_event(), h11.EndOfMessage)


def error_info() -> ErrorInfo:
    """What sys.exc_info says inside a handler."""
    with pytest.raises(ZeroDivisionError) as caught:
        1 / 0  # noqa: B018 (for its error)
    return caught.type, caught.value, caught.tb
