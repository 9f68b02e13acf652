"""A known addition is in every request of both implementations, whatever comes of the request."""

import contextlib
import time
from collections.abc import Iterator

import pytest

from harness.clocks import process_cpu_us
from tests.contract.served import IMPLEMENTATIONS, Served, serving
from tests.contract.test_contract import SYSTEM_STATE

pytestmark = pytest.mark.end_to_end

CPU_US = 20_000
DELAY_MS = 50
ASKED = (("/health", False, 200), (SYSTEM_STATE, True, 200), (SYSTEM_STATE, False, 401), ("/nowhere", True, 404))


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def slow(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with both additions."""
    implementation: str = request.param
    with contextlib.ExitStack() as stack:
        served = stack.enter_context(
            serving(
                implementation,
                tmp_path_factory.mktemp(implementation),
                DEVICE_ADDED_CPU_US=f"{CPU_US}",
                DEVICE_ADDED_DELAY_MS=f"{DELAY_MS}",
            )
        )
        served.ask("GET", "/health", credentials=False)  # opens the device
        served.authorization("GET", SYSTEM_STATE)
        yield served


@pytest.mark.parametrize(("target", "credentials", "status"), ASKED)
def test_every_request_burns_and_waits(slow: Served, *, target: str, credentials: bool, status: int) -> None:
    before_us, began_s = process_cpu_us(slow.ready.pid), time.monotonic()
    assert slow.ask("GET", target, credentials=credentials).status == status
    after_us, took_s = process_cpu_us(slow.ready.pid), time.monotonic() - began_s
    assert before_us is not None
    assert after_us is not None
    assert after_us - before_us >= 0.98 * CPU_US
    assert took_s >= (CPU_US / 1000 + DELAY_MS) / 1000 * 0.98
