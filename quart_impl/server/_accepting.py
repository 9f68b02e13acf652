"""New clients: accepted as long as there is room, one at a time, and to the last of the queue when the server stops.

asyncio's own servers accept without a bound, know of a TLS client when its handshake is done, and leave those in the
kernel's queue to be reset when they are closed. So the listening socket is watched here (`loop.add_reader`), and each
accepted one handed to the loop (`loop.connect_accepted_socket`): both documented, and the same with uvloop.
"""

import asyncio
import functools
import logging
import select
import socket
import struct
from collections.abc import Callable
from typing import Final

from quart_impl.server._bounds import Bounds
from quart_impl.server._connection import Address, Connection

_log = logging.getLogger("quart_impl.server")

_A_TURN: Final = 16  # clients accepted before the others have their turn
_QUEUE: Final = 4096  # clients that may have been waiting when the server stops (net.core.somaxconn, as Linux has it)
_PRESSED: Final = 7 / 8  # of the kernel's queue
_RELIEVED: Final = 1 / 8
# Of tcp_info (linux/tcp.h): tcpi_unacked and tcpi_sacked, which for a listener are its queue's length and limit.
_TCP_INFO: Final = struct.Struct("24xII")


class Acceptor:
    """Accepts clients from a listening socket."""

    def __init__(
        self,
        listener: socket.socket,
        bounds: Bounds,
        welcome: Callable[[socket.socket, Address], Connection],
    ) -> None:
        self._listener = listener
        self._bounds = bounds
        self._welcome = welcome
        self._loop = asyncio.get_running_loop()
        self._paused = False
        self._pressed = False
        self._out_of_something = False  # descriptors or memory, at the last try
        self._beginning: set[asyncio.Task[object]] = set()
        listener.setblocking(False)
        bounds.on_room = self.go_on

    def open(self) -> None:
        """Accept clients from now on."""
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def go_on(self) -> None:
        """Try again, if there was no room."""
        if self._paused:
            self._paused = False
            self.open()

    def close(self) -> None:
        """Accept those who have come already, if there is room, and nobody else."""
        if self._listener.fileno() < 0:
            return
        for _ in range(_QUEUE // _A_TURN):
            if not self._accept():
                break
        self._loop.remove_reader(self._listener.fileno())
        self._paused = False
        self._listener.close()

    def _accept(self) -> bool:
        """Accept some clients; False when there are no more of them, or no room."""
        for _ in range(_A_TURN):
            if self._bounds.is_full():
                if not _is_readable(self._listener):  # only for one that is there is somebody else let go
                    return False
                if not self._bounds.make_room(self._loop.time(), pressed=self._is_pressed()):
                    self._pause()
                    return False
            try:
                accepted, peer = self._listener.accept()
            except BlockingIOError:
                return False
            except ConnectionError:
                continue  # it left before its turn came
            except OSError as error:
                if not self._out_of_something:
                    _log.warning("no new connection can be accepted for now: %s", error)
                self._out_of_something = True
                self._pause()
                return False
            self._out_of_something = False
            self._begin(accepted, peer)
        return True

    def _begin(self, accepted: socket.socket, peer: object) -> None:
        accepted.setblocking(False)
        connection = self._welcome(accepted, (peer[0], peer[1]) if isinstance(peer, tuple) else None)
        self._bounds.came(connection)
        task = self._loop.create_task(self._loop.connect_accepted_socket(lambda: connection, accepted))
        self._beginning.add(task)
        task.add_done_callback(functools.partial(self._has_begun, connection, accepted))

    def _has_begun(self, connection: Connection, accepted: socket.socket, task: "asyncio.Task[object]") -> None:
        self._beginning.discard(task)
        if task.cancelled() or task.exception() is not None:  # it left before its turn came
            accepted.close()
            self._bounds.gone(connection)

    def _is_pressed(self) -> bool:
        """Say whether the kernel is about to turn clients away, or was and has not recovered."""
        self._pressed = _queue(self._listener) >= (_RELIEVED if self._pressed else _PRESSED)
        return self._pressed

    def _pause(self) -> None:
        self._paused = True
        self._loop.remove_reader(self._listener.fileno())


def _queue(listener: socket.socket) -> float:
    """Return how full the kernel's queue is, from 0 to 1, as `ss -l` has it; for TCP alone."""
    if listener.family not in (socket.AF_INET, socket.AF_INET6):
        return 0.0
    waiting, most = _TCP_INFO.unpack(listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size))
    return float(waiting / max(1, most))


def _is_readable(listener: socket.socket) -> bool:
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    return bool(poll.poll(0))
