"""The window is cut from what was recorded, the server's clocks are read at its edges, and doubts are said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from harness.beats import Beat
from harness.clocks import Sample
from harness.load import Load
from harness.pinning import Pinning
from harness.plan import Cell, ServerKey
from harness.recording import Bytes, Handshakes, HandshakeTimes, Negotiated, Recording, Slice, bin_of
from harness.window import Figures, Observation, VoidTrialError, WindowSearch, figures

APART = Pinning(frozenset({0}), frozenset({1}))
TOGETHER = Pinning(frozenset({0}), frozenset({0}))
CELL = Cell(server=ServerKey(deployment="flask-threaded"), scenario="keep-alive", load=Load(clients=8))
SLICE_NS = 250_000_000
START_NS = 5_000_000_000  # when the load began

# A steady load: per slice 100 requests; of a processor, in per cent: server 60, generator 30.
STEADY = Slice(
    monotonic_ns=0,
    requests=100,
    latency_us={"state": {500: 60}, "other": {500: 10, 700: 30}},
    handshakes=Handshakes(),
    bytes=Bytes(sent=1000, received=3000),
    generator_cpu_us=75_000,
    users=8,
    tls=Negotiated(version="TLSv1.3", cipher="C"),
)
SERVER_SHARE, GENERATOR_SHARE = 0.6, 0.3


def slices(count: int, piece: Slice = STEADY) -> list[Slice]:
    return [replace(piece, monotonic_ns=START_NS + (index + 1) * SLICE_NS) for index in range(count)]


def samples(
    *,
    server: float = SERVER_SHARE,
    server_processors: float = SERVER_SHARE,
    generator_processors: float = GENERATOR_SHARE,
    until_s: float = 10.0,
) -> tuple[Sample, ...]:
    """Clocks that run evenly, read at other times than the generator's slices."""
    found = []
    for step in range(int(until_s / 0.25)):
        at_s = step * 0.25 + 0.07
        found.append(
            Sample(
                monotonic_ns=START_NS - 1_000_000_000 + round(at_s * 1e9),
                server_cpu_us=5e6 + at_s * 1e6 * server,
                server_rss_bytes=1000 + step,
                server_processors_busy_us=9e9 + at_s * 1e6 * server_processors,
                generator_processors_busy_us=8e9 + at_s * 1e6 * generator_processors,
                server_alive=True,
            )
        )
    return tuple(found)


def recorded(pieces: Sequence[Slice], *, complete: bool = True) -> Recording:
    return Recording(
        pid=1,
        started_monotonic_ns=START_NS,
        slices=tuple(pieces),
        complete=complete,
        exit_status=0 if complete else None,
    )


def seen(
    pieces: Sequence[Slice],
    clocks: tuple[Sample, ...] | None = None,
    *,
    cell: Cell = CELL,
    pinning: Pinning = APART,
    window_s: float = 2.0,
) -> Figures:
    observation = Observation(recording=recorded(pieces), samples=clocks or samples())
    return figures(observation, cell=cell, window_s=window_s, pinning=pinning)


