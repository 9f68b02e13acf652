"""Caddy 2.6 in front: TLS by Go's own library, HTTP/2, goroutines on all processors that it may use.

Left to itself it never hangs up on a client that says nothing, so it is given times; and it forwards what clients say
of themselves in `Forwarded`, which is taken away. X-Forwarded-For and -Proto it sets itself, believing nobody. HTTP/3,
which it would serve on UDP of the same port, is off: no other proxy here serves it, and every answer would advertise
a port that may be closed. Debian's takes no `persist_config`, and keeps its last configuration in the home folder
unless told of another one; a library in it makes a folder `.step` there each time that it starts.

Of a file of CAs whose clients are let in it takes the first certificate and says nothing of the others, whose clients
would be kept out: a file with several is refused.

Go parses the target and writes it anew. A valid path comes out as it went in; one that holds what RFC 3986 lets no
path hold (such as `"`, `|` and octets above 127) is decoded and escaped again, and its Digest is refused. `OPTIONS *`
it answers itself, whoever asks.

At SIGTERM it waits for requests that run, for the grace period and no longer. A reload is told over a UNIX socket in
its folder; without --force it would see that its configuration is the same, and read no certificate. It closes
connections that wait, but no request, however long; one that is just being made may be reset (seen once in some tens
of reloads under load). Its keys for session tickets are new after that.
"""

import signal
from typing import Final

from deployments._behind import Fronted, Inner, Proxy, Speaks
from deployments._programs import which
from deployments._stacks import TlsStack
from deployments._templates import render_template
from deployments._types import ClientCertificates, Program, RawTarget, Reload, Resumption, Site
from deployments.servers._tls import TemplateTls

_FILE: Final = "Caddyfile"
_CONFIGURATION: Final = ("--config", _FILE)
_OWN: Final = "caddy"  # folder in the site's, which it makes itself
_PROGRAM: Final = Program("caddy", "caddy")
# Ours are OpenSSL's names; these are SECG's, as RFC 8422 has them.
_CURVES: Final = {"X25519": "x25519", "P-256": "secp256r1", "P-384": "secp384r1", "P-521": "secp521r1"}


def _launch(site: Site, inner: Inner) -> Fronted:
    if inner.speaks is not Speaks.HTTP or inner.over_socket:
        raise ValueError("its template knows HTTP over TCP alone")
    configuration = render_template(
        "Caddyfile.j2",
        site=site,
        tls=TemplateTls.of(site),
        versions=sorted(site.tls_versions),
        curve=None if site.group is None else _CURVES[site.group],
    )
    return Fronted(
        files={_FILE: configuration},
        command=(which(_PROGRAM.name) or _PROGRAM.name, "run", *_CONFIGURATION),
        environment={
            "XDG_CONFIG_HOME": str(site.folder),
            "XDG_DATA_HOME": str(site.folder),
            "STEPPATH": str(site.folder / _OWN),
        },
    )


def _passes(target: RawTarget) -> RawTarget:
    """It sends absolute-form on as origin-form."""
    return {
        RawTarget.EXACT: RawTarget.VALID_PATH_AND_QUERY,
        RawTarget.PATH_AND_QUERY: RawTarget.VALID_PATH_AND_QUERY,
        RawTarget.LOST_QUESTION_MARK: RawTarget.VALID_ORIGIN_FORM,
        RawTarget.ORIGIN_FORM: RawTarget.VALID_ORIGIN_FORM,
    }[target]


PROXY: Final = Proxy(
    word="caddy",
    title="Caddy",
    program=_PROGRAM,
    tls_stack=TlsStack.GO,
    tls_restriction="protocols",
    alpn=("h2", "http/1.1"),
    resumption=Resumption(tls_1_2_ticket=True, tls_1_2_session_id=False, tls_1_3_ticket=True),
    client_certificates=ClientCertificates.NOT_TOLD,
    stop=signal.SIGTERM,
    reload=Reload.ASKED_CUTS_NEW,
    renew=("env", f"STEPPATH={_OWN}", _PROGRAM.name, "reload", "--force", *_CONFIGURATION),
    passes=_passes,
    refuses=frozenset({"/%"}),
    answers=frozenset({"*"}),
    one_client_ca=True,
    launch=_launch,
)
