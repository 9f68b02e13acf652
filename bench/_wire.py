"""TCP as the client needs it: a native non-blocking socket and one gevent io watcher, never a gevent socket.

gevent's own tries first and waits when that fails; a client that has just sent a request knows that it must wait.
"""

from __future__ import annotations

import errno
import socket
import time
from typing import Any, Final

import gevent
import gevent.monkey
from gevent import getcurrent

from bench._deadlines import Deadlines, Waiter
from bench._errors import ConnectError
from bench._target import Address

_READ, _WRITE = 1, 2  # libev's EV_READ and EV_WRITE

# Inside Locust `socket.socket` is gevent's. typeshed knows one class of that name.
_NativeSocket: Final[type[socket.socket]] = gevent.monkey.get_original("socket", "socket")


class Traffic:
    """Bytes above TCP, summed over any number of connections."""

    __slots__ = ("received", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self.received = 0


class Wire:
    """A connected socket. `send` and `wait` let other greenlets run; nothing else does."""

    def __init__(self, addresses: tuple[Address, ...], deadlines: Deadlines, traffic: Traffic) -> None:
        """Connect to the first address that answers. Raises ConnectError with the last one's reason, DeadlineError."""
        self._traffic = traffic
        self._deadlines = deadlines
        self._hub: Any = gevent.get_hub()
        self._switch = self._hub.switch
        self.waiter: Waiter | None = None
        self.since_ns = time.monotonic_ns()
        self.phase = "connecting"
        deadlines.watch(self)
        try:
            self._socket = self._connect_to_any(addresses)
        except BaseException:  # GreenletExit too: Locust stops a user wherever it is
            deadlines.forget(self)
            raise
        self._readable = self._hub.loop.io(self._socket.fileno(), _READ)
        self._send, self._receive_into = self._socket.send, self._socket.recv_into

    def send(self, data: bytes) -> None:
        """Send all of it. Raises OSError, DeadlineError."""
        try:
            sent = self._send(data)
        except BlockingIOError:
            sent = 0
        self._traffic.sent += len(data)
        if sent < len(data):
            self._send_rest(memoryview(data)[sent:])

    def receive_into(self, buffer: bytearray) -> int:
        """Wait until something can be received, and return how much it was; 0 when the peer has closed.

        Raises OSError, DeadlineError.
        """
        watcher = self._readable
        self.waiter = waiter = getcurrent()
        watcher.start(waiter.switch)
        try:
            self._switch()
        finally:
            watcher.stop()
            self.waiter = None
        count = self._receive_into(buffer)
        self._traffic.received += count
        return count

    def close(self, *, last_words: bytes = b"") -> None:
        """Close. The last words are sent only if that needs no waiting."""
        self._deadlines.forget(self)
        self._readable.close()
        try:
            self._traffic.sent += self._socket.send(last_words) if last_words else 0
        except OSError:
            pass  # the peer has gone before: nobody is left to be polite to
        finally:
            self._socket.close()

    def _connect_to_any(self, addresses: tuple[Address, ...]) -> socket.socket:
        failure = OSError("no address")
        for family, address in addresses:
            sock = _NativeSocket(family, socket.SOCK_STREAM)
            try:
                self._connect(sock, address)
            except OSError as error:
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise ConnectError(failure) from failure

    def _connect(self, sock: socket.socket, address: tuple[object, ...]) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        status = sock.connect_ex(address)
        if status == errno.EINPROGRESS:
            self._wait_writable(sock)
            status = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if status:
            raise OSError(status, "")

    def _send_rest(self, rest: memoryview) -> None:
        while rest:
            self._wait_writable(self._socket)
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                continue

    def _wait_writable(self, sock: socket.socket) -> None:
        watcher = self._hub.loop.io(sock.fileno(), _WRITE)
        self.waiter = waiter = getcurrent()
        watcher.start(waiter.switch)
        try:
            self._hub.switch()
        finally:
            watcher.stop()
            watcher.close()
            self.waiter = None