class TestWhatCounts:
    """Half a second of load is left out, then exactly the window counts."""

    def test_requests_of_the_window_alone(self) -> None:
        # The 2 slices before are warm-up, the ones after are not looked at.
        pieces = slices(14)
        pieces[1] = replace(pieces[1], requests=7777)
        pieces[10] = replace(pieces[10], requests=8888)
        found = seen(pieces)
        assert found.requests == 800
        assert found.window_s == pytest.approx(2.0)

    def test_everything_is_added_up(self) -> None:
        piece = replace(
            STEADY,
            challenges=2,
            handshakes=Handshakes(full=3, resumed=4),
            handshake_us=HandshakeTimes(full={900: 3}, resumed={400: 4}),
        )
        found = seen(slices(12, piece))
        assert found.latency_us == {500: 560, 700: 240}
        assert found.challenges == 16
        assert found.handshakes == Handshakes(full=24, resumed=32)
        assert found.handshake_us == HandshakeTimes(full={900: 24}, resumed={400: 32})
        assert found.bytes == Bytes(sent=8000, received=24000)
        assert found.generator_cpu_us == 600_000
        assert found.tls == Negotiated(version="TLSv1.3", cipher="C")
        assert found.doubts == ()

    def test_the_pace_is_that_of_the_window(self) -> None:
        edge_ns = START_NS + 2 * SLICE_NS
        beats = (Beat(edge_ns, 90.0), Beat(edge_ns + 1, 40.0), Beat(edge_ns + 8 * SLICE_NS, 60.0))
        observation = Observation(recording=recorded(slices(12)), samples=samples(), beats=beats)
        assert figures(observation, cell=CELL, window_s=2.0, pinning=APART).pace_us == pytest.approx(50)
        assert seen(slices(12)).pace_us is None

    def test_clocks_are_read_at_the_window_s_edges(self) -> None:
        found = seen(slices(12), samples(server=0.6, server_processors=0.7))
        assert found.server_cpu_us == pytest.approx(0.6 * 2e6)
        assert found.neighbour_cpu_us == pytest.approx(0.1 * 2e6, rel=1e-6)

    def test_clocks_that_jump_between_slices_are_interpolated(self) -> None:
        # All CPU time falls before the window: none of it counts, but for the slice's share around its edge.
        edge_ns = START_NS + 2 * SLICE_NS
        clocks = [
            replace(sample, server_cpu_us=0.0 if sample.monotonic_ns < edge_ns - 2 * SLICE_NS else 7e6)
            for sample in samples()
        ]
        assert seen(slices(12), tuple(clocks)).server_cpu_us == 0

    def test_uneven_slices_give_the_true_length(self) -> None:
        pieces = slices(12)
        pieces[9] = replace(pieces[9], monotonic_ns=pieces[9].monotonic_ns + 60_000_000)
        assert seen(pieces).window_s == pytest.approx(2.06)

    def test_clients_that_start_late_begin_the_warm_up_anew(self) -> None:
        pieces = [replace(piece, users=min(8, 2 * index)) for index, piece in enumerate(slices(16))]
        pieces[4] = replace(pieces[4], requests=7777)  # all 8 are there from here on: still warm-up
        assert seen(pieces).requests == 800

    def test_most_memory_seen(self) -> None:
        assert seen(slices(12)).rss_bytes == max(sample.server_rss_bytes for sample in samples())

    @pytest.mark.parametrize(("count", "enough"), [(9, False), (10, True)])
    def test_the_generator_is_stopped_as_soon_as_the_window_is_full(self, *, count: int, enough: bool) -> None:
        pieces = slices(count)
        assert (WindowSearch(CELL, 2.0).finds(pieces, samples()) is not None) is enough
        if enough:
            assert seen(pieces).requests == 800
        else:
            with pytest.raises(VoidTrialError):
                seen(pieces)


class TestWarmUp:
    """The first window in which nothing drifts; the same while the recording grows and afterwards."""

    def test_a_cold_server_is_waited_for(self) -> None:
        # Fewer requests for the same CPU time: two and a half times as dear.
        pieces = [replace(piece, requests=40 if index < 5 else 100) for index, piece in enumerate(slices(16))]
        found = seen(pieces)
        assert (found.requests, found.doubts) == (800, ())
        assert found.warm_up_s == pytest.approx(1.25)

    def test_the_usual_half_second_is_noted(self) -> None:
        assert seen(slices(12)).warm_up_s == pytest.approx(0.5)

    def test_the_same_window_slice_by_slice(self) -> None:
        pieces = [replace(piece, requests=40 if index < 5 else 100) for index, piece in enumerate(slices(20))]
        search = WindowSearch(CELL, 2.0)
        found = None
        for count, piece in enumerate(pieces, start=1):
            clocks = [each for each in samples() if each.monotonic_ns < piece.monotonic_ns + SLICE_NS]
            found = search.finds([piece], clocks)
            if found is not None:
                assert count == found.last + 1
                break
        assert found == WindowSearch(CELL, 2.0).finds(pieces, samples())

    def test_a_cost_that_never_settles_is_said_and_not_used(self) -> None:
        pieces = [replace(piece, requests=100 + 4 * index) for index, piece in enumerate(slices(32))]
        (cost, rate) = seen(pieces).doubts
        assert cost == (
            "the server's CPU time for a request had not settled: it drifts by -15% in the window,"
            " after 4.2 s of warm-up"
        )
        assert rate.startswith("the rate had not settled: it drifts by +15%")

    def test_nor_does_a_rate_with_a_steady_cost_settle(self) -> None:
        pieces = [replace(piece, requests=100 + 4 * index) for index, piece in enumerate(slices(32))]
        spent = np.cumsum([piece.requests * 1500.0 for piece in pieces])
        times = [piece.monotonic_ns for piece in pieces]
        clocks = [
            replace(each, server_cpu_us=float(np.interp(each.monotonic_ns, times, spent, left=0.0)))
            for each in samples()
        ]
        (doubt,) = seen(pieces, tuple(clocks)).doubts
        assert doubt.startswith("the rate had not settled")


