"""What a run was measured on: complete, and held against it when it goes on."""

from __future__ import annotations

import json

import pytest

from harness.environment import check_same, describe_environment, package_versions, processor_name
from harness.errors import UserError
from harness.pinning import ONE_PROCESSOR, Pinning


class TestDescription:
    def test_holds_what_the_report_shows(self) -> None:
        found = describe_environment(Pinning(frozenset({0}), frozenset({1})))
        assert found["openssl"].keys() == {"ssl", "pyopenssl"}
        assert all(text.startswith("OpenSSL ") for text in found["openssl"].values())
        assert {"flask", "quart", "hypercorn", "locust"} <= found["packages"].keys()
        assert (found["server_cpus"], found["generator_cpus"], found["notes"]) == ([0], [1], [])
        assert found["python"].startswith("CPython 3.")
        assert json.loads(json.dumps(found)) == found

    def test_one_processor_is_noted(self) -> None:
        both = frozenset({0})
        assert describe_environment(Pinning(both, both, ONE_PROCESSOR))["notes"] == [ONE_PROCESSOR]

    def test_processor_name(self) -> None:
        assert processor_name("processor\t: 0\nmodel name\t: AMD EPYC 7B13\n") == "AMD EPYC 7B13"
        assert processor_name("processor : 0\n") != ""

    def test_packages_that_are_absent_are_left_out(self) -> None:
        assert list(package_versions(["click", "no-such-distribution-at-all"])) == ["click"]


BEFORE = {"processor": "A", "python": "CPython 3.11.7", "packages": {"flask": "3.1.3", "quart": "0.22.0"}}


class TestGoingOn:
    def test_the_same(self) -> None:
        check_same(BEFORE, {**BEFORE, "server_cpus": [7]})

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"processor": "B"}, "begun with processor A, and it is B now"),
            ({"packages": {"flask": "3.2.0", "quart": "0.22.0"}}, "with packages flask 3.1.3, and it is 3.2.0 now"),
            ({"packages": {"flask": "3.1.3"}}, "with packages quart 0.22.0, and it is absent now"),
        ],
    )
    def test_changed(self, change: dict[str, object], said: str) -> None:
        with pytest.raises(UserError, match=said):
            check_same(BEFORE, {**BEFORE, **change})
