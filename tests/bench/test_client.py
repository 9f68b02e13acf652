"""The lean client against servers that send what real ones send, and worse."""

from __future__ import annotations

import socket
import ssl
from dataclasses import replace
from pathlib import Path

import gevent
import pytest

from bench._target import find_target
from certs import (
    KeyKind,
    TlsPolicy,
    TlsVersion,
    adhoc_certificate,
    ensure_ca,
    ensure_certificate,
    stdlib_server_context,
)
from digest_auth import Qop
from tests.bench.conftest import Authority, MakeAsker
from tests.bench.peers import (
    ANSWER,
    BODY,
    CLOSING,
    HEAD,
    Device,
    GoodbyeError,
    Peer,
    Script,
    ScriptedServer,
    answering,
    refused_port,
)

CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = [b"3\r\n" + BODY[:3] + b"\r\n", b"%x\r\n" % len(BODY[3:]) + BODY[3:] + b"\r\n", b"0\r\n\r\n"]
UNTIL_CLOSED = b"HTTP/1.1 200 OK\r\n\r\n" + BODY


def dribbling(peer: Peer) -> None:
    peer.shake_hands()
    while True:
        peer.request()
        peer.dribble(ANSWER)


def at_once(peer: Peer) -> None:
    peer.shake_hands()
    while True:
        peer.request()
        peer.at_once(HEAD, b"\r\n", BODY)


def closing_at_once(peer: Peer) -> None:
    """Answer, close_notify and FIN arrive together."""
    peer.shake_hands()
    peer.request()
    if peer.tls is not None:
        peer.tls.write(CLOSING)
        peer.say_goodbye()
    else:
        peer.send(CLOSING)


def delimited_by_closing(peer: Peer) -> None:
    peer.shake_hands()
    peer.request()
    peer.send(UNTIL_CLOSED[:-3], UNTIL_CLOSED[-3:])
    peer.say_goodbye()


ANSWERS = {
    "in one record": answering(ANSWER),
    "head and body in separate records": answering(HEAD + b"\r\n", BODY),
    "one byte in a record": answering(*(ANSWER[i : i + 1] for i in range(len(ANSWER)))),
    "one byte in a packet": dribbling,
    "several records at once": at_once,
    "chunked": answering(CHUNKED_HEAD + b"".join(CHUNKS)),
    "chunked, each chunk in a record": answering(CHUNKED_HEAD, *CHUNKS),
    "Connection: close": answering(CLOSING),
    "Connection: close, its end in the same packet": closing_at_once,
    "HTTP/1.0": answering(HEAD.replace(b"1.1", b"1.0") + b"Connection: close\r\n\r\n" + BODY),
    "delimited by the end of the connection": delimited_by_closing,
    "after an interim one": answering(b"HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n" + ANSWER),
    "after an interim one in another record": answering(b"HTTP/1.1 100 Continue\r\n\r\n", ANSWER),
    "larger than any buffer": answering(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000),
}


