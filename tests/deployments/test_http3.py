"""HTTP/3, wherever it is claimed, asked by aioquic's own client: Digest works there, and what it signs is exact."""

import asyncio
import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest
from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, ProtocolNegotiated, QuicEvent
from cryptography import x509

import certs
import deployments
from deployments import RunningServer, ServeOptions
from device_api.state import read_credentials
from digest_auth import DigestClient
from tests.deployments.clients import (
    PING,
    SYSTEM_STATE,
    TIMEOUT_S,
    address,
    client,
    family,
    renew,
    serial,
)

pytestmark = pytest.mark.end_to_end

HTTP_3: Final = [name for name in deployments.names() if deployments.find(name).abilities.http_3]
PING_MS: Final = 600


@dataclasses.dataclass
class Answer:
    """Of one request, as far as it has come."""

    done: "asyncio.Future[None]"
    fields: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    body: bytes = b""
    serial: int = 0  # of the certificate that the connection was made with

    @property
    def status(self) -> int:
        return int(dict(self.fields)[":status"])

    def values(self, name: str) -> list[str]:
        return [value for field, value in self.fields if field == name]


class Client(QuicConnectionProtocol):
    """One connection, which takes one request at a time."""

    answer: Answer

    async def ask(self, method: str, target: str, fields: Mapping[str, str], body: bytes) -> Answer:
        self.answer = Answer(asyncio.get_running_loop().create_future())
        stream = self._quic.get_next_available_stream_id()
        pseudo = {":method": method, ":scheme": "https", ":authority": "localhost", ":path": target}
        named = [(name.encode(), value.encode()) for name, value in {**pseudo, **fields}.items()]
        self._http.send_headers(stream, named, end_stream=not body)
        if body:
            self._http.send_data(stream, body, end_stream=True)
        self.transmit()
        await asyncio.wait_for(self.answer.done, TIMEOUT_S)
        shown = self._quic.tls._peer_certificate  # aioquic offers no other way to it
        assert isinstance(shown, x509.Certificate)
        self.answer.serial = shown.serial_number
        return self.answer

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ProtocolNegotiated):
            self._http = H3Connection(self._quic)
        if isinstance(event, ConnectionTerminated):
            if hasattr(self, "answer") and not self.answer.done.done():
                self.answer.done.set_exception(ConnectionError(event.reason_phrase))
            return
        for part in self._http.handle_event(event):
            if isinstance(part, HeadersReceived):
                self.answer.fields += [(name.decode(), value.decode()) for name, value in part.headers]
            elif isinstance(part, DataReceived):
                self.answer.body += part.data
            if isinstance(part, HeadersReceived | DataReceived) and part.stream_ended:
                self.answer.done.set_result(None)


def ask(
    server: RunningServer,
    target: str,
    authorization: str | None = None,
    *,
    method: str = "GET",
    content: bytes = b"",
) -> Answer:
    """One request on a connection of its own, which trusts the device's CA alone. Raises ConnectionError."""
    assert server.ca_file is not None
    configuration = QuicConfiguration(
        is_client=True, alpn_protocols=H3_ALPN, server_name="localhost", idle_timeout=TIMEOUT_S
    )
    configuration.load_verify_locations(str(server.ca_file))
    fields = {"content-type": "application/yang-data+json"} if content else {}
    if authorization is not None:
        fields["authorization"] = authorization

    async def one() -> Answer:
        async with connect(*address(server), configuration=configuration, create_protocol=Client) as connection:
            assert isinstance(connection, Client)
            return await connection.ask(method, target, fields, content)

    return asyncio.run(one())


def ping(interval_ms: int) -> bytes:
    """The body of a request that takes so long."""
    question = {"destination": "192.0.2.1", "count": 1, "interval-ms": interval_ms}
    return json.dumps({"network-device:input": question}).encode()


def challenged(server: RunningServer) -> DigestClient:
    """A client that was challenged over HTTP/3."""
    digest = DigestClient(*read_credentials(server.credentials_file))
    refused = ask(server, SYSTEM_STATE)
    assert refused.status == 401
    assert digest.accept(refused.values("www-authenticate"))
    return digest


def listens_over_udp(server: RunningServer) -> bool:
    """Whether the deployment has the UDP port of its TCP port's number."""
    return any(
        connection.laddr.port == address(server)[1]
        for process in family(server)
        for connection in process.net_connections(kind="udp")
    )


@pytest.fixture(scope="module", params=HTTP_3)
def served(request: pytest.FixtureRequest, state: Path) -> Iterator[RunningServer]:
    with deployments.start(request.param, ServeOptions(state=state)) as server:
        yield server


@pytest.fixture(scope="module")
def signed(served: RunningServer) -> Callable[..., Answer]:
    """Asks for a target with a header for the same, or for another."""
    digest = challenged(served)

    def signed(target: str, signed_for: str | None = None) -> Answer:
        return ask(served, target, digest.authorization("GET", target if signed_for is None else signed_for))

    return signed


