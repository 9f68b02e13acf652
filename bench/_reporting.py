"""From the tally to those who read it: four times a second to Locust's tables and to the recording.

Locust's own rows are extended, not replaced: console, web UI, --csv and --json show right totals, alone and as a worker
(whose rows Locust itself sends to its master). TLS handshakes have rows of their own, which are left out of
"Aggregated": they are no requests.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

import gevent
import locust.stats
from locust.env import Environment
from locust.stats import RequestStats, StatsEntry, StatsError

from bench._arrivals import Arrivals
from bench._tally import Counts, RowCounts, Tally
from harness.recording import LONGEST_US, SLICES_PER_SECOND, Bytes, Recorder, Slice, value_of

TLS_METHOD: Final = "TLS"  # what stands in Locust's column "Type" for a handshake
TLS_NAMES: Final = {"full": "TLS handshake (full)", "resumed": "TLS handshake (resumed)"}


class Reporter:
    """Empties the tally of one process. recorder: None when nothing is to be recorded.

    arrivals: those of the open load that is going on.
    """

    def __init__(self, environment: Environment, tally: Tally, recorder: Recorder | None) -> None:
        self._environment = environment
        self._tally = tally
        self._recorder = recorder
        self.arrivals: Arrivals | None = None

    def run(self) -> None:
        """Report at every quarter of a second, for ever."""
        interval_s = 1 / SLICES_PER_SECOND
        next_s = time.monotonic() + interval_s
        while True:
            gevent.sleep(max(0.0, next_s - time.monotonic()))
            next_s = max(next_s + interval_s, time.monotonic())  # no short slice after one that was late
            self.report()

    def report(self, *, to_locust: bool = True) -> None:
        """Hand on what was counted since the last time."""
        counts = self._tally.take()
        if to_locust:
            add_to_locust(self._environment.stats, counts)
        if self._recorder is not None:
            self._record(self._recorder, counts)

    def close(self, exit_status: int) -> None:
        """Write the recording's last line."""
        if self._recorder is not None:
            self._recorder.close(exit_status)

    def _record(self, recorder: Recorder, counts: Counts) -> None:
        now_ns, spent_us = recorder.clocks()
        runner, arrivals = self._environment.runner, self.arrivals
        users = 0 if runner is None else runner.user_count
        waiting = 0
        if arrivals is not None:
            users, waiting = arrivals.users_there(users), arrivals.waiting
        recorder.write(to_slice(counts, now_ns, spent_us, users=users, waiting=waiting))


def to_slice(counts: Counts, monotonic_ns: int, generator_cpu_us: int, *, users: int, waiting: int = 0) -> Slice:
    """Make the recording's slice. Rows are told apart by name alone there."""
    errors: dict[str, int] = {}
    for row in counts.rows:
        for reason, count in row.failures.items():
            errors[reason] = errors.get(reason, 0) + count
    return Slice(
        monotonic_ns=monotonic_ns,
        requests=sum(row.answered + row.failed for row in counts.rows),
        errors=errors,
        lateness_us=counts.lateness_us,
        waiting=waiting,
        latency_us={row.name: row.latency_us for row in counts.rows if row.latency_us},
        out_of_range={row.name: row.out_of_range for row in counts.rows if row.out_of_range},
        handshakes=counts.handshakes,
        handshake_us=counts.handshake_us,
        challenges=counts.challenges,
        bytes=Bytes(sent=counts.sent, received=counts.received),
        generator_cpu_us=generator_cpu_us,
        users=users,
        tls=counts.tls,
    )


def add_to_locust(stats: RequestStats, counts: Counts) -> None:
    """Extend Locust's rows and total by what was counted, as if each request had been logged."""
    for row in counts.rows:
        entry = _entry_of(stats, row)
        stats.get(row.name, row.method).extend(entry)
        stats.total.extend(entry)
        for reason, count in row.failures.items():
            _add_failures(stats, row, reason, count)
    _add_handshakes(stats, TLS_NAMES["full"], counts.handshake_us.full, counts.handshakes.full)
    _add_handshakes(stats, TLS_NAMES["resumed"], counts.handshake_us.resumed, counts.handshakes.resumed)


def _add_handshakes(stats: RequestStats, name: str, times_us: Mapping[int, int], count: int) -> None:
    if count:
        beyond = count - sum(times_us.values())
        stats.get(name, TLS_METHOD).extend(_entry(stats, name, TLS_METHOD, times_us, beyond))


def _entry_of(stats: RequestStats, row: RowCounts) -> StatsEntry:
    """A temporary entry. A failed request counts as one without a response time, as Locust does with None."""
    entry = _entry(stats, row.name, row.method, row.latency_us, row.out_of_range)
    failed = row.failed
    second = int(entry.last_request_timestamp or 0)
    entry.num_requests += failed
    entry.num_none_requests += failed
    entry.num_failures = failed
    entry.num_reqs_per_sec[second] = entry.num_requests
    if failed:
        entry.num_fail_per_sec[second] = failed
    entry.total_content_length = row.content_bytes
    return entry


def _entry(stats: RequestStats, name: str, method: str, times_us: Mapping[int, int], beyond: int) -> StatsEntry:
    """Locust's times are in ms. Values beyond the histogram's range count as its limit: nobody knows how late."""
    entry = StatsEntry(stats, name, method)
    by_us = {value_of(number): count for number, count in times_us.items()}
    if beyond:
        by_us[LONGEST_US] = by_us.get(LONGEST_US, 0) + beyond
    for us, count in by_us.items():
        entry.response_times[locust.stats.bucket_response_time(us / 1000)] += count
    entry.num_requests = sum(by_us.values())
    # In ms. Locust's annotations of these say int, its own clients log fractions of a millisecond: hence by name.
    vars(entry).update(total_response_time=sum(us * count for us, count in by_us.items()) / 1000)
    if by_us:
        vars(entry).update(min_response_time=min(by_us) / 1000, max_response_time=max(by_us) / 1000)
    entry.start_time = stats.start_time
    entry.last_request_timestamp = now_s = time.time()
    entry.num_reqs_per_sec[int(now_s)] = entry.num_requests
    return entry


def _add_failures(stats: RequestStats, row: RowCounts, reason: str, count: int) -> None:
    key = StatsError.create_key(row.method, row.name, reason)
    error = stats.errors.get(key)
    if error is None:
        error = stats.errors[key] = StatsError(row.method, row.name, reason)
    error.occurred()
    error.occurrences += count - 1
