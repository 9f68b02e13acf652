"""Ends a server whose launcher has died, SIGKILL included. A program of its own; standard library only.

The launcher starts it before the server and holds the other end of its standard input. The one line that it
reads there is the server's process group. While the launcher lives nothing more comes; when it ends without
having killed the guard first, the end of file is the signal to act. The first argument is the folder of rendered files,
which goes too; so do files outside it, which the other arguments name. Of several servers of one folder each has a
guard: any of them may be the only one that was started by then, and the last one to end finds what others still wrote.

Why not PR_SET_PDEATHSIG: it reaches the server's first process only, not its workers; it fires when the
thread that started the server ends, not only with the process; and setting it takes code between fork and exec.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

PATIENCE_S = 5.0


def main() -> None:
    """Wait for the launcher's end, then end the group and remove the folder and the files."""
    line = sys.stdin.readline()
    sys.stdin.read()
    if line.strip():  # otherwise the launcher died before it had started anything
        end(int(line))
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    for file in sys.argv[2:]:
        with contextlib.suppress(OSError):  # nobody is left whom that could be told
            Path(file).unlink()


def end(group: int) -> None:
    """SIGTERM, patience, SIGKILL."""
    try:
        os.killpg(group, signal.SIGTERM)
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            os.killpg(group, 0)
            time.sleep(0.05)  # they are not our children: nothing tells us when they have gone
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return  # all gone


if __name__ == "__main__":
    main()
