"""The I/O loop: one thread that accepts, shakes hands, and waits for whole requests of every client at once.

A client is either waited for here (in `_waiting`, armed in epoll) or held: by this loop while it handles an event, or
by a worker. Any thread may put a client into `_waiting`, and must not touch it afterwards; while the loop runs, it
alone takes one out. Events are one-shot, and `watch` arms them from any thread with one system call: nobody has to be
woken for it.

Nothing here ever waits for one client alone; so a half ClientHello or a dribbled head holds up nobody. What a handshake
takes is CPU time (0.3 ms with P-256, some ms with RSA-4096).
"""

import contextlib
import logging
import os
import select
import socket
import sys
import time
from collections.abc import Callable
from typing import Final

from flask_impl.server._answer import refusal
from flask_impl.server._client import READY, Client, Phase
from flask_impl.server._connection import Blocked, Connection, HandshakeError, PlainHttpError
from flask_impl.server._http import RefusedError
from flask_impl.server._limits import Limits

_log = logging.getLogger("flask_impl.server")

_WAKE: Final = (1).to_bytes(8, sys.byteorder)  # what eventfd(2) wants to be written
_ONE_SHOT: Final = select.EPOLLONESHOT
_EVENTS_A_TURN: Final = 64
_ACCEPTED_A_TURN: Final = 16  # a burst of new clients lets the others have their turn in between
_SWEEP_S: Final = 0.01  # between two looks at all deadlines at least, however close they are
_SOON_S: Final = 0.1  # between two looks while something is about to change
_PATIENCE_S: Final = 1.0  # before a client that keeps us waiting may be dropped for a new one
_STOP_LINGER_S: Final = 1.0  # after a stop began, for requests that are on their way on idle connections
_TIMED_OUT: Final = RefusedError(408, "the request did not arrive in time")
_PLAIN_HTTP: Final = RefusedError(400, "this port speaks HTTPS; use https:// in the URL")
_UNASKED: Final = (Phase.HANDSHAKE, Phase.FIRST, Phase.HEAD)  # a client that has not sent its request


