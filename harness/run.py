"""A run: the trials of a plan, one after another, each written down before the next begins.

Knows neither Locust nor a server: `harness.lab` has them. Whatever ends a run early (Ctrl-C, SIGTERM, a kill, a full
disk), the trials that finished are on disk, and `resume` measures exactly those that are missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from harness.adaptive import cells_of_block, most_left, open_standings
from harness.errors import UserError
from harness.lab import Lab, Served, ServerFailedError
from harness.pinning import Pinning
from harness.plan import Plan, ServerKey
from harness.progress import Display
from harness.recording import Negotiated
from harness.schedule import Turn, arrivals_seed, block_starts, remaining
from harness.trial_log import TrialLog
from harness.trials import NegotiatedTls, Options, Trial
from harness.window import Observation, VoidTrialError, figures

HOPELESS_AFTER = 5  # trials without a figure at the start of a sitting: the others would be no better


@dataclass(frozen=True, slots=True)
class Session:
    """What one sitting of a run did."""

    trials: int
    measured_s: float  # the windows together
    wall_s: float

    @property
    def measured_share(self) -> float:
        """How much of the time was spent measuring, 0 to 1."""
        return self.measured_s / self.wall_s if self.wall_s else 0.0


class Runner:
    """Measures what is missing of a run.

    now: for the time of day noted with each trial. clock_s: for how long the sitting took.
    """

    def __init__(
        self,
        plan: Plan,
        log: TrialLog,
        lab: Lab,
        display: Display,
        pinning: Pinning,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan = plan
        self._log = log
        self._lab = lab
        self._display = display
        self._pinning = pinning
        self._now = now
        self._clock_s = clock_s
        self._trials = 0
        self._measured_s = 0.0
        self._started_s = 0.0

    def run(self) -> Session:
        """Measure all missing trials of the plan's blocks. KeyboardInterrupt passes.

        Raises UserError when they cannot be written, or when none of the first ones gave a figure.
        """
        self._started_s = self._clock_s()
        for block in range(max(self._plan.blocks, self._plan.max_blocks)):
            if not self._measure_block(block):
                break
        return self.session()

    def session(self) -> Session:
        """Return what has been done since `run` began; with what else was measured after it."""
        return Session(self._trials, self._measured_s, self._clock_s() - self._started_s)

    def _measure_block(self, block: int) -> bool:
        """Measure what is missing of a block; says whether there is such a block."""
        trials = [trial for trial in self._log.run.trials if not trial.is_searched]
        cells = cells_of_block(self._plan, block, trials)
        if not cells:
            return False
        if block >= self._plan.blocks:
            before = [trial for trial in trials if trial.block < block]
            left = most_left(self._plan, block, trials) - (len(trials) - len(before))
            self._display.further(block, open_standings(self._plan, before), left=left)
        first = sum(trial.block < block for trial in trials)
        starts = block_starts(self._plan, block, cells, first=first)
        for start in remaining(starts, [trial.id for trial in trials]):
            self.measure(start.server, iter(start.turns))
        return True

    def measure(self, server: ServerKey, turns: Iterator[Turn]) -> None:
        """Measure turns on one fresh server; on another one if that dies. Without a turn none is started.

        A turn is asked for only when the trial of the one before is in the log, so that it may depend on it. After a
        server that did not start, all further turns are noted as void: whoever makes them without end must stop at one.
        Raises as `run` does.
        """
        turn = next(turns, None)
        while turn is not None:
            try:
                with self._lab.serve(server) as served:
                    while turn is not None:
                        self._display.turn(turn)
                        self._note(self._measure(turn, served))
                        turn = next(turns, None)
                        if served.status() is not None:
                            break
            except ServerFailedError as error:
                # The next block tries again; this block has no such figure.
                while turn is not None:
                    self._note(self._void(turn, f"the server did not start: {error}", None, None))
                    turn = next(turns, None)

    def _measure(self, turn: Turn, served: Served) -> Trial:
        started = self._now()
        threads, tls = served.threads, served.tls
        observation = served.measure(turn.cell, self._window_s(turn), seed=arrivals_seed(self._plan, turn))
        return self._trial(turn, observation, threads, tls, started)

    def _window_s(self, turn: Turn) -> float:
        return turn.window_s or self._plan.window_s

    def _trial(
        self, turn: Turn, observation: Observation, threads: int | None, tls: NegotiatedTls | None, started: datetime
    ) -> Trial:
        try:
            seen = figures(observation, cell=turn.cell, window_s=self._window_s(turn), pinning=self._pinning)
        except VoidTrialError as error:
            return self._void(turn, str(error), threads, tls)
        return Trial(
            id=turn.id,
            order=turn.order,
            deployment=turn.cell.server.deployment,
            scenario=turn.cell.scenario,
            load=turn.cell.load,
            requests_per_connection=turn.cell.requests_per_connection,
            options=_options(turn, threads),
            started=started.isoformat(timespec="seconds"),
            window_s=seen.window_s,
            requests=seen.requests,
            errors=seen.errors,
            latency_us=seen.latency_us,
            lateness_us=seen.lateness_us,
            handshake_us=seen.handshake_us,
            handshakes=seen.handshakes,
            challenges=seen.challenges,
            server_cpu_us=seen.server_cpu_us,
            generator_cpu_us=seen.generator_cpu_us,
            neighbour_cpu_us=seen.neighbour_cpu_us,
            stolen_us=seen.stolen_us,
            reference_us=seen.reference_us,
            pace_us=seen.pace_us,
            warm_up_s=seen.warm_up_s,
            rss_bytes=seen.rss_bytes,
            tls=_as_loaded(tls, seen.tls),
            bytes=seen.bytes,
            doubts=seen.doubts,
        )

    def _void(self, turn: Turn, doubt: str, threads: int | None, tls: NegotiatedTls | None) -> Trial:
        return Trial(
            id=turn.id,
            order=turn.order,
            deployment=turn.cell.server.deployment,
            scenario=turn.cell.scenario,
            load=turn.cell.load,
            requests_per_connection=turn.cell.requests_per_connection,
            options=_options(turn, threads),
            started=self._now().isoformat(timespec="seconds"),
            window_s=self._window_s(turn),
            requests=0,
            tls=tls,
            doubts=(doubt,),
        )

    def _note(self, trial: Trial) -> None:
        self._log.append(trial)
        self._trials += 1
        self._measured_s += trial.window_s if trial.requests else 0.0
        self._display.finished(trial)
        if self._trials == HOPELESS_AFTER and not self._measured_s:
            raise UserError(
                f"none of the first {self._trials} trials gave a figure ({trial.doubts[0]})",
                hint=f"try `bench serve {trial.deployment}` and a load by hand (`locust -f bench/`)",
            )


def _options(turn: Turn, threads: int | None) -> Options:
    server = turn.cell.server
    return Options(
        tls=server.tls,
        auth=server.auth,
        certificate_kind=server.certificate_kind,
        threads=threads if threads is not None else server.threads or None,
        workers=server.workers,
        twin=server.twin,
        added_cpu_us=server.added_cpu_us,
        added_delay_ms=server.added_delay_ms,
    )


def _as_loaded(probed: NegotiatedTls | None, seen: Negotiated | None) -> NegotiatedTls | None:
    """Take version and cipher from the load itself, group and key from the probe at the server's start."""
    if probed is None or seen is None:
        return probed
    return replace(probed, version=seen.version, cipher=seen.cipher)
