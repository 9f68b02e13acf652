"""The files that are measured, as text: what a reader takes home is looked at here, not guessed."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest

import certs
import deployments
from certs import CertificateFiles
from deployments import TLS_CHOICES, AskedOfClients, DeploymentError, Reload, Rendered, ServeOptions, Site
from deployments._types import Upstream
from device_api.settings import Settings

CERTIFICATE = CertificateFiles(chain=Path("/c/chain.pem"), key=Path("/c/key.pem"))
OPTIONAL = AskedOfClients(Path("/c/clients.pem"), required=False)
REQUIRED = AskedOfClients(Path("/c/clients.pem"), required=True)


def rendered(
    name: str,
    *,
    tls: str = "1.2+1.3",
    auth: str = "digest",
    group: str | None = certs.PINNED_GROUP,
    folder: Path = Path("/run/here"),
    host: str = "127.0.0.1",
    certificate: CertificateFiles = CERTIFICATE,
    asked: AskedOfClients | None = None,
    workers: int = 1,
    added_cpu_us: float = 0.0,
    added_delay_ms: float = 0.0,
) -> Rendered:
    deployment = deployments.find(name)
    socket = "app.sock" if deployment.front is not None and deployment.front.over_socket else None
    balances = deployment.front is not None and deployment.front.balances
    options = ServeOptions(
        state=Path("/s"),
        tls=tls,
        auth=auth,
        group=group,
        host=host,
        workers=workers,
        added_cpu_us=added_cpu_us,
        added_delay_ms=added_delay_ms,
    )
    site = Site(
        folder=folder,
        host=host,
        port=8443,
        certificate=None if tls == "off" else certificate,
        tls_versions=options.tls_versions,
        client_certificates=asked,
        threads=deployment.threads.count,
        workers=workers,
        group=group,
        upstream=Upstream(port=8000) if socket is None else Upstream(socket=folder / socket),
        more_upstreams=tuple(Upstream(port=8000 + number) for number in range(1, workers if balances else 1)),
    )
    return deployments.render(deployment, options, site)


RENEWING = '''\
def renewing(make_context, *files):
    """Return a context whose connections get the certificate that is in the files now: it is renewed without a restart.

    OpenSSL calls the `sni_callback` in every handshake, also of a client that names no server. The files are looked at
    when a client comes, at most four times a second; while they cannot be used, the certificate from before is.
    """

    def stamp():
        return [(os.stat(file).st_ino, os.stat(file).st_mtime_ns) if os.path.exists(file) else None for file in files]

    seen = stamp()
    kept = newest = make_context()
    look_again_s = 0.0

    def choose(connection, server_name, context):
        nonlocal seen, newest, look_again_s
        if time.monotonic() >= look_again_s:
            look_again_s = time.monotonic() + 0.25
            if (found := stamp()) != seen:
                seen = found
                try:
                    newest = make_context()
                except OSError as error:  # ssl.SSLError is one
                    print(f"{files[0]}: not served yet, the one from before is: {error}", file=sys.stderr, flush=True)
        connection.context = newest

    kept.sni_callback = choose
    return kept
'''

WERKZEUG = f'''\
"""flask-werkzeug: app.run with an ssl_context, as the usual guides do it. Start it with: python serve.py"""

import logging
import os
import ssl
import sys
import time

from werkzeug.serving import WSGIRequestHandler

from flask_impl import app

# No line for each request: no deployment that is compared writes one.
logging.getLogger("werkzeug").setLevel(logging.WARNING)


class ExactTarget(WSGIRequestHandler):
    """Hands over the request target as it was sent, which Digest signs: http.server makes one slash of a leading //."""

    def make_environ(self):
        environ = super().make_environ()
        environ["RAW_URI"] = environ["REQUEST_URI"] = self.requestline.split()[1]
        return environ


{RENEWING}

