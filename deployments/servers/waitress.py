"""Waitress, a pool of threads in pure Python without TLS: behind a proxy only.

It reads a request whole, its body included, before it gives it to a thread; so a slow client takes none. The address
and scheme that the proxy tells are believed, from the proxy alone.
"""

import sys
from typing import Final

from deployments._behind import Inner
from deployments._name import DeploymentName
from deployments._types import Launch, RawTarget, Site, Threads, Workers

_APP: Final = "flask_impl:app"
# From a UNIX socket waitress calls the peer so.
_SOCKET_PEER: Final = "localhost"


def _launch(site: Site) -> Launch:
    upstream = site.upstream
    if upstream is None:
        raise ValueError("it stands behind a proxy")
    listens: tuple[str, ...] = (f"--unix-socket={upstream.socket}", "--unix-socket-perms=600")
    peer = _SOCKET_PEER
    if upstream.socket is None:
        listens, peer = (f"--listen={upstream.authority}",), upstream.host
    return Launch(
        files={},
        command=(
            *(sys.executable, "-m", "waitress"),
            *listens,
            f"--threads={site.threads}",
            f"--trusted-proxy={peer}",
            "--trusted-proxy-count=1",
            "--trusted-proxy-headers=x-forwarded-for x-forwarded-proto",
            "--clear-untrusted-proxy-headers",
            _APP,
        ),
        environment={},
    )


INNER: Final = Inner(
    name=DeploymentName("flask", "waitress"),
    summary="Waitress's threads",
    needs=("waitress", "flask"),
    threads=Threads(16, "16 threads"),
    workers=Workers(refusal="Waitress is one process; serve flask-gunicorn-gthread"),
    raw_target=RawTarget.EXACT,
    launch=_launch,
)
