"""HTTP/2 clients are told when the server stops, and what they began is finished."""

from collections.abc import Iterator

import pytest
from hyperframe.frame import SettingsFrame

from tests.quart_impl.conftest import Serve
from tests.quart_impl.http2 import ANNOUNCEMENT, Http2Client
from tests.quart_impl.serving import TinyServer, wait_until

pytestmark = pytest.mark.end_to_end


class TestStop:
    """Clients are told before their connection ends, and what they began is finished."""

    @pytest.fixture
    def patient(self, serve_on_each_loop: Serve) -> Iterator[TinyServer]:
        """A server that takes its time to stop: what comes sooner comes for another reason."""
        with serve_on_each_loop(linger_s=9, requests_s=9, close_s=0.3) as server:
            yield server

    def test_an_idle_client_is_told_at_once(self, patient: TinyServer) -> None:
        client = Http2Client(patient)
        client.read_answer(client.ask(seconds=0))
        patient.signal()
        goaway = client.read_goaway()
        assert (goaway.last_stream_id, goaway.error_code) == (ANNOUNCEMENT, 0)

    def test_what_is_begun_nevertheless_is_answered(self, patient: TinyServer) -> None:
        client = Http2Client(patient)
        first = client.ask(seconds=0)
        client.read_answer(first)
        patient.signal()
        client.read_goaway()
        late = client.ask(seconds=0)  # as if it had been on its way
        client.read_answer(late)
        assert client.statuses() == {first: b"200", late: b"200"}

    def test_settings_come_first_whatever_happens(self, patient: TinyServer) -> None:
        keeper = Http2Client(patient)  # or there would be nobody to wait for
        keeper.read_answer(keeper.ask(seconds=0))
        late = Http2Client(patient)
        patient.signal()
        late.read_answer(late.ask(seconds=0))
        assert isinstance(late.frames[0], SettingsFrame)
        assert late.goaways() == [(ANNOUNCEMENT, 0)]

    def test_beginning_something_new_brings_the_goaway(self, patient: TinyServer) -> None:
        client = Http2Client(patient)
        slow = client.ask(seconds=1)
        wait_until(lambda: patient.running() == 1)
        patient.signal()
        new = client.ask(seconds=0)
        client.read_goaway()
        client.read_answer(slow)
        assert client.statuses() == {slow: b"200", new: b"200"}

    def test_a_client_with_something_running_is_not_told_to_give_it_up(self, serve: Serve) -> None:
        with serve(linger_s=0.2, requests_s=9, close_s=0.3) as server:
            client = Http2Client(server)
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
