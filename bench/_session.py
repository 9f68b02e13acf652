"""One Locust process from start to end: what its users share, what is checked before they start, what is told at last.

init            options read; a headless run checks here that the server can be talked to, and ends if not
test_start      the same check in the web UI and on workers, where the host is known only now
spawning_complete     an open load may begin; a master tells each of its workers which share of it is its own
test_stopping   nothing more is due, and what is not answered yet has a second
test_stop, quitting   the last counts reach Locust's tables, before it decides on its exit status
quit            the recording is closed
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
import time
from pathlib import Path
from typing import Final, NoReturn
from weakref import WeakKeyDictionary

import gevent
import psutil
from locust import events
from locust.env import Environment
from locust.rpc import Message
from locust.runners import STATE_STOPPED, STATE_STOPPING, MasterRunner, Runner, WorkerRunner

from bench._arrivals import READY_LIMIT_S, SETTLE_S, Arrivals
from bench._client import TIMEOUT_S, Client
from bench._deadlines import Deadlines
from bench._errors import ClientError
from bench._options import OptionError, Settings, add_options, read_settings
from bench._reporting import Reporter
from bench._shares import MESSAGE as SHARE_MESSAGE
from bench._shares import Share, divide, say_that_shares_stay, send
from bench._shares import begin as begin_share
from bench._tally import Tally
from bench._target import Target, TargetError, find_target, unusable
from certs import CertificateError
from device_api.state import StateError, StateLayout, read_credentials
from harness.recording import Recorder

SYSTEM_STATE = "/restconf/data/ietf-system:system-state"
UNANSWERED: Final = "no answer by the end of the run"
# What only a person can put right; each is one whole line.
_SetupError = (StateError, CertificateError, TargetError, OptionError)


class Session:
    """What all users of one process share. Reads nothing until the first client is made."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._options = _options(environment)
        self._settings: Settings | None = None
        self._arrivals: Arrivals | None = None
        self._shares: dict[str, Share] = {}  # of workers, by their master
        self._credentials: tuple[str, str] | None = None
        self._targets: dict[str, Target] = {}
        self._deadlines = Deadlines(TIMEOUT_S)
        self.tally = Tally()
        self.reporter = Reporter(environment, self.tally, None)

    @property
    def settings(self) -> Settings:
        """What the options about the load say. Raises OptionError."""
        if self._settings is None:
            self._settings = read_settings(self._options)
        return self._settings

    def client(self, host: str) -> Client:
        """Make a client for a user. Raises OptionError, StateError, TargetError, CertificateError."""
        layout = StateLayout(Path(self._options.device_state))
        if self._credentials is None:
            self._credentials = read_credentials(Path(self._options.credentials_file or layout.credentials_file))
        if host not in self._targets:
            self._targets[host] = find_target(host, Path(self._options.ca_file or layout.ca_file))
        return Client(
            self._targets[host],
            self._credentials,
            self.tally,
            self._deadlines,
            requests_per_connection=self.settings.requests_per_connection,
            arrivals=self._arrivals,
        )

    def check(self, *, connect: bool) -> None:
        """Make sure that each server the users will talk to can be talked to, before a storm of failures says so.

        What that takes is no load and is not counted. connect: False looks at files and names alone.
        Raises OptionError, StateError, TargetError, CertificateError.
        """
        self._settings = read_settings(self._options)  # anew: a worker gets its master's
        for host in {self._environment.host or user_class.host for user_class in self._environment.user_classes}:
            client = self.client(host or "")
            if connect:
                _talk_once(client)
        self.tally.take()

    def open_load(self) -> None:
        """Have the users who are made from now on wait for their requests to be due, if that is what was asked for."""
        if self.settings.schedule is not None:
            self.reporter.arrivals = self._arrivals = Arrivals(self.tally.lateness)

    def begin_open_load(self, users: int) -> None:
        """Let requests be due, all of them here, as soon as so many users are ready."""
        if self._arrivals is not None and self.settings.schedule is not None:
            self._arrivals.begin(self.settings.schedule, users)

    def begin_share(self, message: Message, users: int) -> None:
        """The same for a worker, by what its master told it. Raises OptionError where their clocks do not agree."""
        if self._arrivals is not None and self.settings.schedule is not None:
            begin_share(message, self.settings.schedule, self._arrivals, users)

    def share_out(self, master: MasterRunner, users: int) -> None:
        """Tell each worker which part of the requests are its own. Raises OptionError where nobody can know that."""
        if self.settings.schedule is None:
            return
        workers = master.clients.values()
        if self._shares:
            say_that_shares_stay(self._shares, workers)
        else:
            self._shares = divide(workers, users, now_s=time.time())
            send(master, self._shares)

    def settle(self) -> None:
        """End an open load: nothing more is due, and what is never answered is counted as failed."""
        self._shares = {}
        if self._arrivals is not None:
            unanswered = self._arrivals.settle(max(SETTLE_S, self._environment.stop_timeout or 0.0))
            if unanswered:
                self.tally.row("open load", "DUE").failures[UNANSWERED] += unanswered


def _talk_once(client: Client) -> None:
    try:
        client.fetch(client.prepare("check", "GET", SYSTEM_STATE))
    except ClientError as error:
        raise unusable(client.target, error) from error
    finally:
        client.close()


