"""Apache httpd 2.4 in front: TLS by the system's OpenSSL, HTTP/2, threads of two processes on its event MPM.

The event loop holds idle connections; a handshake and a request have a thread of their own, so that clients which stall
there can take them all, until each is cut off: RequestReadTimeout says when. A client that connects and says nothing
takes none, for Linux holds it back (AcceptFilter). Bodies go on while they come. ProxyPass, even with `nocanon`, takes
several slashes at a path's start for one, and then decodes what follows; ProxyPassMatch hands them on. What clients say
of themselves in X-Forwarded-* is replaced. At SIGWINCH it finishes what it forwards; at SIGUSR1 it takes new
certificates, and new keys for session tickets, and closes nobody's request.

Started by root it serves as www-data, which needs to read nothing: certificates, sessions and log are opened before.
"""

import signal
from typing import Final

from deployments._behind import Fronted, Inner, Proxy, Speaks
from deployments._stacks import TlsStack
from deployments._templates import render_template
from deployments._types import ClientCertificates, Handshake, RawTarget, Resumption, Site
from deployments.proxies import _apache
from deployments.servers._tls import TemplateTls

_MODULES: Final = (*_apache.MODULES, "headers", "proxy", "proxy_http")


def _launch(site: Site, inner: Inner) -> Fronted:
    if inner.speaks is not Speaks.HTTP or inner.over_socket:
        raise ValueError("its template knows HTTP over TCP alone")
    configuration = render_template(
        "apache.conf.j2",
        site=site,
        tls=TemplateTls.of(site),
        modules=_MODULES,
        modules_folder=_apache.MODULES_FOLDER,
    )
    return Fronted(files={_apache.FILE: configuration}, command=_apache.command(site.folder))


def _passes(target: RawTarget) -> RawTarget:
    """It sends absolute-form on as origin-form."""
    return {
        RawTarget.EXACT: RawTarget.PATH_AND_QUERY,
        RawTarget.LOST_QUESTION_MARK: RawTarget.ORIGIN_FORM,
    }.get(target, target)


PROXY: Final = Proxy(
    word="apache",
    title="Apache",
    warning=_apache.WARNING,
    program=_apache.PROGRAM,
    tls_stack=TlsStack.SYSTEM,
    tls_restriction="SSLProtocol",
    alpn=("h2", "http/1.1"),
    resumption=Resumption(tls_1_2_ticket=True, tls_1_2_session_id=True, tls_1_3_ticket=True),
    client_certificates=ClientCertificates.NOT_TOLD,
    handshake=Handshake.IN_POOL,
    stop=signal.SIGWINCH,
    renew=signal.SIGUSR1,
    passes=_passes,
    refuses=_apache.REFUSES,
    answers=_apache.ANSWERS,
    launch=_launch,
)
