"""Options of our own on Locust's command line: what there is, and what may be in it."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from typing import Final

from locust.argument_parser import LocustArgumentParser

from bench._arrivals import KINDS, Schedule

DEFAULT_HOST: Final = "https://127.0.0.1:8443"
DEFAULT_STATE: Final = ".device"
MOST_PER_S: Final = 1_000_000.0  # no generator in Python comes near it: such a rate is a slip of the keyboard


class OptionError(ValueError):
    """An option that means nothing; the message is one whole line."""


def add_options(parser: LocustArgumentParser) -> None:
    """Locust calls this by keyword: the parameter must be named as it is.

    All values are text, because a master sends its options to its workers.
    """
    group = parser.add_argument_group("device options")
    for name, metavar, default, text in (
        ("--device-state", "DIR", DEFAULT_STATE, "The device's state folder, for its CA and credentials."),
        ("--ca-file", "FILE", None, "CA that vouches for the server. Default: the one in the state folder."),
        ("--credentials-file", "FILE", None, "One line user:password. Default: the one in the state folder."),
        ("--requests-per-connection", "COUNT", "10", "Of ReconnectingUser, before it opens a new one. Default: 10."),
        ("--rate", "PER_S", None, "Arrivals a second of all users together: an open load. Default: a closed one."),
        ("--arrivals", "KIND", "poisson", "When they come: poisson (at random) or constant. Default: poisson."),
        ("--arrivals-seed", "NUMBER", "1", "The same seed gives the same arrivals. Default: 1."),
        ("--record", "FILE", None, "Write a recording; a worker writes FILE.PID, beside the others'."),
    ):
        action = group.add_argument(name, metavar=metavar, default=default, help=text)
        action.include_in_web_ui = False  # not in the web UI: read once, at the start


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the options about the load say. schedule: None for a closed load."""

    schedule: Schedule | None
    requests_per_connection: int


def read_settings(options: argparse.Namespace) -> Settings:
    """Read the options about the load. Raises OptionError."""
    requests = _whole("--requests-per-connection", options.requests_per_connection, at_least=1)
    seed = _whole("--arrivals-seed", options.arrivals_seed, at_least=0)
    if options.arrivals not in KINDS:
        raise OptionError(f"--arrivals {options.arrivals}: expected {' or '.join(KINDS)}")
    if options.rate is None:
        return Settings(schedule=None, requests_per_connection=requests)
    schedule = Schedule(rate_per_s=_rate(options.rate), kind=options.arrivals, seed=seed)
    return Settings(schedule=schedule, requests_per_connection=requests)


def _whole(option: str, text: str, *, at_least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = at_least - 1
    if number < at_least:
        raise OptionError(f"{option} {text}: expected a whole number, {at_least} or more")
    return number


def _rate(text: str) -> float:
    try:
        rate_per_s = float(text)
    except ValueError:
        rate_per_s = math.nan
    if not 0 < rate_per_s <= MOST_PER_S:
        raise OptionError(
            f"--rate {text}: expected requests a second, more than 0 and at most {MOST_PER_S:,.0f};"
            " leave it out for a closed load"
        )
    return rate_per_s
