"""Options of our own on Locust's command line."""

from __future__ import annotations

from typing import Final

from locust.argument_parser import LocustArgumentParser

DEFAULT_HOST: Final = "https://127.0.0.1:8443"
DEFAULT_STATE: Final = ".device"


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
