"""nginx 1.22 in front: TLS by the system's OpenSSL, HTTP/2, one worker process, which sleeps on one event loop.

Nothing is buffered, so that uploads and streams reach the application while they come, and the target is passed on as
it was sent: `proxy_pass` without a path, `merge_slashes off`. What clients say of themselves in X-Forwarded-* is
replaced. At SIGQUIT it finishes what it forwards; at SIGHUP it takes new certificates and closes nobody's request.
"""

import os
import signal
from typing import Final

from deployments._behind import Fronted, Inner, Proxy, Speaks
from deployments._programs import which
from deployments._stacks import TlsStack
from deployments._templates import render_template
from deployments._types import ClientCertificates, Program, RawTarget, Resumption, Site
from deployments.servers._tls import TemplateTls

_FILE: Final = "nginx.conf"
_PROGRAM: Final = Program("nginx", "nginx-light")


def _launch(site: Site, inner: Inner) -> Fronted:
    configuration = render_template(
        "nginx.conf.j2",
        site=site,
        tls=TemplateTls.of(site),
        speaks_uwsgi=inner.speaks is Speaks.UWSGI,
    )
    command = [which(_PROGRAM.name) or _PROGRAM.name, "-p", str(site.folder), "-e", "stderr", "-c", _FILE]
    if os.geteuid() == 0:  # else its worker is nobody, who may not look into the folder
        command += ["-g", "user root;"]
    return Fronted(files={_FILE: configuration}, command=tuple(command))


def _passes(target: RawTarget) -> RawTarget:
    """It sends absolute-form on as origin-form."""
    return {
        RawTarget.EXACT: RawTarget.PATH_AND_QUERY,
        RawTarget.LOST_QUESTION_MARK: RawTarget.ORIGIN_FORM,
    }.get(target, target)


PROXY: Final = Proxy(
    word="nginx",
    title="nginx",
    program=_PROGRAM,
    tls_stack=TlsStack.SYSTEM,
    tls_restriction="ssl_protocols",
    alpn=("h2", "http/1.1"),
    resumption=Resumption(tls_1_2_ticket=True, tls_1_2_session_id=True, tls_1_3_ticket=True),
    client_certificates=ClientCertificates.NOT_TOLD,
    stop=signal.SIGQUIT,
    renew=signal.SIGHUP,
    passes=_passes,
    launch=_launch,
)
