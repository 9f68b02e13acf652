"""Granian 2.8, a server in Rust: TLS by rustls, HTTP by hyper; Python runs the application alone.

Started by a script: so the process that starts the workers has loaded the application, and one that takes another's
place is up within half a second. By Granian's command a new one has to load it, and at a reload it has 3.5 s for that;
on a busy machine it took longer, and nobody accepted meanwhile. TLS is the same either way: rustls is told the lowest
version alone, and no key-exchange group. It remembers 256 sessions a worker, of which each connection in TLS 1.3 takes
two, and gives no tickets in TLS 1.2.

Its README ("Workers and threads", "Backpressure") advises a worker per processor, one thread for the network in each,
and where clients keep their connections as many of these as there may be, which its default allows, 1024, with a number
of blocking threads to limit what runs at a time: unlimited they are 512. With 16 a request costs no more CPU than with
3 or with 512 (125 to 145 us in each), and so many requests may wait for something else.

Each worker has a listening socket of its own (SO_REUSEPORT). At SIGHUP another one is started beside each; 3.5 s later
the old one stops accepting and finishes its requests. What it had accepted but not yet read a request from it cuts. A
new worker that cannot start, for want of a certificate that is whole, does not keep the old one from ending. While both
serve, a client may be challenged by one and answer to the other: so even one worker has a table of used nonces that its
successor shares; with a memory for each, a sixth of the requests on new connections failed.

Its WSGI hands over the decoded path alone, and Digest signs the target as it was sent. Its application is called by way
of a function that puts a target together again: right for targets in which nothing is escaped that need not be, and no
slash; for others Digest refuses what their client signed. A header whose value is not ASCII it hands over empty: a
user whose name is not can come in by `username*` alone.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Final

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
_MODULE: Final = "application"
_FLASK: Final = DeploymentName("flask", "granian")
_QUART: Final = DeploymentName("quart", "granian")
_GRACE_S: Final = 5
_AT_RELOAD: Final = (
    "at SIGHUP connections that are just being made are cut, and a certificate that cannot be used ends it"
)


def _launch_flask(site: Site) -> Launch:
    application = render_template("granian_application.py.j2", name=_FLASK)
    return _launch(site, _FLASK, "WSGI", _MODULE, {f"{_MODULE}.py": application})


def _launch_quart(site: Site) -> Launch:
    return _launch(site, _QUART, "ASGI", "quart_impl", {})


def _launch(site: Site, name: DeploymentName, interface: str, module: str, files: Mapping[str, str]) -> Launch:
    script = render_template(
        "granian.py.j2",
        name=name,
        interface=interface,
        module=module,
        host=site.host,
        port=site.port,
        workers=site.workers,
        threads=site.threads,
        grace_s=_GRACE_S,
        tls=TemplateTls.of(site),
    )
    return Launch(files={_SCRIPT: script, **files}, command=(sys.executable, _SCRIPT), environment={})


def _deployment(
    name: DeploymentName,
    *,
    summary: str,
    warning: str,
    needs: tuple[str, ...],
    threads: Threads,
    raw_target: RawTarget,
    launch: Callable[[Site], Launch],
    instead: str,
) -> Deployment:
    return Deployment(
        name=name,
        summary=summary,
        warning=warning,
        needs=needs,
        threads=threads,
        workers=Workers(
            several=SeveralWorkers(
                resumed_by_all=False,
                killed_worker=KilledWorker.REPLACED,
                stop_finishes_requests=True,
                stop_status=0,
            )
        ),
        tls_refusals={
            "1.2": f"Granian is told of the lowest version only; choose TLS 1.3 or 1.2+1.3, or serve {instead}"
        },
        abilities=Abilities(
            tls_stack=TlsStack.RUSTLS,
            tls_restriction="ssl_protocol_min: TLS 1.3 alone, never 1.2 alone",
            alpn=("h2", "http/1.1"),
            keep_alive=True,
            resumption=Resumption(tls_1_2_ticket=False, tls_1_2_session_id=True, tls_1_3_ticket=True),
            client_certificates=ClientCertificates.NOT_TOLD,
            handshake=Handshake.IN_EVENT_LOOP,
            reload=Reload.SIGHUP,
            stop_finishes_requests=True,
            stop_status=0,
            raw_target=raw_target,
        ),
        launch=launch,
    )


DEPLOYMENTS: Final = (
    _deployment(
        _FLASK,
        summary="Granian, WSGI",
        warning="it tells no raw target: who signs one with an escaped slash, or with more escapes than it needs, is "
        f"refused by Digest; {_AT_RELOAD}",
        needs=("granian", "flask"),
        threads=Threads(16, "16 threads"),
        raw_target=RawTarget.REBUILT,
        launch=_launch_flask,
        instead="flask-gunicorn-gthread",
    ),
    _deployment(
        _QUART,
        summary="Granian, ASGI, uvloop",
        warning=_AT_RELOAD,
        needs=("granian", "quart", "uvloop"),
        threads=Threads(None, "one event loop", "an ASGI server answers from one event loop"),
        raw_target=RawTarget.VALID_ORIGIN_FORM,
        launch=_launch_quart,
        instead="quart-uvicorn",
    ),
)
