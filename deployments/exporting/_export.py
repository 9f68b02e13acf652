"""All files of an export, as text: configuration, units, containers, what to install, and a page that says how."""

import re
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from certs import CertificateFiles
from deployments._name import DeploymentName
from deployments._registry import find
from deployments._templates import render_template
from deployments._types import Abilities, Deployment, Reload, SeveralWorkers
from deployments.exporting._options import HTTPS_PORT, ExportOptions
from deployments.exporting._places import Places
from deployments.exporting._rendering import ENVIRONMENT_FILE, PYTHON, Process, Service, service
from deployments.exporting._requirements import requirements
from deployments.exporting._wheel import wheel

_EXAMPLE: Final = "device.example"
_IMAGE: Final = "debian:bookworm-slim"  # whose programs were measured, and whose Python is PYTHON
_UID: Final = 10001  # in images: high, so that it is nobody's on the host
# Longer than any server waits of its own accord: Hypercorn gives idle TLS clients 30 s.
_PATIENCE_S: Final = 40
_APPLICATION: Final = ("certs", "device_api", "digest_auth")
_APPLICATION_NEEDS: Final = ("cryptography", "pyopenssl", "sqlalchemy")
_PYTHON_PACKAGE: Final = "python3-venv"
_CURL: Final = "curl"  # asks a container for its health
_ANY: Final = frozenset({"0.0.0.0", "::"})
# Programs whose package brings a service that would want the same ports.
_WITH_SERVICE: Final = ("apache2", "caddy", "haproxy", "nginx")


@dataclass(frozen=True, slots=True)
class Export:
    """What is to be written into a folder: content by name, and which of it are programs."""

    files: Mapping[str, bytes]
    runnable: frozenset[str]


def exported(name: str | DeploymentName, options: ExportOptions) -> Export:
    """Return a deployment as its user installs it. Writes and starts nothing. Raises DeploymentError."""
    deployment = find(name)
    what = service(deployment, options)
    places = options.places
    wheel_name, wheel_content = wheel((*_APPLICATION, f"{deployment.name.app}_impl"))
    needs = {*deployment.needs, deployment.name.app, *_APPLICATION_NEEDS}
    script = f"{places.service}-certificate"
    files = {
        **{f"etc/{name}": text for name, text in what.files.items()},
        **{f"systemd/{process.name}.service": _unit(deployment, process, what, options) for process in what.processes},
        script: _certificate_script(deployment, what, places),
        "requirements.txt": requirements(needs),
    }
    if options.host in _ANY:  # a container has addresses of its own
        files["Containerfile"] = _containerfile(deployment, what, places, wheel_name)
        files["compose.yaml"] = _compose(deployment, what, options)
    files["README.md"] = _readme(deployment, what, options, wheel_name)
    content = {name: text.encode() for name, text in files.items()}
    return Export({**content, wheel_name: wheel_content}, frozenset({script}))


def _unit(deployment: Deployment, process: Process, what: Service, options: ExportOptions) -> str:
    places = options.places
    state = () if process.is_proxy else (places.state,)
    over_socket = deployment.front is not None and deployment.front.over_socket
    return render_template(
        "export/unit.service.j2",
        process=process,
        service=places.service,
        description=f"Network device API, {deployment.name}{': proxy' if process.is_proxy else ''}",
        behind=[f"{app.name}.service" for app in what.apps] if process.is_proxy else [],
        joins=places.service if process.is_proxy and over_socket else None,
        environment_file=places.configuration / ENVIRONMENT_FILE,
        command=" ".join(map(_systemd_word, process.command)),
        reload=_exec_reload(process),
        patience_s=_PATIENCE_S,
        port=options.port,
        writes=[*state, process.run],
        shares=not process.is_proxy and "DEVICE_REPLAY_STORE" in what.files[ENVIRONMENT_FILE],
    )


