"""Processes of ours on processors of their own, which end when this one does, however it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def start_child(
    argv: Sequence[str],
    *,
    cpus: frozenset[int],
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.DEVNULL,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Collection[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a program on these processors, with nothing to read.

    The parameters are `subprocess.Popen`'s. It has a session of its own: Ctrl-C in the terminal is for this process,
    which ends it in good order. Raises OSError, or subprocess.SubprocessError where it may not run on the processors.
    """
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        env=env,
        cwd=cwd,
        pass_fds=pass_fds,
        start_new_session=True,
        # What runs between fork and exec are system calls alone: it takes no lock that another thread may hold.
        preexec_fn=_before_exec(cpus, os.getpid()),  # noqa: PLW1509 - see above; subprocess has no other way to do it
    )


def _before_exec(cpus: frozenset[int], parent: int) -> Callable[[], None]:
    libc = ctypes.CDLL(None, use_errno=True)  # loaded before the fork

    def prepare() -> None:
        os.sched_setaffinity(0, cpus)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died in between
            os.kill(os.getpid(), signal.SIGKILL)

    return prepare