class TestAnswers:
    """However an answer comes, it is one answer, counted whole, and the next request works too."""

    @pytest.mark.parametrize("script", ANSWERS.values(), ids=ANSWERS)
    def test_three_times(self, script: Script, context: ssl.SSLContext | None, make_asker: MakeAsker) -> None:
        with ScriptedServer(script, context=context) as server:
            asker = make_asker(server.url)
            asker.ask(3)
            asker.client.close()
        row = asker.row()
        assert (row.answered, dict(row.failures)) == (3, {})
        assert row.content_bytes in {3 * len(BODY), 900_000}

    @pytest.mark.parametrize("script", [s for n, s in ANSWERS.items() if n != "larger than any buffer"])
    def test_content_and_headers(self, script: Script, context: ssl.SSLContext | None, make_asker: MakeAsker) -> None:
        with ScriptedServer(script, context=context) as server:
            asker = make_asker(server.url)
            answer = asker.client.fetch(asker.request)
            asker.client.close()
        assert answer.content == BODY
        assert answer.header("link") == []  # the interim answer's

    def test_clients_that_share_buffers_do_not_mix(self, context: ssl.SSLContext | None, make_asker: MakeAsker) -> None:
        """Each gets its own body back, byte by byte, while the others' come too."""

        def echo(peer: Peer) -> None:
            peer.shake_hands()
            while True:
                content = peer.request().partition(b"\r\n\r\n")[2]
                peer.dribble(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content))

        def ask(number: int) -> bytes:
            client = make_asker(server.url).client
            content = b"%d" % number * 40
            answer = b"".join(client.fetch(client.prepare("echo", "POST", "/", content)).content for _ in range(3))
            client.close()
            return answer

        with ScriptedServer(echo, context=context) as server:
            jobs = [gevent.spawn(ask, number) for number in range(8)]
            gevent.joinall(jobs, raise_error=True)
        assert [job.value for job in jobs] == [b"%d" % number * 120 for number in range(8)]

    def test_large_requests_are_sent_whole(self, context: ssl.SSLContext | None, make_asker: MakeAsker) -> None:
        """More than the socket takes at once."""
        received: list[int] = []

        def count(peer: Peer) -> None:
            peer.shake_hands()
            while True:
                received.append(len(peer.request().partition(b"\r\n\r\n")[2]))
                peer.send(ANSWER)

        with ScriptedServer(count, context=context) as server:
            client = make_asker(server.url).client
            client.fetch(client.prepare("big", "POST", "/", b"x" * 20_000_000))
            client.close()
        assert received == [20_000_000]


def then(*records: bytes, end: str) -> Script:
    """Shake hands, take a request, send that much and end the connection."""

    def script(peer: Peer) -> None:
        peer.shake_hands()
        peer.request()
        peer.send(*records)
        if end == "reset":
            peer.reset()
        elif end == "wait":
            peer.await_end()

    return script


