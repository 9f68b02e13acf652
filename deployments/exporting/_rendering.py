"""The files that `bench serve` starts a deployment with, rendered for a system's service instead.

They are the same but for paths, ports and addresses, which a `Site` names, and for what `moved` lists: the few lines of
templates that take the folder of the files for the one that their server runs in and writes to. Here nobody writes to
the first, and Apache's log is no file that can be opened: under systemd it is a socket.

OpenSSL's configuration is left out unless a key-exchange group is asked for: the system's own has its say.
"""

import re
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deployments._errors import DeploymentError
from deployments._programs import which
from deployments._start import render
from deployments._types import Deployment, Reload, Rendered, Site, Upstream, app_folder
from deployments.exporting._options import ExportOptions
from deployments.exporting._places import Places
from device_api.settings import Settings, SettingsError

PYTHON: Final = "3.11"
"""Of Debian 12, on whose programs all was measured. uWSGI and mod_wsgi have it in them, whatever Python runs this."""

ENVIRONMENT_FILE: Final = "device.env"
_OPENSSL_FILE: Final = "openssl.cnf"
_SOCKET: Final = "app.sock"
# These are started otherwise than their first line says, as their server runs elsewhere than in the files' folder.
_RUN_ELSEWHERE: Final = frozenset({"apache.conf", "Caddyfile", "haproxy.cfg", "nginx.conf"})
_BY_HAND: Final = re.compile(r"\A# .*Start it (?:there )?with: .*\n")
_PACKAGES: Final = re.compile(r"(?:^site\.addsitedir\(.*\)\n)+", re.MULTILINE)
_SIGNALS: Final = {
    Reload.WATCHED_OR_SIGHUP: signal.SIGHUP,
    Reload.SIGHUP: signal.SIGHUP,
    Reload.SIGUSR1: signal.SIGUSR1,
}

