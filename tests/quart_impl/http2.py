"""HTTP/2 frame by frame, since h2's own client gives a connection up at the first GOAWAY, whatever it says."""

from collections.abc import Iterator

import hpack
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.quart_impl.serving import TinyServer

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
ANNOUNCEMENT = 2**31 - 1  # RFC 9113 section 6.8: the last stream id of a GOAWAY that only says "begin nothing new"


class Http2Client:
    """One connection, and everything that comes on it."""

    def __init__(self, server: TinyServer) -> None:
        self.socket = server.tls("h2")
        self._stream = -1
        self._encoder, self._decoder = hpack.Encoder(), hpack.Decoder()
        self.frames: list[Frame] = []
        self.socket.sendall(PREFACE + SettingsFrame(0).serialize())

    def ask(self, path: str = "/", *, seconds: float | None = None, method: str = "GET", whole: bool = True) -> int:
        """Begin a request; returns its stream. whole: without a body."""
        self._stream += 2
        path = path if seconds is None else f"/?{seconds}"
        target = [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
        flags = ["END_HEADERS", "END_STREAM"] if whole else ["END_HEADERS"]
        headers = HeadersFrame(self._stream, self._encoder.encode(target), flags=flags)
        self.socket.sendall(headers.serialize())
        return self._stream

    def send(self, stream: int, data: bytes, *, whole: bool = False) -> None:
        """A piece of a body."""
        self.socket.sendall(DataFrame(stream, data, flags=["END_STREAM"] if whole else []).serialize())

    def allow(self, stream: int, octets: int) -> None:
        """Let the server send more."""
        self.socket.sendall(WindowUpdateFrame(stream, window_increment=octets).serialize())

    def reset(self, stream: int) -> None:
        """Ask for the answer no more."""
        self.socket.sendall(RstStreamFrame(stream, error_code=8).serialize())

    def read_answer(self, stream: int) -> bytes:
        """Read until a request is answered, and return the body."""
        body = b""
        for frame in self._arriving():
            if isinstance(frame, RstStreamFrame) and frame.stream_id == stream and frame.error_code:
                raise ConnectionResetError(frame.error_code)
            if isinstance(frame, DataFrame) and frame.stream_id == stream:
                body += frame.data
            if (
                isinstance(frame, DataFrame | HeadersFrame)
                and frame.stream_id == stream
                and "END_STREAM" in frame.flags
            ):
                return body
        raise EOFError

    def read_data(self, octets: int) -> int:
        """Read until so much of answers has come."""
        came = 0
        for frame in self._arriving():
            came += len(frame.data) if isinstance(frame, DataFrame) else 0
            if came >= octets:
                return came
        raise EOFError

    def read_reset(self, stream: int) -> int:
        """Read until a request is reset, and return why."""
        for frame in self._arriving():
            if isinstance(frame, RstStreamFrame) and frame.stream_id == stream:
                return frame.error_code
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
                self.socket.sendall(SettingsFrame(0, flags=["ACK"]).serialize())
            yield frame

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                assert not data, "the connection ends within a frame"
                break
            data += part
        return data
