"""Which deployments there are: a module in _MODULES for each server, a pair in two more for each that is proxied."""

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from deployments._behind import Inner, Proxy, behind, passed_through
from deployments._errors import DeploymentError
from deployments._name import DeploymentName
from deployments._programs import which
from deployments._types import Deployment, Program
from deployments.proxies import apache, caddy, haproxy, nginx
from deployments.servers import (
    cheroot,
    granian,
    gunicorn,
    hypercorn,
    mod_wsgi,
    pyuwsgi,
    threaded,
    uvicorn,
    uwsgi,
    waitress,
    werkzeug,
)

_MODULES: Final = (werkzeug, threaded, cheroot, uwsgi, mod_wsgi, gunicorn, granian, hypercorn, uvicorn)
_BEHIND: Final[tuple[tuple[Proxy, Inner], ...]] = (
    (nginx.PROXY, waitress.INNER),
    (nginx.PROXY, gunicorn.INNER),
    (nginx.PROXY, gunicorn.INNER_UNIX),
    (nginx.PROXY, pyuwsgi.INNER),
    (nginx.PROXY, uvicorn.INNER),
    (nginx.PROXY, hypercorn.INNER),
    (apache.PROXY, waitress.INNER),
    (apache.PROXY, uvicorn.INNER),
    (haproxy.PROXY, waitress.INNER),
    (haproxy.PROXY, uvicorn.INNER),
    (caddy.PROXY, waitress.INNER),
    (caddy.PROXY, uvicorn.INNER),
)
_PASSED_THROUGH: Final = ((haproxy.FORWARDER, hypercorn.DEPLOYMENTS[0]),)
_DEPLOYMENTS: Final[Mapping[DeploymentName, Deployment]] = {
    deployment.name: deployment
    for deployment in (
        *(each for module in _MODULES for each in module.DEPLOYMENTS),
        *(behind(proxy, inner) for proxy, inner in _BEHIND),
        *(passed_through(forwarder, own) for forwarder, own in _PASSED_THROUGH),
    )
}


def names() -> tuple[str, ...]:
    """Return the names of all deployments, Flask's first, each server's variants together."""
    return tuple(map(str, _DEPLOYMENTS))


def find(name: str | DeploymentName) -> Deployment:
    """Return the deployment of that name. Raises DeploymentError, which offers the nearest one."""
    text = str(name)
    for deployment in _DEPLOYMENTS.values():
        if str(deployment.name) == text:
            return deployment
    near = difflib.get_close_matches(text, names(), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    raise DeploymentError(f"no deployment is called {text!r}; {hint}`bench list` shows all")


@dataclass(frozen=True, slots=True)
class Described:
    """A deployment and what is installed here of what it needs."""

    deployment: Deployment
    versions: Mapping[str, str | None]  # of each need; None: not installed
    absent: tuple[str, ...] = ()  # programs that are not installed

    @property
    def missing(self) -> tuple[str, ...]:
        """What has to be installed before it can be served here."""
        return (*self.absent, *(need for need, version in self.versions.items() if version is None))

    def row(self) -> dict[str, object]:
        """Return it as plain data, for JSON."""
        deployment = self.deployment
        return {
            "name": str(deployment.name),
            "application": deployment.name.app,
            "server": deployment.name.server,
            "variant": deployment.name.variant,
            "proxy": deployment.name.proxy,
            "summary": deployment.summary,
            "warning": deployment.warning,
            "threads": deployment.threads.count,
            "concurrency": deployment.threads.meaning,
            "several_workers": None if deployment.workers.several is None else asdict(deployment.workers.several),
            "one_worker_because": deployment.workers.refusal or None,
            "versions": dict(self.versions),
            "programs": [asdict(program) for program in deployment.programs],
            "missing": list(self.missing),
            "install": deployment.install,
            "abilities": asdict(deployment.abilities) | {"key_exchange": self._key_exchange()},
        }

    def _key_exchange(self) -> dict[str, object] | None:
        """Return what is known of groups; None where something is missing, which may be the TLS stack."""
        return None if self.missing else asdict(self.deployment.abilities.key_exchange)


def describe(name: str | DeploymentName | None = None) -> tuple[Described, ...]:
    """Return all deployments, or the named one, with what is installed. Raises DeploymentError."""
    chosen = tuple(_DEPLOYMENTS.values()) if name is None else (find(name),)
    return tuple(_described(deployment) for deployment in chosen)


def _described(deployment: Deployment) -> Described:
    return Described(
        deployment,
        {need: _installed(need) for need in deployment.needs},
        tuple(program.name for program in deployment.programs if not _is_there(program)),
    )


def _is_there(program: Program) -> bool:
    return which(program.name) is not None if program.file is None else Path(program.file).exists()


def _installed(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
