"""Waitress, a pool of threads in pure Python without TLS: behind a proxy only.

It reads a request whole, its body included, before it gives it to a thread; so a slow client takes none. What the proxy
tells of the client's address and scheme is believed, from the proxy's address alone.

It serves 100 connections at a time unless told otherwise, and waits for them by select(2), which knows no descriptor
above 1,023: with bodies that a proxy forwards while they come, 100 slow uploads would stop everybody. poll(2) has no
such bound. The number of threads is its own affair: its default is 4, for a processor; ours is what the others have.
"""

import sys
from typing import Final

from deployments._behind import IDLE_S, Inner
from deployments._name import DeploymentName
from deployments._templates import render_template
from deployments._types import Launch, RawTarget, Site, Threads, Workers

_NAME: Final = DeploymentName("flask", "waitress")
_MODULE: Final = "application"
_CONNECTIONS: Final = 4096


def _launch(site: Site) -> Launch:
    upstream = site.upstream
    if upstream is None:
        raise ValueError("it stands behind a proxy")
    return Launch(
        files={f"{_MODULE}.py": render_template("waitress_application.py.j2", name=_NAME)},
        command=(
            *(sys.executable, "-m", "waitress"),
            f"--listen={upstream.authority}",
            f"--threads={site.threads}",
            f"--connection-limit={_CONNECTIONS}",
            "--asyncore-use-poll",
            f"--channel-timeout={IDLE_S}",
            f"--trusted-proxy={upstream.host}",
            "--trusted-proxy-count=1",
            "--trusted-proxy-headers=x-forwarded-for x-forwarded-proto",
            "--clear-untrusted-proxy-headers",
            f"{_MODULE}:app",
        ),
        environment={},
    )


INNER: Final = Inner(
    name=_NAME,
    summary="Waitress's threads",
    needs=("waitress", "flask"),
    threads=Threads(16, "16 threads"),
    workers=Workers(refusal="Waitress is one process; serve flask-waitress@haproxy"),
    raw_target=RawTarget.EXACT,
    launch=_launch,
    checks_peer=True,
)