class TestOpenLoad:
    """Late generators and servers that fall behind; the rest is as in a closed load."""

    CELL = replace(CELL, load=Load(clients=8, rate_per_s=400.0))

    def doubts(self, lateness_us: Mapping[int, int], piece: Slice = STEADY) -> tuple[str, ...]:
        return seen(slices(12, replace(piece, lateness_us=lateness_us)), cell=self.CELL).doubts

    def test_on_time(self) -> None:
        assert self.doubts({150: 100}) == ()
        assert seen(slices(12, replace(STEADY, lateness_us={150: 100})), cell=self.CELL).lateness_us == {150: 800}

    def test_late(self) -> None:
        assert self.doubts({150: 98, bin_of(3100): 2}) == (
            "the generator lagged behind its schedule by 3.1 ms and more in one of 100 requests",
        )

    def test_a_millisecond_is_nothing_to_slow_answers(self) -> None:
        slow = replace(STEADY, latency_us={"ping": {bin_of(100_000): 100}})
        assert self.doubts({150: 98, bin_of(3100): 2}, slow) == ()

    def test_a_server_that_falls_behind(self) -> None:
        assert self.doubts({150: 110}) == (
            "the server fell behind the arrivals: 80 of 880 were not answered in the window",
        )

    def test_a_few_in_flight_are_no_queue(self) -> None:
        assert self.doubts({150: 102}) == ()

    def test_a_latency_that_wanders_lengthens_the_warm_up_and_is_no_doubt(self) -> None:
        pieces = [
            replace(piece, latency_us={"state": {bin_of(500 + 40 * index): 100}}, lateness_us={100: 100})
            for index, piece in enumerate(slices(32))
        ]
        found = seen(pieces, cell=self.CELL)
        assert found.warm_up_s == pytest.approx(4.25)
        assert found.doubts == ()


class TestVoid:
    """No figure at all, and the reason."""

    @pytest.mark.parametrize(
        ("observation", "said"),
        [
            (Observation(None, samples(), failure="it ended too early"), "the generator failed: it ended too early"),
            (Observation(None, samples()), "the generator failed: it did not close its recording"),
            (
                Observation(recorded(slices(12), complete=False), samples()),
                "the generator failed: it did not close its recording",
            ),
            (
                Observation(recorded(slices(4)), samples()),
                "the generator failed: it recorded less than the warm-up and 2 s",
            ),
            (
                Observation(recorded(slices(12, replace(STEADY, users=5))), samples()),
                "the generator failed: it started 5 of 8 clients",
            ),
            (Observation(recorded([]), samples()), "the generator failed: it started 0 of 8 clients"),
            (
                Observation(recorded(slices(12)), samples(), failure="x", server_status=-11),
                "the server ended by itself with status -11",
            ),
            (
                Observation(recorded(slices(12)), samples(until_s=2)),
                "the server's clocks were not read: the clocks were not read at that time",
            ),
            (
                Observation(recorded(slices(12)), samples(), clocks_failure="/proc/stat: Too many open files"),
                "the server's clocks were not read: /proc/stat: Too many open files",
            ),
        ],
    )
    def test_reason(self, observation: Observation, said: str) -> None:
        with pytest.raises(VoidTrialError) as caught:
            figures(observation, cell=CELL, window_s=2.0, pinning=APART)
        assert str(caught.value) == said


