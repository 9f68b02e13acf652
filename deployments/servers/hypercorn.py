"""Hypercorn by its own command, on asyncio's loop and on uvloop, with HTTP/3, and as this project starts it.

The command is run with `workers = 0` where one is wanted: the loop is in the process itself. Otherwise a parent
watches, which at SIGTERM waits until one worker is out and then ends the rest by a signal that they do not handle. An
idle worker is out at once, so what another is answering is cut (in 5 of 5 stops with 2 workers and one request); and a
worker that dies makes the parent end all. SIGHUP ends the process that has no parent, and with one nobody accepts until
all workers have gone; so the context looks at the certificate's files itself.

Workers are fresh interpreters, which never see the configuration file: what it cannot say by a setting stands in the
module that they load the application from.

`h3` serves HTTP/3 beside the rest, over QUIC in pure Python (aioquic), at the UDP port of the same number, which every
answer names in an alt-svc field. QUIC has a TLS 1.3 of its own: it heeds no OPENSSL_CONF, so that the key-exchange
group is the client's choice, resumes no session and asks nobody for a certificate; so where clients are asked for one,
or TLS 1.2 alone is served, there is no QUIC. Datagrams of one connection would come to any of several workers. It is
served mended: as it comes, a body that is still on its way after the answer, as of any Digest client's first upload,
ends QUIC for everybody until the next start (KeyError in protocol/h3.py), and its certificate is read once only.

Behind a proxy its ProxyFixMiddleware reads what that says of the client; whoever reaches the port is believed.

`own` is `python -m quart_impl`: Hypercorn with our TLS context, limits on slow clients and a stop that waits for nobody
who is idle. All its settings are DEVICE_* variables, which every deployment gets; so it needs no file of its own.
"""

import sys
from functools import partial
from typing import Final

from certs import TlsVersion
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

_FILE: Final = "hypercorn.conf.py"
_MODULE: Final = "application"
_OWN: Final = DeploymentName("quart", "hypercorn", "own")
_THREADS: Final = Threads(None, "one event loop", "an ASGI server answers from one event loop")
_WAITS: Final = "at SIGTERM it waits up to 30 s for TLS clients that are connected and idle"
_WAITS_FOR_A_DATAGRAM: Final = ", and always 3 s, its graceful_timeout, unless a QUIC datagram comes"
_ONE_OVER_QUIC: Final = "a QUIC connection's datagrams would come to any of them; serve quart-hypercorn-asyncio"


def _launch(site: Site, *, name: DeploymentName, loop: str, http_3: bool = False) -> Launch:
    tls = TemplateTls.of(site)
    target = "quart_impl:app" if site.workers == 1 or tls.chain is None else f"{_MODULE}:app"
    configuration = render_template(
        "hypercorn.conf.py.j2",
        name=name,
        target=target,
        bind=site.authority,
        worker_class=loop,
        workers=site.workers,
        tls=tls,
        quic=http_3 and TlsVersion.TLS_1_3 in site.tls_versions and tls.client_ca is None,
    )
    files = {_FILE: configuration}
    if target.startswith(_MODULE):
        files[f"{_MODULE}.py"] = render_template(
            "hypercorn_application.py.j2", name=name, workers=site.workers, tls=tls
        )
    return Launch(
        files=files,
        command=(sys.executable, "-m", "hypercorn", "--config", f"file:{_FILE}", target),
        environment={},
    )


def _launch_behind(site: Site, *, name: DeploymentName, loop: str) -> Launch:
    upstream = site.upstream
    if upstream is None:
        raise ValueError("it stands behind a proxy")
    configuration = render_template(
        "hypercorn_behind.conf.py.j2",
        name=name,
        bind=upstream.authority,
        worker_class=loop,
        workers=site.workers,
        idle_s=IDLE_S,
    )
    target = f"{_MODULE}:app"
    return Launch(
        files={_FILE: configuration, f"{_MODULE}.py": render_template("quart_behind.py.j2", name=name)},
        command=(sys.executable, "-m", "hypercorn", "--config", f"file:{_FILE}", target),
        environment={},
    )


