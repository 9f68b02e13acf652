"""docs/certificates.md, "Behind a proxy", played from the first file to a renewal under load, for one proxy at a time.

Each is a function of the site; what the page has its reader type or write comes from the page.
"""

import contextlib
import getpass
import grp
import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from device_api.state import read_credentials
from tests.lets_encrypt.machine import Machine, page_command
from tests.lets_encrypt.pebble import Certbot, Pebble, free_port, running, trusting
from tests.lets_encrypt.traffic import Client, Traffic, leaf, replaced_s, traffic, wait_until
from tests.requirements import require_program

NAME: Final = "device.example"
SYSTEM_STATE: Final = "/restconf/data/ietf-system:system-state"
PATH: Final = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"  # where Debian has servers; not in everybody's PATH

_APP: Final = "127.0.0.1:8000"
_LIVE: Final = f"/etc/letsencrypt/live/{NAME}/fullchain.pem"


@dataclass(frozen=True, slots=True)
class Site:
    """What the proxy has in front of it and behind it."""

    machine: Machine
    pebble: Pebble
    app_port: int
    credentials: Path  # of the app

    @property
    def port(self) -> int:
        """In place of 443; the one that Pebble looks at, because Caddy may answer there."""
        return self.pebble.tls_port

    def certbot(self, *, http_port: int | None = None) -> Certbot:
        folder = self.machine.at("/etc/letsencrypt")
        return Certbot.prepared(self.pebble, folder, self.machine.programs, http_port=http_port)


@dataclass(frozen=True, slots=True)
class Renewed:
    """What a proxy and its clients met."""

    met: Traffic
    before: bytes  # certificates, DER
    after: bytes
    replaced_s: float
    signed_status: int  # of a request with Digest
    redirect: str  # where a request for / on port 80 is sent


Play = Callable[[Site], Renewed]


def nginx(site: Site) -> Renewed:
    program = _program("nginx", "nginx-light")
    machine = site.machine
    main, log, pid = machine.at("/etc/nginx/nginx.conf"), machine.folder / "nginx.log", machine.at("/run/nginx.pid")
    temporary = "".join(
        f"{kind}_temp_path {machine.folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    machine.install(
        "/etc/nginx/conf.d/acme.conf",
        {"listen 80;": f"listen 127.0.0.1:{site.pebble.http_port};", **_ipv6("listen [::]:80;", site.pebble.http_port)},
    )
    main.write_text(
        f"daemon off; pid {pid}; error_log {log}; worker_processes 2;{_nginx_user()}\n"
        f"events {{}}\nhttp {{ access_log off; {temporary} include {main.parent}/conf.d/*.conf; }}\n"
    )
    command = [program, "-e", str(log), "-c", str(main)]
    machine.unit("nginx.service", f'test "$1" = reload\n{" ".join(command)} -s reload')
    certbot = site.certbot()
    machine.at("/var/www/acme").mkdir(parents=True)
    with running(command, log, port=site.pebble.http_port):
        certbot.run(machine.placed(page_command("certbot", "--webroot", "systemctl reload nginx.service")))
        machine.install(
            "/etc/nginx/conf.d/device.conf",
            {
                "listen 443 ssl": f"listen 127.0.0.1:{site.port} ssl",
                **_ipv6("listen [::]:443 ssl http2;", site.port, " ssl http2"),
                _APP: f"127.0.0.1:{site.app_port}",
            },
        )
        subprocess.run([machine.programs / "systemctl", "reload", "nginx.service"], check=True)
        return _renewed(site, certbot)


