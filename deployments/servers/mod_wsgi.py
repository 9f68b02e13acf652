"""mod_wsgi: Apache itself, whose daemon processes run the application in threads.

Daemon mode, as its author advises: no Python in the processes that speak HTTP and TLS. They are those of
proxies/apache.py and have its abilities; the request target reaches the application as it was sent, and so does a
client's certificate. The daemon has Apache's environment, which is how the device's settings get there.

It is Debian's package, which embeds the system's Python: that takes this environment's packages if it is of the same
minor version. Otherwise the environment has to be made anew with the system's Python.

mod_wsgi refuses to serve as root, and www-data, whom its processes change to, may not read what root's are to serve:
the device's state. So where root starts it, the change of user costs no privileges (securebits, capabilities(7)), and
the daemon changes back. Who deploys it has the state belong to www-data, and needs neither.
"""

import os
import re
import signal
import site as python
import sys
from pathlib import Path
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
    Program,
    RawTarget,
    Reload,
    Resumption,
    SeveralWorkers,
    Site,
    Threads,
    Workers,
)
from deployments.proxies import _apache
from deployments.servers._tls import TemplateTls

_NAME: Final = DeploymentName("flask", "mod_wsgi")
_MODULES: Final = (*_apache.MODULES, "wsgi")
_MODULE: Final = Path(_apache.MODULES_FOLDER, "mod_wsgi.so")
_SCRIPT: Final = "application.wsgi"
_PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
_LIBRARY: Final = re.compile(rb"libpython(\d+\.\d+)")  # as it is linked
_KEEP_PRIVILEGES: Final = ("setpriv", "--securebits=+no_setuid_fixup")


def _launch(site: Site) -> Launch:
    configuration = render_template(
        "mod_wsgi.conf.j2",
        name=_NAME,
        script=_SCRIPT,
        site=site,
        tls=TemplateTls.of(site),
        modules=_MODULES,
        modules_folder=_apache.MODULES_FOLDER,
    )
    as_root = os.geteuid() == 0 and not site.own_user
    script = render_template("application.wsgi.j2", name=_NAME, packages=python.getsitepackages(), as_root=as_root)
    command = _apache.command(site.folder)
    return Launch(
        files={_apache.FILE: configuration, _SCRIPT: script},
        command=(*_KEEP_PRIVILEGES, *command) if as_root else command,
        environment={},
    )


def _embedded() -> str | None:
    """Return the minor version of Python that the module embeds, as in "3.11"; None: that cannot be told."""
    found = _LIBRARY.search(_MODULE.read_bytes()) if _MODULE.exists() else None
    return found[1].decode() if found else None


def _hindrance() -> str | None:
    embedded = _embedded()
    if embedded in (None, _PYTHON):
        return None
    return (
        f"has Python {embedded} in it, which cannot use the packages of this Python {_PYTHON}; "
        f"apt-get install python{embedded}-venv, and install bench in an environment of python{embedded}"
    )


DEPLOYMENTS: Final = (
    Deployment(
        name=_NAME,
        summary="mod_wsgi's daemon in Apache",
        warning=_apache.WARNING,
        needs=("flask",),
        programs=(_apache.PROGRAM, Program("mod_wsgi", "libapache2-mod-wsgi-py3", str(_MODULE))),
        threads=Threads(16, "16 threads"),
        workers=Workers(
            several=SeveralWorkers(
                resumed_by_all=True,
                killed_worker=KilledWorker.REPLACED,
                stop_finishes_requests=True,
                stop_status=0,
            )
        ),
        abilities=Abilities(
            tls_stack=TlsStack.SYSTEM,
            tls_restriction="SSLProtocol",
            alpn=("h2", "http/1.1"),
            keep_alive=True,
            resumption=Resumption(tls_1_2_ticket=True, tls_1_2_session_id=True, tls_1_3_ticket=True),
            client_certificates=ClientCertificates.TOLD,
            handshake=Handshake.IN_POOL,
            reload=Reload.SIGUSR1,
            stop_finishes_requests=True,
            stop_status=0,
            raw_target=RawTarget.EXACT,
        ),
        launch=_launch,
        refuses=_apache.REFUSES,
        answers=_apache.ANSWERS,
        stop=signal.SIGWINCH,
        hindrance=_hindrance,
    ),
)
