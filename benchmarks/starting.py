"""How soon each deployment serves, how soon it is gone, and what it leaves: nothing.

`bench serve NAME` is started for every deployment of `bench list`, asked once with Digest, and stopped by SIGTERM.
Counted are the seconds until its ready file is there (the application has answered by then), and from the signal to
the command's end. What is left is a process that the command had started, its folder or its shared memory.

Goals, of each deployment's median try: ready within 3 s (behind a proxy 5 s), gone within the grace of 10 s; and in
every try exit status 0, whatever the server's own habit, and nothing left. About 5 minutes.

    python -m benchmarks.starting [--tries N] [--fresh]
"""

import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil

import certs
import deployments
from benchmarks.tries import Tries, parser
from device_api.ready import ReadyFile
from device_api.state import StateLayout, read_credentials
from digest_auth._replay_file import table_path

BENCH = Path(sys.executable).parent / "bench"
TARGET = "/restconf/data/ietf-system:system-state"
READY_S, PROXIED_READY_S, GRACE_S = 3.0, 5.0, 10.0
PATIENCE_S = 30.0
TRIES = 3


def one_try(names: Sequence[str], state: Path) -> dict[str, Any]:
    """Start, ask and stop each of them, one after the other."""
    return {name: started_and_stopped(name, state) for name in names}


def started_and_stopped(name: str, state: Path) -> dict[str, Any]:
    """Return the seconds, the status of the answer, the exit status and what was left."""
    with tempfile.TemporaryDirectory() as folder:
        ready_file = Path(folder) / "ready"
        words: list[str | Path] = [BENCH, "serve", name, "--port", "0", "--state", state, "--ready-file", ready_file]
        began_s = time.monotonic()
        serving = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        try:
            while not ready_file.exists():
                if serving.poll() is not None or time.monotonic() > began_s + PATIENCE_S:
                    raise RuntimeError(f"{name} was not ready within {PATIENCE_S:g} s")
                time.sleep(0.005)
            ready_s = time.monotonic() - began_s
            answered = ask(ReadyFile.read(ready_file), state)
            tree = psutil.Process(serving.pid).children(recursive=True)
            told_s = time.monotonic()
            serving.send_signal(signal.SIGTERM)
            said, _ = serving.communicate(timeout=PATIENCE_S)
            gone_s = time.monotonic() - told_s
        finally:
            if serving.poll() is None:
                serving.kill()
                serving.wait()
        (log,) = [line.removeprefix("log: ") for line in said.splitlines() if line.startswith("log: ")]
        site = Path(log).parent
        left = [f"process {one.pid}" for one in tree if one.is_running()]
        left += [str(path) for path in (site, table_path(site.name, None), ready_file) if path.exists()]
    return {
        "ready_s": round(ready_s, 3),
        "answered": answered,
        "gone_s": round(gone_s, 3),
        "status": serving.returncode,
        "left": left,
    }


def ask(ready: ReadyFile, state: Path) -> int:
    """Return the status of one request with Digest."""
    user, password = read_credentials(StateLayout(state).credentials_file)
    context = certs.client_context(StateLayout(state).ca_file)
    with httpx.Client(verify=context, auth=httpx.DigestAuth(user, password), trust_env=False) as client:
        return client.get(f"{ready.url}{TARGET}").status_code


def main(arguments: Sequence[str] | None = None) -> int:
    """Try, print and compare with the goals. 1 when one was missed."""
    options = parser(__doc__, tries=TRIES).parse_args(arguments)
    tries = Tries("starting", fresh=options.fresh)
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        for _ in tries.missing(options.tries):
            tries.keep(one_try(deployments.names(), state))
    missed = 0
    for name in deployments.names():
        tried = [one[name] for one in tries.done if name in one]
        if not tried:
            print(f"{name:36} not tried: begin again with --fresh")
            missed += 1
            continue
        ready_s, gone_s = (statistics.median(one[key] for one in tried) for key in ("ready_s", "gone_s"))
        within_s = PROXIED_READY_S if "@" in name else READY_S
        odd = [str(one) for one in tried if one["status"] or one["left"] or one["answered"] != httpx.codes.OK]
        met = ready_s <= within_s and gone_s <= GRACE_S and not odd
        missed += not met
        print(f"{name:36} ready {ready_s:5.2f} s, gone {gone_s:5.2f} s {'' if met else 'MISSED'} {'; '.join(odd)}")
    print(f"{len(deployments.names()) - missed} of {len(deployments.names())} deployments as they should be")
    return int(bool(missed))


if __name__ == "__main__":
    raise SystemExit(main())
