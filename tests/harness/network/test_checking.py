"""The model beside a real client and a real server: a fault of one round trip would show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from certs import TlsVersion
from deployments import RunningServer, ServeOptions, start
from device_api.state import open_state
from harness.handshakes.live import GROUPS_TO_RETRY, live_client
from harness.network.checking import KINDS, FirstAnswers, Kind, error, first_answers
from harness.network.relay import ADDRESS, Relay
from harness.pinning import choose_pinning
from harness.probes.target import DEFAULT_PATH, parse_target

RTT_US = 20_000.0
FULL = Kind(version=TlsVersion.TLS_1_3)


def answers(kind: Kind = FULL, *, rtt_us: float = RTT_US, middle_us: float = 61_000.0) -> FirstAnswers:
    return FirstAnswers(kind=kind, rtt_us=rtt_us, time_us=[middle_us - 1, middle_us, middle_us + 9e6])


class TestError:
    """Three round trips and what there is without any, here 1 ms."""

    def test_none(self) -> None:
        assert error(answers(), answers(rtt_us=0, middle_us=1_000)) == 0

    def test_a_tenth_longer(self) -> None:
        assert error(answers(middle_us=67_100), answers(rtt_us=0, middle_us=1_000)) == pytest.approx(0.1)

    def test_another_kind_is_no_base(self) -> None:
        with pytest.raises(ValueError, match="the same kind"):
            error(answers(), answers(Kind(version=None), rtt_us=0))
        with pytest.raises(ValueError, match="the same kind"):
            error(answers(), answers())


def test_names_are_different() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) == 6


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def server(state: Path) -> Iterator[RunningServer]:
    with start("flask-threaded", ServeOptions(state=state, auth="none"), cpus=choose_pinning().server) as running:
        yield running


@pytest.mark.end_to_end
class TestReal:
    """Medians of a few connections at 20 ms; a round trip more or less would be a quarter of the whole or more."""

    BOUND = 0.2

    @pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.version], ids=lambda kind: kind.name)
    def test_the_model_holds(self, server: RunningServer, state: Path, kind: Kind) -> None:
        cpus = choose_pinning().generator
        groups = {"groups": GROUPS_TO_RETRY} if kind.hello_retry else {}
        port = parse_target(server.url).port
        seen = []
        with live_client(open_state(state).ca_file, cpus, **groups) as client:
            for rtt_us in (0.0, RTT_US):
                with Relay(ADDRESS, port, rtt_us=rtt_us, cpus=cpus) as relay:
                    url = f"https://{ADDRESS}:{relay.port}{DEFAULT_PATH}"
                    seen.append(first_answers(client, kind, url, rtt_us=rtt_us, count=9))
        adjacent, far = seen
        assert min(far.time_us) >= kind.round_trips.first_answer * RTT_US  # nothing comes before its time
        assert abs(error(far, adjacent)) < self.BOUND
