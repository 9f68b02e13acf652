"""Uvicorn, on asyncio's loop and on uvloop, HTTP by httptools.

Started by `uvicorn.run` in a script, not by its command: TLS of one version only needs `ssl_context_factory`,
which the command does not have. The context that it returns looks at the certificate's files itself: with one worker
SIGHUP ends Uvicorn. With several, a parent that watches starts each in a fresh interpreter, which reads the script
anew: each has a context of its own, with ticket keys of its own. The socket that they share is made by their parent,
where `uvicorn.run` leaves TCP_NODELAY out: on asyncio's loop a connection got 23 answers a second, with it 2,475.

Behind a proxy it runs on uvloop, which Uvicorn takes by itself where that is installed, and believes what the proxy
tells of the client, from the proxy's address alone.
"""

import sys
from functools import partial
from typing import Final

from deployments._behind import IDLE_S, Inner
from deployments._name import DeploymentName
from deployments._stacks import TlsStack
from deployments._templates import render_template
from deployments._types import (
    Abilities,
    ClientCertificates,
    Deployment,
    Handshake,
    KilledWorker,
    Launch,
    RawTarget,
    Reload,
    Resumption,
    SeveralWorkers,
    Site,
    Threads,
    Workers,
)
from deployments.servers._tls import TemplateTls

_SCRIPT: Final = "serve.py"
_THREADS: Final = Threads(None, "one event loop", "an ASGI server answers from one event loop")
_WORKERS: Final = Workers(
    several=SeveralWorkers(
        resumed_by_all=False,
        killed_worker=KilledWorker.REPLACED,
        stop_finishes_requests=True,
        stop_status=0,
    )
)


def _launch(site: Site, *, name: DeploymentName, loop: str) -> Launch:
    script = render_template(
        "uvicorn.py.j2",
        name=name,
        host=site.host,
        port=site.port,
        loop=loop,
        workers=site.workers,
        tls=TemplateTls.of(site),
        proxy=None,
        idle_s=None,
    )
    return Launch(files={_SCRIPT: script}, command=(sys.executable, _SCRIPT), environment={})


def _launch_behind(site: Site, *, name: DeploymentName, loop: str) -> Launch:
    upstream = site.upstream
    if upstream is None:
        raise ValueError("it stands behind a proxy")
    script = render_template(
        "uvicorn.py.j2",
        name=f"{name}, behind a proxy",
        host=upstream.host,
        port=upstream.port,
        loop=loop,
        workers=site.workers,
        tls=TemplateTls(),
        proxy=upstream.host,
        idle_s=IDLE_S,
    )
    return Launch(files={_SCRIPT: script}, command=(sys.executable, _SCRIPT), environment={})


def _deployment(loop: str, *, variant: str | None, needs: tuple[str, ...]) -> Deployment:
    name = DeploymentName("quart", "uvicorn", variant)
    return Deployment(
        name=name,
        summary=f"uvicorn.run, {loop}, httptools",
        warning="a client that stops in the middle of its request headers is never cut off",
        needs=needs,
        threads=_THREADS,
        workers=_WORKERS,
        abilities=Abilities(
            tls_stack=TlsStack.STDLIB,
            tls_restriction="ssl_context_factory",
            alpn=(),
            keep_alive=True,
            resumption=Resumption(tls_1_2_ticket=True, tls_1_2_session_id=True, tls_1_3_ticket=True),
            client_certificates=ClientCertificates.NOT_TOLD,
            handshake=Handshake.IN_EVENT_LOOP,
            reload=Reload.WATCHED,
            stop_finishes_requests=True,
            stop_status=-15,  # on purpose: it ends by the signal that it was sent
            raw_target=RawTarget.ORIGIN_FORM,
        ),
        launch=partial(_launch, name=name, loop=loop),
    )


DEPLOYMENTS: Final = (
    _deployment("asyncio", variant=None, needs=("uvicorn", "httptools", "quart")),
    _deployment("uvloop", variant="uvloop", needs=("uvicorn", "httptools", "uvloop", "quart")),
)

_UVLOOP: Final = DeploymentName("quart", "uvicorn", "uvloop")
INNER: Final = Inner(
    name=_UVLOOP,
    summary="uvicorn.run, uvloop, httptools",
    needs=("uvicorn", "httptools", "uvloop", "quart"),
    threads=_THREADS,
    workers=_WORKERS,
    raw_target=RawTarget.ORIGIN_FORM,
    launch=partial(_launch_behind, name=_UVLOOP, loop="uvloop"),
    checks_peer=True,
)
