"""HTTP/2 frame by frame, since h2's own client gives a connection up at the first GOAWAY, whatever it says."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import hpack
import pytest
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, SettingsFrame

from certs import CertificateFiles
from tests.quart_impl.conftest import Serve
from tests.quart_impl.serving import TinyServer, tiny_server, wait_until

pytestmark = pytest.mark.end_to_end

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
ANNOUNCEMENT = 2**31 - 1  # RFC 9113 section 6.8: the last stream id of a GOAWAY that only says "begin nothing new"


class Http2Client:
    """One connection, and everything that comes on it."""

    def __init__(self, server: TinyServer, ca_file: Path) -> None:
        context = ssl.create_default_context(cafile=ca_file)
        context.set_alpn_protocols(["h2"])
        self._tls = server.clients.enter_context(context.wrap_socket(server.connect(), server_hostname="localhost"))
        self._stream = -1
        self._encoder, self._decoder = hpack.Encoder(), hpack.Decoder()
        self.frames: list[Frame] = []
        self._tls.sendall(PREFACE + SettingsFrame(0).serialize())

    def ask(self, *, seconds: float) -> int:
        """Begin a request; returns its stream."""
        self._stream += 2
        target = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", f"/?{seconds}")]
        headers = HeadersFrame(self._stream, self._encoder.encode(target), flags=["END_HEADERS", "END_STREAM"])
        self._tls.sendall(headers.serialize())
        return self._stream

    def read_answer(self, stream: int) -> None:
        """Read until a request is answered."""
        for frame in self._arriving():
            if isinstance(frame, DataFrame) and frame.stream_id == stream and "END_STREAM" in frame.flags:
                return
        raise EOFError

    def read_goaway(self) -> GoAwayFrame:
        for frame in self._arriving():
            if isinstance(frame, GoAwayFrame):
                return frame
        raise EOFError

    def read_to_the_end(self) -> None:
        for _ in self._arriving():
            pass

    def statuses(self) -> dict[int, bytes]:
        """What has been answered so far, by stream. May be asked once: HPACK's table moves on."""
        answers = [frame for frame in self.frames if isinstance(frame, HeadersFrame)]
        return {frame.stream_id: dict(self._decoder.decode(frame.data, raw=True))[b":status"] for frame in answers}

    def goaways(self) -> list[tuple[int, int]]:
        """Last stream and error code of each."""
        return [(frame.last_stream_id, frame.error_code) for frame in self.frames if isinstance(frame, GoAwayFrame)]

    def _arriving(self) -> Iterator[Frame]:
        while header := self._read(9):
            frame, length = Frame.parse_frame_header(memoryview(header))
            frame.parse_body(memoryview(self._read(length)))
            self.frames.append(frame)
            if isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
                self._tls.sendall(SettingsFrame(0, flags=["ACK"]).serialize())
            yield frame

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._tls.recv(size - len(data))
            if not part:
                assert not data, "the connection ends within a frame"
                break
            data += part
        return data


class TestStop:
    """Clients are told before their connection ends, and what they began is finished."""

    @pytest.fixture
    def patient(self, serve_on_each_loop: Serve) -> Iterator[TinyServer]:
        """A server that takes its time to stop: what comes sooner comes for another reason."""
        with serve_on_each_loop(linger_s=9, requests_s=9, close_s=0.3) as server:
            yield server

    def test_an_idle_client_is_told_at_once(self, patient: TinyServer, ca_file: Path) -> None:
        client = Http2Client(patient, ca_file)
        client.read_answer(client.ask(seconds=0))
        patient.signal()
        goaway = client.read_goaway()
        assert (goaway.last_stream_id, goaway.error_code) == (ANNOUNCEMENT, 0)

    def test_what_is_begun_nevertheless_is_answered(self, patient: TinyServer, ca_file: Path) -> None:
        client = Http2Client(patient, ca_file)
        first = client.ask(seconds=0)
        client.read_answer(first)
        patient.signal()
        client.read_goaway()
        late = client.ask(seconds=0)  # as if it had been on its way
        client.read_answer(late)
        assert client.statuses() == {first: b"200", late: b"200"}

    def test_settings_come_first_whatever_happens(self, patient: TinyServer, ca_file: Path) -> None:
        keeper = Http2Client(patient, ca_file)  # or there would be nobody to wait for
        keeper.read_answer(keeper.ask(seconds=0))
        late = Http2Client(patient, ca_file)
        patient.signal()
        late.read_answer(late.ask(seconds=0))
        assert isinstance(late.frames[0], SettingsFrame)
        assert late.goaways() == [(ANNOUNCEMENT, 0)]

    def test_beginning_something_new_brings_the_goaway(self, patient: TinyServer, ca_file: Path) -> None:
        client = Http2Client(patient, ca_file)
        slow = client.ask(seconds=1)
        wait_until(lambda: patient.running() == 1)
        patient.signal()
        new = client.ask(seconds=0)
        client.read_goaway()
        client.read_answer(slow)
        assert client.statuses() == {slow: b"200", new: b"200"}

    def test_a_client_with_something_running_is_not_told_to_give_it_up(
        self, files: CertificateFiles, ca_file: Path
    ) -> None:
        with tiny_server(files, ca_file, linger_s=0.2, requests_s=9, close_s=0.3) as server:
            client = Http2Client(server, ca_file)
            slow = client.ask(seconds=1)
            wait_until(lambda: server.running() == 1)
            server.signal()
            client.read_answer(slow)
            assert client.goaways() == []
            client.read_to_the_end()
            assert client.goaways() == [(ANNOUNCEMENT, 0)]
            assert client.statuses() == {slow: b"200"}
            assert server.wait()[0] == 0
            assert server.complaints() == ""