def _systemd_word(word: str) -> str:
    """Write a word of a command as systemd reads it: `%` and `$` stand for themselves when they are doubled."""
    doubled = word.replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[A-Za-z0-9@%$+=:,./_-]+", doubled):
        return doubled
    escaped = doubled.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _exec_reload(process: Process) -> str | None:
    if process.renew is None:
        return None
    if isinstance(process.renew, signal.Signals):
        return f"/bin/kill -{process.renew.name.removeprefix('SIG')} $MAINPID"
    return " ".join(map(_systemd_word, process.renew))


def _certificate_script(deployment: Deployment, what: Service, places: Places) -> str:
    return render_template(
        "export/certificate.sh.j2",
        service=places.service,
        reader=what.ends_tls.user,
        tls=places.tls,
        files=places.certificate,
        told=_told(deployment, what),
    )


def _told(deployment: Deployment, what: Service) -> str | None:
    """Return the command by which a new certificate is served at once; None: it is noticed."""
    renewing = next((process for process in what.processes if process.renew is not None), None)
    if renewing is not None:
        return f"systemctl try-reload-or-restart {renewing.name}.service"
    if deployment.abilities.reload is Reload.RESTART:
        return f"systemctl try-restart {what.processes[-1].name}.service"
    return None


def _packages(deployment: Deployment, *, proxy: bool) -> tuple[str, ...]:
    """Return the Debian packages of the proxy, or those of the application's server."""
    return tuple(program.package for program in deployment.programs) if proxy == (deployment.front is not None) else ()


def _containerfile(deployment: Deployment, what: Service, places: Places, wheel_name: str) -> str:
    return render_template(
        "export/Containerfile.j2",
        name=deployment.name,
        image=_IMAGE,
        uid=_UID,
        service=places.service,
        state=places.state,
        environment=places.environment,
        configuration=places.configuration,
        wheel=wheel_name,
        app_packages=(_PYTHON_PACKAGE, _CURL, *_packages(deployment, proxy=False)),
        proxy_packages=(_CURL, *_packages(deployment, proxy=True)),
        runs=[app.run for app in what.apps],
        app=what.apps[0],
        proxy=what.proxy,
    )


def _compose(deployment: Deployment, what: Service, options: ExportOptions) -> str:
    places, several = options.places, len(what.processes) > 1
    upstream = what.site.upstream
    ports = [f"{options.port}:{options.port}"]
    if deployment.abilities.http_3:
        ports.append(f"{options.port}:{options.port}/udp")
    return render_template(
        "export/compose.yaml.j2",
        name=deployment.name,
        processes=what.processes,
        pod=_POD if several else None,
        shares=len(what.apps) > 1,
        ports=ports,
        port=options.port,
        uid=_UID,
        patience_s=_PATIENCE_S,
        environment_file=places.configuration / ENVIRONMENT_FILE,
        tls=places.tls,
        state=places.state,
        socket=None if upstream is None else upstream.socket,
    )


def _readme(deployment: Deployment, what: Service, options: ExportOptions, wheel_name: str) -> str:
    places = options.places
    host_name = options.domain or _EXAMPLE
    pair = options.certificate
    several = deployment.workers.several if options.workers > 1 else None
    warnings = (deployment.warning, several and several.warning)
    told = _told(deployment, what)
    return render_template(
        "export/README.md.j2",
        name=deployment.name,
        deployment=deployment,
        threads=what.site.threads,
        workers=options.workers,
        pinned=options.group is not None,
        warnings=[warning for warning in warnings if warning],
        places=places,
        proxy=what.proxy,
        wheel=wheel_name,
        containers=options.host in _ANY,
        embeds="application.wsgi" in what.files,
        python=PYTHON,
        domain=options.domain,
        host_name=host_name,
        packages=[program.package for program in deployment.programs],
        their_services=[f"{program.name}.service" for program in deployment.programs if program.name in _WITH_SERVICE],
        users=[(process.user, _home(process, places)) for process in (what.apps[0], what.proxy) if process is not None],
        certificate=None if pair is None else CertificateFiles(pair.chain.absolute(), pair.key.absolute()),
        files=places.certificate,
        chain=f"/etc/letsencrypt/live/{host_name}/fullchain.pem" if pair is None else pair.chain.absolute(),
        key=f"/etc/letsencrypt/live/{host_name}/privkey.pem" if pair is None else pair.key.absolute(),
        units=[f"{process.name}.service" for process in what.processes],
        url=f"https://{host_name}" + ("" if options.port == HTTPS_PORT else f":{options.port}"),
        port=options.port,
        renewal=_RENEWALS[deployment.abilities.reload],
        told=told,
        stopping=_stopping(several or deployment.abilities),
        pod=len(what.processes) > 1,
        first=what.apps[0].name,
        uid=_UID,
        container_renewal=_container_renewal(deployment, what),
        abilities=[*_abilities(deployment)],
    )


