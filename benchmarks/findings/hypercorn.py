"""What a TLS server of ASGI apps does when it is used in bad faith. docs/hypercorn.md has the answers, side by side.

Of Hypercorn as it comes, or with `own` of quart_impl.server. It needs hypercorn, which brings h2, and openssl for a
certificate.

    python -m benchmarks.findings.hypercorn [own]
"""

import contextlib
import re
import socket
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from benchmarks.findings import Served, served, tell

WAIT_S: Final = 9.0  # ours: what has not come by then does not come
HOST: Final = b"Host: localhost\r\n"
OLD_HELLO: Final = bytes.fromhex(f"160302002d010000290302{'00' * 32}000002c0130100")  # TLS 1.1, one cipher suite


class Server:
    """One that runs, and its clients."""

    def __init__(self, served: Served, clients: contextlib.ExitStack) -> None:
        self.process = served.process
        self.port = served.port
        self.log = served.log
        self._clients = clients  # closes them all in the end

    def plain(self) -> socket.socket:
        """A TCP connection."""
        return self._clients.enter_context(socket.create_connection(("127.0.0.1", self.port), WAIT_S))

    def tls(self, *protocols: str) -> ssl.SSLSocket:
        """A TLS connection."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(protocols)
        return self._clients.enter_context(context.wrap_socket(self.plain(), server_hostname="localhost"))

    def ask(self, request: bytes) -> bytes:
        """All that comes for it until the server ends the connection, or nothing more comes."""
        with self.tls("http/1.1") as client:
            client.sendall(request)
            return receive(client)

    def running(self) -> int:
        """How many requests the app waits in."""
        answer = self.ask(b"GET /running HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        found = re.search(rb"\r\n\r\n(?:\w+\r\n)?(\d+)", answer)
        return -1 if found is None else int(found[1])

    def memory_kb(self) -> int:
        """Its resident memory."""
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii"))
        return 0 if found is None else int(found[1])


class Http2:
    """A client of HTTP/2."""

    def __init__(self, server: Server) -> None:
        self.socket = server.tls("h2")
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(validate_outbound_headers=False))
        self.h2.initiate_connection()
        self.bodies: dict[int, bytes] = {}
        self.statuses: dict[int, str] = {}
        self.ended: set[int] = set()
        self.reset: set[int] = set()

    def ask(self, path: bytes = b"/", *, method: bytes = b"GET", whole: bool = True) -> int:
        """Begin a request; returns its stream."""
        stream = self.h2.get_next_available_stream_id()
        fields = [(b":method", method), (b":scheme", b"https"), (b":authority", b"localhost"), (b":path", path)]
        self.h2.send_headers(stream, fields, end_stream=whole)
        self.flush()
        return stream

    def flush(self) -> None:
        """Send what there is to send."""
        self.socket.sendall(self.h2.data_to_send())

    def read(self, seconds: float = WAIT_S) -> None:
        """Take what comes until then, or the end."""
        until_s = time.monotonic() + seconds
        with contextlib.suppress(OSError):
            while (left_s := until_s - time.monotonic()) > 0:
                self.socket.settimeout(left_s)
                data = self.socket.recv(65536)
                if not data:
                    return
                for event in self.h2.receive_data(data):
                    self._note(event)
                self.flush()

    def _note(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.DataReceived):
            self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.ResponseReceived):
            self.statuses[event.stream_id] = dict(event.headers)[b":status"].decode("ascii")
        elif isinstance(event, h2.events.StreamEnded):
            self.ended.add(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self.reset.add(event.stream_id)


def receive(client: socket.socket) -> bytes:
    """All that comes until the end, or until nothing more comes."""
    received = b""
    client.settimeout(WAIT_S)
    with contextlib.suppress(OSError):
        while piece := client.recv(65536):
            received += piece
    return received


def first_line(answer: bytes) -> str:
    """Of an answer; what there is, if it is none."""
    return answer.partition(b"\r\n")[0].decode("ascii", "replace").strip() or "nothing comes"


# The findings.


def hidden_request(server: Server) -> str:
    """Content-Length and Transfer-Encoding together, another request hidden behind them."""
    body = b"0\r\n\r\nGET /hidden HTTP/1.1\r\n" + HOST + b"\r\n"
    framing = b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n" % len(body)
    answers = server.ask(b"POST / HTTP/1.1\r\n" + HOST + framing + body)
    return f"{first_line(answers)}, answers: {answers.count(b'HTTP/1.1 ')}"


def two_lengths(server: Server) -> str:
    """The same Content-Length twice."""
    return first_line(server.ask(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n" * 2 + b"\r\na"))


def bare_line_feeds(server: Server) -> str:
    """A head whose lines end in a bare LF."""
    return first_line(server.ask(b"GET / HTTP/1.1\nHost: localhost\n\n"))


def method_in_lower_case(server: Server) -> str:
    """The method `get`."""
    answer = server.ask(b"get / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
    return "the app is asked for GET" if b"GET" in answer else first_line(answer)


def method_in_lower_case_http2(server: Server) -> str:
    """The same over HTTP/2."""
    client = Http2(server)
    stream = client.ask(method=b"get")
    client.read(2)
    return "the app is asked for GET" if client.bodies.get(stream) == b"GET" else "refused"


def body_that_does_not_come(server: Server) -> str:
    """A body that does not come (timeouts are 2 s)."""
    return first_line(server.ask(b"POST /read HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\n"))


def answer_that_nobody_takes(server: Server) -> str:
    """An endless answer of which the client takes nothing."""
    with server.tls("http/1.1") as client:
        client.sendall(b"GET /flow HTTP/1.1\r\n" + HOST + b"\r\n")
        time.sleep(WAIT_S)
        still = server.running()
    return "goes on" if still else "has ended"


def upload_that_is_not_read(server: Server) -> str:
    """An upload that the app answers without reading it; then the client leaves."""
    with server.tls("http/1.1") as client, contextlib.suppress(OSError):
        client.sendall(b"POST /late HTTP/1.1\r\n" + HOST + b"Content-Length: 1048576\r\n\r\n")
        for _ in range(30):  # more pieces than Hypercorn's queue holds
            client.sendall(bytes(1024))
            time.sleep(0.01)
        client.recv(1000)
    time.sleep(WAIT_S)
    return f"the app still hangs in {server.running()} answer"


def upload_goes_on(server: Server) -> str:
    """An upload that is answered before it has come, and then comes; the log has."""
    with server.tls("http/1.1") as client, contextlib.suppress(OSError):
        client.sendall(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\n")
        client.recv(1000)
        time.sleep(0.5)  # the answer has come, and by now the server's close_notify behind it
        client.sendall(b"on its way")
        time.sleep(0.5)
    return "a traceback" if "Traceback" in server.log.read_text(encoding="utf-8") else "nothing"


def left_behind(server: Server) -> str:
    """Two requests at once, and the client leaves."""
    with server.tls("http/1.1") as client:
        client.sendall((b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n") * 2)
        time.sleep(1)
    time.sleep(WAIT_S)
    return f"the app still answers {server.running()} of them"


def upload_that_is_not_read_http2(server: Server) -> str:
    """HTTP/2: the same upload, and another request on the connection."""
    client = Http2(server)
    upload = client.ask(method=b"POST", whole=False)
    client.read(0.5)
    with contextlib.suppress(h2.exceptions.ProtocolError, OSError):  # told to stop
        client.h2.send_data(upload, b"on its way")
        client.flush()
    with contextlib.suppress(OSError):
        other = client.ask()
        client.read(2)
        return "answered" if client.bodies.get(other) else "lost with the connection"
    return "lost with the connection"


def answer_broken_off_http2(server: Server) -> str:
    """HTTP/2: an app that ends in the middle of its answer."""
    client = Http2(server)
    stream = client.ask(b"/broken")
    client.read(2)
    return "the client is told" if stream in client.reset | client.ended else "the client waits for the rest"


def path_http2(server: Server) -> str:
    """HTTP/2: a path that is not ASCII."""
    client = Http2(server)
    stream = client.ask(b"/\xff")
    client.read(2)
    return client.statuses.get(stream, "the connection ends without a word")


def plain_http(server: Server) -> str:
    """Plain HTTP to the TLS port."""
    with server.plain() as client:
        client.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        return first_line(receive(client))


def old_version(server: Server) -> str:
    """TLS 1.1."""
    with server.plain() as client:
        client.sendall(OLD_HELLO)
        answer = receive(client)
    return f"alert {answer[-1]}" if answer[:1] == b"\x15" else "no alert"


def other_protocol(server: Server) -> str:
    """ALPN of something that nobody here speaks."""
    try:
        with server.tls("spdy/1"):
            return "goes on"
    except ssl.SSLError as error:
        return "alert 120" if "no application protocol" in str(error).lower() else str(error)


def idle_clients(server: Server) -> str:
    """Memory for a TLS client that has been answered and stays."""
    before_kb = server.memory_kb()
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            client = stack.enter_context(server.tls("http/1.1"))
            client.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
            client.recv(1000)
        return f"{(server.memory_kb() - before_kb) / 200:.0f} kB"


def silent_clients(server: Server) -> str:
    """Memory for a client that has said nothing."""
    before_kb = server.memory_kb()
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(server.plain())
        time.sleep(0.5)
        return f"{(server.memory_kb() - before_kb) / 200:.0f} kB"


FINDINGS: Final = (
    silent_clients,
    idle_clients,
    hidden_request,
    two_lengths,
    bare_line_feeds,
    method_in_lower_case,
    method_in_lower_case_http2,
    body_that_does_not_come,
    answer_that_nobody_takes,
    upload_that_is_not_read,
    upload_goes_on,
    left_behind,
    upload_that_is_not_read_http2,
    answer_broken_off_http2,
    path_http2,
    plain_http,
    old_version,
    other_protocol,
)


def find(finding: Callable[[Server], str], which: str) -> str:
    """Ask one of FINDINGS of a server of its own, `hypercorn` or `own`; return the answer."""
    with served(f"serve_{which}") as server, contextlib.ExitStack() as clients:
        return finding(Server(server, clients))


if __name__ == "__main__":
    of = sys.argv[1] if sys.argv[1:] else "hypercorn"
    tell(FINDINGS, lambda finding: find(finding, of))