BEGUN = HEAD + b"\r\n" + BODY[:3]
FAILURES = {
    "reset in mid-body": (then(BEGUN, end="reset"), "connection reset in mid-answer"),
    "closed in mid-body": (then(BEGUN, end="close"), "connection closed in mid-answer"),
    "closed in mid-head": (then(HEAD, end="close"), "connection closed in mid-answer"),
    "closed in mid-chunk": (then(CHUNKED_HEAD, CHUNKS[0], end="close"), "connection closed in mid-answer"),
    "closed before the answer": (then(end="close"), "connection closed before the answer"),
    "reset before the answer": (then(end="reset"), "connection reset before the answer"),
    "no answer": (then(end="wait"), "timed out waiting for the answer"),
    "half an answer": (then(BEGUN, end="wait"), "timed out waiting for the answer"),
    "not HTTP": (then(b"SSH-2.0-OpenSSH_9.2\r\n", end="wait"), "not an HTTP answer"),
    "two answers": (then(ANSWER + ANSWER, end="wait"), "two answers to one request"),
    "an error": (then(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", end="wait"), "HTTP 503"),
    "a redirection": (then(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", end="wait"), "HTTP 302"),
    "401 without a challenge": (
        then(b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n", end="wait"),
        "HTTP 401 (no Digest challenge that this client can answer)",
    ),
}


class TestFailures:
    """What goes wrong has a short reason, is counted once, and does not spoil the next request."""

    @pytest.mark.parametrize(("script", "reason"), FAILURES.values(), ids=FAILURES)
    def test_reason(self, script: Script, reason: str, context: ssl.SSLContext | None, make_asker: MakeAsker) -> None:
        with ScriptedServer(script, answering(ANSWER), context=context) as server:
            asker = make_asker(server.url, limit_s=0.4)
            asker.ask(2)
            asker.client.close()
        row = asker.row()
        assert (dict(row.failures), row.answered) == ({reason: 1}, 1)

    def test_refused(self, make_asker: MakeAsker) -> None:
        with refused_port() as port:
            asker = make_asker(f"https://127.0.0.1:{port}")
            asker.ask()
        assert dict(asker.row().failures) == {"cannot connect: connection refused": 1}

    def test_wrong_password(self, context: ssl.SSLContext | None, make_asker: MakeAsker) -> None:
        with ScriptedServer(Device().script, context=context) as server:
            asker = make_asker(server.url, password="wrong")
            asker.ask()
            asker.client.close()
        assert dict(asker.row().failures) == {"HTTP 401 (credentials refused)": 1}


class TestBrokenHandshakes:
    """TLS that does not come about is told apart from HTTP that does not."""

    def reason(self, server: ScriptedServer, make_asker: MakeAsker, ca_file: Path | None = None) -> str:
        with server:
            url = server.url.replace("http:", "https:")
            asker = make_asker(url, limit_s=0.4) if ca_file is None else make_asker(url, ca_file=ca_file)
            asker.ask()
        (reason,) = asker.row().failures
        return reason

    def test_silence(self, make_asker: MakeAsker) -> None:
        assert self.reason(ScriptedServer(Peer.await_end), make_asker) == "timed out in the TLS handshake"

    def test_closed(self, make_asker: MakeAsker) -> None:
        assert self.reason(ScriptedServer(lambda _: None), make_asker) in {
            "TLS handshake failed: connection closed",
            "TLS handshake failed: connection reset by peer",  # our ClientHello was still unread
        }

    def test_http_on_the_https_port(self, make_asker: MakeAsker) -> None:
        def speak_plainly(peer: Peer) -> None:
            peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            peer.await_end()

        assert self.reason(ScriptedServer(speak_plainly), make_asker) == "TLS handshake failed: wrong version number"

    def test_another_ca(self, authority: Authority, make_asker: MakeAsker, tmp_path: Path) -> None:
        server = ScriptedServer(answering(ANSWER), context=authority.context)
        reason = self.reason(server, make_asker, ensure_ca(tmp_path))
        assert reason.startswith("certificate refused: ")

    def test_another_name(self, authority: Authority, make_asker: MakeAsker) -> None:
        with ScriptedServer(answering(ANSWER), context=authority.context) as server:
            asker = make_asker(server.url)
            asker.client.target = replace(asker.client.target, server_name="device.example")
            asker.ask()
        (reason,) = asker.row().failures
        assert reason.startswith("certificate refused: Hostname mismatch")

    def test_self_signed_is_good_where_it_is_the_ca(self, make_asker: MakeAsker, tmp_path: Path) -> None:
        files = adhoc_certificate(tmp_path)
        context = stdlib_server_context(files, TlsPolicy())
        with ScriptedServer(answering(ANSWER), context=context) as server:
            asker = make_asker(server.url, ca_file=files.chain)
            asker.ask()
            asker.client.close()
        assert asker.row().answered == 1


class TestKeptConnections:
    """A server may close a connection that it kept, at any time; that alone is no failure."""

    @staticmethod
    def once(peer: Peer) -> None:
        """Answers as if the connection were kept, and closes it over the next request."""
        peer.shake_hands()
        peer.request()
        peer.send(ANSWER)
        peer.request()
        peer.say_goodbye()

    def test_safe_requests_are_sent_again(self, context: ssl.SSLContext | None, make_asker: MakeAsker) -> None:
        with ScriptedServer(self.once, context=context) as server:
            asker = make_asker(server.url)
            asker.ask(4)
            asker.client.close()
        counts = asker.counts()
        assert (counts.rows[0].answered, counts.rows[0].failed) == (4, 0)
        assert counts.handshakes.full == (4 if context else 0)

    def test_others_are_not(self, context: ssl.SSLContext | None, make_asker: MakeAsker) -> None:
        """A ping that was sent twice would be two pings."""
        with ScriptedServer(self.once, context=context) as server:
            asker = make_asker(server.url)
            ping = asker.client.prepare("ping", "POST", "/ping", b"{}")
            asker.client.perform(ping)
            asker.client.perform(ping)
            asker.client.close()
        row = asker.row()
        assert (row.answered, row.failed) == (1, 1)

    def test_one_connection_serves_all(self, context: ssl.SSLContext | None, make_asker: MakeAsker) -> None:
        with ScriptedServer(answering(ANSWER), Peer.reset, context=context) as server:
            asker = make_asker(server.url)
            asker.ask(20)
            asker.client.close()
        assert asker.row().answered == 20


class TestDigest:
    """One challenge at first; later ones are counted, and are part of their request."""

    def test_first_challenge_is_in_the_warm_up(self, context: ssl.SSLContext | None, make_asker: MakeAsker) -> None:
        device = Device()
        with ScriptedServer(device.script, context=context) as server:
            asker = make_asker(server.url)
            asker.client.warm_up(asker.request)
            warm = asker.counts()
            asker.ask(5)
            asker.client.close()
        counts = asker.counts()
        assert (warm.rows, warm.challenges) == ((), 1)
        assert (counts.rows[0].answered, counts.challenges) == (5, 0)
        assert device.statuses == [401, *[200] * 6]

    def test_stale_nonce_is_no_failure(self, context: ssl.SSLContext | None, make_asker: MakeAsker) -> None:
        device = Device()
        with ScriptedServer(device.script, context=context) as server:
            asker = make_asker(server.url)
            asker.client.warm_up(asker.request)
            asker.ask()
            device.now_s += 10_000
            asker.counts()
            asker.ask(3)
            asker.client.close()
        counts = asker.counts()
        assert (counts.rows[0].answered, counts.rows[0].failed, counts.challenges) == (3, 0, 1)

    def test_challenge_for_each_request(self, context: ssl.SSLContext | None, make_asker: MakeAsker) -> None:
        device = Device()
        with ScriptedServer(device.script, context=context) as server:
            asker = make_asker(server.url)
            for _ in range(3):
                asker.client.perform_challenged(asker.request)
            asker.client.close()
        counts = asker.counts()
        assert (counts.rows[0].answered, counts.challenges) == (3, 3)
        assert device.statuses == [401, 200] * 3

    def test_challenge_on_a_connection_that_ends_with_it(
        self, context: ssl.SSLContext | None, make_asker: MakeAsker
    ) -> None:
        device = Device(answer=CLOSING, refusal=b"Connection: close\r\nContent-Length: 0\r\n\r\n")
        with ScriptedServer(device.script, context=context) as server:
            asker = make_asker(server.url)
            asker.ask(2)
            asker.client.close()
        assert (asker.row().answered, device.statuses) == (2, [401, 200, 200])

    @pytest.mark.parametrize("qop", Qop)
    def test_a_nonce_that_the_server_names_takes_the_place_of_a_challenge(
        self, context: ssl.SSLContext | None, make_asker: MakeAsker, qop: Qop
    ) -> None:
        """Two lifetimes of a nonce: 300 s, and its successor is named from 240 s on."""
        device = Device(informs=True, qop=qop)
        with ScriptedServer(device.script, context=context) as server:
            asker = make_asker(server.url)
            echo = asker.client.prepare("echo", "POST", "/", b"content")
            for _ in range(7):
                asker.client.perform(echo)
                asker.client.perform(asker.request)
                device.now_s += 100
            asker.client.close()
        counts = asker.counts()
        assert [(row.answered, row.failed) for row in counts.rows] == [(7, 0)] * 2
        assert (counts.challenges, device.statuses.count(401)) == (1, 1)

    def test_a_server_that_proves_the_wrong_password_has_failed(
        self, context: ssl.SSLContext | None, make_asker: MakeAsker
    ) -> None:
        """As far as it is looked at: where it names a nonce."""
        device = Device(informs=True, proves=False)
        with ScriptedServer(device.script, context=context) as server:
            asker = make_asker(server.url)
            asker.ask()
            device.now_s += 250
            asker.ask()
            asker.client.close()
        row = asker.row()
        assert (row.answered, dict(row.failures)) == (1, {"wrong Authentication-Info": 1})

    def test_the_word_in_a_body_is_no_nonce(self, context: ssl.SSLContext | None, make_asker: MakeAsker) -> None:
        body = b'authentication-info: nextnonce="x"'
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        device = Device(answer=answer)
        with ScriptedServer(device.script, context=context) as server:
            asker = make_asker(server.url)
            asker.ask(3)
            asker.client.close()
        assert (asker.row().answered, device.statuses) == (3, [401, 200, 200, 200])

    def test_a_wrong_password_costs_one_try_a_request(
        self, context: ssl.SSLContext | None, make_asker: MakeAsker
    ) -> None:
        device = Device()
        with ScriptedServer(device.script, context=context) as server:
            asker = make_asker(server.url, password="wrong")
            asker.ask(3)
            asker.client.close()
        row = asker.row()
        assert dict(row.failures) == {"HTTP 401 (credentials refused)": 3}
        assert device.statuses == [401] * 4  # the first without credentials

    def test_server_without_digest(self, make_asker: MakeAsker) -> None:
        requests: list[bytes] = []

        def listen(peer: Peer) -> None:
            while True:
                requests.append(peer.request())
                peer.send(ANSWER)

        with ScriptedServer(listen) as server:
            asker = make_asker(server.url)
            asker.ask(2)
            asker.client.close()
        assert not any(b"Authorization" in request for request in requests)


class TestHandshakes:
    """Counted as what TLS says they were; the server's own view agrees."""

    @pytest.fixture(params=TlsVersion)
    def versioned(self, request: pytest.FixtureRequest, tmp_path: Path) -> Authority:
        ca_file = ensure_ca(tmp_path)
        files = ensure_certificate(tmp_path, KeyKind.ECDSA_P256)
        policy = TlsPolicy(versions=frozenset({request.param}))
        return Authority(ca_file, stdlib_server_context(files, policy))

    def seen_by(self, resumed: list[bool]) -> Script:
        def script(peer: Peer) -> None:
            peer.shake_hands()
            assert peer.tls is not None
            resumed.append(bool(peer.tls.session_reused))
            while True:
                peer.request()
                peer.send(ANSWER)

        return script

    def test_full(self, versioned: Authority, make_asker: MakeAsker) -> None:
        seen: list[bool] = []
        with ScriptedServer(self.seen_by(seen), context=versioned.context) as server:
            asker = make_asker(server.url, ca_file=versioned.ca_file)
            for _ in range(3):
                asker.client.perform_anew(asker.request)
        counts = asker.counts()
        assert (counts.handshakes.full, counts.handshakes.resumed) == (3, 0)
        assert sum(counts.handshake_us.full.values()) == 3
        assert (counts.rows[0].answered, seen) == (3, [False] * 3)

    def test_resumed(self, versioned: Authority, make_asker: MakeAsker) -> None:
        seen: list[bool] = []
        with ScriptedServer(self.seen_by(seen), context=versioned.context) as server:
            asker = make_asker(server.url, ca_file=versioned.ca_file)
            asker.client.warm_up(asker.request)
            asker.client.keep_session()
            for _ in range(4):
                asker.client.perform_resumed(asker.request)
        counts = asker.counts()
        assert (counts.handshakes.full, counts.handshakes.resumed) == (1, 4)
        assert (counts.rows[0].answered, counts.rows[0].failed) == (4, 0)
        assert seen == [False, *[True] * 4]
        assert counts.tls is not None
        assert counts.tls.version in {"TLSv1.2", "TLSv1.3"}

    def test_not_resumed_is_a_failure_and_a_full_handshake(self, versioned: Authority, make_asker: MakeAsker) -> None:
        """A server of several processes that do not share their ticket keys: each connection meets another."""
        seen: list[bool] = []
        others = [versioned.context, *(self.like(versioned) for _ in range(3))]

        def script(peer: Peer) -> None:
            self.seen_by(seen)(Peer(peer.socket, others[len(seen)]))

        with ScriptedServer(script, context=versioned.context) as server:
            asker = make_asker(server.url, ca_file=versioned.ca_file)
            asker.client.warm_up(asker.request)
            asker.client.keep_session()
            for _ in range(3):
                asker.client.perform_resumed(asker.request)
        counts = asker.counts()
        assert (seen, counts.handshakes.full, counts.handshakes.resumed) == ([False] * 4, 4, 0)
        assert dict(counts.rows[0].failures) == {"TLS session not resumed": 3}

    def like(self, versioned: Authority) -> ssl.SSLContext:
        files = ensure_certificate(versioned.ca_file.parents[1], KeyKind.ECDSA_P256)
        context = stdlib_server_context(files, TlsPolicy())
        context.minimum_version = versioned.context.minimum_version
        context.maximum_version = versioned.context.maximum_version
        return context

    def test_without_tls_each_request_has_a_connection_of_its_own(self, make_asker: MakeAsker) -> None:
        connections: list[Peer] = []

        def script(peer: Peer) -> None:
            connections.append(peer)
            while True:
                peer.request()
                peer.send(ANSWER)

        with ScriptedServer(script) as server:
            asker = make_asker(server.url)
            asker.client.perform_anew(asker.request)
            asker.client.perform_resumed(asker.request)
        counts = asker.counts()
        assert (counts.rows[0].answered, counts.handshakes.full, len(connections)) == (2, 0, 2)

    def test_goodbye_is_said(self, authority: Authority, make_asker: MakeAsker) -> None:
        """close_notify: a server need not take the end for a truncation."""
        said: list[bool] = []

        def script(peer: Peer) -> None:
            peer.shake_hands()
            peer.request()
            peer.send(ANSWER)
            try:
                peer.request()
            except EOFError as end:
                said.append(isinstance(end, GoodbyeError))

        with ScriptedServer(script, context=authority.context) as server:
            asker = make_asker(server.url)
            asker.client.perform_anew(asker.request)
        assert said == [True]


class TestAddresses:
    """IPv4, IPv6, and a name with several addresses of which some are dead."""

    def test_ipv6(self, context: ssl.SSLContext | None, make_asker: MakeAsker) -> None:
        try:
            server = ScriptedServer(answering(ANSWER), context=context, address="::1")
        except OSError:
            pytest.skip("this machine has no IPv6 on its loopback: sysctl net.ipv6.conf.lo.disable_ipv6=0")
        with server:
            asker = make_asker(server.url)
            asker.ask()
            asker.client.close()
        assert asker.row().answered == 1

    def test_next_address_when_one_is_dead(self, make_asker: MakeAsker) -> None:
        with refused_port() as port, ScriptedServer(answering(ANSWER)) as server:
            asker = make_asker(server.url)
            target = asker.client.target
            dead = (int(socket.AF_INET), ("127.0.0.1", port))
            asker.client.target = replace(target, addresses=(dead, *target.addresses))
            asker.ask()
            asker.client.close()
        assert asker.row().answered == 1

    def test_path_of_the_host_comes_first(self, make_asker: MakeAsker) -> None:
        requests: list[bytes] = []

        def script(peer: Peer) -> None:
            requests.append(peer.request())
            peer.send(ANSWER)

        with ScriptedServer(script) as server:
            asker = make_asker(f"{server.url}/behind/a/proxy/")
            asker.ask()
            asker.client.close()
        assert requests[0].startswith(b"GET /behind/a/proxy/state HTTP/1.1\r\nHost: 127.0.0.1:")

    @pytest.mark.parametrize(
        "url", ["", "device", "ftp://device", "https://", "https://device:port", "http://[::1", "http://x:0"]
    )
    def test_unusable_hosts(self, url: str, authority: Authority) -> None:
        with pytest.raises(ValueError, match=r"^host .*--host$"):
            find_target(url, authority.ca_file)


class TestStopping:
    """Locust kills a user wherever it is; nothing of it stays open."""

    @pytest.mark.parametrize("script", [Peer.await_end, then(end="wait")], ids=["in the handshake", "in a request"])
    def test_killed(self, script: Script, authority: Authority, make_asker: MakeAsker) -> None:
        with ScriptedServer(script, context=authority.context) as server:
            asker = make_asker(server.url)
            before = open_files()
            user = gevent.spawn(asker.ask)
            gevent.sleep(0)
            while asker.tally.traffic.sent == 0:
                gevent.sleep(0.001)
            user.kill()
            asker.client.close()
            assert open_files() <= before + 1  # the server's end
        assert asker.counts().rows == ()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
