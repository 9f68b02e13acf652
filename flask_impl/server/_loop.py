"""The I/O loop: one thread that accepts, shakes hands, and waits for whole requests of every client at once.

A client is either waited for here (in `_waiting`, armed in epoll) or held: by this loop while it handles an event, or
by a worker. Any thread may put a client into `_waiting`, and must not touch it afterwards; while the loop runs, it
alone takes one out. Events are one-shot, and `watch` arms them from any thread with one system call: nobody has to be
woken for it. An event is a hint and no more: one that comes late, to a client that is not the one it was meant for, has
it tried in vain and waited for again.

Nothing here ever waits for one client alone; so a half ClientHello or a dribbled head holds up nobody. What a handshake
takes is CPU time (0.3 ms with P-256, some ms with RSA-4096), so each turn first serves those who have shaken hands
already, then shakes hands for some ms, then accepts: many new clients delay the others by so much, and not more.
"""

import contextlib
import errno
import logging
import os
import select
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from flask_impl.server._answer import refusal
from flask_impl.server._body import STOPPING_IDLE_S
from flask_impl.server._client import READY, Client, Phase
from flask_impl.server._connection import Blocked, Connection, HandshakeError, PlainHttpError, TlsError
from flask_impl.server._http import RefusedError
from flask_impl.server._limits import Limits
from flask_impl.server._room import Room, is_filling_up

_log = logging.getLogger("flask_impl.server")

_WAKE: Final = (1).to_bytes(8, sys.byteorder)  # what eventfd(2) wants to be written
_ONE_SHOT: Final = select.EPOLLONESHOT
_EVENTS_A_TURN: Final = 64
_ACCEPTED_A_TURN: Final = 16  # a burst of new clients lets the others have their turn in between
_DISCARDED_A_TURN: Final = 8  # records' worth, of one client
_HANDSHAKES_S: Final = 0.005  # for handshakes in a turn; one at least is gone on with
_SWEEP_S: Final = 0.01  # between two looks at all deadlines at least, however close they are
_SOON_S: Final = 0.1  # between two looks while something is about to change
_VERY_SOON_S: Final = 0.02  # the same, where the next client to be dropped is a matter of some ms
_TELL_S: Final = 1.0  # between two lines about clients that made room: a flood must not fill the log
_STOP_LINGER_S: Final = 1.0  # after a stop began, for requests that are on their way
_NO_DESCRIPTOR: Final = (errno.EMFILE, errno.ENFILE)
_AT_REST: Final = (Phase.FIRST, Phase.IDLE)  # nothing of a request has come
_TIMED_OUT: Final = RefusedError(408, "the request did not arrive in time")
_PLAIN_HTTP: Final = RefusedError(400, "this port speaks HTTPS; use https:// in the URL")


class _NoRoomError(Exception):
    """One more client waits, and nobody is to be dropped for it."""


