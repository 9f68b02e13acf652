"""Werkzeug's development server through `app.run`, because that is what most guides show.

Its documentation says not to use it in production; it is here as the point to start from.
"""

import sys
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

_NAME: Final = DeploymentName("flask", "werkzeug")
_SCRIPT: Final = "serve.py"


def _launch(site: Site) -> Launch:
    script = render_template(
        "werkzeug.py.j2",
        name=_NAME,
        host=site.host,
        port=site.port,
        tls=TemplateTls.of(site),
    )
    return Launch(files={_SCRIPT: script}, command=(sys.executable, _SCRIPT), environment={})


DEPLOYMENTS: Final = (
    Deployment(
        name=_NAME,
        summary="app.run(ssl_context=…), as the usual guides do it",
        warning="a development server: one client that connects and says nothing stops all others; with 256 clients at "
        "once it answers nobody for seconds at a time",
        needs=("flask",),
        threads=Threads(None, "a thread per connection", "it starts a thread for each connection"),
        workers=Workers(refusal="app.run is one process; serve flask-gunicorn-gthread"),
        abilities=Abilities(
            tls_stack=TlsStack.STDLIB,
            tls_restriction="an SSLContext instead of the pair of files",
            alpn=(),
            keep_alive=False,
            resumption=Resumption(tls_1_2_ticket=True, tls_1_2_session_id=False, tls_1_3_ticket=True),
            client_certificates=ClientCertificates.TOLD,
            handshake=Handshake.IN_ACCEPT,
            reload=Reload.WATCHED,
            stop_finishes_requests=False,
            stop_status=-15,
            raw_target=RawTarget.EXACT,
        ),
        launch=_launch,
    ),
)
