"""How Werkzeug's threaded server with an ssl_context comes to wait for one client. docs/deployments.md has the answers.

Of Werkzeug as it comes, and with one of two changes: handshakes in the threads of the connections, or a longer listen
queue. It needs werkzeug, openssl for a certificate, and Linux, since other kernels drop other packets.

    python -m benchmarks.findings.werkzeug [comes|threads|queue]
"""

import contextlib
import selectors
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from math import inf
from typing import Final

from benchmarks.findings import served, tell

QUEUE: Final = 129  # Linux takes one more than the 128 that werkzeug.serving.LISTEN_QUEUE says
CROWD: Final = 60  # who find the queue full
WAIT_S: Final = 15.0  # ours: what has not come by then does not come
AT_ONCE_S: Final = 1.5
# A packet that is not acknowledged is sent again after 0.2, 0.6, 1.4, 3.0, 6.2 and 12.6 s; a server sends its half of
# TCP's handshake again after 1, 3, 7 and 15 s. So where the queue empties between 6.2 and 7 s after a crowd has
# connected, the server has their connections at 7 s, and their first packet, the ClientHello, at 12.6 s.
AGAIN: Final = 5
AGAIN_S: Final = 8.0  # longer is not waited for it: where nothing is dropped, nothing is sent again
ESTABLISHED: Final = 1
LATER: Final = 10  # clients that come after that, one every half second
REQUEST: Final = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
CONTEXT: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # takes any certificate
CONTEXT.check_hostname, CONTEXT.verify_mode = False, ssl.CERT_NONE


class Clients:
    """Those of one server; they leave when the block ends."""

    def __init__(self, port: int, stack: contextlib.ExitStack) -> None:
        self.port = port
        self._stack = stack

    def connected(self) -> socket.socket:
        """One that has connected."""
        return self._stack.enter_context(socket.create_connection(("127.0.0.1", self.port), WAIT_S))

    def connecting(self) -> socket.socket:
        """One that connects, and need not have come through."""
        client = self._stack.enter_context(socket.socket())
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", self.port))
        return client

    def ask_from(self, connecting: Iterable[socket.socket], seconds: float) -> None:
        """Have each ask as soon as it has connected, if it does by then."""
        until_s = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            for client in connecting:
                selector.register(client, selectors.EVENT_WRITE, client)
            while selector.get_map() and (left_s := until_s - time.monotonic()) > 0:
                for ready, _ in selector.select(left_s):
                    selector.unregister(ready.fileobj)
                    threading.Thread(target=ask, args=(ready.data,), daemon=True).start()

    def answered(self, later: int = 1) -> str:
        """What clients get that come one every half second: the one that waits longest."""
        with ThreadPoolExecutor(later) as pool:
            waits = []
            for _ in range(later):
                waits.append(pool.submit(self._wait_s))
                time.sleep(0.5 * (later > 1))
        waited_s = max(wait.result() for wait in waits)
        if waited_s == inf:
            return "no answer"
        return "an answer at once" if waited_s < AT_ONCE_S else f"an answer after {waited_s:.0f} s"

    def _wait_s(self) -> float:
        began_s = time.monotonic()
        with socket.create_connection(("127.0.0.1", self.port)) as client:
            return time.monotonic() - began_s if ask(client) else inf


def ask(connection: socket.socket) -> bool:
    """Ask as one should, over TLS; says whether an answer came."""
    connection.settimeout(WAIT_S)
    try:
        with CONTEXT.wrap_socket(connection) as client:
            client.sendall(REQUEST)
            return client.recv(100).startswith(b"HTTP/1.1 200")
    except OSError:  # a server that has gone, or no answer in time
        return False


def sent_again(clients: Iterable[socket.socket], times: int) -> bool:
    """Say whether those who believe that they are connected have sent again what was dropped, so many times."""
    # struct tcp_info of Linux begins with state, ca_state and retransmits, an octet each.
    infos = [client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 3) for client in clients]
    dropped = [info[2] for info in infos if info[0] == ESTABLISHED and info[2]]
    return bool(dropped) and min(dropped) >= times


# The findings.


def silent_client(clients: Clients) -> str:
    """One client has connected and says nothing; another one gets."""
    clients.connected()
    time.sleep(0.2)  # the server has accepted it
    return clients.answered()


def dropped_hello(clients: Clients) -> str:
    """A crowd came while the queue was full; the queue is empty again; others get."""
    first, second = clients.connected(), clients.connected()
    waiting = [clients.connected() for _ in range(QUEUE - 1)]  # behind the second
    crowd = [clients.connecting() for _ in range(CROWD)]  # the kernel drops this; all try again in a second, at once
    time.sleep(0.5)
    first.close()  # the second is accepted: the queue has room for one
    with contextlib.ExitStack() as stack:
        watched = [stack.enter_context(client.dup()) for client in crowd]
        clients.ask_from(crowd, 2)
        until_s = time.monotonic() + AGAIN_S
        while time.monotonic() < until_s and not sent_again(watched, AGAIN):
            time.sleep(0.02)
    for client in (second, *waiting):
        client.close()
    return clients.answered(LATER)


FINDINGS: Final = (silent_client, dropped_hello)


def find(finding: Callable[[Clients], str], which: str) -> str:
    """Ask one of FINDINGS of a server of its own, `comes`, `threads` or `queue`; return the answer."""
    with served("serve_werkzeug", which) as server, contextlib.ExitStack() as stack:
        return finding(Clients(server.port, stack))


if __name__ == "__main__":
    of = sys.argv[1] if sys.argv[1:] else "comes"
    tell(FINDINGS, lambda finding: find(finding, of))
