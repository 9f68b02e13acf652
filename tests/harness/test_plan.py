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


class TestBuiltIn:
    @pytest.mark.parametrize("name", ["quick", "full", "smoke", "calibrate"])
    def test_there_and_whole(self, name: str) -> None:
        plan = load_plan(name, deployments=DEPLOYMENTS)
        assert plan.name == name

    def test_listed(self) -> None:
        assert {"quick", "full", "smoke", "calibrate"} <= set(built_in_plans())

    def test_quick_measures_under_five_minutes_and_can_give_verdicts(self) -> None:
        plan = load_plan("quick", deployments=DEPLOYMENTS)
        assert plan.measuring_s < 300
        assert plan.blocks >= 6
        assert plan.handshake_blocks >= 6
        assert plan.handshake_blocks * BLOCK_S <= 25

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
            (("[[cell]]", "[cell]"), "mine.toml: there is nothing to measure; add at least one [[cell]] table"),
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
            ("rate_per_s = 100", "no setting is called 'rate_per_s'"),
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