def make_context():
    """What app.run makes of ssl_context=(certificate, key)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("/c/chain.pem", "/c/key.pem")
    return context


if __name__ == "__main__":
    context = renewing(make_context, "/c/chain.pem", "/c/key.pem")
    app.run(host="127.0.0.1", port=8443, ssl_context=context, request_handler=ExactTarget)
'''

GTHREAD_1_3 = f'''\
"""flask-gunicorn-gthread. Start it with: gunicorn -c gunicorn.conf.py flask_impl:app"""

import os
import ssl
import sys
import time

bind = "127.0.0.1:8443"
workers = 1
worker_class = "gthread"
threads = 16
# Otherwise a client that says nothing more can hold the stop up for 30 s.
graceful_timeout = 5
certfile = "/c/chain.pem"
keyfile = "/c/key.pem"
# Nobody stands in front: believe no X-Forwarded-*, not even from 127.0.0.1.
forwarded_allow_ips = ""
# Otherwise a control socket appears in the home folder.
control_socket_disable = True


{RENEWING}

_kept = None


def ssl_context(conf, default_ssl_context_factory):
    """One context for all connections. Without this each gets its own: dear, and no session is ever resumed."""
    global _kept

    def one_version():
        context = default_ssl_context_factory()
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
        return context

    if _kept is None:
        _kept = renewing(one_version, conf.certfile, conf.keyfile)
    return _kept
'''

SYNC = '''\
"""flask-gunicorn-sync. Start it with: gunicorn -c gunicorn.conf.py flask_impl:app"""

bind = "127.0.0.1:8443"
workers = 1
worker_class = "sync"
certfile = "/c/chain.pem"
keyfile = "/c/key.pem"
# Nobody stands in front: believe no X-Forwarded-*, not even from 127.0.0.1.
forwarded_allow_ips = ""
# Otherwise a control socket appears in the home folder.
control_socket_disable = True
'''

HYPERCORN_1_2 = f'''\
"""quart-hypercorn-uvloop. Start it with: hypercorn --config file:hypercorn.conf.py quart_impl:app"""

import os
import ssl
import sys
import time

from hypercorn.config import Config

bind = ["127.0.0.1:8443"]
worker_class = "uvloop"
# 0 is one worker in the process itself: at SIGTERM it finishes what runs; there is no second process to cut it.
workers = 0
certfile = "/c/chain.pem"
keyfile = "/c/key.pem"


{RENEWING}

_create_ssl_context = Config.create_ssl_context


def _renewing_context(config):
    """Hypercorn has no setting for this. This file runs in the process that serves."""

    def make_context():
        context = _create_ssl_context(config)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context

    return renewing(make_context, config.certfile, config.keyfile)


Config.create_ssl_context = _renewing_context
'''

UVICORN_CLIENTS = f'''\
"""quart-uvicorn. Start it with: python serve.py"""

import os
import ssl
import sys
import time

import uvicorn


{RENEWING}

def ssl_context(config, default_ssl_context_factory):
    """Uvicorn's context, renewed with the files."""
    return renewing(default_ssl_context_factory, config.ssl_certfile, config.ssl_keyfile)


if __name__ == "__main__":
    uvicorn.run(
        "quart_impl:app",
        host="127.0.0.1",
        port=8443,
        loop="asyncio",
        http="httptools",
        workers=1,
        access_log=False,
        proxy_headers=False,  # nobody stands in front: believe no X-Forwarded-*, not even from 127.0.0.1
        timeout_graceful_shutdown=5,  # otherwise an idle TLS client can hold the stop up for 30 s
        ssl_certfile="/c/chain.pem",
        ssl_keyfile="/c/key.pem",
        ssl_ca_certs="/c/clients.pem",
        ssl_cert_reqs=ssl.CERT_OPTIONAL,
        ssl_context_factory=ssl_context,
    )
