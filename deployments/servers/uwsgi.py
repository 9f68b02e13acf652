"""uWSGI, which ends TLS and HTTP itself (`https`) in a process of its own and hands requests to its workers.

From Debian: the wheel `pyuwsgi` has no TLS. Debian's 2.0.21 embeds the system's Python, which is given the packages of
the environment that this runs in; so that must be of the same minor version. (uWSGI's `virtualenv` would give it that
environment's standard library too, whose modules in C may not fit: pyenv's do not.)

The certificate is read at the start. At SIGHUP it is read again, by a uWSGI that starts anew: what runs is cut, and for
1.5 s nobody is let in (seen). SIGTERM would do the same by uWSGI's own choice; here it ends uWSGI, once the application
has finished what runs. But the router is gone by then, so the answer is lost; since 2.0.28 it waits (read).

A request's body is taken whole first, on disk if it is larger than 64 KiB: without that, an answer to a body that
nobody reads, as a 401, was lost in one of three tries with 900 kB, and in one of twenty with 1 kB.

uWSGI's default is one worker that has no threads; 16 threads are what the other servers have.
"""

import site
import subprocess
import sys
from typing import Final

from deployments._name import DeploymentName
from deployments._programs import which
from deployments._stacks import TlsStack
from deployments._templates import render_template
from deployments._types import (
    Abilities,
    ClientCertificates,
    Deployment,
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
)
from deployments.servers._tls import TemplateTls

_NAME: Final = DeploymentName("flask", "uwsgi")
_FILE: Final = "uwsgi.ini"
_SCRIPT: Final = "application.wsgi"
_PROGRAM: Final = Program("uwsgi-core", "uwsgi-core")
_PLUGIN: Final = Program(
    "uWSGI's python3 plugin", "uwsgi-plugin-python3", file="/usr/lib/uwsgi/plugins/python3_plugin.so"
)
_PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"


def _launch(place: Site) -> Launch:
    configuration = render_template(
        "uwsgi.ini.j2",
        name=_NAME,
        authority=place.authority,
        workers=place.workers,
        threads=place.threads,
        tls=TemplateTls.of(place),
    )
    script = render_template("uwsgi_application.wsgi.j2", name=_NAME, packages=site.getsitepackages())
    return Launch(
        files={_FILE: configuration, _SCRIPT: script},
        command=(which(_PROGRAM.name) or _PROGRAM.name, "--ini", _FILE),
        environment={},
    )


def _another_python() -> str | None:
    """Say that uWSGI's Python cannot use our packages; None: it can."""
    asked = (which(_PROGRAM.name) or _PROGRAM.name, "--plugins", "python3", "--python-version")
    said = subprocess.run(asked, capture_output=True, text=True, check=False)
    version = (said.stdout + said.stderr).strip().rpartition("\n")[2]
    minor = version.rpartition(".")[0]
    if minor == _PYTHON:
        return None
    return (
        f"has Python {version} in it, which cannot use the packages of this Python {_PYTHON}; "
        f"install bench in an environment of python{minor}"
    )


DEPLOYMENTS: Final = (
    Deployment(
        name=_NAME,
        summary="uWSGI's threads, TLS by its own HTTPS router",
        warning="a request body in chunks, without Content-Length, does not reach the application; at SIGTERM that "
        "finishes what runs, but before uWSGI 2.0.28 the answer is lost",
        needs=("flask",),
        programs=(_PROGRAM, _PLUGIN),
        threads=Threads(16, "16 threads"),
        workers=Workers(
            several=SeveralWorkers(
                resumed_by_all=True,  # one process speaks TLS
                killed_worker=KilledWorker.REPLACED,
                stop_finishes_requests=False,
                stop_status=0,
            )
        ),
        abilities=Abilities(
            tls_stack=TlsStack.UWSGI,
            tls_restriction="ssl-option",
            alpn=(),
            keep_alive=True,
            resumption=Resumption(tls_1_2_ticket=True, tls_1_2_session_id=False, tls_1_3_ticket=True),
            client_certificates=ClientCertificates.TOLD,
            handshake=Handshake.IN_EVENT_LOOP,
            reload=Reload.RESTART,
            stop_finishes_requests=False,
            stop_status=0,
            raw_target=RawTarget.EXACT,
        ),
        launch=_launch,
        hindrance=_another_python,
    ),
)
