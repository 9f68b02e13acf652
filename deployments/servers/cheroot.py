"""Cheroot, CherryPy's server: a pool of threads, TLS by the standard library or by pyOpenSSL.

Started by a script, as its documentation has it. With the standard library the handshake happens in the loop that
accepts, so one client that connects and says nothing stops all others for up to its time limit; the application is told
of client certificates, as by mod_ssl. With pyOpenSSL the threads do it, and nobody is told.

As it comes it gives clients 10 s to say something, keeps ten connections at a time alive, lets five wait to be
accepted, reads headers of any length, and takes TLS off a connection whose request still runs 5 s after the stop began.
The script sets these otherwise.

Its pyOpenSSL adapter is served mended: as it comes, a read that has to wait for the rest of a record either fails
(bodies) or sleeps for 10 ms (the first answer of a connection), a write that has to wait fails, and OpenSSL forgets a
session when its connection is closed and the garbage collector comes.
"""

import sys
from functools import partial
from typing import Final

from deployments._name import DeploymentName
from deployments._stacks import TlsStack
from deployments._templates import render_template
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
from deployments.servers._tls import TemplateTls

_SCRIPT: Final = "serve.py"


def _launch(site: Site, *, name: DeploymentName, template: str) -> Launch:
    script = render_template(
        template,
        name=name,
        host=site.host,
        port=site.port,
        threads=site.threads,
        tls=TemplateTls.of(site),
    )
    return Launch(files={_SCRIPT: script}, command=(sys.executable, _SCRIPT), environment={})


def _deployment(
    stack: TlsStack,
    *,
    variant: str | None,
    warning: str,
    needs: tuple[str, ...],
    resumes_by_id: bool,
    client_certificates: ClientCertificates,
    handshake: Handshake,
) -> Deployment:
    name = DeploymentName("flask", "cheroot", variant)
    return Deployment(
        name=name,
        summary=f"Cheroot's threads, TLS by {stack}",
        warning=warning,
        needs=needs,
        threads=Threads(16, "16 threads"),
        workers=Workers(refusal="Cheroot is one process; serve flask-gunicorn-gthread"),
        abilities=Abilities(
            tls_stack=stack,
            tls_restriction="the adapter's context",
            alpn=(),
            keep_alive=True,
            resumption=Resumption(tls_1_2_ticket=True, tls_1_2_session_id=resumes_by_id, tls_1_3_ticket=True),
            client_certificates=client_certificates,
            handshake=handshake,
            reload=Reload.WATCHED,
            stop_finishes_requests=True,
            stop_status=0,
            raw_target=RawTarget.ORIGIN_FORM_ALONE,
        ),
        launch=partial(_launch, name=name, template=f"cheroot{'' if variant is None else f'_{variant}'}.py.j2"),
    )


DEPLOYMENTS: Final = (
    _deployment(
        TlsStack.STDLIB,
        variant=None,
        warning="one client that connects and says nothing stops all others for 5 s",
        needs=("cheroot", "flask"),
        resumes_by_id=False,
        client_certificates=ClientCertificates.TOLD,
        handshake=Handshake.IN_ACCEPT,
    ),
    _deployment(
        TlsStack.PYOPENSSL,
        variant="pyopenssl",
        warning="as many silent clients as it has threads stop all others for 5 s",
        needs=("cheroot", "flask", "pyopenssl"),
        resumes_by_id=True,
        client_certificates=ClientCertificates.NOT_TOLD,
        handshake=Handshake.IN_POOL,
    ),
)
