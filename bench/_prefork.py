"""Locust, imported once and started many times: `python -m bench._prefork`, which harness.nursery asks for generators.

Importing Locust takes two thirds of a second of a processor, as long as a third of a short trial. Here it is imported
once, and each generator is a fork of that: the same `locust` command with the same words, in a process of its own, on
the processors and with the log that the question names.

A question is a line of JSON, and so is its answer:

    {"arguments": ["-f", …], "folder": …, "log": …, "cpus": [1]}      ->  {"pid": 4711}
    {"ended": 4711}        once that process is gone, or to wait for it  ->  {"status": 0}, negative for a signal

Ends with its standard input, and its generators end with it.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import random
import signal
import sys
from typing import Any, NoReturn

import gevent.monkey
import locust.main

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_OPTIONS_BY_ENVIRONMENT = "LOCUST_"  # any option of Locust's can be set so; a generator has those of its question alone

# gevent's own fork and waitpid would make a hub here, with an event loop that the generators would share.
_fork = gevent.monkey.get_original("os", "fork")
_waitpid = gevent.monkey.get_original("os", "waitpid")


def main() -> None:
    """Answer questions until there are no more."""
    for name in [name for name in os.environ if name.startswith(_OPTIONS_BY_ENVIRONMENT)]:
        del os.environ[name]
    # What all locustfiles import. Not bench._users: it hooks itself into Locust, which each generator does for itself.
    importlib.import_module("bench._client")
    libc = ctypes.CDLL(None, use_errno=True)
    with open(0, "rb", buffering=0, closefd=False) as questions:
        while line := questions.readline():
            answer = json.dumps(_answer(json.loads(line), libc)) + "\n"
            os.write(1, answer.encode("ascii"))


def _answer(question: dict[str, Any], libc: ctypes.CDLL) -> dict[str, int]:
    if "ended" in question:
        _, status = _waitpid(question["ended"], 0)
        return {"status": os.waitstatus_to_exitcode(status)}
    parent = os.getpid()
    pid = int(_fork())
    if pid == 0:
        _become_generator(question, libc, parent)
    return {"pid": pid}


def _become_generator(question: dict[str, Any], libc: ctypes.CDLL, parent: int) -> NoReturn:
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died in between
        os.kill(os.getpid(), signal.SIGKILL)
    os.setsid()  # Ctrl-C in the terminal is for the harness, which stops it in good order
    log = os.open(question["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    os.close(nothing)
    os.sched_setaffinity(0, question["cpus"])
    os.chdir(question["folder"])
    random.seed()  # else every generator would draw the same
    sys.argv = ["locust", *question["arguments"]]
    locust.main.main()
    sys.exit()


if __name__ == "__main__":
    main()
