"""nginx 1.22 in front: TLS by the system's OpenSSL, HTTP/2, as many workers as the application, an event loop in each.

Nothing is buffered, so that uploads and streams reach the application while they come, and the target is passed on as
it was sent: `proxy_pass` without a path, `merge_slashes off`. A percent sign that begins no escape, %00 and `*` get
400 from nginx itself. What clients say of themselves in X-Forwarded-* is replaced.

At SIGQUIT it finishes what it forwards; at SIGHUP new workers take new certificates, and the old ones finish. With the
certificate new ticket keys are made (1.23.2 was the first that keeps them beside the sessions in shared memory), so a
ticket from before buys a full handshake. Its workers share both: a session is resumed by all of them.
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
    if os.geteuid() == 0 and not site.own_user:  # else its worker is nobody, who may not look into the folder
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
    client_certificates=ClientCertificates.ANSWERED,
    stop=signal.SIGQUIT,
    renew=signal.SIGHUP,
    passes=_passes,
    refuses=frozenset({"*", "/%", "/%00"}),
    launch=_launch,
)
