"""A proxy in front of an application server, put together to a deployment.

A server's module offers `INNER`: its ways to serve an application over plain HTTP, or uwsgi's own protocol, to a proxy
that it trusts. A proxy's module offers `PROXY`. What faces the clients is the proxy's to claim: TLS, HTTP versions,
sessions, certificates; what runs the requests is the server's: threads and workers. The request target passes through
both, and what reaches the application is what neither of them changes.
"""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from deployments._name import DeploymentName
from deployments._stacks import TlsStack
from deployments._types import (
    Abilities,
    ClientCertificates,
    Deployment,
    Front,
    Handshake,
    KilledWorker,
    Launch,
    Program,
    RawTarget,
    Reload,
    Resumption,
    SeveralWorkers,
    Site,
    Threads,
    Workers,
    app_folder,
)

IDLE_S: Final = 150
"""How long an application's server keeps the idle connection of a proxy: longer than any proxy here does.

Else the server may hang up while a request is on its way to it, which the proxy then has to answer by a 502.
"""


class Speaks(StrEnum):
    """What a proxy says to an application server."""

    HTTP = "HTTP/1.1"
    UWSGI = "uwsgi"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    """An application server that leaves TLS to a proxy.

    name: without a proxy, and the same as of the deployment that serves so by itself, which it is compared with.
    summary: goes on with "behind nginx". raw_target: what it hands on of a target that comes unchanged. checks_peer:
    it believes the proxy's address alone; False: whoever reaches its port, which nobody from another machine does.
    launch: its files and its command, listening at the site's upstream.
    """

    name: DeploymentName
    summary: str
    warning: str | None = None
    needs: tuple[str, ...]
    threads: Threads
    workers: Workers
    raw_target: RawTarget
    launch: Callable[[Site], Launch]
    speaks: Speaks = Speaks.HTTP
    over_socket: bool = False
    checks_peer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fronted:
    """What a proxy's templates give: its own files, its command, variables that it needs; the server has them too.

    links: as of a `Launch`.
    """

    files: Mapping[str, str]
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A proxy that ends TLS. word: in names. passes: what becomes of a target that an application server would keep.

    keeps_sessions: as of a `Front`. refuses, answers, one_client_ca: as of a `Deployment`. balances: among processes of
    a server that has no workers itself.
    """

    word: str
    title: str
    warning: str | None = None
    program: Program
    tls_stack: TlsStack
    tls_restriction: str
    alpn: tuple[str, ...]
    resumption: Resumption
    client_certificates: ClientCertificates
    handshake: Handshake = Handshake.IN_EVENT_LOOP
    stop: signal.Signals
    renew: signal.Signals | tuple[str, ...]
    reload: Reload = Reload.ASKED
    keeps_sessions: bool = False
    passes: Callable[[RawTarget], RawTarget]
    refuses: frozenset[str] = frozenset()
    answers: frozenset[str] = frozenset()
    balances: bool = False
    one_client_ca: bool = False
    launch: Callable[[Site, Inner], Fronted]


def behind(proxy: Proxy, inner: Inner) -> Deployment:
    """Put an application server behind a proxy."""
    name = replace(inner.name, proxy=proxy.word)
    balances = proxy.balances and inner.workers.several is None

    def launch(site: Site) -> Launch:
        app, front = inner.launch(site), proxy.launch(site, inner)
        more = [inner.launch(replace(site, upstream=each)) for each in site.more_upstreams]
        if any(each.files != app.files for each in more):
            raise ValueError("its processes want different files of one name")
        return Launch(
            files={**app.files, **front.files},
            command=app.command,
            environment={**app.environment, **front.environment},
            proxy_command=front.command,
            links={**app.links, **front.links},
            more_commands=tuple(each.command for each in more),
        )

    return Deployment(
        name=name,
        summary=f"{inner.summary}, behind {proxy.title}" + (", by a UNIX socket" if inner.over_socket else ""),
        warning="; ".join(warning for warning in (inner.warning, proxy.warning) if warning is not None) or None,
        needs=inner.needs,
        programs=(proxy.program,),
        threads=inner.threads,
        workers=_BALANCED if balances else _workers(inner.workers),
        abilities=Abilities(
            tls_stack=proxy.tls_stack,
            tls_restriction=proxy.tls_restriction,
            alpn=proxy.alpn,
            keep_alive=True,
            resumption=proxy.resumption,
            client_certificates=proxy.client_certificates,
            handshake=proxy.handshake,
            reload=proxy.reload,
            stop_finishes_requests=True,
            stop_status=0,
            raw_target=proxy.passes(inner.raw_target),
        ),
        launch=launch,
        refuses=proxy.refuses,
        answers=proxy.answers,
        one_client_ca=proxy.one_client_ca,
        front=Front(
            stop=proxy.stop,
            renew=proxy.renew,
            keeps_sessions=proxy.keeps_sessions,
            over_socket=inner.over_socket,
            over_uwsgi=inner.speaks is Speaks.UWSGI,
            balances=balances,
            checks_peer=inner.checks_peer,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarder:
    """A proxy that passes TLS on as it comes. word: in names."""

    word: str
    title: str
    program: Program
    stop: signal.Signals
    launch: Callable[[Site], Fronted]


def passed_through(forwarder: Forwarder, own: Deployment) -> Deployment:
    """Put a server that ends TLS, and sees by itself that its certificate was renewed, behind a proxy that does not."""
    if own.abilities.reload is not Reload.WATCHED or own.abilities.stop_status:
        raise ValueError(f"{own.name} would have to be told")

    def launch(site: Site) -> Launch:
        upstreams = () if site.upstream is None else (site.upstream, *site.more_upstreams)
        apps = {
            app_folder(number): own.launch(
                replace(
                    site,
                    folder=site.folder / app_folder(number),
                    host=each.host,
                    port=each.port,
                    workers=1,
                    upstream=None,
                    more_upstreams=(),
                )
            )
            for number, each in enumerate(upstreams, 1)
        }
        front = forwarder.launch(site)
        command, *more_commands = (app.command for app in apps.values())
        return Launch(
            files={
                **{f"{folder}/{name}": text for folder, app in apps.items() for name, text in app.files.items()},
                **front.files,
            },
            command=command,
            environment=apps[app_folder(1)].environment,
            proxy_command=front.command,
            more_commands=tuple(more_commands),
            apart=True,
        )

    several = SeveralWorkers(
        resumed_by_all=False, killed_worker=KilledWorker.ENDS_ALL, stop_finishes_requests=True, stop_status=0
    )
    return replace(
        own,
        name=replace(own.name, variant=f"{own.name.variant}-tls" if own.name.variant else "tls", proxy=forwarder.word),
        summary=f"{own.summary}; {forwarder.title} passes TLS on to it",
        warning="the application takes the proxy's address for every client's: whoever guesses at a user's password "
        "keeps that user waiting everywhere",
        programs=(*own.programs, forwarder.program),
        workers=Workers(several=several),
        launch=launch,
        front=Front(stop=forwarder.stop, renew=None, keeps_sessions=True, passes_tls=True, balances=True),
    )


_BALANCED: Final = Workers(
    several=SeveralWorkers(
        resumed_by_all=True,
        killed_worker=KilledWorker.ENDS_ALL,  # nobody watches them but we, who end what is no longer whole
        stop_finishes_requests=True,
        stop_status=0,
    )
)


def _workers(workers: Workers) -> Workers:
    """Several workers share the proxy's sessions, and are stopped when it has forwarded the last answer."""
    several = workers.several
    if several is None:
        return workers
    return Workers(
        several=SeveralWorkers(
            resumed_by_all=True,
            killed_worker=several.killed_worker,
            stop_finishes_requests=True,
            stop_status=0,
            warning=several.warning,
        )
    )
