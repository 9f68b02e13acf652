"""Floods of requests without credentials: `python -m benchmarks.floods`, but short. Nothing tells who exists."""

import contextlib
import math
import random
import re
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.floods import TARGET, Connection, Outcome, connection, in_process, log_faults, over_the_wire
from benchmarks.timing import Result, median_interval
from certs import client_context
from device_api.state import read_credentials
from digest_auth import DigestClient
from tests.devices import DEVICES, RunningDevice, running_device

pytestmark = pytest.mark.end_to_end

SEED = 7616
WIRE = 10_000


class TestFlood:
    """Nothing that comes without credentials is answered by anything but 400, 401 and 429, or leaves a trace."""

    def test_in_process(self) -> None:
        outcome = in_process(100_000, SEED)
        assert outcome.met, str(outcome)
        assert set(outcome.statuses) <= {400, 401, 429}
        assert min(outcome.statuses[400], outcome.statuses[401]) > 5_000

    def test_takes_no_memory(self) -> None:
        """Ten times the requests, the same peak: what is kept is bounded, and little where the throttle is small."""
        peaks = []
        for requests in (500, 500, 6_000):  # the first finds caches empty
            tracemalloc.start()
            in_process(requests, SEED, capacity=50)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert peaks[2] < peaks[1] + 300_000  # 55 octets a request; how long the headers are is chance

    @pytest.mark.parametrize("device", DEVICES)
    def test_over_the_wire(self, device: str, tmp_path: Path) -> None:
        with running_device(device, tmp_path, shows_log=False) as server:
            outcome = over_the_wire(device, server, WIRE // len(DEVICES), SEED)
            assert outcome.met, str(outcome)
            assert sum(outcome.statuses.values()) == outcome.requests > WIRE // len(DEVICES) - 10
            # Whoever knows the password still gets in: no flood locks anybody out, or spends a nonce.
            with connected(server) as peer:
                assert peer.ask([signed(peer, *credentials_of(server))])[0] in {200, 429}


def credentials_of(server: RunningDevice) -> tuple[str, str]:
    assert server.ready.credentials_file is not None
    return read_credentials(server.ready.credentials_file)


@contextlib.contextmanager
def connected(server: RunningDevice) -> Iterator[Connection]:
    assert server.ready.ca_file is not None
    with connection(server.address, client_context(server.ready.ca_file)) as peer:
        yield peer


def signed(peer: Connection, user: str, password: str) -> str:
    """A header made by somebody with this password, with a nonce just issued."""
    client = DigestClient(user, password)
    _, head, _ = peer.ask([])
    assert client.accept(re.findall(r"(?im)^www-authenticate: *(.*?)\r?$", head.decode("latin-1")))
    value = client.authorization("GET", TARGET)
    assert value is not None
    return value


def told(head: bytes) -> Counter[str]:
    """All lines of an answer's head, but for what differs from answer to answer."""
    # Seconds may pass between two answers: the time to wait is counted in whole ones.
    text = re.sub(r'nonce="[^"]+"|(?i:retry-after: \d+)', "", head.decode("latin-1"))
    return Counter(line for line in text.split("\r\n") if not line.lower().startswith("date:"))


SETTINGS = {
    "default": {},
    "all": {"DEVICE_ALGORITHMS": "SHA-256,MD5", "DEVICE_QOP": "auth,auth-int", "DEVICE_USERHASH": "on"},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("device", ["flask-stdlib", "quart"])
def test_who_exists_is_told_by_no_status_header_or_body(
    device: str, settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known or not: the same answers to wrong passwords one after the other, up to the throttle's 429 and beyond."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with running_device(device, tmp_path) as server, connected(server) as peer:
        known, _ = credentials_of(server)
        answers = {
            user: [peer.ask([signed(peer, user, f"wrong {number}")]) for number in range(13)]
            for user in (known, "x" * len(known))
        }
        statuses, heads, bodies = zip(*answers[known], strict=True)
        others, other_heads, other_bodies = zip(*answers["x" * len(known)], strict=True)
        assert statuses == others == (401,) * 10 + (429,) * 3
        assert [told(head) for head in heads] == [told(head) for head in other_heads]
        assert bodies == other_bodies


def test_what_misses_the_goals_of_a_flood() -> None:
    good = {"name": "x", "statuses": Counter({401: 9, 429: 1}), "growth_mib": 31.0}
    assert Outcome(**good).met  # type: ignore[arg-type]  # a test's shorthand
    for change in ({"statuses": Counter({401: 9, 500: 1})}, {"growth_mib": 33.0}, {"faults": ["granted"]}):
        assert not Outcome(**(good | change)).met  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize(
    "line",
    ["2026-11-24 ERROR x", "Traceback (most recent call last):", "hunter2 is wrong", 'Digest response="0"', "0a" * 16],
)
def test_what_must_not_be_in_a_log(line: str) -> None:
    assert log_faults(["2026-11-24 INFO fine", line], "hunter2") == [f"in the log: {line}"]


def test_what_misses_the_goals_of_timing() -> None:
    quick, slow, slower = [10.0, 10.1, 9.9] * 20, [10.09, 10.19, 9.99] * 20, [10.3, 10.4, 10.2] * 20
    assert Result("A/A", quick, list(reversed(quick))).tie
    assert (Result("90 ns", slow, quick).tie, Result("90 ns", slow, quick).met) == (False, True)
    assert not Result("300 ns", slower, quick).met
    assert Result("0.9 %", slow, quick, in_process=False).met
    assert not Result("3 %", slower, quick, in_process=False).met


def test_the_interval_of_a_median_holds_it_as_often_as_it_says() -> None:
    draw = random.Random(7616)
    held = 0
    for _ in range(1000):
        low, high = median_interval([draw.expovariate(1.0) for _ in range(60)])
        held += low <= math.log(2) <= high
    assert 930 <= held <= 985
    assert median_interval([1.0] * 7) == (-math.inf, math.inf)
