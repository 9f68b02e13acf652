"""The inputs that fuzzing came upon are replayed here, where no fuzzer is needed."""

import pytest

from tests.fuzz.__main__ import NAMES
from tests.fuzz.corpus import read_corpus
from tests.fuzz.targets import TARGETS


def test_every_target_can_be_named() -> None:
    assert tuple(TARGETS) == NAMES


@pytest.mark.parametrize("target", TARGETS)
def test_kept_inputs_break_nothing(target: str) -> None:
    inputs = read_corpus(target)
    assert len(inputs) >= 10
    for data in inputs:
        TARGETS[target](data)


def test_a_broken_comparison_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hmac.compare_digest", lambda _expected, _given: True)
    with pytest.raises(AssertionError, match="nobody knows the password"):
        for data in read_corpus("check"):
            TARGETS["check"](data)
