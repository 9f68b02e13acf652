"""HAProxy 2.6 in front: TLS by the system's OpenSSL, HTTP/2; a thread for each worker of the application, and a master.

It wants a certificate's key in the same file, or in one with `.key` after its name: two links in the site's folder lead
to the files that are there, so that no copy of a key is made and a renewed pair is found. At SIGUSR2 the master starts
another worker, which gets the listening sockets from the one before; that one answers what it was asked, and tells
clients that keep their connection to make a new one (`idle-close-on-response`: otherwise it hangs up, and a request
that comes at that moment is lost). At SIGUSR1 the same happens without another worker. Who is connected and says
nothing is waited for: 5 s after an answer, up to 30 s before the first request or with HTTP/2.

Or it leaves TLS to the application and gives each connection to one of its processes: then it sees no request, and the
application no client.

The target is passed on as it was sent, absolute-form too, unless its host is another than the Host field's: that gets
400, and so does a host with a query after it, which it takes for one. What clients say of themselves in X-Forwarded-*
is replaced.
"""

import signal
from typing import Final

from deployments._behind import Forwarder, Fronted, Inner, Proxy, Speaks
from deployments._programs import which
from deployments._stacks import TlsStack
from deployments._templates import render_template
from deployments._types import ClientCertificates, Program, RawTarget, Resumption, Site
from deployments.servers._tls import TemplateTls

_FILE: Final = "haproxy.cfg"
_CERTIFICATE: Final = "certificate.pem"
_KEY: Final = f"{_CERTIFICATE}.key"
_PROGRAM: Final = Program("haproxy", "haproxy")


def _launch(site: Site, inner: Inner) -> Fronted:
    if inner.speaks is not Speaks.HTTP or inner.over_socket:
        raise ValueError("its template speaks HTTP over TCP alone")
    configuration = render_template(
        "haproxy.cfg.j2",
        site=site,
        tls=TemplateTls.of(site),
        certificate=_CERTIFICATE,
        versions=[f"TLSv{version}" for version in sorted(site.tls_versions)],
    )
    pair = site.certificate
    return Fronted(
        files={_FILE: configuration},
        command=_command(),
        links={} if pair is None else {_CERTIFICATE: pair.chain, _KEY: pair.key},
    )


def _launch_forwarder(site: Site) -> Fronted:
    return Fronted(files={_FILE: render_template("haproxy_forwarder.cfg.j2", site=site)}, command=_command())


def _command() -> tuple[str, ...]:
    return which(_PROGRAM.name) or _PROGRAM.name, "-W", "-db", "-f", _FILE


def _passes(target: RawTarget) -> RawTarget:
    """All of it."""
    return target


PROXY: Final = Proxy(
    word="haproxy",
    title="HAProxy",
    program=_PROGRAM,
    tls_stack=TlsStack.SYSTEM,
    tls_restriction="ssl-min-ver, ssl-max-ver",
    alpn=("h2", "http/1.1"),
    resumption=Resumption(tls_1_2_ticket=True, tls_1_2_session_id=True, tls_1_3_ticket=True),
    client_certificates=ClientCertificates.NOT_TOLD,
    stop=signal.SIGUSR1,
    renew=signal.SIGUSR2,
    passes=_passes,
    balances=True,
    refuses=frozenset({"https://localhost?a"}),
    launch=_launch,
)

FORWARDER: Final = Forwarder(
    word="haproxy", title="HAProxy", program=_PROGRAM, stop=signal.SIGUSR1, launch=_launch_forwarder
)
