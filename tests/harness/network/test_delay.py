"""What waits how long, by a clock that the tests hold."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.network.delay import MOST_WAITING_BYTES, Passage

DELAY_NS = 1_000


class TestOpening:
    """TCP's handshake takes its round trip, although the kernel answered at once."""

    def test_the_server_sees_the_connection_when_the_clients_acknowledgement_would_come(self) -> None:
        assert Passage(delay_ns=DELAY_NS, opened_ns=500).server_due_ns == 500 + 3 * DELAY_NS

    def test_the_first_words_of_the_client_wait_for_the_handshake_and_the_way(self) -> None:
        passage = Passage(delay_ns=DELAY_NS, opened_ns=0)
        passage.from_client(b"hello", 100)
        passage.from_client(b"again", 200)
        assert passage.take_for_server(100 + 3 * DELAY_NS - 1) is None
        first = passage.take_for_server(100 + 3 * DELAY_NS)
        assert first is not None
        assert first.data == b"hello"
        assert passage.to_server.next_due_ns == 200 + 3 * DELAY_NS

    def test_once_it_has_heard_from_the_server_only_the_way_is_left(self) -> None:
        passage = Passage(delay_ns=DELAY_NS, opened_ns=0)
        passage.from_server(b"welcome", 3_000)
        passage.from_client(b"too early to be an answer", 3_500)
        assert passage.to_server.next_due_ns == 3_500 + 3 * DELAY_NS
        assert passage.take_for_client(4_000) is not None
        passage.from_client(b"an answer", 4_000)
        passage.take_for_server(6_500)
        assert passage.to_server.next_due_ns == 6_500  # 5,000 by itself, but it does not overtake

    def test_what_a_request_takes(self) -> None:
        """SYN and its answer, request and answer: two round trips, whatever the sides take added."""
        passage = Passage(delay_ns=DELAY_NS, opened_ns=0)
        passage.from_client(b"GET", 7)
        arrived_ns = passage.to_server.next_due_ns
        assert arrived_ns is not None
        passage.from_server(b"200", arrived_ns + 30)
        assert passage.to_client.next_due_ns == 2 * (2 * DELAY_NS) + 7 + 30


class TestOrder:
    """Nothing overtakes, nothing is lost, nothing comes before it is due."""

    @given(
        sent=st.lists(st.tuples(st.integers(0, 5_000), st.binary(min_size=1, max_size=5), st.booleans())),
        delay_ns=st.integers(0, 3_000),
    )
    def test_both_ways(self, sent: list[tuple[int, bytes, bool]], delay_ns: int) -> None:
        passage = Passage(delay_ns=delay_ns, opened_ns=0)
        now_ns = 0
        got: dict[bool, bytes] = {False: b"", True: b""}
        for pause_ns, data, by_client in sent:
            now_ns += pause_ns
            (passage.from_client if by_client else passage.from_server)(data, now_ns)
            for to_server, take in ((True, passage.take_for_server), (False, passage.take_for_client)):
                while (parcel := take(now_ns)) is not None:
                    assert parcel.due_ns <= now_ns
                    got[to_server] += parcel.data
        for to_server, take in ((True, passage.take_for_server), (False, passage.take_for_client)):
            while (parcel := take(now_ns + 3 * delay_ns)) is not None:
                got[to_server] += parcel.data
        for by_client in (True, False):
            assert got[by_client] == b"".join(data for _, data, who in sent if who is by_client)

    def test_due_times_never_go_back(self) -> None:
        passage = Passage(delay_ns=DELAY_NS, opened_ns=0)
        passage.from_client(b"a", 0)
        passage.from_server(b"b", 0)
        passage.take_for_client(DELAY_NS)
        passage.from_client(b"c", DELAY_NS)
        due = [parcel.due_ns for parcel in passage.to_server.waiting]
        assert all(earlier <= later for earlier, later in itertools.pairwise(due))


class TestEnds:
    def test_the_end_waits_behind_the_data(self) -> None:
        passage = Passage(delay_ns=DELAY_NS, opened_ns=0)
        passage.from_server(b"last words", 0)
        passage.from_server(b"", 0)
        taken = [passage.take_for_client(DELAY_NS) for _ in range(3)]
        assert [parcel and parcel.is_end for parcel in taken] == [False, True, None]
        assert not passage.to_client.has_room

    def test_a_side_that_sends_too_much_has_to_wait(self) -> None:
        passage = Passage(delay_ns=DELAY_NS, opened_ns=0)
        passage.from_server(b"x" * MOST_WAITING_BYTES, 0)
        assert not passage.to_client.has_room
        passage.take_for_client(DELAY_NS)
        assert passage.to_client.has_room

    def test_no_negative_delay(self) -> None:
        with pytest.raises(ValueError, match="negative"):
            Passage(delay_ns=-1, opened_ns=0)
