"""A plan is checked before anything starts: what is wrong, where, and what was probably meant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.handshakes.measuring import BLOCK_S
from harness.plan import Plan
from harness.plan_files import built_in_plans, find_plan, load_plan, parse, parse_toml
from tests.harness.synthetic import DEPLOYMENTS

WHOLE = """\
name = "mine"
seed = 7
blocks = 6
window_s = 2.5
budget_s = 300

[[cell]]
deployment = ["flask-threaded", "quart-uvicorn"]
scenario = "keep-alive"
clients = [4, 64]
"""
PATTERNS = WHOLE.replace("budget_s = 300", "budget_s = 3000").replace('["flask-threaded", "quart-uvicorn"]', "{}")


def read(text: str) -> Plan:
    return parse_toml(text, source="mine.toml", deployments=DEPLOYMENTS)


class TestMeaning:
    """A cell table stands for all combinations of what it lists."""

    def test_combinations(self) -> None:
        assert [cell.name for cell in read(WHOLE).cells] == [
            "flask-threaded keep-alive c4 tls1.3 digest ecdsa-p256",
            "flask-threaded keep-alive c64 tls1.3 digest ecdsa-p256",
            "quart-uvicorn keep-alive c4 tls1.3 digest ecdsa-p256",
            "quart-uvicorn keep-alive c64 tls1.3 digest ecdsa-p256",
        ]

    def test_options_show_in_the_name(self) -> None:
        more = WHOLE + 'tls = "1.2"\nauth = "none"\ncertificate_kind = "rsa-2048"\nthreads = 32\nworkers = 2\n'
        assert read(more).cells[0].name == "flask-threaded keep-alive c4 tls1.2 no-digest rsa-2048 t32 w2"
        assert read(WHOLE + 'tls = "off"\n').cells[0].name == "flask-threaded keep-alive c4 no-tls digest"

    def test_cells_that_differ_in_load_alone_share_a_server(self) -> None:
        plan = read(WHOLE)
        assert [server.deployment for server in plan.servers] == ["flask-threaded", "quart-uvicorn"]
        assert [cell.load.clients for cell in plan.cells_on(plan.servers[0])] == [4, 64]

    @pytest.mark.parametrize(
        ("pattern", "fitting"),
        [
            ("*", list(DEPLOYMENTS)),
            ("quart-uvicorn*", [name for name in DEPLOYMENTS if name.startswith("quart-uvicorn")]),
        ],
    )
    def test_a_pattern_stands_for_all_that_it_fits(self, pattern: str, fitting: list[str]) -> None:
        plan = read(PATTERNS.format(f'"{pattern}"'))
        assert [server.deployment for server in plan.servers] == fitting

    def test_a_deployment_that_two_patterns_fit_is_measured_once(self) -> None:
        plan = read(PATTERNS.format('["quart-uvicorn", "quart-*", "*"]'))
        names = [server.deployment for server in plan.servers]
        assert names[0] == "quart-uvicorn"
        assert sorted(names) == sorted(DEPLOYMENTS)

    def test_a_header_holds_names_and_no_patterns(self) -> None:
        plan = read(PATTERNS.format('"*"'))
        assert "*" not in json.dumps(plan.to_json())

    def test_totals(self) -> None:
        plan = read(WHOLE)
        assert (plan.trials, plan.measuring_s) == (24, 60.0)

    def test_a_header_holds_the_whole_plan(self) -> None:
        plan = read(WHOLE)
        again = parse(json.loads(json.dumps(plan.to_json())), source="header", deployments=DEPLOYMENTS)
        assert again == plan
        assert again.hash == plan.hash

    def test_handshakes_in_memory_are_measured_when_a_plan_says_so(self) -> None:
        with_them = read(WHOLE.replace("seed = 7", "seed = 7\nhandshake_blocks = 8"))
        assert (read(WHOLE).handshake_blocks, with_them.handshake_blocks) == (0, 8)
        assert parse(with_them.to_json(), source="header", deployments=DEPLOYMENTS) == with_them
        assert with_them.hash != read(WHOLE).hash

    def test_a_plan_from_before_there_were_any_keeps_its_hash(self) -> None:
        assert "handshake_blocks" not in read(WHOLE).to_json()
        assert read(WHOLE).hash == read(WHOLE.replace("seed = 7", "seed = 7\nhandshake_blocks = 0")).hash

    def test_another_plan_has_another_hash(self) -> None:
        assert read(WHOLE).hash != read(WHOLE.replace("seed = 7", "seed = 8")).hash


class TestFurtherBlocks:
    """What is not decided after the fixed blocks may be measured on."""

    def test_settings(self) -> None:
        plan = read(WHOLE.replace("blocks = 6", "blocks = 6\nmax_blocks = 20\nhalf_width = 0.03"))
        assert (plan.blocks, plan.max_blocks, plan.half_width) == (6, 20, 0.03)
        assert parse(plan.to_json(), source="header", deployments=DEPLOYMENTS) == plan
        assert plan.hash != read(WHOLE).hash

    def test_without_them_there_are_none_and_the_hash_is_the_old_one(self) -> None:
        plan = read(WHOLE)
        assert (plan.max_blocks, plan.half_width) == (0, 0.02)
        assert not {"max_blocks", "half_width"} & set(plan.to_json())

    def test_they_count_for_no_trials_of_their_own(self) -> None:
        assert read(WHOLE.replace("blocks = 6", "blocks = 6\nmax_blocks = 20")).trials == read(WHOLE).trials


class TestOpenLoads:
    """Arrivals at a rate, all combinations of rates and connections."""

    def test_rates(self) -> None:
        plan = read(WHOLE + "rate_per_s = [50, 0.5]\n")
        assert [cell.name for cell in plan.cells][:4] == [
            "flask-threaded keep-alive r50/s c4 tls1.3 digest ecdsa-p256",
            "flask-threaded keep-alive r0.5/s c4 tls1.3 digest ecdsa-p256",
            "flask-threaded keep-alive r50/s c64 tls1.3 digest ecdsa-p256",
            "flask-threaded keep-alive r0.5/s c64 tls1.3 digest ecdsa-p256",
        ]
        assert {cell.load.arrivals for cell in plan.cells} == {"poisson"}
        assert all(cell.load.is_open for cell in plan.cells)

    def test_constant(self) -> None:
        plan = read(WHOLE + 'rate_per_s = 50\narrivals = "constant"\n')
        assert plan.cells[0].name == "flask-threaded keep-alive r50/s-constant c4 tls1.3 digest ecdsa-p256"
        assert parse(plan.to_json(), source="header", deployments=DEPLOYMENTS) == plan

    def test_a_closed_load_keeps_its_name_and_its_place_in_the_header(self) -> None:
        assert "rate_per_s" not in read(WHOLE).to_json()["cell"][0]


class TestReconnecting:
    def test_so_many_requests_a_connection(self) -> None:
        text = WHOLE.replace('"keep-alive"', '["keep-alive", "reconnecting"]')
        with pytest.raises(UserError, match="requests_per_connection is missing"):
            read(text)
        plan = read(text + "requests_per_connection = [1, 10]\n")
        assert {(cell.scenario, cell.requests_per_connection) for cell in plan.cells if cell.load.clients == 4} == {
            ("keep-alive", 0),
            ("reconnecting", 1),
            ("reconnecting", 10),
        }


class TestCalibration:
    """Servers that check the bench are told apart by name, and are no choice that somebody has."""

    @pytest.mark.parametrize(
        ("line", "word"),
        [("twin = 2", "twin2"), ("added_cpu_us = 6.5", "+6.5us-cpu"), ("added_delay_ms = 1", "+1ms")],
    )
    def test_in_the_name(self, line: str, word: str) -> None:
        plan = read(WHOLE + line + "\n")
        assert plan.cells[0].name == f"flask-threaded keep-alive c4 tls1.3 digest ecdsa-p256 {word}"
        assert all(server.is_calibration for server in plan.servers)
        assert parse(plan.to_json(), source="header", deployments=DEPLOYMENTS) == plan

    def test_a_twin_has_a_server_of_its_own(self) -> None:
        cell = WHOLE[WHOLE.index("[[cell]]") :]
        plan = read(f"{WHOLE}\n{cell}twin = 1\n")
        assert [(server.deployment, server.twin) for server in plan.servers] == [
            ("flask-threaded", 0),
            ("quart-uvicorn", 0),
            ("flask-threaded", 1),
            ("quart-uvicorn", 1),
        ]
        assert [server.is_calibration for server in plan.servers] == [False, False, True, True]


CAPACITY = """
[[capacity]]
deployment = ["flask-threaded", "quart-uvicorn"]
scenario = "keep-alive"
clients = 64
"""


class TestCapacity:
    """A search for each combination, with or without cells beside it."""

    def test_names_and_what_is_measured(self) -> None:
        plan = read(WHOLE + CAPACITY)
        assert [search.name for search in plan.searches] == [
            "flask-threaded keep-alive c64 p99<250ms tls1.3 digest ecdsa-p256",
            "quart-uvicorn keep-alive c64 p99<250ms tls1.3 digest ecdsa-p256",
        ]
        assert plan.searches[0].cell(120.5).name == "flask-threaded keep-alive r120.5/s c64 tls1.3 digest ecdsa-p256"
        assert plan.trials == read(WHOLE).trials

    def test_settings(self) -> None:
        plan = read(WHOLE + CAPACITY + 'p99_ms = 20\narrivals = "constant"\ntls = "off"\n')
        assert (plan.searches[0].p99_ms, plan.searches[0].arrivals, plan.searches[0].server.tls) == (
            20.0,
            "constant",
            "off",
        )
        assert parse(plan.to_json(), source="header", deployments=DEPLOYMENTS) == plan

    def test_alone(self) -> None:
        plan = read(WHOLE[: WHOLE.index("\n[[cell]]")] + CAPACITY)
        assert (plan.cells, len(plan.searches)) == ((), 2)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (("[[capacity]]", "[capacity]"), "capacity is no table; write it as [[capacity]]"),
            (("clients = 64", "clients = 64\nrate_per_s = 5"), "capacity 1: no setting is called 'rate_per_s'"),
            (("clients = 64", "clients = 64\np99_ms = 0"), "capacity 1: p99_ms is 0; it must be a number from 0.1"),
            (("clients = 64", "clients = [64, 64]"), "p99<250ms tls1.3 digest ecdsa-p256' is there twice"),
            (('"keep-alive"', '"reconnecting"'), "capacity 1: there is no capacity of reconnecting"),
        ],
    )
    def test_said_plainly(self, change: tuple[str, str], said: str) -> None:
        text = CAPACITY.replace(*change)
        assert text != CAPACITY
        with pytest.raises(UserError) as caught:
            read(WHOLE + text)
        assert said in str(caught.value)


class TestBuiltIn:
    @pytest.mark.parametrize("name", ["quick", "full", "smoke", "calibrate"])
    def test_there_and_whole(self, name: str) -> None:
        plan = load_plan(name, deployments=DEPLOYMENTS)
        assert plan.name == name

    def test_listed(self) -> None:
        assert {"quick", "full", "smoke", "calibrate"} <= set(built_in_plans())

    @pytest.mark.parametrize("name", ["matrix", "full"])
    @pytest.mark.parametrize("kind", ["keep-alive c4", "full-handshake c8", "slow-io c64"])
    def test_every_deployment_is_in(self, name: str, kind: str) -> None:
        plan = load_plan(name, deployments=DEPLOYMENTS)
        names = {cell.name for cell in plan.cells}
        assert {f"{deployment} {kind} tls1.3 digest ecdsa-p256" for deployment in DEPLOYMENTS} <= names
        assert plan.blocks >= 6

    def test_quick_measures_under_five_minutes_and_can_give_verdicts(self) -> None:
        plan = load_plan("quick", deployments=DEPLOYMENTS)
        assert plan.measuring_s < 300
        assert plan.blocks >= 6
        assert plan.handshake_blocks >= 6
        assert plan.handshake_blocks * BLOCK_S <= 36
        assert plan.budget_s <= 300

    def test_the_full_plan_measures_four_fifths_of_its_time(self) -> None:
        """With up to 1.1 s a trial for starting, warming up and stopping; docs/method.md says what was measured."""
        plan = load_plan("full", deployments=DEPLOYMENTS)
        assert plan.window_s / (plan.window_s + 1.1) >= 0.8
        assert plan.blocks >= 6
        assert plan.max_blocks > plan.blocks

    def test_quick_has_what_each_cost_is_the_difference_of(self) -> None:
        names = {cell.name for cell in load_plan("quick", deployments=DEPLOYMENTS).cells}
        for deployment in ("flask-threaded", "quart-hypercorn-asyncio"):
            assert {
                f"{deployment} keep-alive c4 tls1.3 digest ecdsa-p256",
                f"{deployment} keep-alive c4 no-tls digest",
                f"{deployment} keep-alive c4 tls1.3 no-digest ecdsa-p256",
                f"{deployment} full-handshake c8 tls1.3 digest ecdsa-p256",
                f"{deployment} full-handshake c8 no-tls digest",
                f"{deployment} challenge c8 tls1.3 digest ecdsa-p256",
                f"{deployment} slow-io c64 tls1.3 digest ecdsa-p256",
            } <= names


class TestBadInput:
    """One line each: file, place, what, and the nearest thing that would have been right."""

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (("seed", "sead"), "mine.toml: no setting is called 'sead'; did you mean 'seed'?"),
            (("clients", "client"), "mine.toml: cell 1: no setting is called 'client'; did you mean 'clients'?"),
            (
                ('"flask-threaded"', '"flask-thread"'),
                (
                    "mine.toml: cell 1: no deployment is called 'flask-thread'; did you mean 'flask-threaded'?"
                    " `bench list` shows all."
                ),
            ),
            (("keep-alive", "keepalive"), "cell 1: no scenario is called 'keepalive'; did you mean 'keep-alive'?"),
            (("seed = 7\n", ""), "mine.toml: seed is missing; add `seed = …`"),
            (("seed = 7", 'seed = "7"'), "mine.toml: seed is '7'; it must be a whole number from 0"),
            (("blocks = 6", "blocks = true"), "mine.toml: blocks is True; it must be a whole number from 1"),
            (
                ("seed = 7", "seed = 7\nhandshake_blocks = -1"),
                "handshake_blocks is -1; it must be a whole number from 0",
            ),
            (("blocks = 6", "blocks = 0"), "mine.toml: blocks is 0; it must be a whole number from 1"),
            (("window_s = 2.5", "window_s = 2.6"), "mine.toml: window_s is 2.6; it must be a multiple of 0.25"),
            (("window_s = 2.5", "window_s = 0.5"), "mine.toml: window_s is 0.5; it must be a number from 1 to 3600"),
            (("[4, 64]", "[4, 0]"), "mine.toml: cell 1: clients is 0; it must be a whole number from 1"),
            (("[4, 64]", "[]"), "mine.toml: cell 1: clients is []"),
            (("[4, 64]", "[4, 4]"), "'flask-threaded keep-alive c4 tls1.3 digest ecdsa-p256' is there twice"),
            (("budget_s = 300", "budget_s = 30"), "are 60 s of measuring, budget_s allows 30 s"),
            (('name = "mine"', 'name = "../mine"'), "the name '../mine' cannot be part of a folder's name"),
            (('name = "mine"', "name = 3"), "mine.toml: name is 3; it must be a text in quotes"),
            (("[[cell]]", "[cell]"), "mine.toml: cell is no table; write it as [[cell]]"),
            (
                (WHOLE[WHOLE.index("\n[[cell]]") :], ""),
                "mine.toml: there is nothing to measure; add at least one [[cell]] table",
            ),
            (
                ("blocks = 6", "blocks = 6\nmax_blocks = 5"),
                "max_blocks is 5; it must be a whole number from 6 to 10000",
            ),
            (("seed = 7", "seed = 7\nhalf_width = 2"), "half_width is 2; it must be a number from 0.001 to 1"),
            (("seed = 7", "seed 7"), "mine.toml, line 2, column 6: Expected '=' after a key in a key/value pair"),
            (("[4, 64]\n", "[4, 64"), "mine.toml, line 10: Unclosed array"),
        ],
    )
    def test_said_plainly(self, change: tuple[str, str], said: str) -> None:
        text = WHOLE.replace(*change)
        assert text != WHOLE
        with pytest.raises(UserError) as caught:
            read(text)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ('tls = "1.1"', "cell 1: no choice of tls is called '1.1'"),
            ("tls = 1.3", "cell 1: no choice of tls is called '1.3'"),
            ('auth = "basic"', "cell 1: no choice of auth is called 'basic'; known: digest, none"),
            ('certificate_kind = "rsa-2024"', "no certificate_kind is called 'rsa-2024'; did you mean 'rsa-2048'?"),
            ("rates_per_s = 100", "no setting is called 'rates_per_s'; did you mean 'rate_per_s'?"),
            ("rate_per_s = 0", "rate_per_s is 0; it must be a number from 0.1 to 1e+06"),
            (
                "rate_per_s = [100, 100]",
                "'flask-threaded keep-alive r100/s c4 tls1.3 digest ecdsa-p256' is there twice",
            ),
            ('rate_per_s = 100\narrivals = "even"', "no kind of arrivals is called 'even'; known: constant, poisson"),
            ('arrivals = "poisson"', "arrivals without rate_per_s; a load without a rate has none to spread"),
            (
                "requests_per_connection = 10",
                "requests_per_connection is there; the scenario reconnecting has it, and no other",
            ),
            ("twin = 101", "twin is 101; it must be a whole number from 0 to 100"),
            ("added_cpu_us = -1", "added_cpu_us is -1; it must be a number from 0 to 1e+06"),
            ("added_delay_ms = true", "added_delay_ms is True; it must be a number from 0 to 10000"),
            ("threads = -1", "threads is -1"),
        ],
    )
    def test_choices(self, line: str, said: str) -> None:
        with pytest.raises(UserError) as caught:
            read(WHOLE + line + "\n")
        assert said in str(caught.value)

    def test_resuming_without_tls(self) -> None:
        with pytest.raises(UserError, match="resumed-handshake needs TLS"):
            read(WHOLE.replace("keep-alive", "resumed-handshake") + 'tls = "off"\n')

    def test_no_such_plan(self) -> None:
        with pytest.raises(UserError, match=r"no plan is called 'quik'; did you mean 'quick'\?"):
            find_plan("quik")

    def test_no_such_file(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"none\.toml cannot be read .No such file.* quick"):
            find_plan(str(tmp_path / "none.toml"))

    def test_not_text(self, tmp_path: Path) -> None:
        path = tmp_path / "binary.toml"
        path.write_bytes(b"\xff\xfe")
        with pytest.raises(UserError, match="is not UTF-8 text"):
            find_plan(str(path))
