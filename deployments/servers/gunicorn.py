"""gunicorn: its default worker as it comes, threads as we advise them and as they come, gevent, its own ASGI worker.

gthread builds an SSLContext for every connection unless its `ssl_context` hook keeps one: with the hook a new
connection costs less than half the CPU and sessions can be resumed (0 of 6 without it, 6 of 6 with it). What is kept
looks at the files itself, so that a renewed certificate needs no SIGHUP, at which every idle connection is closed. The
others read the files for each connection: one that comes between a new key and its certificate fails.

Workers of gthread and ASGI hold the same context, made before they are forked: so they share its ticket keys, and each
resumes the sessions of all. Those of gevent make one each, for it has to be made where gevent has put its own classes
in place of the standard library's.

Behind a proxy it is plain HTTP, by TCP or by a UNIX socket. gunicorn would read the scheme alone of what the proxy says
of the client, and over a UNIX socket believes anybody; so the application's ProxyFix reads all of it.
"""

import sys
from functools import partial
from typing import Final

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

_FILE: Final = "gunicorn.conf.py"
_SYNC: Final = DeploymentName("flask", "gunicorn", "sync")
_GTHREAD: Final = DeploymentName("flask", "gunicorn", "gthread")
_GEVENT: Final = DeploymentName("flask", "gunicorn", "gevent")
_ASGI: Final = DeploymentName("quart", "gunicorn", "asgi")
_AS_IT_COMES: Final = DeploymentName("flask", "gunicorn", "gthread-asis")
_UNIX: Final = DeploymentName("flask", "gunicorn", "gthread-unix")
_MODULE: Final = "application"
_RESTRICTION: Final = "the ssl_context hook"
_SHARING: Final = ("gthread", "asgi")  # workers that can use a context which their parent made


def _launch(site: Site, *, name: DeploymentName, worker_class: str, keep_context: bool) -> Launch:
    target = f"{name.app}_impl:app"
    configuration = render_template(
        "gunicorn.conf.py.j2",
        name=name,
        target=target,
        bind=site.authority,
        worker_class=worker_class,
        # Only gthread knows threads: the sync worker, given more than one, silently becomes gthread.
        threads=site.threads if worker_class == "gthread" else None,
        keep_context=keep_context,
        share_context=keep_context and worker_class in _SHARING and site.workers > 1,
        workers=site.workers,
        tls=TemplateTls.of(site),
    )
    return Launch(
        files={_FILE: configuration},
        command=(sys.executable, "-m", "gunicorn", "-c", _FILE, target),
        environment={},
    )


def _launch_behind(site: Site, *, name: DeploymentName) -> Launch:
    upstream = site.upstream
    if upstream is None:
        raise ValueError("it stands behind a proxy")
    over_socket = upstream.socket is not None
    configuration = render_template(
        "gunicorn_behind.conf.py.j2",
        name=name,
        bind=f"unix:{upstream.socket}" if over_socket else upstream.authority,
        threads=site.threads,
        workers=site.workers,
        idle_s=IDLE_S,
        over_socket=over_socket,
    )
    return Launch(
        files={_FILE: configuration, f"{_MODULE}.py": render_template("flask_behind.py.j2", name=name)},
        command=(sys.executable, "-m", "gunicorn", "-c", _FILE, f"{_MODULE}:app"),
        environment={},
    )


def _workers(*, resumed_by_all: bool) -> Workers:
    return Workers(
        several=SeveralWorkers(
            resumed_by_all=resumed_by_all,
            killed_worker=KilledWorker.REPLACED,
            stop_finishes_requests=True,
            stop_status=0,
        )
    )


