"""HTTP/2 with Hypercorn and h2, and what Hypercorn 0.18 leaves out or trips over.

- DATA for a stream that was answered before its body was whole (a 401 to an upload) ends the whole connection in a
  KeyError. Here it is passed over, and the client is told to stop sending it (RFC 9113 section 8.1).
- An answer that the application breaks off is never ended, so the client waits for the rest. Here it gets RST_STREAM.
- A request that the client resets leaves the connection busy for ever, as far as its idle timeout goes.
- It makes the method GET of `get`, and CONNECT of anything a WebSocket.
- A path that is not ASCII is an exception.
- Who waits for the client to allow more of an answer waits on when the connection is gone.

`_handle_events` and `stream_send` are Hypercorn's; tests notice when they change.
"""

import contextlib
from typing import Any, Final

import h2.events
import h2.exceptions
from h2.errors import ErrorCodes
from h2.settings import SettingCodes, Settings
from hypercorn.events import Closed, Updated
from hypercorn.events import Event as IoEvent
from hypercorn.protocol.events import Body, EndBody, Event, Response, StreamClosed
from hypercorn.protocol.h2 import H2Protocol

# RFC 9113 section 6.8: stream 2**31 - 1 with NO_ERROR says "I am shutting down: finish what runs, begin nothing new".
# h2's own call would make an end of it. Hypercorn writes whole frames at a time, so this one cuts no other in two.
GOAWAY: Final = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x7f\xff\xff\xff\x00\x00\x00\x00"


class Http2(H2Protocol):
    """One connection's HTTP/2."""

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401 (passed on)
        """arguments: Hypercorn's."""
        super().__init__(*arguments)
        self.connection.local_settings = Settings(  # as Hypercorn's, without the CONNECT of RFC 8441
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: self.config.h2_max_concurrent_streams,
                SettingCodes.MAX_HEADER_LIST_SIZE: self.config.h2_max_header_list_size,
            },
        )
        self._receiving: set[int] = set()  # streams whose request is not whole
        self._answering: set[int] = set()  # streams whose answer has begun, and not ended
        self._unwanted: set[int] = set()  # streams to reset once their answer is sent
        self._pushed = 0  # octets of bodies that were given to streams

    def unsent(self) -> int:
        """Return how many octets of answers wait for the client to allow them."""
        return sum(len(buffer.buffer) for buffer in self.stream_buffers.values())

    def sent(self) -> int:
        """Return how many octets of answers the client has allowed so far."""
        return self._pushed - self.unsent()

    async def handle(self, event: IoEvent) -> None:
        """Take what has arrived, or the end."""
        await super().handle(event)
        if isinstance(event, Closed):
            for buffer in self.stream_buffers.values():
                await buffer.close()

    async def stream_send(self, event: Event) -> None:
        """Send a part of an answer."""
        stream = event.stream_id
        if isinstance(event, Response):
            self._answering.add(stream)
        elif isinstance(event, Body):
            self._pushed += len(event.data)
        elif isinstance(event, StreamClosed):
            await self._close_halves(stream)
        await super().stream_send(event)
        if isinstance(event, EndBody):
            self._answering.discard(stream)

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        for event in events:
            if not await self._settles(event):
                await super()._handle_events([event])
        await self._flush()
        if self.idle:
            await self.send(Updated(idle=True))

    async def _settles(self, event: h2.events.Event) -> bool:
        """Deal with what Hypercorn should not see; keep count of the rest."""
        if isinstance(event, h2.events.RequestReceived):
            status = status_of(dict(event.headers))
            if status is not None:
                await self._refuse(event, status)
                return True
            if event.stream_ended is None:
                self._receiving.add(event.stream_id)
        elif isinstance(event, h2.events.DataReceived) and event.stream_id not in self.streams:
            self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            return True
        elif isinstance(event, h2.events.StreamEnded):
            self._receiving.discard(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self._receiving.discard(event.stream_id)
            self._answering.discard(event.stream_id)
        return False

    async def _refuse(self, request: h2.events.RequestReceived, status: int) -> None:
        with contextlib.suppress(h2.exceptions.ProtocolError):  # the client was faster with its own end
            answer = [(b":status", b"%d" % status), (b"content-length", b"0")]
            self.connection.send_headers(request.stream_id, answer, end_stream=True)
            if request.stream_ended is None:
                self.connection.reset_stream(request.stream_id, ErrorCodes.NO_ERROR)

    async def _close_halves(self, stream: int) -> None:
        """Reset a stream whose answer is broken off, or whose request nobody wants the rest of."""
        if stream in self._answering:
            self._answering.discard(stream)
            self._receiving.discard(stream)
            await self._reset(stream, ErrorCodes.INTERNAL_ERROR)
        elif stream in self._receiving:
            self._receiving.discard(stream)
            if stream in self.stream_buffers:  # the last of the answer is not sent yet
                self._unwanted.add(stream)
            else:
                await self._reset(stream, ErrorCodes.NO_ERROR)

    async def _send_data(self, stream_id: int) -> None:
        await super()._send_data(stream_id)
        if stream_id in self._unwanted and stream_id not in self.stream_buffers:
            self._unwanted.discard(stream_id)
            await self._reset(stream_id, ErrorCodes.NO_ERROR)

    async def _reset(self, stream: int, code: ErrorCodes) -> None:
        with contextlib.suppress(h2.exceptions.ProtocolError):  # the client was faster
            self.connection.reset_stream(stream, code)
        await self._flush()
        await self._window_updated(stream)  # wakes what waits to send on it, to find that it is gone


def status_of(fields: dict[bytes, bytes]) -> int | None:
    """Return the status that refuses a request by its pseudo-header fields; None: it may go on."""
    method, path = fields[b":method"], fields.get(b":path", b"")
    if method != method.upper() or method == b"CONNECT" or not method.isascii():  # by case, RFC 9110 section 9.1
        return 501
    if not path.isascii() or not (path.startswith(b"/") or (path, method) == (b"*", b"OPTIONS")):
        return 400
    return None