def apache(site: Site) -> Renewed:
    program, control = _program("apache2", "apache2"), _program("apachectl", "apache2")
    machine = site.machine
    folder = machine.at("/etc/apache2")
    shutil.copytree("/etc/apache2", folder, symlinks=True)
    run, log = machine.at("/run/apache2"), machine.folder / "apache.log"
    run.mkdir()
    user = "www-data" if os.geteuid() == 0 else getpass.getuser()
    places = {"RUN_USER": user, "RUN_GROUP": _group_of(user), "PID_FILE": run / "pid", "RUN_DIR": run}
    places |= {"LOCK_DIR": run, "LOG_DIR": run}
    (folder / "envvars").write_text("".join(f"export APACHE_{name}={value}\n" for name, value in places.items()))
    (folder / "ports.conf").write_text(
        f"Listen 127.0.0.1:{site.pebble.http_port}\n"
        f"<IfModule ssl_module>\nListen 127.0.0.1:{site.port} https\n</IfModule>\nServerName localhost\n"
    )
    machine.install("/etc/apache2/sites-available/acme.conf", {"*:80": f"*:{site.pebble.http_port}"})
    environ = {"APACHE_CONFDIR": str(folder), "PATH": f"{machine.programs}{os.pathsep}{PATH}"}
    settings = " ".join(f"{name}='{value}'" for name, value in environ.items())
    machine.unit(
        "apache2.service",
        f"export {settings}\ncase $1 in reload) {control} graceful ;; restart) {control} restart ;; esac",
    )
    machine.at("/var/www/acme").mkdir(parents=True)
    certbot = site.certbot()
    _type(page_command("a2ensite", "acme"), environ)
    start = f"set -a; . {folder}/envvars; exec {program} -d {folder} -DFOREGROUND"
    with running(["sh", "-c", start], log, port=site.pebble.http_port, environ=environ, stop=signal.SIGTERM):
        certbot.run(machine.placed(page_command("certbot", "--webroot", "systemctl reload apache2.service")))
        machine.install(
            "/etc/apache2/sites-available/device.conf",
            {"*:443": f"*:{site.port}", _APP: f"127.0.0.1:{site.app_port}"},
        )
        for words in (["a2enmod"], ["a2ensite", "device"], ["apachectl", "configtest"], ["restart", "apache2.service"]):
            _type(page_command(*words), environ)
        return _renewed(site, certbot)


def haproxy(site: Site) -> Renewed:
    program = _program("haproxy", "haproxy")
    machine = site.machine
    certbot_port = free_port()
    file = machine.install(
        "/etc/haproxy/haproxy.cfg",
        {
            "user haproxy": f"user {getpass.getuser()}",
            "group haproxy": f"group {_group_of(getpass.getuser())}",
            "bind :::80 v4v6": f"bind 127.0.0.1:{site.pebble.http_port}",
            "bind :::443 v4v6": f"bind 127.0.0.1:{site.port}",
            "127.0.0.1:8888": f"127.0.0.1:{certbot_port}",
            _APP: f"127.0.0.1:{site.app_port}",
        },
    )
    machine.at("/run/haproxy").mkdir()
    machine.at("/etc/haproxy/certs").mkdir(mode=0o700)
    machine.install("/usr/local/sbin/haproxy-certificate")
    certbot = site.certbot(http_port=certbot_port)
    with running(
        [program, "-W", "-db", "-f", str(file)], machine.folder / "haproxy.log", port=site.pebble.http_port
    ) as process:
        # What Debian's unit does at a reload.
        machine.unit("haproxy.service", f'test "$1" = reload\n{program} -c -q -f {file}\n/bin/kill -USR2 {process.pid}')
        command = page_command("certbot", "/usr/local/sbin/haproxy-certificate")
        assert " --http-01-port 8888 " in command
        certbot.run(machine.placed(command).replace(" --http-01-port 8888 ", " "))
        return _renewed(site, certbot)


def caddy_with_certbot(site: Site) -> Renewed:
    program = _program("caddy", "caddy")
    machine = site.machine
    file, socket_file = machine.at("/etc/caddy/Caddyfile"), machine.at("/run/caddy.sock")
    machine.install(
        "/usr/local/sbin/device-certificate", {"-g device": f"-g {_group_of(getpass.getuser())}", "device": "caddy"}
    )
    machine.at("/usr/local/sbin/device-certificate").rename(machine.at("/usr/local/sbin/caddy-certificate"))
    machine.install("/etc/caddy/sites/acme")
    file.write_text(f"{{\n{_caddy_places(site)}\n}}\nimport {file.parent}/sites/*\n")
    machine.at("/var/www/acme").mkdir(parents=True)
    certbot = site.certbot()
    # What Debian's unit does at a reload; the sites' files are new to it each time.
    machine.unit(
        "caddy.service",
        f'test "$1" = reload || test "$1" = try-reload-or-restart\n'
        f"{program} reload --config {file} --address unix/{socket_file} --force",
    )
    with _running_caddy(site, program, file, port=site.pebble.http_port):
        certbot.run(machine.placed(page_command("certbot", "--webroot", "/usr/local/sbin/caddy-certificate")))
        machine.install("/etc/caddy/sites/device", {_APP: f"127.0.0.1:{site.app_port}"})
        subprocess.run([machine.programs / "systemctl", "reload", "caddy.service"], check=True)
        return _renewed(site, certbot)