def _home(process: Process, places: Places) -> Path:
    return process.run if process.is_proxy else places.state


def _stopping(claimed: Abilities | SeveralWorkers) -> str:
    if claimed.stop_finishes_requests:
        return "What is being answered is finished first."
    return "What is being answered is cut."


def _container_renewal(deployment: Deployment, what: Service) -> str:
    again = "A renewed pair is put there by the same lines;"
    renewing = next((process for process in what.processes if process.renew is not None), None)
    if renewing is None:
        if deployment.abilities.reload is Reload.RESTART:
            return f"{again} then `docker compose restart {what.processes[-1].name}`, which cuts what runs."
        return f"{again} it is noticed within a second."
    if isinstance(renewing.renew, signal.Signals):
        return f"{again} then `docker compose kill --signal {renewing.renew.name} {renewing.name}`."
    return f"{again} then `docker compose exec {renewing.name} {' '.join(renewing.renew or ())}`."


def _abilities(deployment: Deployment) -> Iterator[tuple[str, str]]:
    abilities = deployment.abilities
    versions = [*(version for version in abilities.alpn if version != _HTTP_1), _HTTP_1]
    yield "TLS by", abilities.tls_stack.value
    yield "HTTP versions", ", ".join([*versions, "h3"] if abilities.http_3 and "h3" not in versions else versions)
    yield "more than one request on a connection", "yes" if abilities.keep_alive else "no"
    yield "a TLS handshake runs", abilities.handshake.value
    yield "request target, which Digest signs", abilities.raw_target.value
    yield "client certificates, if asked for", abilities.client_certificates.value
    yield "several processes", "yes" if deployment.workers.several else f"no: {deployment.workers.refusal}"
    resumed = abilities.resumption
    ways = {"tickets": resumed.tls_1_3_ticket, "ids": resumed.tls_1_2_session_id}
    yield "TLS sessions resumed by", ", ".join(way for way, can in ways.items() if can) or "nothing"
    if deployment.refuses:
        yield (
            "targets that get 400 before the application",
            " ".join(f"`{each}`" for each in sorted(deployment.refuses)),
        )


_HTTP_1: Final = "http/1.1"
_POD: Final = "pod"
_RENEWALS: Final[Mapping[Reload, str]] = {
    Reload.WATCHED: "That is noticed within a second: nobody has to be told, and no connection is touched.",
    Reload.WATCHED_OR_SIGHUP: "That is noticed within a second, and at once when told, which the script does; no "
    "connection is touched.",
    Reload.SIGHUP: "New workers then take the place of the old ones; connections that are being made at that moment "
    "may be cut.",
    Reload.SIGUSR1: "Apache then starts anew inside; requests that come at that moment may get 503.",
    Reload.ASKED: "The proxy is then told to reload; kept connections are closed between two requests.",
    Reload.ASKED_CUTS_NEW: "The proxy is then told to reload; a connection that is being made at that moment may be "
    "reset.",
    Reload.RESTART: "The server reads it only when it starts, so that it is started anew: what runs is cut, and for a "
    "moment nobody is let in.",
}
