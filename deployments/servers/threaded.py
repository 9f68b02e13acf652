"""Our own threaded WSGI server, started as its users start it: `python -m flask_impl`.

All its settings are DEVICE_* variables, which every deployment gets; so it needs no file of its own.
"""

import sys
from functools import partial
from typing import Final

from deployments._name import DeploymentName
from deployments._stacks import TlsStack
from deployments._types import (
    Abilities,
    ClientCertificates,
    Deployment,
    Handshake,
    Launch,
    RawTarget,
    Reload,
    Resumption,
    Site,
    Threads,
    Workers,
)


def _launch(_site: Site, *, stack: TlsStack) -> Launch:
    return Launch(
        files={},
        command=(sys.executable, "-m", "flask_impl"),
        environment={"DEVICE_TLS_BACKEND": stack.value},
    )


def _deployment(stack: TlsStack, *, variant: str | None, needs: tuple[str, ...]) -> Deployment:
    return Deployment(
        name=DeploymentName("flask", "threaded", variant),
        summary=f"this project's own threaded server, TLS by {stack}",
        needs=needs,
        threads=Threads(16, "16 threads"),
        workers=Workers(refusal="python -m flask_impl is one process; serve flask-gunicorn-gthread"),
        abilities=Abilities(
            tls_stack=stack,
            tls_restriction="DEVICE_TLS_VERSIONS",
            alpn=("http/1.1",),
            keep_alive=True,
            resumption=Resumption(tls_1_2_ticket=True, tls_1_2_session_id=True, tls_1_3_ticket=True),
            client_certificates=ClientCertificates.TOLD,
            handshake=Handshake.IN_EVENT_LOOP,
            reload=Reload.WATCHED_OR_SIGHUP,
            stop_finishes_requests=True,
            stop_status=0,
            raw_target=RawTarget.EXACT,
        ),
        launch=partial(_launch, stack=stack),
    )


DEPLOYMENTS: Final = (
    _deployment(TlsStack.STDLIB, variant=None, needs=("flask", "httptools")),
    _deployment(TlsStack.PYOPENSSL, variant="pyopenssl", needs=("flask", "httptools", "pyopenssl")),
)
