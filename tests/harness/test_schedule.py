"""Servers come in random order, the same for the same seed; what is measured on one of them has a fixed one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from harness.schedule import remaining, schedule
from tests.harness import synthetic

PLAN = synthetic.plan("quick")


class TestOrder:
    def test_every_cell_once_in_every_block(self) -> None:
        turns = [turn for start in schedule(PLAN) for turn in start.turns]
        assert Counter(turn.id for turn in turns) == {(turn.id): 1 for turn in turns}
        assert len(turns) == PLAN.trials
        assert [turn.order for turn in turns] == list(range(PLAN.trials))

    def test_blocks_follow_each_other(self) -> None:
        blocks = [start.block for start in schedule(PLAN)]
        assert blocks == sorted(blocks)

    def test_a_start_holds_the_cells_of_its_server_alone(self) -> None:
        for start in schedule(PLAN):
            assert {turn.cell.server for turn in start.turns} == {start.server}
            assert {turn.cell for turn in start.turns} == set(PLAN.cells_on(start.server))

    def test_one_start_a_server_and_block(self) -> None:
        assert len(schedule(PLAN)) == PLAN.blocks * len(PLAN.servers)

    def test_the_same_seed_gives_the_same_order(self) -> None:
        assert schedule(PLAN) == schedule(replace(PLAN))

    def test_another_seed_gives_another_order(self) -> None:
        assert schedule(PLAN) != schedule(replace(PLAN, seed=PLAN.seed + 1))

    def test_blocks_have_orders_of_their_own(self) -> None:
        orders = {
            tuple(start.server for start in schedule(PLAN) if start.block == block) for block in range(PLAN.blocks)
        }
        assert len(orders) == PLAN.blocks

    def test_more_blocks_leave_the_first_ones_as_they_were(self) -> None:
        longer = schedule(replace(PLAN, blocks=PLAN.blocks + 2))
        assert longer[: len(schedule(PLAN))] == schedule(PLAN)

    def test_on_a_server_kept_connections_come_before_new_ones_and_few_clients_before_many(self) -> None:
        for start in schedule(PLAN):
            past = [(turn.cell.scenario, turn.cell.load.clients) for turn in start.turns]
            kept = [clients for scenario, clients in past if scenario == "keep-alive"]
            assert past[: len(kept)] == [("keep-alive", clients) for clients in sorted(kept)]
            new = [index for index, (scenario, _) in enumerate(past) if scenario.endswith("handshake")]
            assert new == list(range(len(past) - len(new), len(past)))

    def test_first_place_falls_on_each_server_about_equally(self) -> None:
        many = schedule(replace(PLAN, blocks=400))
        firsts = Counter(many[index].server for index in range(0, len(many), len(PLAN.servers)))
        # 400 draws of 8: expected 50 each; 4 standard deviations are 26.
        assert all(24 <= firsts[server] <= 76 for server in PLAN.servers)


class TestRemaining:
    def test_exactly_the_missing_ones_in_the_same_order(self) -> None:
        turns = [turn for start in schedule(PLAN) for turn in start.turns]
        done = [turn.id for turn in turns[:30]] + [turns[77].id]
        left = [turn for start in remaining(schedule(PLAN), done) for turn in start.turns]
        assert left == [turn for turn in turns if turn.id not in set(done)]

    def test_nothing_left(self) -> None:
        turns = [turn.id for start in schedule(PLAN) for turn in start.turns]
        assert remaining(schedule(PLAN), turns) == ()