def caddy_by_itself(site: Site) -> Renewed:
    """Caddy as an ACME client. The site's Pebble issues for seconds, so that Caddy renews while one looks on."""
    program = _program("caddy", "caddy")
    acme = f"acme_ca {site.pebble.directory_url}\nacme_ca_root {site.pebble.own_ca}\nrenew_interval 1s"
    file = site.machine.install(
        "/etc/caddy/Caddyfile",
        {
            "email you@example.com": f"email you@{NAME}\n{acme}\n{_caddy_places(site)}",
            _APP: f"127.0.0.1:{site.app_port}",
        },
    )
    with _running_caddy(site, program, file, port=site.port):
        client = Client(site.port, trusting(site.pebble))
        wait_until(lambda: _is_served(client), "Caddy has a certificate")
        extras = _extras(site)
        with traffic(client) as met:
            wait_until(lambda: len(met.shown_since(0)) > 1, "Caddy renews", timeout_s=20)
            asked = met.requests
            wait_until(lambda: met.requests > asked + 20, "clients go on")
        first, second = sorted(met.shown_since(0), key=met.last_shown_s)[:2]
        return Renewed(met, first, second, met.first_shown_s(second), *extras)


PLAYS: Final[Mapping[str, Play]] = {
    "nginx": nginx,
    "apache": apache,
    "haproxy": haproxy,
    "caddy-certbot": caddy_with_certbot,
    "caddy": caddy_by_itself,
}


def _renewed(site: Site, certbot: Certbot) -> Renewed:
    """Renew under load, as the page says."""
    live = site.machine.at(_LIVE)
    client = Client(site.port, trusting(site.pebble))
    wait_until(lambda: _is_served(client), "the proxy serves the first certificate")
    before = leaf(live)
    extras = _extras(site)
    with traffic(client) as met:
        wait_until(lambda: met.requests > 20, "the proxy answers")
        certbot.run(page_command("certbot", "renew", "--force-renewal"))
        after = leaf(live)
        wait_until(lambda: after in met.shown_since(0), "a client is shown the new certificate")
        # What the proxy's old processes still have to do, they do now.
        asked = met.requests
        wait_until(lambda: met.requests > asked + 100, "clients go on")
    return Renewed(met, before, after, replaced_s(live), *extras)


def _is_served(client: Client) -> bool:
    try:
        with contextlib.closing(client.connect()) as connection:
            client.ask(connection)
    except OSError:
        return False
    return True


def _extras(site: Site) -> tuple[int, str]:
    """Status of a request with Digest, and the redirect from port 80."""
    with httpx.Client(
        verify=trusting(site.pebble), headers={"Host": NAME}, trust_env=False, auth=_digest(site)
    ) as client:
        signed = client.get(
            f"https://127.0.0.1:{site.port}{SYSTEM_STATE}", extensions={"sni_hostname": NAME}
        ).status_code
        answer = client.get(f"http://127.0.0.1:{site.pebble.http_port}/a/b?c=d", auth=None)
    assert answer.status_code == 308, answer
    return signed, answer.headers["Location"]


def _digest(site: Site) -> httpx.DigestAuth:
    return httpx.DigestAuth(*read_credentials(site.credentials))


@contextlib.contextmanager
def _running_caddy(site: Site, program: str, file: Path, *, port: int) -> Iterator[None]:
    environ = {"XDG_DATA_HOME": str(site.machine.at("/var/lib/caddy")), "XDG_CONFIG_HOME": str(site.machine.folder)}
    command = [program, "run", "--config", str(file), "--adapter", "caddyfile"]
    with running(command, site.machine.folder / "caddy.log", port=port, environ=environ):
        yield


def _caddy_places(site: Site) -> str:
    return (
        f"admin unix/{site.machine.at('/run/caddy.sock')}\ndefault_bind 127.0.0.1\n"
        f"http_port {site.pebble.http_port}\nhttps_port {site.port}\nservers {{\nprotocols h1 h2\n}}"
    )


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path=PATH)
    return found if found is not None else require_program(name, package)


def _type(command: str, environ: Mapping[str, str]) -> None:
    """Run what the page has its reader type."""
    subprocess.run(shlex.split(command), env={**os.environ, **environ}, check=True, stdout=subprocess.DEVNULL)


def _group_of(user: str) -> str:
    return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name


def _nginx_user() -> str:
    return f" user {getpass.getuser()};" if os.geteuid() == 0 else ""


def _ipv6(line: str, port: int, options: str = "") -> dict[str, str]:
    """What becomes of a line that listens for IPv6 as well: not every machine has it."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return {line: ""}
    return {line: f"listen [::1]:{port}{options};"}