class TestServed:
    """What comes over TCP comes over QUIC."""

    def test_every_answer_over_tcp_tells_of_it(self, served: RunningServer) -> None:
        with client(served) as knows:
            answer = knows.get(SYSTEM_STATE)
        assert answer.headers["alt-svc"].startswith(f'h3=":{address(served)[1]}"')

    def test_digest_lets_in_who_knows_the_password(self, signed: Callable[..., Answer]) -> None:
        answer = signed(SYSTEM_STATE)
        assert answer.status == 200
        assert b"ietf-system:system-state" in answer.body

    def test_a_body_arrives(self, served: RunningServer) -> None:
        authorization = challenged(served).authorization("POST", PING)
        answer = ask(served, PING, authorization, method="POST", content=ping(1))
        assert answer.status == 200
        assert b"network-device:output" in answer.body


class TestRefusedUpload:
    """As any Digest client's first: its body is still coming when the 401 goes out."""

    def test_it_leaves_the_others_alone(self, served: RunningServer) -> None:
        """Hypercorn as it comes then answers nobody over QUIC until it is started anew."""
        assert ask(served, PING, method="POST", content=b"a" * 200_000).status == 401
        assert ask(served, "/health").status == 200


class TestTargets:
    """As over HTTP/2: a target is one field (:path), and what was signed for one opens no other."""

    @pytest.mark.parametrize(
        ("target", "status"),
        [
            (f"{SYSTEM_STATE}?a=%2F&b=%7e", 200),
            (f"{SYSTEM_STATE}?", 200),
            (SYSTEM_STATE.replace("/ietf", "%2Fietf"), 404),
            (f"/{SYSTEM_STATE}", 404),
            ("/%", 404),
        ],
    )
    def test_is_signed_as_it_was_sent(self, signed: Callable[..., Answer], target: str, status: int) -> None:
        assert signed(target).status == status

    @pytest.mark.parametrize("other", [SYSTEM_STATE.replace("s", "%73", 1), f"{SYSTEM_STATE}?a", f"/{SYSTEM_STATE}"])
    def test_another_is_refused(self, signed: Callable[..., Answer], other: str) -> None:
        assert signed(SYSTEM_STATE, other).status == 400


class TestRenewal:
    """Over QUIC too a renewed certificate is seen by new connections within a second."""

    def test_is_noticed(self, served: RunningServer, state: Path) -> None:
        before = ask(served, "/health").serial
        assert before == serial(state)
        renew(state)
        began_s = time.monotonic()
        while ask(served, "/health").serial != serial(state):
            assert time.monotonic() < began_s + 1.0
        assert serial(state) != before

    def test_a_pair_that_does_not_match_is_not_served(self, tmp_path: Path) -> None:
        """As while it is being put in place; the log says so, once for each connection."""
        with deployments.start(HTTP_3[0], ServeOptions(state=tmp_path)) as server:
            before = ask(server, "/health").serial
            chain = certs.ensure_certificate(tmp_path, certs.KeyKind.ECDSA_P256).chain
            other = certs.issue_certificate(tmp_path, certs.KeyKind.ECDSA_P256, ["localhost"], out=tmp_path / "other")
            chain.write_bytes(other.chain.read_bytes())
            assert ask(server, "/health").serial == before
            assert f"{chain}: not served over QUIC yet, the one from before is: " in server.log.read_text()


@pytest.mark.parametrize("name", HTTP_3)
class TestOptions:
    """There is QUIC where it keeps what was asked for, and none where it cannot."""

    def test_a_stop_finishes_what_runs(self, name: str, state: Path) -> None:
        outcome: list[int] = []
        with deployments.start(name, ServeOptions(state=state, auth="none")) as server:
            request = threading.Thread(
                target=lambda: outcome.append(ask(server, PING, method="POST", content=ping(PING_MS)).status)
            )
            request.start()
            time.sleep(PING_MS / 2000)  # nothing outside can see that the device is in the middle of a ping
            assert server.stop() == deployments.find(name).abilities.stop_status
            request.join()
        assert outcome == [200]

    @pytest.mark.parametrize("required", ["required", "optional"])
    def test_none_where_clients_are_asked_for_a_certificate(self, name: str, state: Path, required: str) -> None:
        """It would let in anybody."""
        options = ServeOptions(state=state, client_ca=certs.ensure_ca(state), client_certificates=required)
        with deployments.start(name, options) as server:
            assert not listens_over_udp(server)

    def test_none_with_tls_1_2_alone(self, name: str, state: Path) -> None:
        with deployments.start(name, ServeOptions(state=state, tls="1.2")) as server:
            assert not listens_over_udp(server)

    def test_with_tls_1_3_alone(self, name: str, state: Path) -> None:
        with deployments.start(name, ServeOptions(state=state, tls="1.3")) as server:
            assert listens_over_udp(server)
            assert ask(server, "/health").status == 200
