"""Our servers beside clients that keep them waiting, and when they are stopped under load: `make bench`, but short.

How fast good clients are answered is the benchmark's to say; here they are answered, all of them, in good time.
"""

import time
from pathlib import Path

import pytest

from benchmarks.bad_clients import Kind
from benchmarks.stalled import Case, Pair, Times, be_good, beside
from benchmarks.stopping import Stop, stop
from certs import client_context
from tests.devices import DEVICES, running_device

pytestmark = pytest.mark.end_to_end

HANDSHAKE_S = 10.0  # what bad clients have
BAD = 50


@pytest.mark.parametrize("device", DEVICES)
def test_bad_clients_hold_up_nobody(device: str, tmp_path: Path) -> None:
    with running_device(device, tmp_path) as server:
        assert server.ready.ca_file is not None
        trusting = client_context(server.ready.ca_file)
        for kind in Kind:
            times = Times()
            with beside(Case(kind, BAD), server.address):
                until_s = time.monotonic() + 1
                while time.monotonic() < until_s:
                    be_good(server.address, trusting, 5, times)
            assert times.failures == []
            assert max(times.new_us + times.kept_us) < HANDSHAKE_S * 1e6
        complaints = [line for line in server.logged() if " ERROR " in line or "Traceback" in line]
    assert complaints == []


@pytest.mark.parametrize("device", DEVICES)
def test_a_stop_under_load_loses_nothing(device: str, tmp_path: Path) -> None:
    outcome = stop(device, tmp_path, load_s=0.4)
    assert outcome.lost == ()
    assert outcome.met, outcome
    assert outcome.answered > 20
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    "change",
    [{"lost": ("EOFError",)}, {"refused": False}, {"status": 1}, {"seconds": 10.1}],
    ids=["lost", "not refused", "status", "seconds"],
)
def test_what_misses_the_goal_of_stopping(change: dict[str, object]) -> None:
    fields: dict[str, object] = {"answered": 9, "lost": (), "late": 1, "refused": True, "status": 0, "seconds": 9.9}
    assert Stop(**fields).met  # type: ignore[arg-type]  # a test's shorthand
    assert not Stop(**(fields | change)).met  # type: ignore[arg-type]  # as above


def test_what_misses_the_goal_beside_bad_clients() -> None:
    slow, fast = [1.0] * 98 + [10.0] * 2, [1.0] * 100
    assert Pair(Times(fast, fast), Times(fast, fast)).met
    assert not Pair(Times(fast, fast), Times(slow, fast)).met
    assert not Pair(Times(fast, fast), Times(fast, slow)).met
    assert not Pair(Times(fast, fast), Times(fast, fast, ["TimeoutError"])).met