class Loop:
    """Waits for clients until it is stopped."""

    def __init__(
        self,
        listener: socket.socket,
        connect: Callable[[socket.socket], Connection],
        hand_over: Callable[[Client], None],
        *,
        limits: Limits,
        room: Room,
        stopping: Callable[[], None],
    ) -> None:
        """connect: raises OSError. hand_over: takes a client whose request is whole.

        stopping: called when a stop begins. The loop closes the listener.
        """
        self._listener: socket.socket | None = listener
        self._connect = connect
        self._hand_over = hand_over
        self._limits = limits
        self._room = room
        self._clients = room.clients  # all of them, whoever holds them
        self._on_stopping = stopping
        self._waiting: dict[int, Client] = {}  # by file descriptor
        self._shaking: deque[Client] = deque()  # held by the loop: they have sent something for their handshake
        self._asked: deque[Callable[[], None]] = deque()  # what other threads want to be done in this one
        self._paused = False  # whether new clients are left in the kernel's queue
        self._dropped = 0  # to make room, since the log said so last
        self._tell_again_s = 0.0
        self._next_sweep_s = 0.0
        self._stop_asked_s: float | None = None
        self.over = False  # the grace period: nothing more needs to be answered
        self._stop_by_s = float("inf")
        self._epoll = select.epoll()
        self._waker = os.fdopen(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC), "r+b", buffering=0)
        # Or a late thread that wakes us could hit the descriptor of somebody else. A signal handler may come in between
        # in the same thread, so the lock is one that a thread can take twice.
        self._closing = threading.RLock()
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

    def call_soon(self, function: Callable[[], None]) -> None:
        """Have something done by the thread that runs the loop, between two events. Signal handlers may call this."""
        self._asked.append(function)
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
        except TlsError as error:
            _log.warning("%s: TLS failed: %s", client, error)
            self.linger(client)  # OpenSSL has sent an alert, which a reset might overtake
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
        self._room.linger(client)
        self.watch(client)

    def part(self, client: Client) -> None:
        """Say goodbye and let go."""
        client.connection.shutdown()
        # To close with something unread is a reset, which can overtake the answer. A client may well have sent its own
        # goodbye right behind its request.
        with contextlib.suppress(Blocked, OSError):
            self._read_off(client)
        self.drop(client)

    def drop(self, client: Client) -> None:
        """Let go of a client without a goodbye."""
        client.connection.close()  # epoll forgets it
        self._room.leave(client)
        if self._paused or self.stopping:
            self._wake()

    # For the thread that runs the loop.

    def run(self) -> None:
        """Serve until stopped; then every client is gone, or has been cut off."""
        try:
            while not self._finished():
                self._turn()
                now_s = time.monotonic()
                if now_s >= self._next_sweep_s:
                    self._sweep(now_s)
                if self._stop_asked_s is not None:
                    self._go_on_stopping(now_s, self._stop_asked_s)
        finally:
            self._let_go_of_all()  # nobody is left, unless this server has failed
            self.close()

    def _turn(self) -> None:
        accepting = False
        for fd, _ in self._epoll.poll(self._timeout_s(), _EVENTS_A_TURN):
            if (client := self._waiting.pop(fd, None)) is not None:
                if client.phase is Phase.HANDSHAKE:
                    self._shaking.append(client)
                else:
                    self._guarded(self._advance, client)
            elif self._listener is not None and fd == self._listener.fileno():
                accepting = True
            elif fd == self._waker.fileno():
                self._waker.read(len(_WAKE))
                accepting = accepting or self._paused
                self._do_what_is_asked()
        if self._shaking:
            self._shake_some_hands()
        if accepting:
            self._accept()

    def close(self) -> None:
        """Let go of the listener and all else; after `run` has returned, or instead of it. It may be called again."""
        self.over = True
        self._shut_listener()
        self._epoll.close()
        with self._closing:
            self._waker.close()

    def _finished(self) -> bool:
        return self._listener is None and not self._clients

    def _wake(self) -> None:
        with self._closing:
            if not self._waker.closed:
                self._waker.write(_WAKE)

    def _timeout_s(self) -> float:
        if self._shaking:
            return 0.0
        return max(0.0, min(self._next_sweep_s, self._stop_by_s) - time.monotonic())

    def _guarded(self, step: Callable[[Client], None], client: Client) -> None:
        """Go on with a client; the others should not suffer from a defect of this server."""
        try:
            step(client)
        except Exception:  # noqa: BLE001 (that is what a defect is)
            _log.exception("%s: the server failed", client)
            self.drop(client)

    def _do_what_is_asked(self) -> None:
        while self._asked:
            try:
                self._asked.popleft()()
            except Exception:  # noqa: BLE001 (whoever asked is gone; the clients should not suffer from it)
                _log.exception("what another thread or a signal asked for failed")

    def _advance(self, client: Client) -> None:
        """Go on with a client that has shaken hands and for which there was an event."""
        if client.phase is Phase.LINGER:
            self._discard(client)
        elif self.receive(client):
            self._room.asked(client)
            self._hand_over(client)

    def _shake_some_hands(self) -> None:
        until_s = time.monotonic() + _HANDSHAKES_S
        while self._shaking:
            self._guarded(self._shake_hands, self._shaking.popleft())
            if time.monotonic() >= until_s:
                break

    def _shake_hands(self, client: Client) -> None:
        try:
            client.handshake()
        except Blocked as blocked:
            self._room.progress(client)
            self.watch(client, blocked.event)
        except PlainHttpError:
            _log.warning("%s: spoke plain HTTP to the TLS port", client)
            self._send_refusal(client, _PLAIN_HTTP, client.connection.send_in_the_clear)
        except HandshakeError as error:
            _log.warning("%s: TLS handshake failed: %s", client, error)
            self.linger(client)  # OpenSSL has sent an alert, which a reset might overtake
        except OSError as error:
            _log.debug("%s: %s", client, error)  # as port scanners and health checks do
            self.drop(client)
        else:
            self._room.shaken(client)
            self._advance(client)  # its request may have come with the end of its handshake

    def _discard(self, client: Client) -> None:
        try:
            more = self._read_off(client)
        except Blocked as blocked:
            self.watch(client, blocked.event)
        except OSError:
            self.drop(client)
        else:
            if more:  # later: it may send as fast as we read
                self.watch(client)
            else:
                self.drop(client)

    @staticmethod
    def _read_off(client: Client) -> bool:
        """Throw away some of what a client has sent. False: it has ended. Raises Blocked or OSError."""
        return all(client.connection.discard() for _ in range(_DISCARDED_A_TURN))

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
            try:
                self._accept_one(self._listener)
            except BlockingIOError:
                more = False
                break
            except _NoRoomError:
                self._pause(_VERY_SOON_S)
                if not self._room.is_full():
                    self._wake()  # somebody went just before the pause, and had nobody to tell
                return False
            except OSError as error:  # descriptors or memory are used up
                if not was_paused:
                    _log.warning("no new connection can be accepted for now: %s", error)
                self._pause(_SOON_S)
                return False
        self._epoll.modify(self._listener, select.EPOLLIN | _ONE_SHOT)
        return more

    def _accept_one(self, listener: socket.socket) -> None:
        """Accept a client, if it is still there. Raises BlockingIOError if nobody waits, _NoRoomError, or OSError."""
        if self._room.is_full():
            if not _is_readable(listener):
                raise BlockingIOError
            if not self._make_room(listener):
                raise _NoRoomError
        try:
            accepted, peer = listener.accept()
        except ConnectionError:
            return
        except OSError as error:
            if error.errno not in _NO_DESCRIPTOR or not self._make_room(listener):
                raise
        else:
            self._welcome(accepted, peer)

    def _pause(self, for_s: float) -> None:
        """Leave new clients in the kernel's queue until somebody goes; looked at again after a time in any case."""
        self._paused = True
        self._next_sweep_s = min(self._next_sweep_s, time.monotonic() + for_s)

    def _welcome(self, accepted: socket.socket, peer: tuple[str, int]) -> None:
        try:
            connection = self._connect(accepted)
        except OSError as error:  # it left before its turn came
            _log.debug("%s: %s", peer, error)
            accepted.close()
            return
        client = Client(connection, peer, self._limits)
        self._room.enter(client)
        self._waiting[connection.fileno()] = client
        try:
            self._epoll.register(connection.fileno(), select.EPOLLIN | _ONE_SHOT)
        except OSError as error:  # the user may watch no more descriptors, or memory is used up
            _log.warning("%s: dropped, as it cannot be waited for: %s", client, error)
            self._take(client)
            self.drop(client)

    def _make_room(self, listener: socket.socket) -> bool:
        """Drop whoever should go first, as _room says. False: for now there is nobody."""
        for client in self._room.to_go(self._waiting, pressed=is_filling_up(listener)):
            if self._take(client):
                _log.debug("%s: dropped to make room (was waited for: %s)", client, client.phase.name.lower())
                self._dropped += 1
                self._next_sweep_s = min(self._next_sweep_s, self._tell_again_s)
                self._guarded(self.part, client)
                return True
        return False

    def _tell_who_was_dropped(self, now_s: float) -> None:
        if self._dropped and now_s >= self._tell_again_s:
            _log.warning("too many connections: %d that had stalled were dropped to make room", self._dropped)
            self._dropped = 0
            self._tell_again_s = now_s + _TELL_S

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
                self._guarded(self._expire, client)
        self._tell_who_was_dropped(now_s)
        if self._dropped:
            next_s = min(next_s, self._tell_again_s)
        self._next_sweep_s = max(next_s, now_s + _SWEEP_S)
        if self._paused:
            self._accept()  # somebody may have become stalled enough to be dropped

    def _expire(self, client: Client) -> None:
        if client.phase is Phase.HANDSHAKE:
            if not self.stopping:
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
            self._tell_of_the_stop()
        self._next_sweep_s = min(self._next_sweep_s, now_s + _SOON_S)
        if now_s >= asked_s + _STOP_LINGER_S:
            self._dismiss(now_s)
        if now_s >= self._stop_by_s:
            self._cut()

    def _tell_of_the_stop(self) -> None:
        try:
            self._on_stopping()
        except Exception:  # noqa: BLE001 (not this server's, and no reason not to answer what has arrived)
            _log.exception("what should have been done at the beginning of the stop failed")

    def _dismiss(self, now_s: float) -> None:
        """Say goodbye to those of whom no request is on its way, or no more than a beginning that does not go on.

        A request whose head is there has arrived, as far as that is for a client to say, so its body has more time.
        """
        for client in self._waiting.copy().values():
            patience_s = STOPPING_IDLE_S if client.phase is Phase.BODY else _STOP_LINGER_S
            if now_s < client.stalled_since_s + patience_s or not self._take(client):
                continue
            self._guarded(self._dismiss_idle if client.phase in _AT_REST else self._expire, client)

    def _dismiss_idle(self, client: Client) -> None:
        try:
            ready = client.receive() == READY  # a last look, as its request may have come in this moment
        except (EOFError, OSError):
            ready = False
        if ready:
            self._room.asked(client)
            self._hand_over(client)
        elif client.reader.has_begun() or client.reader.requests:
            self.watch(client)
        else:
            self.part(client)

    def _cut(self) -> None:
        """Let nobody delay the end any more."""
        if self._clients:
            _log.warning("%d connections cut off at the end of the grace period", len(self._clients))
        self._let_go_of_all()

    def _let_go_of_all(self) -> None:
        self.over = True
        while self._shaking:
            self.drop(self._shaking.popleft())
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
