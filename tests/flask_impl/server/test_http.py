"""Requests from octets: what is read, what is refused, and that neither depends on how the octets come."""

import pytest

from flask_impl.server._http import Request, RequestReader
from flask_impl.server._limits import Limits

LIMITS = Limits(target=100, head=2000, fields=10, buffered_body=50)


def read(*pieces: bytes) -> RequestReader:
    reader = RequestReader(LIMITS)
    for piece in pieces:
        reader.feed(piece)
    return reader


def one_by_one(data: bytes) -> RequestReader:
    return read(*(data[at : at + 1] for at in range(len(data))))


def record_by_record(data: bytes) -> RequestReader:
    """As it comes from a connection: a record is never larger than a head may be (16,384 and 32,768 octets)."""
    size = LIMITS.head // 2
    return read(*(data[at : at + size] for at in range(0, len(data), size)))


def only(reader: RequestReader) -> Request:
    assert reader.refused is None
    assert len(reader.requests) == 1
    return reader.requests[0]


def get(*fields: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: device") -> bytes:
    return b"\r\n".join((line, *([host] if host else []), *fields, b"", b""))


def post(*fields: bytes, line: bytes = b"POST / HTTP/1.1") -> bytes:
    return get(*fields, line=line)


CHUNKED = b"Transfer-Encoding: chunked"

REFUSED = {
    # Framing that two parties could read in two ways (RFC 9112 section 6.3): a hidden second request.
    "Content-Length and Transfer-Encoding": (post(b"Content-Length: 5", CHUNKED) + b"0\r\n\r\n", 400),
    "Transfer-Encoding and Content-Length": (post(CHUNKED, b"Content-Length: 5") + b"0\r\n\r\n", 400),
    "two Content-Lengths, equal": (post(b"Content-Length: 5", b"Content-Length: 5") + b"hello", 400),
    "two Content-Lengths, different": (post(b"Content-Length: 5", b"Content-Length: 6") + b"hello", 400),
    "a list of Content-Lengths": (post(b"Content-Length: 5, 5") + b"hello", 400),
    "Content-Length with a sign": (post(b"Content-Length: +5") + b"hello", 400),
    "negative Content-Length": (post(b"Content-Length: -5") + b"hello", 400),
    "empty Content-Length": (post(b"Content-Length:") + b"hello", 400),
    "hexadecimal Content-Length": (post(b"Content-Length: 0x5") + b"hello", 400),
    "Content-Length beyond 64 bits": (post(b"Content-Length: 99999999999999999999") + b"hello", 400),
    "Transfer-Encoding twice": (post(CHUNKED, CHUNKED) + b"0\r\n\r\n", 400),
    "Transfer-Encoding that does not end in chunked": (post(b"Transfer-Encoding: gzip") + b"0\r\n\r\n", 501),
    "Transfer-Encoding that ends in chunked": (post(b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", 501),
    "almost chunked": (post(b"Transfer-Encoding: xchunked") + b"0\r\n\r\n", 501),
    "chunked in HTTP/1.0": (post(CHUNKED, line=b"POST / HTTP/1.0") + b"0\r\n\r\n", 400),
    "upgrade with a body": (post(b"Connection: upgrade", b"Upgrade: h2c", b"Content-Length: 3") + b"abc", 400),
    "upgrade with chunks": (post(b"Connection: upgrade", b"Upgrade: h2c", CHUNKED) + b"0\r\n\r\n", 400),
    # Lines and fields (RFC 9112 sections 2.2, 3 and 5).
    "a space before the colon": (get(b"Content-Length : 5"), 400),
    "line folding": (get(b"A: b", b" c"), 400),
    "bare LF": (b"GET / HTTP/1.1\nHost: device\n\n", 400),
    "bare CR in a value": (get(b"A: b\rc"), 400),
    "NUL in a value": (get(b"A: b\0c"), 400),
    "DEL in a value": (get(b"A: b\x7fc"), 400),
    "a field without a colon": (get(b"A"), 400),
    "a field without a name": (get(b": b"), 400),
    "a name that is no token": (get(b"A(: b"), 400),
    "a name outside ASCII": (get(b"\xc3\xa9: b"), 400),
    "no Host": (get(host=b""), 400),
    "two Hosts": (get(b"Host: other"), 400),
    "two Hosts in HTTP/1.0": (get(b"Host: other", line=b"GET / HTTP/1.0"), 400),
    # Request lines.
    "an unknown method": (get(line=b"BREW / HTTP/1.1"), 501),
    "a known method in lower case": (get(line=b"get / HTTP/1.1"), 501),
    "CONNECT": (get(line=b"CONNECT device:443 HTTP/1.1"), 501),
    "a target without a slash": (get(line=b"GET a HTTP/1.1"), 400),
    "an asterisk for GET": (get(line=b"GET * HTTP/1.1"), 400),
    "a target of another scheme": (get(line=b"GET ftp://device/ HTTP/1.1"), 400),
    "a target outside ASCII": (get(line=b"GET /\xc3\xa9 HTTP/1.1"), 400),
    "a space in a target": (get(line=b"GET /a b HTTP/1.1"), 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 505),
    "HTTP/1.2": (get(line=b"GET / HTTP/1.2"), 505),
    "HTTP/2.0": (get(line=b"GET / HTTP/2.0"), 505),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "a ClientHello": (b"\x16\x03\x01\x00\xf8\x01\x00\x00\xf4\x03\x03", 400),
    "an unknown expectation": (get(b"Expect: the-spanish-inquisition"), 417),
    # Sizes.
    "a long target": (get(line=b"GET /%b HTTP/1.1" % (b"a" * 100)), 414),
    "a large field": (get(b"A: " + b"b" * 2000), 431),
    "many small fields": (get(*[b"A: b"] * 10), 431),
    "fields that are large together": (get(*[b"A: " + b"b" * 300] * 7), 431),
    # Chunks (RFC 9112 section 7.1).
    "a chunk size that is no number": (post(CHUNKED) + b"x\r\nhello\r\n0\r\n\r\n", 400),
    "a chunk size with a prefix": (post(CHUNKED) + b"0x5\r\nhello\r\n0\r\n\r\n", 400),
    "a negative chunk size": (post(CHUNKED) + b"-5\r\nhello\r\n0\r\n\r\n", 400),
    "a chunk size beyond 64 bits": (post(CHUNKED) + b"11111111111111111\r\nhello\r\n0\r\n\r\n", 400),
    "a chunk that is longer than it says": (post(CHUNKED) + b"4\r\nhello\r\n0\r\n\r\n", 400),
    "a chunk size ended by a bare LF": (post(CHUNKED) + b"5\nhello\r\n0\r\n\r\n", 400),
    "a chunk extension without an end": (post(CHUNKED) + b"5;" + b"a" * 4000, 431),
    "a trailer without an end": (post(CHUNKED) + b"0\r\nA: " + b"b" * 4000, 431),
}


class TestRefused:
    """What is no request, or could be read as another one by somebody else, ends the connection (status beside it)."""

    @pytest.mark.parametrize("case", REFUSED)
    def test_at_once(self, case: str) -> None:
        data, status = REFUSED[case]
        reader = record_by_record(data)
        assert reader.refused is not None
        assert reader.refused.status == status
        assert reader.is_ready()
        assert not any(request.complete for request in reader.requests)

    @pytest.mark.parametrize("case", REFUSED)
    def test_octet_by_octet(self, case: str) -> None:
        data, status = REFUSED[case]
        reader = one_by_one(data)
        assert reader.refused is not None
        assert reader.refused.status == status
        assert not any(request.complete for request in reader.requests)

    def test_nothing_is_read_after_it(self) -> None:
        reader = read(get(b"A : b") + get())
        reader.feed(get())
        assert not reader.requests

    def test_what_came_before_it_is_still_to_be_answered(self) -> None:
        reader = read(get() + get(b"A : b"))
        assert [request.complete for request in reader.requests] == [True]
        assert reader.refused is not None

    def test_the_reason_is_one_line(self) -> None:
        for data, _ in REFUSED.values():
            refused = record_by_record(data).refused
            assert refused is not None
            assert refused.reason.isprintable()

    def test_a_message_after_connection_close(self) -> None:
        reader = read(get(b"Connection: close") + get())
        assert len(reader.requests) == 1
        assert not reader.requests[0].keep_alive


BODIES = {
    "none": (get(), b""),
    "by length": (post(b"Content-Length: 5") + b"hello", b"hello"),
    "of length 0": (post(b"Content-Length: 0"), b""),
    "in chunks": (post(CHUNKED) + b"5\r\nhello\r\n6;name=value\r\n world\r\n0\r\n\r\n", b"hello world"),
    "in chunks, with a trailer": (post(CHUNKED) + b"1\r\na\r\n0\r\nDigest: x\r\nHost: other\r\n\r\n", b"a"),
    "in chunks, none": (post(CHUNKED) + b"0\r\n\r\n", b""),
    "of GET": (get(b"Content-Length: 2") + b"ab", b"ab"),
    "that looks like a request": (post(b"Content-Length: 38") + get()[:38].ljust(38), get()[:38].ljust(38)),
}


class TestBodies:
    """A body is the same however it is framed, and however the octets come."""

    @pytest.mark.parametrize("case", BODIES)
    def test_at_once(self, case: str) -> None:
        data, body = BODIES[case]
        request = only(read(data))
        assert request.complete
        assert bytes(request.body) == body

    @pytest.mark.parametrize("case", BODIES)
    def test_octet_by_octet_and_pipelined(self, case: str) -> None:
        data, body = BODIES[case]
        reader = one_by_one(data * 2)
        assert reader.refused is None
        assert [(request.complete, bytes(request.body)) for request in reader.requests] == [(True, body)] * 2

    @pytest.mark.parametrize("case", BODIES)
    def test_cut_in_two_anywhere(self, case: str) -> None:
        data, body = BODIES[case]
        for at in range(1, len(data)):
            request = only(read(data[:at], data[at:]))
            assert (request.complete, bytes(request.body)) == (True, body)

    def test_is_there_as_far_as_it_has_arrived(self) -> None:
        reader = read(post(b"Content-Length: 5") + b"he")
        assert bytes(only(reader).body) == b"he"
        assert not only(reader).complete
        reader.feed(b"llo")
        assert only(reader).complete


class TestReady:
    """A thread is taken when a request is whole, or when its body is better waited for by a thread."""

    def test_not_while_the_head_arrives(self) -> None:
        data = get()
        reader = read(data[:-1])
        assert reader.has_begun()
        assert not reader.is_ready()
        reader.feed(data[-1:])
        assert not reader.has_begun()
        assert reader.is_ready()

    def test_not_while_a_small_body_arrives(self) -> None:
        reader = read(post(b"Content-Length: 50") + b"a" * 49)
        assert not reader.is_ready()
        reader.feed(b"a")
        assert reader.is_ready()

    def test_at_once_if_the_body_is_large(self) -> None:
        assert read(post(b"Content-Length: 51")).is_ready()

    def test_as_soon_as_chunks_have_become_large(self) -> None:
        reader = read(post(CHUNKED) + b"32\r\n" + b"a" * 50)
        assert not reader.is_ready()
        reader.feed(b"\r\n1\r\na")
        assert reader.is_ready()

    def test_at_once_if_the_client_waits_for_100_continue(self) -> None:
        reader = read(post(b"Content-Length: 5", b"Expect: 100-Continue"))
        assert only(reader).expects_continue
        assert reader.is_ready()

    def test_empty_lines_before_a_request_begin_nothing(self) -> None:
        reader = read(b"\r\n\r\n")
        assert not reader.has_begun()
        reader.feed(get())
        assert only(reader).complete


class TestHead:
    """The head as the application will see it."""

    def test_the_target_is_exactly_what_was_sent(self) -> None:
        for target in (b"//a//b", b"/a%2Fb?", b"/?a=%41&b=?", b"/a;b='c'", b"http://device:1/a?b", b"/a/../b"):
            assert only(one_by_one(get(line=b"GET %b HTTP/1.1" % target))).target == target

    def test_names_are_in_lower_case_and_values_without_white_space_around_them(self) -> None:
        request = only(read(get(b"Content-TYPE: \t text/plain; a=b \t ", b"Empty:")))
        assert request.fields[1:] == [("content-type", b"text/plain; a=b"), ("empty", b"")]

    def test_octets_outside_ascii_may_stand_in_values(self) -> None:
        assert only(read(get(b"A: \xc3\xa9"))).fields[1] == ("a", b"\xc3\xa9")

    @pytest.mark.parametrize(
        ("line", "field", "keep_alive"),
        [
            (b"GET / HTTP/1.1", b"A: b", True),
            (b"GET / HTTP/1.1", b"Connection: close", False),
            (b"GET / HTTP/1.1", b"Connection: foo, Close", False),
            (b"GET / HTTP/1.0", b"A: b", False),
            (b"GET / HTTP/1.0", b"Connection: keep-alive", True),
        ],
    )
    def test_keep_alive(self, line: bytes, field: bytes, *, keep_alive: bool) -> None:
        assert only(read(get(field, line=line))).keep_alive is keep_alive

    def test_host_may_be_missing_in_http_1_0(self) -> None:
        assert only(read(get(line=b"GET / HTTP/1.0", host=b""))).version == "1.0"

    def test_expect_is_ignored_in_http_1_0(self) -> None:
        assert not only(read(get(b"Expect: 100-continue", line=b"GET / HTTP/1.0"))).expects_continue

    def test_options_may_ask_about_the_server_itself(self) -> None:
        assert only(read(get(line=b"OPTIONS * HTTP/1.1"))).target == b"*"

    def test_an_upgrade_is_declined_by_going_on(self) -> None:
        reader = read(get(b"Connection: upgrade", b"Upgrade: websocket") + get(line=b"GET /next HTTP/1.1"))
        assert [request.target for request in reader.requests] == [b"/", b"/next"]
        assert all(request.complete for request in reader.requests)
