"""What is found to be missing: each thing once, by the manager that brings it, with who needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import deployments
from deployments import Described
from deployments._types import Program
from harness.calibration import ceiling
from harness.doctor.installed import (
    FIRST_PLAN,
    PEERS,
    Lack,
    Manager,
    lacks_of,
    own_lacks,
    read_installed,
)


def described(name: str, versions: Mapping[str, str | None], *, absent: tuple[str, ...] = ()) -> Described:
    """A deployment that needs a proxy called guard, of which something is not installed."""
    deployment = replace(
        deployments.find(name),
        needs=tuple(versions),
        programs=(Program("guard", "guard-light"), Program("guardctl", "guard-tools")),
    )
    return Described(deployment, versions, absent)


class TestLacks:
    def test_each_once_with_all_who_need_it(self) -> None:
        found = lacks_of(
            [
                described("flask-threaded", {"flask": "3.1.3"}),
                described("flask-werkzeug", {"flask": None}, absent=("guard",)),
                described("flask-gunicorn-sync", {"flask": None, "gunicorn": "27.0"}, absent=("guard", "guardctl")),
            ]
        )
        both = ("flask-werkzeug", "flask-gunicorn-sync")
        assert found == (
            Lack(name="guard", package="guard-light", manager=Manager.APT, deployments=both),
            Lack(name="flask", package="flask", manager=Manager.PIP, deployments=both),
            Lack(name="guardctl", package="guard-tools", manager=Manager.APT, deployments=("flask-gunicorn-sync",)),
        )

    def test_nothing(self) -> None:
        assert lacks_of([described("flask-threaded", {"flask": "3.1.3"})]) == ()


class TestOwn:
    """What the bench was installed with, and has lost; what only a deployment needs is that one's affair."""

    def test_what_is_not_there(self) -> None:
        requirements = [
            "click>=8.3",
            "no-such-load>=2",
            "No_Such.Server[h3]>=1",
            'no-such-page; python_version > "3"',
        ]
        assert own_lacks([described("flask-threaded", {"no-such-server": None})], requirements) == (
            "no-such-load",
            "no-such-page",
        )

    def test_of_this_installation(self) -> None:
        assert own_lacks(deployments.describe()) == ()


class TestThisInstallation:
    def test_every_deployment_is_served_or_lacks_something_or_is_hindered(self) -> None:
        installed = read_installed()
        lacking = {name for lack in installed.lacks for name in lack.deployments}
        assert sorted([*installed.servable, *lacking, *installed.hindered]) == sorted(deployments.names())
        assert installed.deployments == len(deployments.names())

    def test_tls_libraries_once_each(self) -> None:
        stacks = [tls.stack for tls in read_installed().tls]
        assert len(stacks) == len(set(stacks))
        assert {"stdlib", "pyopenssl"} <= set(stacks)

    def test_plans_say_what_they_take(self) -> None:
        plans = {plan.name: plan for plan in read_installed().plans}
        assert FIRST_PLAN in plans
        assert (plans["full"].connections, plans["full"].open_files) == (1000, 1100)
        assert "flask-threaded" in plans["full"].deployments

    def test_calibrate_looks_for_the_same_generators(self) -> None:
        assert tuple(peer.argv[0] for peer in ceiling._PEERS) == PEERS
