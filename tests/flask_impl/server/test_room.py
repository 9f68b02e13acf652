"""Bounds on connections, and who has to go. Those that have not sent a request, the pending ones, have one apart."""

import contextlib
import select
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

import pytest

from flask_impl.server._client import Client, Phase
from flask_impl.server._limits import Limits
from flask_impl.server._room import Room, is_filling_up
from tests.flask_impl.server.applications import hello
from tests.flask_impl.server.conftest import Serve, until, warnings
from tests.flask_impl.server.peers import client_hello, silent


class Waiting(dict[int, Client]):
    """Clients by descriptor; counts how often all of them are looked at."""

    looks = 0

    def copy(self) -> dict[int, Client]:
        self.looks += 1
        return super().copy()


def client_in(phase: Phase, stalled_s: float) -> Client:
    """One that has been in a phase for so long."""
    connection: Any = type("AnyConnection", (), {"shakes_hands": True})()
    client = Client(connection, ("127.0.0.1", 1), Limits())
    client.phase = phase
    client.since_s = time.monotonic() - stalled_s
    client.deadline_s = client.since_s + Limits().body_idle_s
    return client


class TestOrder:
    """Pure: no socket."""

    @pytest.fixture
    def waiting(self) -> Waiting:
        return Waiting()

    def enter(self, room: Room, waiting: Waiting, *clients: Client) -> None:
        for client in clients:
            room.enter(client)
            waiting[len(waiting)] = client
            if client.phase in (Phase.IDLE, Phase.BODY, Phase.LINGER):
                room.asked(client)

    def test_the_longest_stalled_goes_first(self, waiting: Waiting) -> None:
        room = Room(100, 3)
        older, old, new = (client_in(Phase.HANDSHAKE, stalled_s) for stalled_s in (3, 2, 1))
        self.enter(room, waiting, older, old, new)
        assert list(room.to_go(waiting, pressed=False)) == [older, old, new]

    def test_nobody_who_has_just_come_or_just_done_something(self, waiting: Waiting) -> None:
        room = Room(100, 3)
        old, new, busy = client_in(Phase.HANDSHAKE, 3), client_in(Phase.HANDSHAKE, 0), client_in(Phase.HANDSHAKE, 3)
        self.enter(room, waiting, busy, old, new)
        room.progress(busy)
        assert list(room.to_go(waiting, pressed=False)) == [old]

    def test_unless_the_kernels_queue_fills_up(self, waiting: Waiting) -> None:
        room = Room(100, 2)
        clients = [client_in(Phase.HANDSHAKE, 0) for _ in range(2)]
        self.enter(room, waiting, *clients)
        assert list(room.to_go(waiting, pressed=False)) == []
        assert list(room.to_go(waiting, pressed=True)) == clients

    def test_a_dribble_is_no_progress(self, waiting: Waiting) -> None:
        """A few steps are all that there is in a handshake."""
        room = Room(100, 2)
        dribbling, silent_one = client_in(Phase.HANDSHAKE, 3), client_in(Phase.HANDSHAKE, 2)
        self.enter(room, waiting, dribbling, silent_one)
        for _ in range(10):
            room.progress(dribbling)
        assert next(room.to_go(waiting, pressed=True)) is silent_one
        room.leave(silent_one)
        began_s = dribbling.since_s
        for _ in range(10):
            room.progress(dribbling)
        assert dribbling.since_s == began_s

    def test_a_complete_handshake_is(self, waiting: Waiting) -> None:
        room = Room(100, 2)
        first, second = client_in(Phase.HANDSHAKE, 3), client_in(Phase.HANDSHAKE, 2)
        self.enter(room, waiting, first, second)
        room.shaken(first)
        assert list(room.to_go(waiting, pressed=True)) == [second, first]

    def test_those_who_have_asked_are_not_pending(self, waiting: Waiting) -> None:
        room = Room(100, 1)
        idle = client_in(Phase.IDLE, 100)
        self.enter(room, waiting, idle)
        assert not room.is_full()
        self.enter(room, waiting, client_in(Phase.HANDSHAKE, 0))
        assert room.is_full()
        assert list(room.to_go(waiting, pressed=False)) == []  # to drop the idle one would be no help

    def test_without_pending_ones_the_others_in_their_order(self, waiting: Waiting) -> None:
        room = Room(5, 5)
        idle, longer_idle = client_in(Phase.IDLE, 20), client_in(Phase.IDLE, 30)
        lingering, body, fresh = client_in(Phase.LINGER, 2), client_in(Phase.BODY, 9), client_in(Phase.IDLE, 0.1)
        self.enter(room, waiting, idle, longer_idle, lingering, body, fresh)
        assert room.is_full()
        assert list(room.to_go(waiting, pressed=True)) == [lingering, longer_idle, idle, body]

    def test_one_look_at_all_of_them_serves_many_new_clients(self, waiting: Waiting) -> None:
        room = Room(1000, 100)
        clients = [client_in(Phase.IDLE, 1000 - number) for number in range(1000)]
        self.enter(room, waiting, *clients)
        for number, client in enumerate(clients):
            assert next(room.to_go(waiting, pressed=False)) is client
            del waiting[number]
        assert waiting.looks == 1

    def test_who_was_found_and_then_asked_stays(self, waiting: Waiting) -> None:
        room = Room(2, 2)
        first, second = client_in(Phase.IDLE, 30), client_in(Phase.IDLE, 20)
        self.enter(room, waiting, first, second)
        found = room.to_go(waiting, pressed=False)
        assert next(found) is first
        second.since_s = time.monotonic()
        assert list(room.to_go(waiting, pressed=False)) == []

    def test_who_leaves_makes_room(self, waiting: Waiting) -> None:
        room = Room(1, 1)
        client = client_in(Phase.HANDSHAKE, 0)
        self.enter(room, waiting, client)
        assert room.is_full()
        room.leave(client)
        assert not room.is_full()
        assert list(room.to_go(waiting, pressed=True)) == []

    @pytest.mark.parametrize(("kept", "pressed"), [(1, False), (6, False), (8, True)])
    def test_the_kernel_tells_how_full_its_queue_is(self, kept: int, *, pressed: bool) -> None:
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=8))
            for _ in range(kept):
                stack.enter_context(socket.create_connection(listener.getsockname()))
            assert is_filling_up(listener) is pressed