'''

NGINX = """\
# In the folder of the application's files. Start it with: nginx -p "$PWD" -e stderr -c nginx.conf
daemon off;
pid nginx.pid;
error_log stderr warn;
worker_processes 1;
# For each client two: its own, and one to the application.
worker_rlimit_nofile 8192;

events {
    worker_connections 4096;
}

http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;

    upstream app {
        server "unix:/run/here/app.sock";
        keepalive 64;
    }

    server {
        listen 127.0.0.1:8443 ssl http2;
        ssl_certificate "/c/chain.pem";
        ssl_certificate_key "/c/key.pem";
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;
        ssl_session_cache shared:tls:4m;
        ssl_client_certificate "/c/clients.pem";
        ssl_verify_client optional;
        # Digest signs the target as it was sent.
        merge_slashes off;
        keepalive_requests 1000000;
        client_max_body_size 0;

        location / {
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            # What clients say of themselves is not believed.
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host "";
            proxy_set_header Forwarded "";
            proxy_request_buffering off;
            proxy_buffering off;
        }
    }
}
"""

GUNICORN_BEHIND = '''\
"""flask-gunicorn-gthread-unix, behind a proxy. Start it with: gunicorn -c gunicorn.conf.py application:app"""

bind = "unix:/run/here/app.sock"
workers = 1
worker_class = "gthread"
threads = 16
# Longer than the proxy keeps an idle connection.
keepalive = 150
# What the proxy says of the client is read in application.py, and none of it here.
forwarded_allow_ips = ""
secure_scheme_headers = {}
# The socket is its owner's and his group's, to which the proxy belongs.
umask = 0o117
# Otherwise a control socket appears in the home folder.
control_socket_disable = True
'''

UVICORN_BEHIND = '''\
"""quart-uvicorn-uvloop, behind a proxy. Start it with: python serve.py"""

import uvicorn

if __name__ == "__main__":
    uvicorn.run(
        "quart_impl:app",
        host="127.0.0.1",
        port=8000,
        loop="uvloop",
        http="httptools",
        workers=1,
        access_log=False,
        proxy_headers=True,
        forwarded_allow_ips="127.0.0.1",  # the proxy: from nobody else is X-Forwarded-* believed
        timeout_keep_alive=150,  # longer than the proxy keeps an idle connection
        timeout_graceful_shutdown=5,
    )
