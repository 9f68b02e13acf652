"""Server and generator get different processors wherever there are two; which ones, the kernel says."""

from __future__ import annotations

import os

import pytest

from harness.errors import UserError
from harness.pinning import ONE_CORE, ONE_PROCESSOR, Pinning, choose_pinning, parse_list, stay_off


def pairs(number: int) -> frozenset[int]:
    """A machine whose processors 0 and 1 are one core, 2 and 3 the next."""
    return frozenset({number & ~1, number | 1})


class TestChoice:
    @pytest.mark.parametrize(
        ("allowed", "server_processors", "server", "generator"),
        [
            ({0, 1}, 1, {0}, {1}),
            ({5, 9}, 1, {5}, {9}),
            ({0, 1, 2, 3}, 1, {2}, {3}),
            ({0, 1, 2, 3}, 2, {1, 2}, {3}),
            ({0, 1}, 4, {0}, {1}),
        ],
    )
    def test_apart(self, allowed: set[int], server_processors: int, server: set[int], generator: set[int]) -> None:
        pinning = choose_pinning(
            frozenset(allowed), server_processors=server_processors, siblings=lambda number: frozenset({number})
        )
        assert pinning == Pinning(frozenset(server), frozenset(generator), None)

    @pytest.mark.parametrize(
        ("allowed", "server"),
        [
            ({0, 1, 2, 3}, {1}),  # 2 and 3 are one core
            ({0, 3}, {0}),
            ({0, 2, 3}, {0}),
        ],
    )
    def test_not_on_one_core(self, allowed: set[int], server: set[int]) -> None:
        pinning = choose_pinning(frozenset(allowed), siblings=pairs)
        assert pinning == Pinning(frozenset(server), frozenset({3}), None)

    def test_one_core_is_shared_and_said(self) -> None:
        pinning = choose_pinning(frozenset({2, 3}), siblings=pairs)
        assert pinning == Pinning(frozenset({2}), frozenset({3}), ONE_CORE)

    def test_one_processor_is_shared_and_said(self) -> None:
        pinning = choose_pinning(frozenset({3}))
        assert pinning == Pinning(frozenset({3}), frozenset({3}), ONE_PROCESSOR)

    @pytest.mark.parametrize(("text", "numbers"), [("0\n", {0}), ("0,4\n", {0, 4}), ("0-2,7\n", {0, 1, 2, 7})])
    def test_the_kernel_s_lists(self, text: str, numbers: set[int]) -> None:
        assert parse_list(text) == numbers

    def test_of_this_machine(self) -> None:
        pinning = choose_pinning()
        assert pinning.server | pinning.generator <= os.sched_getaffinity(0)

    def test_none(self) -> None:
        with pytest.raises(ValueError, match="no processor"):
            choose_pinning(frozenset())


class TestStayingOff:
    def test_this_process_leaves_the_server_alone(self) -> None:
        pinning = choose_pinning()
        before = stay_off(pinning)
        try:
            assert not os.sched_getaffinity(0) & (pinning.server - pinning.generator)
        finally:
            os.sched_setaffinity(0, before)
        assert os.sched_getaffinity(0) == before

    def test_a_kernel_that_does_not_let_us_choose(self) -> None:
        with pytest.raises(UserError, match=r"does not let this process choose its processors \(Invalid argument\)"):
            stay_off(Pinning(frozenset({4094}), frozenset({4095})), frozenset({4094, 4095}))