@pytest.mark.end_to_end
class TestPending:
    @pytest.fixture
    def half_hello(self, trusting: ssl.SSLContext) -> bytes:
        return client_hello(trusting)[:100]

    @pytest.mark.parametrize("sent", ["nothing", "half a hello or head"])
    def test_a_new_client_is_always_welcomed(
        self, serve: Serve, kind: str, half_hello: bytes, sent: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """However many stall, and however few of them the server is willing to keep."""
        running = serve(hello, pending_connections=4)
        before = running.connect()
        assert before.request().status == 200
        sends = b"" if sent == "nothing" else b"GET / HT" if kind == "plain" else half_hello
        with contextlib.ExitStack() as stack:
            stalled = [stack.enter_context(silent(running.address, sends)) for _ in range(12)]
            until(lambda: len(running.server._bound()._clients) == 5)
            for _ in range(3):
                assert running.connect().request().status == 200
            # The oldest are gone, the youngest are there, as are those who have asked.
            until(lambda: all(ended(one) for one in stalled[:8]))
            assert not any(ended(one) for one in stalled[-2:])
            assert before.request().status == 200
        until(lambda: warnings(caplog))
        assert all("stalled were dropped to make room" in line for line in warnings(caplog))
        assert len(warnings(caplog)) < 5

    def test_established_clients_are_not_counted(self, serve: Serve) -> None:
        running = serve(hello, pending_connections=1)
        peers = [running.connect()]
        for _ in range(5):
            assert peers[-1].request().status == 200
            peers.append(running.connect())
        for peer in peers:
            assert peer.request().status == 200

    def test_a_burst_of_good_clients_loses_nobody(self, serve: Serve, kind: str) -> None:
        """All are pending at once, and many more than may be; those beyond wait in the kernel's queue."""
        running = serve(hello, pending_connections=2)
        with contextlib.ExitStack() as stack:
            opened = [stack.enter_context(silent(running.address)) for _ in range(20)]
            for one in opened:
                one.setblocking(False)
            assert exchange_all(opened, None if kind == "plain" else running.client_context) == [b"hello"] * 20


def ended(opened: socket.socket) -> bool:
    """Whether the server has let go of a client."""
    poll = select.poll()
    poll.register(opened, select.POLLIN)
    if not poll.poll(0):
        return False
    try:
        return opened.recv(1, socket.MSG_PEEK) == b""
    except ConnectionResetError:
        return True


def exchange_all(opened: list[socket.socket], context: ssl.SSLContext | None) -> list[bytes]:
    """Ask once on each of some connections, all at the same time; return the bodies."""
    answers = [b""] * len(opened)
    conversations = {number: converse(one, context, answers, number) for number, one in enumerate(opened)}
    deadline_s = time.monotonic() + 10
    while conversations:
        assert time.monotonic() < deadline_s
        for number, conversation in list(conversations.items()):
            if next(conversation, "done") == "done":
                del conversations[number]
    return [answer[-5:] for answer in answers]


def converse(
    opened: socket.socket, context: ssl.SSLContext | None, answers: list[bytes], number: int
) -> Iterator[None]:
    """Take a conversation as far as it goes without waiting, again and again."""
    connected = opened
    if context is not None:
        connected = context.wrap_socket(opened, server_hostname="127.0.0.1", do_handshake_on_connect=False)
    with connected:
        if isinstance(connected, ssl.SSLSocket):
            while True:
                try:
                    connected.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    yield
        connected.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        while not answers[number].endswith(b"hello"):
            try:
                received = connected.recv(1000)
                if not received:
                    return
                answers[number] += received
            except (ssl.SSLWantReadError, BlockingIOError):
                yield