class TestDoubts:
    """Figures are there, and the reason why they are not used."""

    def doubts(
        self, piece: Slice = STEADY, clocks: tuple[Sample, ...] | None = None, **given: object
    ) -> tuple[str, ...]:
        return seen(slices(12, piece), clocks, **given).doubts  # type: ignore[arg-type]  # passed on as they are

    def test_none(self) -> None:
        assert self.doubts() == ()

    def test_failed_requests(self) -> None:
        piece = replace(STEADY, errors={"timeout": 1, "reset": 2})
        assert self.doubts(piece) == ("24 of 800 requests failed: reset and 1 other reasons",)
        assert seen(slices(12, piece)).requests == 776
        assert seen(slices(12, piece)).errors == {"timeout": 8, "reset": 16}

    def test_nothing_answered(self) -> None:
        assert self.doubts(replace(STEADY, requests=0, latency_us={})) == ("no request was answered",)

    def test_answers_beyond_every_bin(self) -> None:
        assert self.doubts(replace(STEADY, out_of_range={"state": 1})) == ("8 answers took over a minute",)

    def test_generator_was_the_limit(self) -> None:
        piece = replace(STEADY, generator_cpu_us=235_000)  # 94 % of its processor
        assert self.doubts(piece, samples(generator_processors=0.94)) == ("the generator was the limit",)

    def test_not_if_the_server_had_no_time_left_either(self) -> None:
        piece = replace(STEADY, generator_cpu_us=235_000)
        assert self.doubts(piece, samples(server=0.97, server_processors=0.98, generator_processors=0.94)) == ()

    def test_it_was_if_it_was_the_busier_one_of_two_busy_ones(self) -> None:
        piece = replace(STEADY, generator_cpu_us=244_000)
        clocks = samples(server=0.93, server_processors=0.94, generator_processors=0.98)
        assert self.doubts(piece, clocks) == ("the generator was the limit",)

    @pytest.mark.parametrize("server", [SERVER_SHARE, 0.98])
    def test_neighbours_took_the_generator_s_processor(self, server: float) -> None:
        clocks = samples(server=server, server_processors=server, generator_processors=1.0)
        assert self.doubts(clocks=clocks) == ("the generator was the limit: neighbours took 70% of its processor",)

    def test_the_harness_beside_a_busy_generator_is_no_neighbour(self) -> None:
        piece = replace(STEADY, generator_cpu_us=235_000)
        assert self.doubts(piece, samples(server=0.97, server_processors=0.98, generator_processors=0.97)) == ()

    def test_neighbours_took_the_server_s_processor(self) -> None:
        assert self.doubts(clocks=samples(server_processors=0.9)) == ("neighbours took 30% of the server's processor",)

    def test_a_few_neighbours_are_no_doubt(self) -> None:
        assert self.doubts(clocks=samples(server_processors=0.75)) == ()

    def test_one_processor_for_both_is_said_of_the_run_not_of_each_trial(self) -> None:
        clocks = samples(server=0.6, server_processors=1.0, generator_processors=1.0)
        found = seen(slices(12), clocks, pinning=TOGETHER)
        assert found.doubts == ()
        assert found.neighbour_cpu_us == pytest.approx((1.0 - 0.6 - 0.3) * 2e6, rel=1e-6)

    def test_generator_stood_still(self) -> None:
        pieces = slices(12)
        late = [replace(piece, monotonic_ns=piece.monotonic_ns + 1_500_000_000) for piece in pieces[6:]]
        assert seen(pieces[:6] + late).doubts == ("the generator stood still for 1.8 s",)

    @pytest.mark.parametrize(
        ("share", "said"),
        [
            (0.01, ()),
            (0.05, ("other virtual machines took 5% of the processors",)),
            (0.2, ("so much was stolen that no figure is left: other virtual machines took 20% of the processors",)),
        ],
    )
    def test_stolen_time(self, share: float, said: tuple[str, ...]) -> None:
        clocks = [replace(each, stolen_us=each.monotonic_ns / 1000 * 2 * share) for each in samples()]
        found = seen(slices(12), tuple(clocks))
        assert found.doubts == said
        assert found.stolen_us == pytest.approx(2 * 2e6 * share)

    def test_a_machine_that_slept(self) -> None:
        asleep_ns = START_NS + 6 * SLICE_NS
        clocks = [replace(each, suspended_ns=3_000_000_000 * (each.monotonic_ns > asleep_ns)) for each in samples()]
        assert seen(slices(12), tuple(clocks)).doubts == ("the machine slept for 3.0 s",)

    @pytest.mark.parametrize(
        ("scenario", "handshakes", "said"),
        [
            ("resumed-handshake", Handshakes(full=1, resumed=99), ()),
            ("resumed-handshake", Handshakes(full=100), ("only 0 of 800 handshakes were resumed",)),
            ("full-handshake", Handshakes(full=100), ()),
            ("full-handshake", Handshakes(full=99, resumed=1), ("8 of 800 handshakes were resumed",)),
        ],
    )
    def test_handshakes_are_what_the_scenario_is_called(
        self, scenario: str, handshakes: Handshakes, said: tuple[str, ...]
    ) -> None:
        assert self.doubts(replace(STEADY, handshakes=handshakes), cell=replace(CELL, scenario=scenario)) == said

    def test_without_tls_there_are_no_handshakes_to_doubt(self) -> None:
        cell = replace(CELL, scenario="full-handshake", server=replace(CELL.server, tls="off"))
        assert self.doubts(replace(STEADY, tls=None), cell=cell) == ()
