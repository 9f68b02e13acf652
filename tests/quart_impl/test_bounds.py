"""Who makes room for whom; first without a network, then with one."""

import asyncio
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from unittest.mock import Mock

import pytest

from certs import CertificateFiles
from quart_impl.server import Limits
from quart_impl.server._bounds import Bounds
from quart_impl.server._connection import Connection, Phase, Service
from tests.quart_impl.serving import HALF_HELLO, Answers, ask, seconds_until_end, tiny_server

NOW_S = 1000.0


class Client:
    """As much of a connection as bounds know."""

    def __init__(self, phase: Phase = Phase.HANDSHAKE, *, for_s: float = 10, sent: bool = False) -> None:
        self.phase = phase
        self.since_s = NOW_S - for_s
        self.sent = sent
        self.gone = False

    def waits_for_us(self) -> bool:
        return self.sent

    def make_room(self) -> None:
        self.gone = True


def bounds(*clients: Client, connections: int = 100, pending: int = 100) -> Bounds:
    made = Bounds(connections=connections, pending=pending)
    for client in clients:
        made.came(client)  # type: ignore[arg-type]  # a fake
        if client.phase is not Phase.HANDSHAKE:
            made.entered(client)  # type: ignore[arg-type]  # as above
    return made


class Transport:
    """As much of one as making room takes."""

    def __init__(self, unsent: int) -> None:
        self.unsent = unsent
        self.ended = ""

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def close(self) -> None:
        self.ended = "closed"

    def abort(self) -> None:
        self.ended = "aborted"


@pytest.mark.parametrize(("unsent", "ended"), [(0, "closed"), (1, "aborted")])
def test_who_takes_nothing_of_its_answer_is_not_waited_for(unsent: int, ended: str) -> None:
    """To close a connection waits until everything is sent, which may be never; nobody would look at it any more."""

    async def leaves() -> str:
        here, there = socket.socketpair()
        with here, there:
            connection = Connection(
                cast("Service", SimpleNamespace(limits=Limits(), tls=None, watcher=Mock())), here, None
            )
            transport = Transport(unsent)
            connection._transport = cast("asyncio.Transport", transport)
            connection.phase = Phase.IDLE
            connection.make_room()
            return transport.ended

    assert asyncio.run(leaves()) == ended


class TestPending:
    """Over `pending_connections` the one that has stalled longest goes; none that is not to blame."""

    def test_nobody_goes_while_there_is_room(self) -> None:
        clients = [Client(), Client()]
        assert bounds(*clients, pending=3).make_room(NOW_S)
        assert not any(client.gone for client in clients)

    def test_the_longest_there_goes_first(self) -> None:
        clients = [Client(for_s=5), Client(Phase.FIRST, for_s=4), Client(for_s=3)]
        made = bounds(*clients, pending=3)
        assert made.make_room(NOW_S)
        assert [client.gone for client in clients] == [True, False, False]

    def test_who_has_asked_counts_no_more(self) -> None:
        clients = [Client(Phase.BUSY), Client(Phase.IDLE), Client(Phase.PARTING), Client()]
        assert bounds(*clients, pending=2).make_room(NOW_S)
        assert not any(client.gone for client in clients)

    def test_a_step_in_the_handshake_is_a_new_beginning(self) -> None:
        clients = [Client(for_s=5), Client(for_s=4)]
        made = bounds(*clients, pending=2)
        clients[0].since_s = NOW_S - 1
        made.entered(clients[0])  # type: ignore[arg-type]  # a fake
        assert made.make_room(NOW_S)
        assert [client.gone for client in clients] == [False, True]

    def test_who_waits_for_us_stays(self) -> None:
        clients = [Client(for_s=6, sent=True), Client(for_s=5), Client(for_s=4)]
        assert bounds(*clients, pending=3).make_room(NOW_S)
        assert [client.gone for client in clients] == [False, True, False]

    def test_a_burst_waits_and_loses_nobody(self) -> None:
        clients = [Client(for_s=0.4), Client(for_s=0.1)]
        assert not bounds(*clients, pending=2).make_room(NOW_S)
        assert not any(client.gone for client in clients)

    def test_a_flood_pushes_out_itself(self) -> None:
        clients = [Client(for_s=0.1, sent=True), Client(for_s=0.1)]
        assert bounds(*clients, pending=2).make_room(NOW_S, pressed=True)
        assert [client.gone for client in clients] == [False, True]


