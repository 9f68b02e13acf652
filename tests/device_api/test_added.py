"""The known addition: where it comes from, and that as much is burnt as was said."""

import threading
import time

import pytest

from device_api.added import Added
from device_api.settings import Settings

TIMES = 200


class TestWhereItComesFrom:
    def test_nothing_by_default(self) -> None:
        assert Added.of(Settings()) is None
        assert Added.of(None, {}) is None
        assert Added.of(None, {"DEVICE_ADDED_CPU_US": "0", "DEVICE_ADDED_DELAY_MS": ""}) is None

    def test_settings_and_variables_say_the_same(self) -> None:
        environ = {"DEVICE_ADDED_CPU_US": "6.5", "DEVICE_ADDED_DELAY_MS": "2", "DEVICE_PORT": "read by nobody here"}
        assert Added.of(None, environ) == Added.of(Settings(added_cpu_us=6.5, added_delay_ms=2.0)) == Added(6.5, 0.002)

    @pytest.mark.parametrize("text", ["much", "nan", "-1", "1e9"])
    def test_what_cannot_be_used_is_left_to_who_opens_the_device(self, text: str) -> None:
        assert Added.of(None, {"DEVICE_ADDED_CPU_US": text}) is None


class TestBurning:
    """What is burnt is the thread's CPU time; on average it is what was asked for."""

    @pytest.mark.parametrize("cpu_us", [10.0, 300.0, 5_000.0])
    def test_takes_what_it_says(self, cpu_us: float) -> None:
        added = Added(cpu_us)
        began_ns = time.thread_time_ns()
        for _ in range(TIMES):
            added.burn()
        each_us = (time.thread_time_ns() - began_ns) / TIMES / 1000
        assert each_us == pytest.approx(cpu_us, rel=0.1, abs=1.0)

    def test_a_thread_that_is_kept_waiting_burns_no_less(self) -> None:
        added, burnt_ns = Added(2_000.0), []

        def burn() -> None:
            began_ns = time.thread_time_ns()
            for _ in range(10):
                added.burn()
            burnt_ns.append(time.thread_time_ns() - began_ns)

        threads = [threading.Thread(target=burn) for _ in range(3)]  # one interpreter lock for all of them
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert min(burnt_ns) >= 0.98 * 10 * 2_000_000

    def test_a_large_one_makes_nobody_wait_for_the_start(self) -> None:
        """It is tried out with a small one."""
        began_ns = time.thread_time_ns()
        Added(20_000.0)
        assert time.thread_time_ns() - began_ns < 200_000_000

    def test_a_delay_alone_burns_nothing(self) -> None:
        began_ns = time.thread_time_ns()
        Added(delay_s=10.0).burn()
        assert time.thread_time_ns() - began_ns < 1_000_000