'''


UWSGI_1_3 = """\
; flask-uwsgi. Start it with: uwsgi-core --ini uwsgi.ini
[uwsgi]
strict = true
plugins = http,python3
master = true
auto-procname = true

wsgi-file = application.wsgi
need-app = true
single-interpreter = true
enable-threads = true
processes = 1
threads = 16

; SSL_OP_NO_TLSv1_1 of OpenSSL's ssl.h; 1.0 is off unless it is asked for.
ssl-option = 268435456
; SSL_OP_NO_TLSv1_2
ssl-option = 134217728
https = 127.0.0.1:8443,/c/chain.pem,/c/key.pem,ECDHE+AESGCM:ECDHE+CHACHA20,!/c/clients.pem
; The application finds a client's certificate where Apache's mod_ssl would put it.
https-export-cert = true
route-run = addvar:SSL_CLIENT_CERT=${HTTPS_CC}
; Otherwise uWSGI believes what a client says of this, and tells the application that it is the scheme.
http-var = HTTP_X_FORWARDED_PROTO=https
http-keepalive = 1
http-auto-chunked = true
; How the router reaches the workers. Without this it is a TCP port, which anybody on this machine could speak to.
socket = app.sock
chmod-socket = 600
http-use-socket = 0
vacuum = true
; Of a request's headers; the default of 4096 octets is less than a browser may send.
buffer-size = 32768
; A body is read whole, larger ones to disk: otherwise the answer to one that nobody reads may be lost.
post-buffering = 65536
disable-logging = true

; At SIGTERM the application finishes what runs, and uWSGI ends. Its own meaning is a reload.
hook-master-start = unix_signal:15 gracefully_kill_them_all
"""

APACHE = """\
# In the folder of the application's files. Start it with: apache2 -d "$PWD" -f apache.conf -DFOREGROUND
PidFile apache.pid
DefaultRuntimeDir .
ErrorLog /dev/stderr
ServerName localhost
# Started by root it serves as this user; started by another, as that one.
User www-data
Group www-data
# Nothing of it is left behind by a process that is killed.
Mutex pthread default
ServerTokens Prod
TraceEnable Off
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule reqtimeout_module /usr/lib/apache2/modules/mod_reqtimeout.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
LoadModule socache_shmcb_module /usr/lib/apache2/modules/mod_socache_shmcb.so
LoadModule http2_module /usr/lib/apache2/modules/mod_http2.so
LoadModule headers_module /usr/lib/apache2/modules/mod_headers.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so

# Two processes of 128 threads, from the start to the end. With Debian's settings (2 of 25, up to 6 as they are needed)
# a process that has no thread free, or that is ended because others are idle, closes connections which it has kept: a
# client whose next request is on its way then gets no answer. None is ended while fewer than MaxSpareThreads are idle.
StartServers 2
ServerLimit 2
ThreadLimit 128
ThreadsPerChild 128
MaxRequestWorkers 256
MinSpareThreads 128
MaxSpareThreads 384

Listen 127.0.0.1:8443 https
KeepAlive On
MaxKeepAliveRequests 0
# Each connection that stalls holds a thread until then; a handshake may last for ever by default.
RequestReadTimeout handshake=10 header=20-40,MinRate=500 body=20,MinRate=500
GracefulShutdownTimeout 5

Protocols h2 http/1.1
SSLEngine on
SSLCertificateFile "/c/chain.pem"
SSLCertificateKeyFile "/c/key.pem"
SSLProtocol -all +TLSv1.2
SSLCipherSuite ECDHE+AESGCM:ECDHE+CHACHA20
SSLSessionCache shmcb:sessions(512000)
SSLCACertificateFile "/c/clients.pem"
SSLVerifyClient optional

# Digest signs the target as it was sent.
AllowEncodedSlashes NoDecode
MergeSlashes Off

ProxyPreserveHost On
# What clients say of themselves is not believed.
ProxyAddHeaders Off
RequestHeader set X-Forwarded-For "expr=%{REMOTE_ADDR}"
RequestHeader set X-Forwarded-Proto "https"
RequestHeader unset X-Forwarded-Host
RequestHeader unset X-Forwarded-Server
RequestHeader unset Forwarded
# Not ProxyPass, which takes several slashes at a path's start for one. The path of absolute-form goes on without the
# rest. A connection that was idle for a minute is not used again: the application keeps its own for longer. One that is
# not up yet is tried again at once.
ProxyPassMatch "^(?:https?://[^/]*)?/(.*)$" "http://127.0.0.1:8000/$1" nocanon enablereuse=on ttl=60 retry=0
"""

MOD_WSGI_ITS_OWN = """\
# The application is told the certificate.
SSLOptions +ExportCertData

WSGISocketPrefix wsgi
# At a graceful restart old processes find the new daemon.
WSGISocketRotation Off
WSGIAcceptMutex pthread
# No Python in the processes that speak HTTP.
WSGIRestrictEmbedded On
# Without a home it looks for its user's, and does not start where that is missing.
WSGIDaemonProcess device processes=2 threads=16 display-name=%{GROUP} home="/run/here" lang=C.UTF-8 locale=C.UTF-8
WSGIProcessGroup device
WSGIApplicationGroup %{GLOBAL}
WSGIPassAuthorization On
WSGIChunkedRequest On
WSGIScriptAlias / application.wsgi
"""


@pytest.mark.parametrize(
    ("name", "tls", "asked", "file", "text"),
    [
        ("flask-uwsgi", "1.3", REQUIRED, "uwsgi.ini", UWSGI_1_3),
        ("flask-werkzeug", "1.2+1.3", None, "serve.py", WERKZEUG),
        ("flask-gunicorn-gthread", "1.3", None, "gunicorn.conf.py", GTHREAD_1_3),
        ("flask-gunicorn-sync", "1.2+1.3", None, "gunicorn.conf.py", SYNC),
        ("quart-hypercorn-uvloop", "1.2", None, "hypercorn.conf.py", HYPERCORN_1_2),
        ("quart-uvicorn", "1.2+1.3", OPTIONAL, "serve.py", UVICORN_CLIENTS),
        ("flask-gunicorn-gthread-unix@nginx", "1.2+1.3", OPTIONAL, "nginx.conf", NGINX),
        ("flask-gunicorn-gthread-unix@nginx", "1.3", OPTIONAL, "gunicorn.conf.py", GUNICORN_BEHIND),
        ("quart-uvicorn-uvloop@nginx", "1.3", OPTIONAL, "serve.py", UVICORN_BEHIND),
        ("flask-waitress@apache", "1.2", OPTIONAL, "apache.conf", APACHE),
    ],
)
def test_the_whole_file(name: str, tls: str, asked: AskedOfClients | None, file: str, text: str) -> None:
    assert rendered(name, tls=tls, asked=asked).files[file] == text


def test_mod_wsgis_part_of_apaches_file() -> None:
    assert rendered("flask-mod_wsgi", asked=REQUIRED, workers=2).files["apache.conf"].endswith(MOD_WSGI_ITS_OWN)
    assert "threads=16" in rendered("flask-mod_wsgi").files["apache.conf"]
    assert "processes=" not in rendered("flask-mod_wsgi").files["apache.conf"]


@pytest.mark.parametrize("user", [0, 1000])
def test_mod_wsgi_keeps_roots_privileges_and_nobody_elses(monkeypatch: pytest.MonkeyPatch, user: int) -> None:
    monkeypatch.setattr("os.geteuid", lambda: user)
    found = rendered("flask-mod_wsgi")
    assert ("os.setuid(0)" in found.files["application.wsgi"]) == (user == 0)
    assert (found.command[0] == "setpriv") == (user == 0)
    compile(found.files["application.wsgi"], "application.wsgi", "exec")


WITHOUT_TLS = {"application.py"}  # what workers load; TLS is another file's


def is_told_of_tls(name: str, file: str) -> bool:
    """Whether it is Python of a server that speaks TLS itself."""
    front = deployments.find(name).front
    return file.endswith(".py") and file not in WITHOUT_TLS and (front is None or front.passes_tls)


SEVERAL = [name for name in deployments.names() if deployments.find(name).workers.several is not None]

HYPERCORN_3_WORKERS = '''\
"""quart-hypercorn-asyncio. Start it with: hypercorn --config file:hypercorn.conf.py application:app"""

