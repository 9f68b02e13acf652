"""A locustfile for `benchmarks.client`: FastHttpUser as Locust's own documentation uses it, without Digest.

CLIENT_BENCHMARK_RESULT names the file for what was counted between two moments of the run, its own CPU included;
CLIENT_BENCHMARK_WINDOW_S says how long that is.
"""

import json
import os
import time
from pathlib import Path

import gevent
from locust import FastHttpUser, events, task
from locust.env import Environment


class PlainUser(FastHttpUser):
    """One connection, one request after the other."""

    insecure = True  # as most people run it; verifying costs nothing but the handshake

    @task
    def poll(self) -> None:
        """Once, as is usual: each request is a task."""
        self.client.get(os.environ["CLIENT_BENCHMARK_PATH"], name="poll")


def measure(environment: Environment) -> None:
    """Count requests and CPU time from a second after the start to the end of the window."""
    gevent.sleep(1)
    requests, cpu_ns = environment.stats.total.num_requests, time.process_time_ns()
    gevent.sleep(float(os.environ["CLIENT_BENCHMARK_WINDOW_S"]))
    requests, cpu_ns = environment.stats.total.num_requests - requests, time.process_time_ns() - cpu_ns
    counted = {"requests": requests, "cpu_us": cpu_ns / 1000, "failures": environment.stats.total.num_failures}
    Path(os.environ["CLIENT_BENCHMARK_RESULT"]).write_text(json.dumps(counted), encoding="ascii")


def begin(environment: Environment, **_: object) -> None:
    """Called when the users start."""
    gevent.spawn(measure, environment)


events.test_start.add_listener(begin)