def _options(environment: Environment) -> argparse.Namespace:
    options: argparse.Namespace | None = environment.parsed_options
    if options is None:
        raise RuntimeError("Locust parsed no options: these users need the `locust` command, or options set beforehand")
    return options


_sessions: WeakKeyDictionary[Environment, Session] = WeakKeyDictionary()


def session_of(environment: Environment) -> Session:
    """Return what the users of an environment share."""
    session = _sessions.get(environment)
    if session is None:
        session = _sessions[environment] = Session(environment)
    return session


def begin(environment: Environment, runner: Runner, **_: object) -> None:
    """Check and begin to report. A worker checks at test_start: until then only its master knows the host."""
    session = session_of(environment)
    options = _options(environment)
    if not isinstance(runner, WorkerRunner):
        try:
            session.check(connect=options.headless)
        except _SetupError as error:
            if options.processes:
                _end_workers()
            _give_up(str(error))
    if isinstance(runner, MasterRunner):  # has no users; the tables come from its workers
        return
    if isinstance(runner, WorkerRunner):
        runner.register_message(SHARE_MESSAGE, take_share)
    session.reporter = Reporter(environment, session.tally, _recorder(options.record, runner))
    gevent.spawn(session.reporter.run)


def check_again(environment: Environment, **_: object) -> None:
    """The web UI may have changed the host, and a worker knows it only now.

    Called in the greenlet that is about to start the users: that one ends here, before there are any.
    """
    session = session_of(environment)
    try:
        session.check(connect=True)
    except _SetupError as error:
        _cannot_run(environment, str(error))
        raise gevent.GreenletExit from error  # not StopTest, which gevent prints with a traceback
    session.open_load()
    gc.collect()
    gc.freeze()  # what was imported: to look through it takes the collector 20 ms or more, in mid-run


def _cannot_run(environment: Environment, line: str) -> None:
    """Say what a person must put right, and end unless there is a web UI in which to do so."""
    logging.getLogger(__name__).error(line)
    runner = environment.runner
    if runner is not None and (isinstance(runner, WorkerRunner) or _options(environment).headless):
        environment.process_exit_code = 2
        gevent.spawn(runner.quit)


def all_spawned(user_count: int, **_: object) -> None:
    """All users of all processes have been started, not all of them are ready."""
    for environment, session in _sessions.items():
        runner = environment.runner
        if isinstance(runner, MasterRunner):
            gevent.spawn(_share_out, environment, session, runner, user_count)
        elif not isinstance(runner, WorkerRunner):  # a worker waits for its share
            session.begin_open_load(user_count)


def _share_out(environment: Environment, session: Session, master: MasterRunner, users: int) -> None:
    """Locust waits a second for what its workers report, and goes on without; a share needs to know."""
    deadline_s = time.monotonic() + READY_LIMIT_S
    while master.user_count != users and time.monotonic() < deadline_s:
        gevent.sleep(0.02)
        if master.state in {STATE_STOPPING, STATE_STOPPED}:
            return
    try:
        session.share_out(master, users)
    except OptionError as error:
        _cannot_run(environment, str(error))


def take_share(environment: Environment, msg: Message, **_: object) -> None:
    """Locust calls this by keyword, on a worker, with what `share_out` sent."""
    runner = environment.runner
    if runner is None:
        return
    try:
        session_of(environment).begin_share(msg, runner.user_count)
    except OptionError as error:
        _cannot_run(environment, str(error))


def forget_the_ramp(**_: object) -> None:
    """With --reset-stats, what was counted before all users were there goes to the recording only."""
    for environment, session in _sessions.items():
        if environment.reset_stats:
            session.reporter.report(to_locust=False)


def settle(environment: Environment, **_: object) -> None:
    """Before Locust stops its users."""
    session_of(environment).settle()


def report_the_rest(environment: Environment, **_: object) -> None:
    """Before Locust sends or prints its tables and looks whether there were failures."""
    session = session_of(environment)
    session.settle()  # a signal ends Locust in another order
    session.reporter.report()


def end(exit_code: int, **_: object) -> None:
    """Close the recording."""
    for session in _sessions.values():
        session.reporter.close(exit_code)


def _recorder(file: str | None, runner: Runner) -> Recorder | None:
    if file is None:
        return None
    path = Path(file)
    if isinstance(runner, WorkerRunner):
        path = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        return Recorder(path)
    except OSError as error:
        _give_up(f"{path}: cannot write the recording ({error.strerror}); give another file with --record")


def _end_workers() -> None:
    """End the workers that --processes made. Locust ends its workers by a message, which these are too young to get."""
    for child in psutil.Process().children():
        child.terminate()


def _give_up(line: str) -> NoReturn:
    sys.stderr.write(f"locust: error: {line}\n")  # in one piece: its workers write to the same place
    sys.exit(2)


events.init_command_line_parser.add_listener(add_options)
events.init.add_listener(begin)
events.test_start.add_listener(check_again)
events.spawning_complete.add_listener(forget_the_ramp)
events.spawning_complete.add_listener(all_spawned)
events.test_stopping.add_listener(settle)
events.test_stop.add_listener(report_the_rest)
events.quitting.add_listener(report_the_rest)
events.quit.add_listener(end)