class TestConnections:
    """Over `connections`: stalled ones first, then those that only have to leave, then the longest idle."""

    @pytest.mark.parametrize(
        ("clients", "goes"),
        [
            ([Client(Phase.IDLE), Client(Phase.PARTING), Client()], 2),
            ([Client(Phase.IDLE), Client(Phase.PARTING), Client(for_s=0.5)], 1),
            ([Client(Phase.BUSY), Client(Phase.IDLE, for_s=9), Client(Phase.IDLE, for_s=8)], 1),
            ([Client(Phase.IDLE, sent=True), Client(Phase.IDLE, for_s=8)], 1),
            ([Client(Phase.BUSY), Client(Phase.IDLE, for_s=0.5), Client(for_s=0.5)], None),
        ],
    )
    def test_who_goes(self, clients: list[Client], goes: int | None) -> None:
        for client in clients:
            client.gone = False
        assert bounds(*clients, connections=len(clients)).make_room(NOW_S) == (goes is not None)
        assert [client.gone for client in clients] == [index == goes for index in range(len(clients))]

    def test_who_is_gone_counts_no_more(self) -> None:
        client = Client(Phase.IDLE)
        made = bounds(client, connections=1)
        assert made.is_full()
        made.gone(client)  # type: ignore[arg-type]  # a fake
        made.gone(client)  # type: ignore[arg-type]  # twice, as connections do
        assert not made.is_full()


@pytest.mark.end_to_end
class TestServer:
    @pytest.mark.parametrize("said", [b"", HALF_HELLO], ids=["silent", "half a ClientHello"])
    def test_handshakes_count_and_the_longest_stalled_goes(
        self, files: CertificateFiles, ca_file: Path, said: bytes
    ) -> None:
        with tiny_server(files, ca_file, bounds={"pending_connections": 3}) as server:
            stalled = [server.connect() for _ in range(3)]
            for connection in stalled:
                connection.sendall(said)
            time.sleep(0.6)  # as long as each may take before somebody else is let in for it
            answers = Answers()
            ask(server.client(), answers)
            assert answers.statuses == [200]
            assert seconds_until_end(stalled[0]) < 0.5
            stalled[1].setblocking(False)
            with pytest.raises(BlockingIOError):
                stalled[1].recv(1)
            assert server.complaints() == ""

    def test_a_burst_larger_than_the_bound_is_served(self, files: CertificateFiles, ca_file: Path) -> None:
        with tiny_server(files, ca_file, bounds={"pending_connections": 2}) as server:
            answers = [Answers() for _ in range(30)]
            work = [threading.Thread(target=ask, args=(server.client(), seen)) for seen in answers]
            for thread in work:
                thread.start()
            for thread in work:
                thread.join()
            assert answers == [Answers(statuses=[200])] * 30

    def test_a_flood_of_silent_clients_is_let_through(self, files: CertificateFiles, ca_file: Path) -> None:
        """They would be 5 s ahead of the good client, each ten of them taking half a second."""
        with tiny_server(files, ca_file, bounds={"pending_connections": 10, "backlog": 100}) as server:
            flood = [server.connect() for _ in range(110)]
            answers = Answers()
            began_s = time.monotonic()
            ask(server.client(), answers)
            assert answers.statuses == [200]
            assert time.monotonic() - began_s < 3
            assert len(flood) == 110
            assert server.complaints() == ""

    def test_the_longest_idle_goes(self, files: CertificateFiles, ca_file: Path) -> None:
        with tiny_server(files, ca_file, bounds={"connections": 2}) as server:
            clients = [server.client(), server.client()]
            for client in clients:
                ask(client, Answers())
            time.sleep(1.1)
            ask(clients[0], Answers())  # so that it is the other that has been idle for longer
            answers = Answers()
            ask(server.client(), answers)
            assert answers.statuses == [200]
            assert seconds_until_end(clients[1].sock) < 0.5
            ask(clients[0], answers)
            assert answers == Answers(statuses=[200, 200])

    def test_busy_ones_stay_and_new_ones_wait(self, files: CertificateFiles, ca_file: Path) -> None:
        with tiny_server(files, ca_file, bounds={"connections": 1}) as server:
            busy, late = server.tls(), server.connect()
            busy.sendall(b"GET /?0.6 HTTP/1.1\r\nHost: device\r\nConnection: close\r\n\r\n")
            late.settimeout(0.3)
            assert server.trust is not None
            with pytest.raises(TimeoutError):
                server.trust.wrap_socket(late, server_hostname="localhost", do_handshake_on_connect=True)
            assert busy.recv(100).startswith(b"HTTP/1.1 200")
            busy.close()
            late.close()
            answers = Answers()
            ask(server.client(), answers)
            assert answers.statuses == [200]
