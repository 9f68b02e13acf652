"""What `locust -f bench/` finds: the documented kinds of client, and nothing that shadows another module."""

from __future__ import annotations

import ast
import importlib.metadata
import sys
from pathlib import Path

import pytest

from tests.bench.running import ROOT, locust

BENCH = ROOT / "bench"
LOCUSTFILES = sorted(path for path in BENCH.rglob("*.py") if not path.name.startswith("_"))

# Scenario, as plans name it, and class: the documented list.
SCENARIOS = {
    "health": "HealthUser",
    "keep-alive": "KeepAliveUser",
    "one-interface": "OneInterfaceUser",
    "reconnecting": "ReconnectingUser",
    "full-handshake": "FullHandshakeUser",
    "resumed-handshake": "ResumedHandshakeUser",
    "challenge": "ChallengeUser",
    "slow-io": "SlowIoUser",
    "mix": "MixUser",
}


def classes(path: Path) -> list[ast.ClassDef]:
    return [node for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.ClassDef)]


def test_list() -> None:
    ended = locust("bench/", "--list", "--loglevel", "ERROR")
    title, *names = ended.output.splitlines()
    assert (ended.status, title) == (0, "Available Users:")
    assert sorted(name.strip() for name in names) == sorted(SCENARIOS.values())


def test_a_file_for_each_scenario() -> None:
    assert {path.stem.replace("_", "-"): [node.name for node in classes(path)] for path in LOCUSTFILES} == {
        scenario: [name] for scenario, name in SCENARIOS.items()
    }


@pytest.mark.parametrize("path", LOCUSTFILES, ids=lambda path: path.stem)
def test_each_says_what_kind_of_client_it_is(path: Path) -> None:
    (user,) = classes(path)
    assert len((ast.get_docstring(user) or "").split()) > 20


@pytest.mark.parametrize("path", LOCUSTFILES, ids=lambda path: path.stem)
def test_no_stem_is_the_name_of_a_module(path: Path) -> None:
    """Locust puts the file into sys.modules under it, where it would be found instead of the other."""
    ours = {entry.stem for entry in ROOT.iterdir() if entry.suffix == ".py" or (entry / "__init__.py").is_file()}
    assert path.stem not in sys.stdlib_module_names | importlib.metadata.packages_distributions().keys() | ours


def test_stems_are_unique() -> None:
    """The later of two would silently replace the earlier."""
    assert len({path.stem for path in LOCUSTFILES}) == len(LOCUSTFILES)
