"""Failed tries are slowed by user and address; nobody is locked out, and a right password costs nothing."""

from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest_auth import Throttle

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


class TestBucket:
    def test_a_burst_is_free_and_the_next_try_waits_for_one_to_come_back(self) -> None:
        throttle = Throttle(burst=3, per_minute=6)
        for _ in range(3):
            assert throttle.wait_s("admin", HERE, 100.0) == 0
            throttle.charge("admin", HERE, 100.0)
        assert throttle.wait_s("admin", HERE, 100.0) == 10
        assert throttle.wait_s("admin", HERE, 105.5) == 5
        assert throttle.wait_s("admin", HERE, 110.0) == 0

    def test_all_tries_come_back_in_the_end(self) -> None:
        throttle = Throttle(burst=2, per_minute=60)
        for _ in range(2):
            throttle.charge("admin", HERE, 0.0)
        for _ in range(2):
            assert throttle.wait_s("admin", HERE, 1000.0) == 0
            throttle.charge("admin", HERE, 1000.0)
        assert throttle.wait_s("admin", HERE, 1000.0) == 1

    def test_tries_that_were_under_way_together_lengthen_no_wait(self) -> None:
        throttle = Throttle(burst=2, per_minute=60)
        for _ in range(500):
            throttle.charge("admin", HERE, 0.0)
        assert throttle.wait_s("admin", HERE, 0.0) == 1

    def test_a_clock_set_back_gives_nothing_back_and_takes_nothing(self) -> None:
        throttle = Throttle(burst=1, per_minute=60)
        throttle.charge("admin", HERE, 1000.0)
        assert throttle.wait_s("admin", HERE, 0.0) == 1

    @given(st.lists(st.floats(0, 1e9), max_size=50))
    def test_no_wait_is_longer_than_one_try_takes_to_come_back(self, times_s: list[float]) -> None:
        throttle = Throttle(burst=2, per_minute=10)
        for now_s in times_s:
            throttle.charge("admin", HERE, now_s)
            assert 0 <= throttle.wait_s("admin", HERE, now_s) <= 6


class TestWhoIsCharged:
    @pytest.mark.parametrize("spelling", ["ADMIN", "Admin", " admin ", "\uff41dmin"])
    def test_no_spelling_of_a_name_has_tries_of_its_own(self, spelling: str) -> None:
        throttle = Throttle(burst=1)
        throttle.charge("admin", HERE, 0.0)
        assert throttle.wait_s(spelling, HERE, 0.0) > 0

    def test_nobody_can_spend_anothers_tries(self) -> None:
        throttle = Throttle(burst=1)
        throttle.charge("admin", ELSEWHERE, 0.0)
        throttle.charge("guest", HERE, 0.0)
        assert throttle.wait_s("admin", HERE, 0.0) == 0

    def test_name_and_address_cannot_be_taken_for_each_other(self) -> None:
        throttle = Throttle(burst=1)
        throttle.charge("1admin", "192.0.2.", 0.0)
        assert throttle.wait_s("admin", "192.0.2.1", 0.0) == 0

    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            ("2001:db8::1", "2001:db8::ffff:1", True),
            ("2001:db8::1", "2001:db8:0:1::1", False),
            ("::ffff:192.0.2.1", "192.0.2.1", True),
            ("unix:/run/a", "unix:/run/b", False),
        ],
    )
    def test_an_ipv6_client_has_a_whole_64(self, one: str, other: str, *, same: bool) -> None:
        throttle = Throttle(burst=1)
        throttle.charge("admin", one, 0.0)
        assert (throttle.wait_s("admin", other, 0.0) > 0) == same


class TestMemory:
    def test_it_is_bounded_and_the_one_charged_longest_ago_goes_first(self) -> None:
        throttle = Throttle(burst=1, capacity=100)
        for n in range(1000):
            throttle.charge(f"user-{n}", HERE, 0.0)
        assert len(throttle) == 100
        assert throttle.wait_s("user-899", HERE, 0.0) == 0
        assert throttle.wait_s("user-900", HERE, 0.0) > 0

    @given(st.text(max_size=100), st.text(max_size=50))
    def test_no_name_and_no_address_raises(self, user: str, address: str) -> None:
        throttle = Throttle(burst=1)
        throttle.charge(user, address, 0.0)
        assert throttle.wait_s(user, address, 0.0) > 0


def test_a_name_that_nobody_can_have_costs_no_folding() -> None:
    """NFKC takes time by the square of a run of combining characters: 25 ms for 8 kB of them."""
    throttle = Throttle(burst=1)
    throttle.charge("admin", HERE, 0.0)
    with patch("unicodedata.normalize", side_effect=AssertionError("folded")):
        assert throttle.wait_s("\u0300\u0316" * 2000, HERE, 0.0) == 0


@pytest.mark.parametrize("wrong", [{"burst": 0}, {"per_minute": 0}, {"per_minute": 1e-320}, {"capacity": 0}])
def test_a_throttle_that_grants_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="one try or more"):
        Throttle(**wrong)
