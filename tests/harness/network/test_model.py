"""Round trips as the RFCs' figures draw them, and the time that they make."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certs import TlsVersion
from harness.network.model import RoundTrips, first_answer_us, next_answer_us, round_trips, window_round_trips


class TestTable:
    """Whoever waits for the other side waits for a round trip."""

    @pytest.mark.parametrize(
        ("version", "resumed", "expected"),
        [
            ("1.2", False, RoundTrips(1, 2, 1)),  # RFC 5246, figure 1
            ("1.2", True, RoundTrips(1, 1, 1)),  # figure 2
            ("1.3", False, RoundTrips(1, 1, 1)),  # RFC 8446, figure 1
            ("1.3", True, RoundTrips(1, 1, 1)),  # figure 3
        ],
    )
    def test_by_version_and_kind(self, version: str, *, resumed: bool, expected: RoundTrips) -> None:
        assert round_trips(version, resumed=resumed) == expected
        assert round_trips(TlsVersion(version), resumed=resumed) == expected

    @pytest.mark.parametrize("resumed", [False, True])
    def test_a_further_hello(self, *, resumed: bool) -> None:
        assert round_trips("1.3", resumed=resumed, hello_retry=True).tls == 2  # RFC 8446, figure 2

    def test_without_tls(self) -> None:
        assert round_trips(None) == RoundTrips(1, 0, 1)

    def test_a_challenge_is_a_further_request(self) -> None:
        assert round_trips("1.3", challenged=True) == RoundTrips(1, 1, 2)

    def test_sums(self) -> None:
        trips = round_trips("1.2")
        assert (trips.before_request, trips.first_answer) == (3, 4)

    def test_what_there_is_not(self) -> None:
        with pytest.raises(ValueError, match=r"1\.2 has no HelloRetryRequest"):
            round_trips("1.2", hello_retry=True)
        with pytest.raises(ValueError, match="nothing to resume"):
            round_trips(None, resumed=True)
        with pytest.raises(ValueError, match=r"1\.1"):
            round_trips("1.1")


class TestWindow:
    """Ten segments, then twice as many at each acknowledgement."""

    @pytest.mark.parametrize(
        ("flight_bytes", "waits"), [(0, 0), (4_000, 0), (14_600, 0), (14_601, 1), (43_800, 1), (43_801, 2)]
    )
    def test_waits(self, flight_bytes: int, waits: int) -> None:
        assert window_round_trips(flight_bytes) == waits

    def test_negative(self) -> None:
        with pytest.raises(ValueError, match="positive"):
            window_round_trips(-1)


class TestTime:
    """Round trips times distance, plus what there is without any."""

    def test_first_answer(self) -> None:
        assert first_answer_us(round_trips("1.3"), rtt_us=50_000, adjacent_us=1_500) == 151_500

    def test_next_answer(self) -> None:
        assert next_answer_us(rtt_us=50_000, adjacent_us=300) == 50_300

    @given(adjacent_us=st.floats(0, 1e6))
    def test_without_distance_it_is_what_was_measured(self, adjacent_us: float) -> None:
        assert first_answer_us(round_trips("1.2"), rtt_us=0, adjacent_us=adjacent_us) == adjacent_us
