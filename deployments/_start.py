"""From a name and options to a server that answers."""

import os
import socket
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

import certs
from certs import CertificateError
from deployments._errors import DeploymentError
from deployments._groups import check_group_of, group_of
from deployments._name import DeploymentName
from deployments._options import ServeOptions
from deployments._process import ServerProcess
from deployments._readiness import NotReadyError, Refusal, wait_until_app_answers, wait_until_ready
from deployments._registry import describe
from deployments._running import RunningServer, log_tail
from deployments._stacks import TlsStack, why_not
from deployments._together import Together
from deployments._types import ClientCertificates, Deployment, Reload, Rendered, Site, Upstream, app_folder
from device_api.settings import Settings, SettingsError
from device_api.state import StateError, open_state
from digest_auth import ShmReplayStore, StoreUnavailableError

_OPENSSL_FILE: Final = "openssl.cnf"
_ENVIRONMENT_FILE: Final = "device.env"
_SOCKET: Final = "app.sock"
_PORT_TRIES: Final = 3  # another program may take a free port between our choice and the server's bind

# A measured server must not depend on what happens to be set in the shell that measures. Most of Python's own variables
# change its speed (PYTHONDEVMODE, PYTHONASYNCIODEBUG, PYTHONMALLOC, PYTHONTRACEMALLOC, PYTHONPERFSUPPORT), what is run
# (PYTHONOPTIMIZE, PYTHON_JIT, PYTHONWARNINGS), what is logged (PYTHONPROFILEIMPORTTIME, PYTHONUNBUFFERED) or what a
# crash does (PYTHONFAULTHANDLER); with a fixed PYTHONHASHSEED the luck of one seed is in every trial, and no interval
# says so. There are more with each version: so all are left behind but those that are named.
_NOT_INHERITED: Final = (
    *("DEVICE_", "FLASK_", "QUART_"),
    *("WERKZEUG_", "GUNICORN_", "UVICORN_", "HYPERCORN_", "GRANIAN_"),
    "PYTHON",
)
_NOT_INHERITED_NAMES: Final = frozenset({"WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "OPENSSL_CONF"})
_INHERITED_NAMES: Final = frozenset(
    {
        # Where modules are found.
        *("PYTHONPATH", "PYTHONHOME", "PYTHONPLATLIBDIR", "PYTHONSAFEPATH", "PYTHONNOUSERSITE", "PYTHONUSERBASE"),
        # Where their compiled form is kept.
        *("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"),
        # How the names of files are read.
        *("PYTHONUTF8", "PYTHONCOERCECLOCALE"),
    }
)


def render(deployment: Deployment, options: ServeOptions, site: Site) -> Rendered:
    """Return the files, command and variables of a deployment. Writes nothing; the same for the same input.

    Two files are common to all: the device's settings, which is also its environment (a systemd unit reads it
    as EnvironmentFile), and OpenSSL's configuration, which pins the key-exchange group.
    """
    launch = deployment.launch(site)
    environment = {
        **_device_settings(options, site, overlaps=deployment.abilities.reload is Reload.SIGHUP),
        **launch.environment,
        "OPENSSL_CONF": str(site.folder / _OPENSSL_FILE),
    }
    files = {
        **launch.files,
        _ENVIRONMENT_FILE: "".join(f"{name}={_quoted(value)}\n" for name, value in environment.items()),
        _OPENSSL_FILE: certs.openssl_configuration(group_of(deployment.abilities.tls_stack, options.group)),
    }
    return Rendered(
        files=files,
        command=launch.command,
        environment=environment,
        proxy_command=launch.proxy_command,
        links=launch.links,
        more_commands=launch.more_commands,
        apart=launch.apart,
    )


def check(name: str | DeploymentName, options: ServeOptions) -> Deployment:
    """Return the deployment if it can be served so, as far as that is known without trying. Raises DeploymentError."""
    (described,) = describe(name)
    deployment = described.deployment
    if described.missing:
        missing = " and ".join(described.missing)
        raise DeploymentError(f"{deployment.name} needs {missing}, not installed here; {deployment.install}")
    hindrance = deployment.hindrance()
    if hindrance is not None:
        raise DeploymentError(f"{deployment.name} {hindrance}")
    deployment.threads.chosen(deployment.name, options.threads)
    deployment.workers.check(deployment.name, options.workers)
    deployment.check_tls(options.tls)
    group = group_of(deployment.abilities.tls_stack, options.group)
    if group is not None and options.tls_versions:
        check_group_of(deployment.abilities.tls_stack, group)
    return deployment


def start(
    name: str | DeploymentName,
    options: ServeOptions,
    *,
    cpus: frozenset[int] | None = None,
    log: Path | None = None,
    startup_timeout_s: float = 15.0,
) -> RunningServer:
    """Serve a deployment; return once its application answers.

    cpus: the processors that it may use, None for all of ours. log: where its output is appended; None is a
    file that goes with the server. The state folder is made if need be, and nothing of the caller's DEVICE_*
    variables reaches the server. Raises DeploymentError.
    """
    deployment = check(name, options)
    threads = deployment.threads.chosen(deployment.name, options.threads)
    try:
        state = open_state(options.state)
        certificate = state.certificate(options.certificate_kind) if options.tls_versions else None
        if options.client_ca is not None:
            # Says what is wrong with the file better than any server.
            trusted = certs.client_context(options.client_ca).cert_store_stats()["x509"]
            deployment.check_client_cas(trusted)
    except (StateError, CertificateError) as error:
        raise DeploymentError(str(error)) from error
    for _ in range(_PORT_TRIES):
        # Its name is that of shared memory too, which may have no @.
        folder = tempfile.TemporaryDirectory(prefix=f"bench-{str(deployment.name).replace('@', '-')}-")
        try:
            upstream, *more_upstreams = _upstreams(deployment, options.workers, Path(folder.name)) or (None,)
            site = Site(
                folder=Path(folder.name),
                host=options.host,
                port=_port(options.host, options.port),
                certificate=certificate,
                tls_versions=options.tls_versions,
                client_certificates=options.asked_of_clients,
                threads=threads,
                workers=options.workers,
                group=group_of(deployment.abilities.tls_stack, options.group),
                upstream=upstream,
                more_upstreams=tuple(more_upstreams),
            )
            log_file = log or site.folder / "server.log"
            together = _started(deployment, options, site, log_file, cpus, startup_timeout_s, state.ca_file)
        except _PortTakenError:
            folder.cleanup()
            continue
        except BaseException:
            folder.cleanup()
            raise
        return RunningServer(
            deployment.name,
            together,
            url=f"{'https' if certificate else 'http'}://{site.reachable_authority}",
            ca_file=state.ca_file if certificate else None,
            credentials_file=state.credentials_file,
            threads=threads,
            workers=options.workers,
            reload=deployment.abilities.reload,
            front=deployment.front,
            log=log_file,
            folder=folder,
        )
    raise DeploymentError(
        f"{deployment.name}: another program took each of {_PORT_TRIES} free ports; choose one with --port"
    )


class _PortTakenError(Exception):
    """Somebody else was quicker; only where any port will do."""


def _started(
    deployment: Deployment,
    options: ServeOptions,
    site: Site,
    log: Path,
    cpus: frozenset[int] | None,
    timeout_s: float,
    ca_file: Path,
) -> Together:
    """Write the files, start the server and who stands in front, wait for an answer; stop both if there is none."""
    rendered = render(deployment, options, site)
    _check_settings(rendered.environment)
    _write(rendered, site.folder)
    context = certs.client_context(ca_file, versions=site.tls_versions) if site.certificate else None
    refusal = _refusal_of_us(deployment, options, site.group)
    environment = {**_inherited(os.environ), **rendered.environment}
    process = partial(ServerProcess, environment=environment, log=log, cpus=cpus, site=site.folder)
    folders = [site.folder / (app_folder(number + 1) if rendered.apart else "") for number in range(options.workers)]
    together = Together(
        process(rendered.command, folder=folders[0], remains=_replay_table(rendered.environment)),
        app_stop=deployment.stop,
    )
    until_s = time.monotonic() + timeout_s
    try:
        for command, folder in zip(rendered.more_commands, folders[1:], strict=False):
            together = together.beside(process(command, folder=folder))
        front, upstream = deployment.front, site.upstream
        if front is not None and upstream is not None and rendered.proxy_command is not None:
            # Not before: it would answer, and log, that nobody is there.
            for each in (upstream, *site.more_upstreams):
                left_s = until_s - time.monotonic()
                if front.passes_tls:
                    wait_until_ready(together, each.host, each.port, context, refusal=refusal, timeout_s=left_s)
                else:
                    wait_until_app_answers(together, each, over_uwsgi=front.over_uwsgi, timeout_s=left_s)
            together = together.behind(process(rendered.proxy_command, folder=site.folder), front.stop)
        wait_until_ready(
            together,
            site.reachable_host,
            site.port,
            context,
            refusal=refusal,
            timeout_s=until_s - time.monotonic(),
        )
    except NotReadyError as error:
        together.stop(0.0)
        if error.status is not None and _was_taken(options, site):
            raise _PortTakenError from error
        raise _not_ready(deployment, error, log_tail(log), timeout_s) from error
    except BaseException:
        together.stop(0.0)
        raise
    return together


def _upstreams(deployment: Deployment, workers: int, folder: Path) -> tuple[Upstream, ...]:
    """Return where the processes of the application listen behind a proxy; none where it has none."""
    if deployment.front is None:
        return ()
    if deployment.front.over_socket:
        return (Upstream(socket=folder / _SOCKET),)
    ports: set[int] = set()
    while len(ports) < (workers if deployment.front.balances else 1):
        ports.add(_port("127.0.0.1", 0))
    return tuple(Upstream(port=port) for port in ports)


def _replay_table(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Make the table that the workers will share, so that what is wrong with it is said here; return its file."""
    kind, _, name = environment.get("DEVICE_REPLAY_STORE", "").partition(":")
    if kind != "shm":
        return ()
    try:
        table = ShmReplayStore(name)
    except StoreUnavailableError as error:
        raise DeploymentError(str(error)) from error
    table.close()
    return (table.path,)


def _refusal_of_us(deployment: Deployment, options: ServeOptions, group: str | None) -> Refusal | None:
    """Return how the server refuses this process, for want of a certificate or of the group; None: it does not."""
    if group is not None and why_not(TlsStack.STDLIB, group) is not None:
        return Refusal.BY_ALERT
    asked = options.asked_of_clients
    if asked is None or not asked.required:
        return None
    answers = deployment.abilities.client_certificates is ClientCertificates.ANSWERED
    return Refusal.BY_ANSWER if answers else Refusal.BY_ALERT


def _was_taken(options: ServeOptions, site: Site) -> bool:
    """Say whether another program has a port that was free when we chose it."""
    ours = options.port == 0
    return (ours and not _is_free(site.host, site.port)) or any(
        upstream is not None and upstream.socket is None and not _is_free(upstream.host, upstream.port)
        for upstream in (site.upstream, *site.more_upstreams)
    )


def _not_ready(
    deployment: Deployment, error: NotReadyError, tail: tuple[str, ...], timeout_s: float
) -> DeploymentError:
    last_words = f"its last line: {tail[-1].strip()}" if tail else "it wrote nothing"
    if error.status is None:
        fate = f"did not answer within {timeout_s:g} s ({error.last})"
    else:
        fate = f"ended with status {error.status} before it answered"
    return DeploymentError(f"{deployment.name} {fate}; {last_words}", log_tail=tail)


def _device_settings(options: ServeOptions, site: Site, *, overlaps: bool) -> dict[str, str]:
    """Return the DEVICE_* variables of an application that is served so.

    overlaps: for a while after a reload a worker and the one that takes its place both serve; what one challenges the
    other must know.
    """
    settings = {
        "DEVICE_STATE": str(options.state.absolute()),
        "DEVICE_HOST": site.host,
        "DEVICE_PORT": str(site.port),
        "DEVICE_AUTH": options.auth,
        "DEVICE_TLS": "on" if site.certificate else "off",
    }
    if site.certificate is not None:
        settings["DEVICE_TLS_VERSIONS"] = ",".join(sorted(site.tls_versions))
        settings["DEVICE_CERTIFICATE"] = str(site.certificate.chain)
        settings["DEVICE_KEY"] = str(site.certificate.key)
    if site.client_certificates is not None:
        settings["DEVICE_CLIENT_CA"] = str(site.client_certificates.ca)
        settings["DEVICE_CLIENT_CERTIFICATES"] = "required" if site.client_certificates.required else "optional"
    if site.threads is not None:
        settings["DEVICE_THREADS"] = str(site.threads)
    if site.workers > 1:
        settings["DEVICE_WORKERS"] = str(site.workers)
    if (site.workers > 1 or overlaps) and options.auth == "digest":
        settings["DEVICE_REPLAY_STORE"] = f"shm:{site.folder.name}"  # for this start alone, as the folder is
    for name, value in (("ADDED_CPU_US", options.added_cpu_us), ("ADDED_DELAY_MS", options.added_delay_ms)):
        if value:
            settings[f"DEVICE_{name}"] = f"{value!r}"
    return settings


def _check_settings(environment: Mapping[str, str]) -> None:
    """Let the device's own rules speak here, not in the server's log."""
    try:
        Settings.from_environ(environment)
    except SettingsError as error:
        raise DeploymentError(str(error)) from error


def _inherited(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environ.items()
        if name in _INHERITED_NAMES or not (name.startswith(_NOT_INHERITED) or name in _NOT_INHERITED_NAMES)
    }


def _write(rendered: Rendered, folder: Path) -> None:
    for name, text in rendered.files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    for name, target in rendered.links.items():
        (folder / name).symlink_to(target)


def _quoted(value: str) -> str:
    """Write a value as systemd's EnvironmentFile and a shell both read it."""
    if all(letter.isalnum() or letter in "/._-:,+" for letter in value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`")
    return f'"{escaped}"'


def _port(host: str, wanted: int) -> int:
    """Return the port to serve on: a free one for 0. Raises DeploymentError when it is not to be had."""
    try:
        return _bound(host, wanted)
    except OSError as error:
        place = f"port {wanted} on {host}" if wanted else host
        if isinstance(error, PermissionError):
            hint = "it needs privileges that this user lacks; choose a port above 1023"
        elif isinstance(error, socket.gaierror) or wanted == 0:
            hint = f"not an address of this machine ({error.strerror}); choose another host"
        else:
            hint = f"{error.strerror}; end the program that uses it, or choose another with --port (0: any)"
        raise DeploymentError(f"{place}: {hint}") from error


def _is_free(host: str, port: int) -> bool:
    try:
        _bound(host, port)
    except OSError:
        return False
    return True


def _bound(host: str, port: int) -> int:
    """Bind for a moment, the way every server here does: a port in TIME_WAIT counts as free."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        return int(probe.getsockname()[1])