# Where Debian's packages put them: who exports need not have them.
_SYSTEM: Final = {
    "apache2": "/usr/sbin/apache2",
    "caddy": "/usr/bin/caddy",
    "env": "/usr/bin/env",
    "haproxy": "/usr/sbin/haproxy",
    "nginx": "/usr/sbin/nginx",
    "uwsgi-core": "/usr/bin/uwsgi-core",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process tree of a deployment, which a service manager starts, tells to reload, and stops.

    run: folder made for it anew at each start, which it may write to. renew: a signal to its first process, or a
    command run as it is; None: it has to be told nothing. health: how curl asks it for /health; None: no HTTP.
    """

    name: str
    user: str
    command: tuple[str, ...]
    folder: Path
    run: Path
    stop: signal.Signals
    renew: signal.Signals | tuple[str, ...] | None
    health: tuple[str, ...] | None
    is_proxy: bool
    faces_clients: bool
    ends_tls: bool  # and so has to read the key


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """All processes of a deployment, the proxy last, and the files that they read, by name within /etc/NAME."""

    files: Mapping[str, str]
    processes: tuple[Process, ...]
    site: Site

    @property
    def apps(self) -> tuple[Process, ...]:
        """The application's."""
        return tuple(process for process in self.processes if not process.is_proxy)

    @property
    def proxy(self) -> Process | None:
        """The one in front."""
        return next((process for process in self.processes if process.is_proxy), None)

    @property
    def ends_tls(self) -> Process:
        """One that has to read the key; all of these are of one user."""
        return next(process for process in self.processes if process.ends_tls)


def service(deployment: Deployment, options: ExportOptions) -> Service:
    """Return what is to be run, and with which files. Writes nothing. Raises DeploymentError."""
    deployment.workers.check(deployment.name, options.workers)
    deployment.check_tls(options.tls)
    places = options.places
    site = site_of(deployment, options)
    rendered = render(deployment, options.served, site)
    try:
        Settings.from_environ(rendered.environment)
    except SettingsError as error:
        raise DeploymentError(str(error)) from error
    changes, starter = moved(places), places.service if deployment.front is None else places.proxy
    files = {
        name: _moved(name, text, changes.get(name, {}), places, starter)
        for name, text in rendered.files.items()
        if name != _OPENSSL_FILE or options.group is not None
    }
    if options.group is None:
        files[ENVIRONMENT_FILE] = re.sub(r"^OPENSSL_CONF=.*\n", "", files[ENVIRONMENT_FILE], flags=re.MULTILINE)
    processes = [*_apps(deployment, rendered, site, places)]
    if rendered.proxy_command is not None:
        processes.append(_proxy(deployment, rendered, site, places))
    return Service(files=files, processes=tuple(processes), site=site)


def site_of(deployment: Deployment, options: ExportOptions) -> Site:
    """Return where a deployment stands when it is a service of the system."""
    places = options.places
    upstreams: tuple[Upstream, ...] = ()
    if deployment.front is not None and deployment.front.over_socket:
        upstreams = (Upstream(socket=places.run / _SOCKET),)
    elif deployment.front is not None:
        first = options.upstream_port
        ports = [port for port in range(first, first + options.workers + 1) if port != options.port]
        count = options.workers if deployment.front.balances else 1
        upstreams = tuple(Upstream(port=port) for port in ports[:count])
    served = options.served
    return Site(
        folder=places.configuration,
        host=options.host,
        port=options.port,
        certificate=places.certificate,
        tls_versions=served.tls_versions,
        threads=deployment.threads.chosen(deployment.name, options.threads),
        workers=options.workers,
        group=options.group,
        upstream=upstreams[0] if upstreams else None,
        more_upstreams=upstreams[1:],
        own_user=True,
    )


def moved(places: Places) -> Mapping[str, Mapping[str, str]]:
    """Return what is written otherwise than `bench serve` has it, by file: each fragment, and what stands for it."""
    return {
        "apache.conf": {
            "ErrorLog /dev/stderr\n": "# To standard error, which cannot be opened by name where it is a socket.\n"
            'ErrorLog "|/bin/cat"\n',
            "WSGIScriptAlias / application.wsgi\n": f"WSGIScriptAlias / {places.configuration}/application.wsgi\n",
        },
        "haproxy.cfg": {
            "# certificate.pem and certificate.pem.key are links to the two files that are renewed.\n": (
                "# The key is in the file that has .key after this one's name.\n"
            ),
            " ssl crt certificate.pem ": f" ssl crt {places.certificate.chain} ",
        },
        "uwsgi.ini": {"socket = app.sock\n": f"socket = {places.run}/app.sock\n"},
        ENVIRONMENT_FILE: {
            f"XDG_CONFIG_HOME={places.configuration}\n": f"XDG_CONFIG_HOME={places.proxy_run}\n",
            f"XDG_DATA_HOME={places.configuration}\n": f"XDG_DATA_HOME={places.proxy_run}\n",
            f"STEPPATH={places.configuration}/caddy\n": f"STEPPATH={places.proxy_run}/caddy\n",
        },
    }


def packages_line(places: Places) -> str:
    """Return the line by which a program with a Python in it finds the application's packages."""
    return f'site.addsitedir("{places.environment}/lib/python{PYTHON}/site-packages")\n'


def _moved(name: str, text: str, changes: Mapping[str, str], places: Places, starter: str) -> str:
    for before, after in changes.items():
        text = text.replace(before, after)
    if name.endswith(".wsgi"):
        return _PACKAGES.sub(lambda _: packages_line(places), text)
    return _BY_HAND.sub(f"# Started by {starter}.service.\n", text) if name in _RUN_ELSEWHERE else text


def _apps(deployment: Deployment, rendered: Rendered, site: Site, places: Places) -> Iterator[Process]:
    commands = (rendered.command, *rendered.more_commands)
    upstreams = (site.upstream, *site.more_upstreams)
    for number, (command, upstream) in enumerate(zip(commands, upstreams, strict=True), 1):
        name = places.service if len(commands) == 1 else f"{places.service}-{app_folder(number)}"
        run = Path("/run", name)
        folder = site.folder / app_folder(number) if rendered.apart else site.folder
        alone = deployment.front is None
        yield Process(
            name=name,
            user=places.service,
            command=_installed(command, rendered, places, run),
            folder=folder,
            run=run,
            stop=deployment.stop,
            renew=_SIGNALS.get(deployment.abilities.reload) if alone else None,
            health=_health(deployment, site, upstream),
            is_proxy=False,
            faces_clients=alone,
            ends_tls=deployment.front is None or deployment.front.passes_tls,
        )


def _proxy(deployment: Deployment, rendered: Rendered, site: Site, places: Places) -> Process:
    front = deployment.front
    if front is None or rendered.proxy_command is None:
        raise ValueError("nobody stands in front")
    run = places.proxy_run
    renew = front.renew
    return Process(
        name=places.proxy,
        user=places.proxy,
        command=_installed(rendered.proxy_command, rendered, places, run),
        folder=run,
        run=run,
        stop=front.stop,
        renew=_installed(renew, rendered, places, run) if isinstance(renew, tuple) else renew,
        health=("--insecure", f"https://{site.reachable_authority}/health"),
        is_proxy=True,
        faces_clients=True,
        ends_tls=not front.passes_tls,
    )


def _installed(command: tuple[str, ...], rendered: Rendered, places: Places, run: Path) -> tuple[str, ...]:
    """Return a command as it is run where all is installed: programs and files by their whole paths."""
    ours = {
        sys.executable: str(places.python),
        str(Path(sys.executable).with_name("pyuwsgi")): str(places.environment / "bin" / "pyuwsgi"),
        str(places.configuration): str(run),  # where its server may write
        **{name: str(places.configuration / name) for name in rendered.files},
    }
    known = {word: path for name, path in _SYSTEM.items() for word in (name, which(name) or name)}
    first, *others = command
    return (ours.get(first) or known[first], *(ours.get(word, known.get(word, word)) for word in others))


def _health(deployment: Deployment, site: Site, upstream: Upstream | None) -> tuple[str, ...] | None:
    if deployment.front is None:
        return ("--insecure", f"https://{site.reachable_authority}/health")
    if upstream is None or deployment.front.over_uwsgi:
        return None
    if upstream.socket is not None:
        return ("--unix-socket", str(upstream.socket), "http://localhost/health")
    if deployment.front.passes_tls:
        return ("--insecure", f"https://{upstream.authority}/health")
    return (f"http://{upstream.authority}/health",)
