"""uWSGI from its wheel, pyuwsgi, which needs no compiler and has no TLS: behind a proxy that speaks uwsgi.

That protocol has no connection that outlives a request. The proxy names the client's address in it as a variable, so
that no application has to read header fields; whoever reaches the port is believed. The scheme uWSGI takes from a field
X-Forwarded-Proto, whatever the variables for it say (seen: UWSGI_SCHEME and HTTPS give way to a client's field): the
proxy has to write that one. What is in flight at SIGTERM is finished by the hook alone; `die-on-term` would cut it.

A body is taken whole first, by the proxy and then by uWSGI, on disk where it is large: what is chunked has to get a
length, and an answer to a request whose body nobody read was lost in one of ten tries with 60 kB, in fewer with 1 kB.
"""

import sys
from pathlib import Path
from typing import Final

from deployments._behind import Inner, Speaks
from deployments._name import DeploymentName
from deployments._templates import render_template
from deployments._types import KilledWorker, Launch, RawTarget, SeveralWorkers, Site, Threads, Workers

_FILE: Final = "uwsgi.ini"
_NAME: Final = DeploymentName("flask", "pyuwsgi")
# Beside this Python: another uWSGI may be the one that the PATH leads to.
_PROGRAM: Final = Path(sys.executable).with_name("pyuwsgi")


def _launch(site: Site) -> Launch:
    upstream = site.upstream
    if upstream is None:
        raise ValueError("it stands behind a proxy")
    configuration = render_template(
        "pyuwsgi.ini.j2",
        name=_NAME,
        bind=upstream.authority,
        workers=site.workers,
        threads=site.threads,
    )
    return Launch(files={_FILE: configuration}, command=(str(_PROGRAM), "--ini", _FILE), environment={})


INNER: Final = Inner(
    name=_NAME,
    summary="uWSGI's threads",
    needs=("pyuwsgi", "flask"),
    threads=Threads(16, "16 threads"),
    workers=Workers(
        several=SeveralWorkers(
            resumed_by_all=False,
            killed_worker=KilledWorker.REPLACED,
            stop_finishes_requests=True,
            stop_status=0,
        )
    ),
    raw_target=RawTarget.EXACT,
    launch=_launch,
    speaks=Speaks.UWSGI,
)