class Loop:
    """Waits for clients until it is stopped."""

    def __init__(
        self,
        listener: socket.socket,
        connect: Callable[[socket.socket], Connection],
        hand_over: Callable[[Client], None],
        *,
        limits: Limits,
        connections: int,
        stopping: Callable[[], None],
    ) -> None:
        """connect: raises OSError. hand_over: takes a client whose request is whole.

        stopping: called when a stop begins. The loop closes the listener.
        """
        self._listener: socket.socket | None = listener
        self._connect = connect
        self._hand_over = hand_over
        self._limits = limits
        self._connections = connections
        self._on_stopping = stopping
        self._clients: set[Client] = set()  # all of them, whoever holds them
        self._waiting: dict[int, Client] = {}  # by file descriptor
        self._paused = False  # whether new clients are left in the kernel's queue
        self._next_sweep_s = 0.0
        self._stop_asked_s: float | None = None
        self.over = False  # the grace period: nothing more needs to be answered
        self._stop_by_s = float("inf")
        self._epoll = select.epoll()
        # A file object: once it is closed, a late thread that wakes us cannot hit somebody else's descriptor.
        self._waker = os.fdopen(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC), "r+b", buffering=0)
        listener.setblocking(False)
        self._epoll.register(self._waker, select.EPOLLIN)
        self._epoll.register(listener, select.EPOLLIN | _ONE_SHOT)

    # For any thread.

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for: answers end their connections."""
        return self._stop_asked_s is not None

    def stop(self, grace_s: float) -> None:
        """Ask `run` to return: as soon as every request that had arrived is answered, or after the grace period.

        A further call can shorten the grace period. Signal handlers may call this.
        """
        now_s = time.monotonic()
        self._stop_by_s = min(self._stop_by_s, now_s + grace_s)
        if self._stop_asked_s is None:
            self._stop_asked_s = now_s
        self._wake()

    def watch(self, client: Client, event: int = select.EPOLLIN) -> None:
        """Wait for a client. Its holder must not touch it any more."""
        fd = client.connection.fileno()
        self._waiting[fd] = client
        try:
            self._epoll.modify(fd, event | _ONE_SHOT)
        except (OSError, ValueError):  # the loop was faster, for a deadline or a stop; or it has ended
            if client in self._clients and not self.over:
                raise
        if self.over and self._take(client):
            self.drop(client)

    def receive(self, client: Client) -> bool:
        """Take what a client has sent. False: its holder must not touch it any more, as it is waited for, or gone."""
        try:
            event = client.receive()
        except EOFError:
            self.part(client)
        except OSError as error:
            _log.debug("%s: %s", client, error)
            self.drop(client)
        else:
            if event == READY:
                return True
            self.watch(client, event)
        return False

    def linger(self, client: Client) -> None:
        """Say goodbye and wait, not for long, until the client has stopped sending."""
        client.connection.shutdown()
        client.linger()
        self.watch(client)

    def part(self, client: Client) -> None:
        """Say goodbye and let go."""
        client.connection.shutdown()
        self.drop(client)

    def drop(self, client: Client) -> None:
        """Let go of a client without a goodbye."""
        client.connection.close()  # epoll forgets it
        self._clients.discard(client)
        if self._paused or self.stopping:
            self._wake()

    # For the thread that runs the loop.

    def run(self) -> None:
        """Serve until stopped; then every client is gone, or has been cut off."""
        try:
            while not self._finished():
                for fd, _ in self._epoll.poll(self._timeout_s(), _EVENTS_A_TURN):
                    self._handle(fd)
                now_s = time.monotonic()
                if now_s >= self._next_sweep_s:
                    self._sweep(now_s)
                if self._stop_asked_s is not None:
                    self._go_on_stopping(now_s, self._stop_asked_s)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the listener and all else; after `run` has returned, or instead of it. It may be called again."""
        self.over = True
        self._shut_listener()
        self._epoll.close()
        self._waker.close()

    def _finished(self) -> bool:
        return self._listener is None and not self._clients

    def _wake(self) -> None:
        with contextlib.suppress(ValueError):  # the loop has ended
            self._waker.write(_WAKE)

    def _timeout_s(self) -> float:
        return max(0.0, min(self._next_sweep_s, self._stop_by_s) - time.monotonic())

    def _handle(self, fd: int) -> None:
        if fd == self._waker.fileno():
            self._waker.read(len(_WAKE))
            if self._paused:
                self._accept()
        elif self._listener is not None and fd == self._listener.fileno():
            self._accept()
        elif (client := self._waiting.pop(fd, None)) is not None:
            try:
                self._advance(client)
            except Exception:  # noqa: BLE001 (a defect of this server; the other clients should not suffer from it)
                _log.exception("%s: the server failed", client)
                self.drop(client)

    def _advance(self, client: Client) -> None:
        """Go on with a client for which there was an event."""
        if client.phase is Phase.LINGER:
            self._discard(client)
        elif (client.phase is not Phase.HANDSHAKE or self._shake_hands(client)) and self.receive(client):
            self._hand_over(client)

    def _shake_hands(self, client: Client) -> bool:
        try:
            client.handshake()
        except Blocked as blocked:
            self.watch(client, blocked.event)
        except PlainHttpError:
            _log.warning("%s: spoke plain HTTP to the TLS port", client)
            self._send_refusal(client, _PLAIN_HTTP, client.connection.send_in_the_clear)
        except HandshakeError as error:
            _log.warning("%s: TLS handshake failed: %s", client, error)
            self.linger(client)  # OpenSSL has sent an alert, which a reset might overtake
        except OSError as error:
            _log.info("%s: left during the TLS handshake: %s", client, error)
            self.drop(client)
        else:
            return True
        return False

    def _discard(self, client: Client) -> None:
        try:
            while client.connection.discard():
                pass
        except Blocked as blocked:
            self.watch(client, blocked.event)
            return
        except OSError:
            pass
        self.drop(client)

    def _send_refusal(self, client: Client, refused: RefusedError, send: Callable[[bytes], object]) -> None:
        """Tell a client, as far as that goes without waiting, why there is no answer."""
        try:
            send(refusal(refused))
        except (Blocked, OSError):
            self.drop(client)
        else:
            self.linger(client)

    # New clients.

    def _accept(self) -> bool:
        """Accept some of the clients that wait for it, and go on listening unless there is no room.

        Returns whether there may be more of them.
        """
        was_paused, self._paused = self._paused, False
        if self._listener is None:
            return False
        more = True
        for _ in range(_ACCEPTED_A_TURN):
            full = len(self._clients) >= self._connections
            if full and not _is_readable(self._listener):
                more = False
                break
            if full and not self._make_room():
                self._pause()
                if len(self._clients) < self._connections:
                    self._wake()  # somebody went just before the pause, and had nobody to tell
                return False
            try:
                accepted, peer = self._listener.accept()
            except BlockingIOError:
                more = False
                break
            except ConnectionError:
                continue  # it left before its turn came
            except OSError as error:  # descriptors or memory are used up
                if not was_paused:
                    _log.warning("no new connection can be accepted for now: %s", error)
                self._pause()
                return False
            self._welcome(accepted, peer)
        self._epoll.modify(self._listener, select.EPOLLIN | _ONE_SHOT)
        return more

    def _pause(self) -> None:
        """Leave new clients in the kernel's queue until somebody goes; looked at again soon in any case."""
        self._paused = True
        self._next_sweep_s = min(self._next_sweep_s, time.monotonic() + _SOON_S)

    def _welcome(self, accepted: socket.socket, peer: tuple[str, int]) -> None:
        try:
            connection = self._connect(accepted)
        except OSError as error:  # it left before its turn came
            _log.debug("%s: %s", peer, error)
            accepted.close()
            return
        client = Client(connection, peer, self._limits)
        self._clients.add(client)
        self._waiting[connection.fileno()] = client
        self._epoll.register(connection.fileno(), select.EPOLLIN | _ONE_SHOT)

    def _make_room(self) -> bool:
        """Drop whoever has kept us waiting longest for a first request, or else has been idle longest."""
        patience_s = time.monotonic() - _PATIENCE_S
        waiting = [client for client in self._waiting.copy().values() if client.since_s < patience_s]
        for phases in (_UNASKED, (Phase.LINGER,), (Phase.IDLE,)):
            for client in sorted((c for c in waiting if c.phase in phases), key=lambda client: client.since_s):
                if self._take(client):
                    _log.info("%s: dropped to make room (was waited for: %s)", client, client.phase.name.lower())
                    self.part(client)
                    return True
        return False

    def _take(self, client: Client) -> bool:
        """Become the holder of a client that was waited for a moment ago."""
        return self._waiting.pop(client.connection.fileno(), None) is client

    # Deadlines.

    def _sweep(self, now_s: float) -> None:
        """Look at all deadlines, and when to do so next: no client that comes later is due before that.

        A thousand take 0.1 ms. A heap would have to be kept in order at every request instead.
        """
        next_s = now_s + self._limits.shortest_s
        for client in self._waiting.copy().values():  # a worker may add one meanwhile
            if client.deadline_s > now_s:
                next_s = min(next_s, client.deadline_s)
            elif self._take(client):
                self._expire(client)
        self._next_sweep_s = max(next_s, now_s + _SWEEP_S)
        if self._paused:
            self._accept()  # somebody may have become stalled enough to be dropped

    def _expire(self, client: Client) -> None:
        if client.phase is Phase.HANDSHAKE:
            _log.warning("%s: TLS handshake timed out", client)
            self.drop(client)
        elif client.phase in (Phase.HEAD, Phase.BODY):
            _log.info("%s: timed out in the middle of a request", client)
            self._send_refusal(client, _TIMED_OUT, client.connection.send)
        elif client.phase is Phase.LINGER:
            self.drop(client)
        else:
            self.part(client)

    # The end.

    def _go_on_stopping(self, now_s: float, asked_s: float) -> None:
        if self._listener is not None:
            while not self._paused and self._accept():
                pass  # those that are connected already have arrived
            self._shut_listener()
            self._on_stopping()
        self._next_sweep_s = min(self._next_sweep_s, now_s + _SOON_S)
        if now_s >= asked_s + _STOP_LINGER_S:
            self._dismiss(now_s)
        if now_s >= self._stop_by_s:
            self._cut()

    def _dismiss(self, now_s: float) -> None:
        """Say goodbye to those of whom no request is on its way."""
        for client in self._waiting.copy().values():
            if client.phase in (Phase.HEAD, Phase.BODY) or not self._take(client):
                continue
            if client.phase is Phase.LINGER and now_s < client.since_s + _STOP_LINGER_S:
                self.watch(client)
            elif client.phase in (Phase.HANDSHAKE, Phase.LINGER):
                self.drop(client)
            else:
                self._dismiss_idle(client)

    def _dismiss_idle(self, client: Client) -> None:
        try:
            ready = client.receive() == READY  # a last look, as its request may have come in this moment
        except (EOFError, OSError):
            ready = False
        if ready:
            self._hand_over(client)
        elif client.reader.has_begun() or client.reader.requests:
            self.watch(client)
        else:
            self.part(client)

    def _cut(self) -> None:
        """Let nobody delay the end any more."""
        self.over = True
        if self._clients:
            _log.warning("%d connections cut off at the end of the grace period", len(self._clients))
        for client in self._clients.copy():
            if self._take(client):
                self.drop(client)
            else:
                client.connection.cut()  # its holder finds out
        self._clients.clear()

    def _shut_listener(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None


def _is_readable(listener: socket.socket) -> bool:
    """Say whether a client waits to be accepted: only for one that is there is somebody else dropped."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    return bool(poll.poll(0))