DEPLOYMENTS: Final = (
    Deployment(
        name=_SYNC,
        summary="gunicorn's default worker as it comes, one request at a time",
        warning="one client that connects and says nothing stops all others",
        needs=("gunicorn", "flask"),
        threads=Threads(
            1,
            "one request at a time",
            "with more than one gunicorn takes its gthread worker, which is flask-gunicorn-gthread",
        ),
        workers=_workers(resumed_by_all=False),
        abilities=Abilities(
            tls_stack=TlsStack.STDLIB,
            tls_restriction=_RESTRICTION,
            alpn=(),
            keep_alive=False,
            resumption=Resumption(tls_1_2_ticket=False, tls_1_2_session_id=False, tls_1_3_ticket=False),
            client_certificates=ClientCertificates.NOT_TOLD,
            handshake=Handshake.IN_ACCEPT,
            reload=Reload.WATCHED,
            stop_finishes_requests=True,
            stop_status=0,
            raw_target=RawTarget.EXACT,
        ),
        launch=partial(_launch, name=_SYNC, worker_class="sync", keep_context=False),
    ),
    Deployment(
        name=_GTHREAD,
        summary="gunicorn's threads, with one TLS context kept for all connections",
        warning="as many silent clients as it has threads stop all others",
        needs=("gunicorn", "flask"),
        threads=Threads(16, "16 threads"),
        workers=_workers(resumed_by_all=True),
        abilities=Abilities(
            tls_stack=TlsStack.STDLIB,
            tls_restriction=_RESTRICTION,
            alpn=(),
            keep_alive=True,
            resumption=Resumption(tls_1_2_ticket=True, tls_1_2_session_id=False, tls_1_3_ticket=True),
            client_certificates=ClientCertificates.NOT_TOLD,
            handshake=Handshake.IN_POOL,
            reload=Reload.WATCHED,
            stop_finishes_requests=True,
            stop_status=0,
            raw_target=RawTarget.EXACT,
        ),
        launch=partial(_launch, name=_GTHREAD, worker_class="gthread", keep_context=True),
    ),
    Deployment(
        name=_AS_IT_COMES,
        summary="gunicorn's threads as they come",
        warning="every connection gets a TLS context of its own: dear handshakes, and no session is ever resumed; "
        "as many silent clients as it has threads stop all others",
        needs=("gunicorn", "flask"),
        threads=Threads(16, "16 threads"),
        workers=_workers(resumed_by_all=False),
        abilities=Abilities(
            tls_stack=TlsStack.STDLIB,
            tls_restriction=_RESTRICTION,
            alpn=(),
            keep_alive=True,
            resumption=Resumption(tls_1_2_ticket=False, tls_1_2_session_id=False, tls_1_3_ticket=False),
            client_certificates=ClientCertificates.NOT_TOLD,
            handshake=Handshake.IN_POOL,
            reload=Reload.WATCHED,
            stop_finishes_requests=True,
            stop_status=0,
            raw_target=RawTarget.EXACT,
        ),
        launch=partial(_launch, name=_AS_IT_COMES, worker_class="gthread", keep_context=False),
    ),
    Deployment(
        name=_GEVENT,
        summary="gunicorn's gevent worker: a greenlet for each connection",
        warning="a client that connects and says nothing is never cut off",
        needs=("gunicorn", "flask", "gevent", "packaging"),  # the last by its gevent worker, which says so nowhere
        threads=Threads(None, "a greenlet per connection", "it starts a greenlet for each connection"),
        workers=_workers(resumed_by_all=False),
        abilities=Abilities(
            tls_stack=TlsStack.STDLIB,
            tls_restriction=_RESTRICTION,
            alpn=(),
            keep_alive=True,
            resumption=Resumption(tls_1_2_ticket=True, tls_1_2_session_id=False, tls_1_3_ticket=True),
            client_certificates=ClientCertificates.NOT_TOLD,
            handshake=Handshake.IN_EVENT_LOOP,
            reload=Reload.WATCHED,
            stop_finishes_requests=True,
            stop_status=0,
            raw_target=RawTarget.EXACT,
        ),
        launch=partial(_launch, name=_GEVENT, worker_class="gevent", keep_context=True),
    ),
    Deployment(
        name=_ASGI,
        summary="gunicorn's own ASGI worker, on uvloop",
        warning="a client that stops in the middle of its request headers is never cut off",
        needs=("gunicorn", "quart", "uvloop"),
        threads=Threads(None, "one event loop", "an ASGI server answers from one event loop"),
        workers=_workers(resumed_by_all=True),
        abilities=Abilities(
            tls_stack=TlsStack.STDLIB,
            tls_restriction=_RESTRICTION,
            alpn=(),
            keep_alive=True,
            resumption=Resumption(tls_1_2_ticket=True, tls_1_2_session_id=True, tls_1_3_ticket=True),
            client_certificates=ClientCertificates.NOT_TOLD,
            handshake=Handshake.IN_EVENT_LOOP,
            reload=Reload.WATCHED,
            stop_finishes_requests=True,
            stop_status=0,
            raw_target=RawTarget.LOST_QUESTION_MARK,
        ),
        launch=partial(_launch, name=_ASGI, worker_class="asgi", keep_context=True),
    ),
)


def _inner(name: DeploymentName, *, over_socket: bool) -> Inner:
    return Inner(
        name=name,
        summary="gunicorn's threads",
        warning="it hangs up on a body of 64 KiB or more that it refuses unread, and the answer may be lost (of 200 kB "
        "in a quarter of tries): the client gets 502",
        needs=("gunicorn", "flask"),
        threads=Threads(16, "16 threads"),
        workers=_workers(resumed_by_all=False),
        raw_target=RawTarget.EXACT,
        launch=partial(_launch_behind, name=name),
        over_socket=over_socket,
    )


INNER: Final = _inner(_GTHREAD, over_socket=False)
INNER_UNIX: Final = _inner(_UNIX, over_socket=True)