import ssl

bind = ["127.0.0.1:8443"]
worker_class = "asyncio"
# At SIGTERM the first one that has finished makes their parent end the others; if one dies, it ends all.
workers = 3
certfile = "/c/chain.pem"
keyfile = "/c/key.pem"
ca_certs = "/c/clients.pem"
verify_mode = ssl.CERT_OPTIONAL
'''

HYPERCORN_APPLICATION = f'''\
"""quart-hypercorn-asyncio: what each worker process loads."""

import os
import sys
import time

from hypercorn.config import Config

from quart_impl import app

__all__ = ["app"]


{RENEWING}

_create_ssl_context = Config.create_ssl_context


def _renewing_context(config):
    """Hypercorn has no setting for this. This file runs in each process that serves."""

    def make_context():
        context = _create_ssl_context(config)
        return context

    return renewing(make_context, config.certfile, config.keyfile)


Config.create_ssl_context = _renewing_context
'''


class TestSeveralWorkers:
    """The number stands in the server's file; the device is told of it, and where its workers share used nonces."""

    @pytest.mark.parametrize("name", SEVERAL)
    def test_settings(self, name: str) -> None:
        settings = Settings.from_environ(rendered(name, workers=3).environment)
        assert (settings.workers, settings.replay_store) == (3, "shm:here")  # as the folder is called

    @pytest.mark.parametrize("name", SEVERAL)
    def test_one_worker_has_its_memory(self, name: str) -> None:
        """But where another one takes its place while it still serves."""
        settings = Settings.from_environ(rendered(name).environment)
        overlaps = deployments.find(name).abilities.reload is Reload.SIGHUP
        assert (settings.workers, settings.replay_store) == (1, "shm:here" if overlaps else "memory")

    @pytest.mark.parametrize("name", SEVERAL)
    def test_without_digest_there_is_nothing_to_share(self, name: str) -> None:
        settings = Settings.from_environ(rendered(name, auth="none", workers=3).environment)
        assert (settings.workers, settings.replay_store) == (3, "memory")

    @pytest.mark.parametrize("tls", TLS_CHOICES)
    @pytest.mark.parametrize("asked", [None, OPTIONAL])
    @pytest.mark.parametrize("name", SEVERAL)
    def test_files_compile(self, name: str, tls: str, asked: AskedOfClients | None) -> None:
        result = rendered(name, tls=tls, asked=None if tls == "off" else asked, workers=3)
        files = result.files
        for file, text in files.items():
            if file.endswith(".py"):
                code = compile(text, file, "exec")
                assert ("ssl" in code.co_names) == ("import ssl" in text)
                assert "\n\n\n\n" not in text
                assert not text.endswith("\n\n")
        named = any(re.search("(workers|processes) ?= ?3", text) for text in (*files.values(), *result.command))
        assert named != (len(result.more_commands) == 2)

    @pytest.mark.parametrize("name", ["flask-gunicorn-gthread", "quart-gunicorn-asgi"])
    def test_gunicorn_makes_the_context_before_it_forks(self, name: str) -> None:
        several, one = (rendered(name, workers=n).files["gunicorn.conf.py"] for n in (2, 1))
        assert "from gunicorn import sock\n" in several
        assert "def pre_fork(server, worker):" in several
        assert "pre_fork" not in one

    def test_gunicorns_gevent_workers_make_one_each(self) -> None:
        text = rendered("flask-gunicorn-gevent", workers=2).files["gunicorn.conf.py"]
        assert "pre_fork" not in text
        assert "def ssl_context(conf, default_ssl_context_factory):" in text

    def test_hypercorn(self) -> None:
        files = rendered("quart-hypercorn-asyncio", asked=OPTIONAL, workers=3).files
        assert files["hypercorn.conf.py"] == HYPERCORN_3_WORKERS
        assert files["application.py"] == HYPERCORN_APPLICATION


@pytest.mark.parametrize("tls", TLS_CHOICES)
@pytest.mark.parametrize("name", deployments.names())
class TestEveryFile:
    """What holds for all files of all deployments, whatever TLS they serve."""

    def test_python_files_compile_and_name_no_certificate_without_tls(self, name: str, tls: str) -> None:
        for file, text in rendered(name, tls=tls).files.items():
            if file.endswith(".py"):
                compile(text, file, "exec")
                assert ("/c/key.pem" in text) == (tls != "off" and is_told_of_tls(name, file))
                assert not text.endswith("\n\n")
                assert "\n\n\n\n" not in text

    def test_the_environment_is_a_devices_settings(self, name: str, tls: str) -> None:
        settings = Settings.from_environ(rendered(name, tls=tls).environment)
        assert settings.state == Path("/s")
        assert settings.port == 8443
        assert settings.tls == (tls != "off")
        assert settings.certificate == (() if tls == "off" else (CERTIFICATE.chain,))
        if tls != "off":
            assert settings.tls_versions == TLS_CHOICES[tls]

    def test_the_environment_file_holds_the_same(self, name: str, tls: str) -> None:
        result = rendered(name, tls=tls)
        lines = shlex.split(result.files["device.env"])
        assert dict(line.split("=", 1) for line in lines) == result.environment


def constants(code: CodeType) -> Iterator[object]:
    """Yield all constants of a program, its functions' as well."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from constants(constant)
        else:
            yield constant


def test_a_hostile_path_stays_a_path() -> None:
    evil = CertificateFiles(chain=Path('/it\'s "here"\n'), key=Path("/k\\n"))
    refusals = []
    for name in deployments.names():
        try:
            result = rendered(name, certificate=evil)
        except DeploymentError as error:  # its file's language has no way to write such a path
            refusals.append(str(error))
            continue
        for file, text in result.files.items():
            if is_told_of_tls(name, file):
                assert str(evil.chain) in constants(compile(text, file, "exec"))
        assert result.environment["DEVICE_CERTIFICATE"] == str(evil.chain)
        environment = dict(line.split("=", 1) for line in shlex.split(result.files["device.env"]))
        assert environment["DEVICE_CERTIFICATE"] == str(evil.chain)
    path = re.escape(repr(str(evil.chain)))
    assert all(re.fullmatch(rf"{path}: \S+ cannot be told of .*; choose another", refusal) for refusal in refusals)


@pytest.mark.parametrize("name", deployments.names())
class TestClientCertificates:
    """Every deployment's files say whose certificates are let in, and whether one must be shown."""

    @pytest.mark.parametrize(
        ("asked", "setting", "constant"),
        [(REQUIRED, "required", "ssl.CERT_REQUIRED"), (OPTIONAL, "optional", "ssl.CERT_OPTIONAL")],
    )
    def test_asked(self, name: str, asked: AskedOfClients, setting: str, constant: str) -> None:
        result = rendered(name, asked=asked)
        settings = Settings.from_environ(result.environment)
        assert (settings.client_ca, settings.client_certificates) == (asked.ca, setting)
        for file, text in result.files.items():
            if is_told_of_tls(name, file):
                compile(text, file, "exec")
                if "SSL.VERIFY_PEER" in text:  # pyOpenSSL's words for the same
                    assert text.count("SSL.VERIFY_FAIL_IF_NO_PEER_CERT") == (setting == "required")
                elif "ssl_client_verify" in text:  # Granian's
                    assert text.count(f"ssl_client_verify={setting == 'required'}") == 1
                else:
                    assert text.count(constant) == 1
                assert text.count('"/c/clients.pem"') == 1

    def test_not_asked(self, name: str) -> None:
        result = rendered(name)
        assert Settings.from_environ(result.environment).client_ca is None
        words = ("CERT_REQUIRED", "CERT_OPTIONAL", "VERIFY_PEER")
        assert not any(word in text for word in words for text in result.files.values())


@pytest.mark.parametrize("name", ["flask-threaded", "quart-hypercorn-asyncio"])
def test_an_addition_is_a_setting_of_the_device_and_nothing_without_one(name: str) -> None:
    assert not any("ADDED" in variable for variable in rendered(name).environment)
    added = rendered(name, added_cpu_us=6.5, added_delay_ms=1.0).environment
    settings = Settings.from_environ(added)
    assert (settings.added_cpu_us, settings.added_delay_ms) == (6.5, 1.0)


def test_the_group_stands_in_openssls_configuration() -> None:
    pinned = rendered("flask-werkzeug", group="P-256")
    assert pinned.environment["OPENSSL_CONF"] == "/run/here/openssl.cnf"
    assert pinned.files["openssl.cnf"] == certs.openssl_configuration("P-256")
    assert "P-256" in pinned.files["openssl.cnf"]
    assert "Groups" not in rendered("flask-werkzeug", group=None).files["openssl.cnf"]


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert 'bind = "[::1]:8443"' in rendered("flask-gunicorn-sync", host="::1").files["gunicorn.conf.py"]
    assert 'bind = ["[::1]:8443"]' in rendered("quart-hypercorn-asyncio", host="::1").files["hypercorn.conf.py"]
    assert 'host="::1"' in rendered("quart-uvicorn", host="::1").files["serve.py"]


def test_only_the_pyopenssl_variant_asks_for_it() -> None:
    assert rendered("flask-threaded").environment["DEVICE_TLS_BACKEND"] == "stdlib"
    assert rendered("flask-threaded-pyopenssl").environment["DEVICE_TLS_BACKEND"] == "pyopenssl"
