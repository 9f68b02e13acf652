"""Servers that say exactly what a test wants, in the pieces that it wants, over TLS or not.

TLS here is an SSLObject over a plain blocking socket, so that a test decides what is one record and what is one send.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Self

from digest_auth import (
    Algorithm,
    Authenticator,
    AwaitingBody,
    Claim,
    DigestRequest,
    Granted,
    MemoryReplayStore,
    Nonces,
    Qop,
    Refused,
    UserTable,
    htdigest_line,
)

BODY = b'{"a": 1}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % len(BODY)
ANSWER = HEAD + b"\r\n" + BODY
CLOSING = HEAD + b"Connection: close\r\n\r\n" + BODY
USER, PASSWORD, REALM = "admin", "correct horse", "network-device"


class GoodbyeError(EOFError):
    """The client ended TLS as it should be ended: close_notify."""


class Peer:
    """The server's end of one connection. Raises EOFError when the client is gone."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        self.socket = sock
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = None if context is None else context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._received = b""

    def shake_hands(self) -> None:
        while self.tls is not None:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.flush()
                self._more()
            else:
                self.flush()
                return

    def request(self) -> bytes:
        """The next request, head and content."""
        while b"\r\n\r\n" not in self._received:
            self._received += self._plain()
        head, _, _ = self._received.partition(b"\r\n\r\n")
        lengths = [int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        whole = len(head) + 4 + sum(lengths)
        while len(self._received) < whole:
            self._received += self._plain()
        request, self._received = self._received[:whole], self._received[whole:]
        return request

    def send(self, *records: bytes) -> None:
        """Each in a TLS record and a send of its own."""
        for record in records:
            if self.tls is not None:
                self.tls.write(record)
                self.flush()
            else:
                self.socket.sendall(record)

    def dribble(self, data: bytes) -> None:
        """One record, its bytes sent one by one."""
        if self.tls is not None:
            self.tls.write(data)
            data = self._outgoing.read()
        for index in range(len(data)):
            self.socket.sendall(data[index : index + 1])

    def at_once(self, *records: bytes) -> None:
        """Several records in one send."""
        if self.tls is None:
            self.socket.sendall(b"".join(records))
            return
        for record in records:
            self.tls.write(record)
        self.flush()

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def say_goodbye(self) -> None:
        if self.tls is not None:
            with contextlib.suppress(ssl.SSLError):
                self.tls.unwrap()
            self.flush()

    def await_end(self) -> None:
        """Until the client closes."""
        with contextlib.suppress(OSError):
            while self.socket.recv(65536):
                pass

    def flush(self) -> None:
        self.socket.sendall(self._outgoing.read())

    def _plain(self) -> bytes:
        if self.tls is None:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            return data
        while True:
            try:
                data = self.tls.read(65536)
            except ssl.SSLWantReadError:
                self._more()
            else:
                if not data:
                    raise GoodbyeError
                return data

    def _more(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError
        self._incoming.write(data)


Script = Callable[[Peer], None]


class ScriptedServer:
    """Handles its first connection by the first script, and so on; all further ones by the last."""

    def __init__(self, *scripts: Script, context: ssl.SSLContext | None = None, address: str = "127.0.0.1") -> None:
        self._scripts = scripts
        self._context = context
        self._listener = socket.create_server(
            (address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET
        )
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        name = f"[{address}]" if ":" in address else address
        self.url = f"{'http' if context is None else 'https'}://{name}:{self._listener.getsockname()[1]}"
        self.failures: list[BaseException] = []

    def __enter__(self) -> Self:
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(5)
        self._listener.close()
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()
        assert self.failures == []

    def _accept(self) -> None:
        number = 0
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:  # shut down
                return
            script = self._scripts[min(number, len(self._scripts) - 1)]
            number += 1
            self._sockets.append(sock)
            thread = threading.Thread(target=self._handle, args=(sock, script))
            self._threads.append(thread)
            thread.start()

    def _handle(self, sock: socket.socket, script: Script) -> None:
        try:
            with sock:
                script(Peer(sock, self._context))
        except (EOFError, OSError):  # the client closed, or refused our certificate
            pass
        except BaseException as error:  # noqa: BLE001 whatever it is, the test must hear of it
            self.failures.append(error)


def answering(*records: bytes) -> Script:
    """Shake hands and give each request the same answer, in these records."""

    def script(peer: Peer) -> None:
        peer.shake_hands()
        while True:
            peer.request()
            peer.send(*records)
            if b"Connection: close" in b"".join(records):
                peer.say_goodbye()
                return

    return script


class Device:
    """Knows Digest, with a clock that a test can move.

    informs: whether answers have an Authentication-Info, as our devices' have. proves: whether it is a right one.
    """

    def __init__(
        self,
        *,
        answer: bytes = ANSWER,
        refusal: bytes = b"Content-Length: 0\r\n\r\n",
        informs: bool = False,
        proves: bool = True,
        qop: Qop = Qop.AUTH,
    ) -> None:
        self.now_s = 1000.0
        self.statuses: list[int] = []
        self._answer = answer
        self._refusal = refusal
        self._informs = informs
        self._proves = proves
        self._store = MemoryReplayStore()
        self._authenticator = Authenticator(
            realm=REALM,
            users=UserTable.parse(htdigest_line(USER, REALM, PASSWORD, Algorithm.SHA_256)),
            nonces=Nonces(b"k" * 32, self._store, REALM),
            qops=[qop],
        )

    def script(self, peer: Peer) -> None:
        peer.shake_hands()
        while True:
            answer = self._answer_to(peer.request())
            peer.send(answer)
            if b"Connection: close" in answer:
                peer.say_goodbye()
                return

    def _answer_to(self, request: bytes) -> bytes:
        head, _, content = request.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        given = tuple(line[15:] for line in lines if line.startswith("Authorization: "))
        verdict: object = self._authenticator.check(DigestRequest(method, target, given), now_s=self.now_s)
        if isinstance(verdict, AwaitingBody):
            verdict.update(content)
            verdict = verdict.decide(now_s=self.now_s)
        if isinstance(verdict, Claim):
            verdict = verdict.settle(unused=self._store.use(verdict))
        self.statuses.append(200 if isinstance(verdict, Granted) else 401)
        if isinstance(verdict, Granted):
            return self._with_information(verdict) if self._informs else self._answer
        assert isinstance(verdict, Refused)
        told = "".join(f"WWW-Authenticate: {challenge}\r\n" for challenge in verdict.www_authenticate)
        return b"HTTP/1.1 401 Unauthorized\r\n" + told.encode("latin-1") + self._refusal

    def _with_information(self, granted: Granted) -> bytes:
        status, rest = self._answer.split(b"\r\n", 1)
        info = granted.authentication_info(BODY)
        if not self._proves:
            info = info.replace('rspauth="', 'rspauth="0')
        return b"%b\r\nauthentication-info: %b\r\n%b" % (status, info.encode("latin-1"), rest)


@contextlib.contextmanager
def refused_port() -> Iterator[int]:
    """A port on which nobody listens: bound, so that nobody else gets it meanwhile."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]