def _launch_own(_site: Site) -> Launch:
    return Launch(files={}, command=(sys.executable, "-m", "quart_impl"), environment={})


_SEVERAL: Final = Workers(
    several=SeveralWorkers(
        resumed_by_all=False,
        killed_worker=KilledWorker.ENDS_ALL,
        stop_finishes_requests=False,
        stop_status=0,
        warning="at SIGTERM the first worker to finish ends the others, whatever they are answering; "
        "one that is killed ends all",
    )
)


def _deployment(variant: str, *, needs: tuple[str, ...], loop: str = "asyncio", http_3: bool = False) -> Deployment:
    name = DeploymentName("quart", "hypercorn", variant)
    return Deployment(
        name=name,
        summary=f"Hypercorn's command, {loop}{', with HTTP/3' if http_3 else ''}",
        warning=_WAITS + (_WAITS_FOR_A_DATAGRAM if http_3 else ""),
        needs=needs,
        threads=_THREADS,
        workers=Workers(refusal=_ONE_OVER_QUIC) if http_3 else _SEVERAL,
        abilities=Abilities(
            tls_stack=TlsStack.STDLIB,
            tls_restriction="Config.create_ssl_context replaced in the configuration file",
            alpn=("h2", "http/1.1"),
            keep_alive=True,
            resumption=Resumption(tls_1_2_ticket=True, tls_1_2_session_id=True, tls_1_3_ticket=True),
            client_certificates=ClientCertificates.NOT_TOLD,
            handshake=Handshake.IN_EVENT_LOOP,
            reload=Reload.WATCHED,
            stop_finishes_requests=True,
            stop_status=0,
            raw_target=RawTarget.LOST_QUESTION_MARK,
            http_3=http_3,
        ),
        launch=partial(_launch, name=name, loop=loop, http_3=http_3),
    )


DEPLOYMENTS: Final = (
    _deployment("asyncio", needs=("hypercorn", "quart")),
    _deployment("uvloop", loop="uvloop", needs=("hypercorn", "quart", "uvloop")),
    _deployment("h3", http_3=True, needs=("hypercorn", "quart", "aioquic")),
    Deployment(
        name=_OWN,
        summary="Hypercorn as this project starts it, asyncio",
        needs=("hypercorn", "quart"),
        threads=_THREADS,
        workers=Workers(refusal="python -m quart_impl is one process; serve quart-uvicorn"),
        abilities=Abilities(
            tls_stack=TlsStack.STDLIB,
            tls_restriction="DEVICE_TLS_VERSIONS",
            alpn=("h2", "http/1.1"),
            keep_alive=True,
            resumption=Resumption(tls_1_2_ticket=True, tls_1_2_session_id=True, tls_1_3_ticket=True),
            client_certificates=ClientCertificates.TOLD,
            handshake=Handshake.IN_EVENT_LOOP,
            reload=Reload.WATCHED_OR_SIGHUP,
            stop_finishes_requests=True,
            stop_status=0,
            raw_target=RawTarget.LOST_QUESTION_MARK,
        ),
        launch=_launch_own,
    ),
)

_ASYNCIO: Final = DeploymentName("quart", "hypercorn", "asyncio")
INNER: Final = Inner(
    name=_ASYNCIO,
    summary="Hypercorn's command, asyncio",
    warning="it hangs up on a body over 64 KiB that it refuses unread, and the answer may be lost (of 200 kB in one of "
    "forty tries): the client gets 502",
    needs=("hypercorn", "quart"),
    threads=_THREADS,
    workers=Workers(
        several=SeveralWorkers(
            resumed_by_all=False,
            killed_worker=KilledWorker.ENDS_ALL,
            stop_finishes_requests=False,
            stop_status=0,
            warning="one worker that is killed ends all",
        )
    ),
    raw_target=RawTarget.LOST_QUESTION_MARK,
    launch=partial(_launch_behind, name=_ASYNCIO, loop="asyncio"),
)
