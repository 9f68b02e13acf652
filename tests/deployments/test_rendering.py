"""The files that are measured, as text: what a reader takes home is looked at here, not guessed."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest

import certs
import deployments
from certs import CertificateFiles
from deployments import TLS_CHOICES, AskedOfClients, Rendered, ServeOptions, Site
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


@pytest.mark.parametrize(
    ("name", "tls", "asked", "file", "text"),
    [
        ("flask-werkzeug", "1.2+1.3", None, "serve.py", WERKZEUG),
        ("flask-gunicorn-gthread", "1.3", None, "gunicorn.conf.py", GTHREAD_1_3),
        ("flask-gunicorn-sync", "1.2+1.3", None, "gunicorn.conf.py", SYNC),
        ("quart-hypercorn-uvloop", "1.2", None, "hypercorn.conf.py", HYPERCORN_1_2),
        ("quart-uvicorn", "1.2+1.3", OPTIONAL, "serve.py", UVICORN_CLIENTS),
    ],
)
def test_the_whole_file(name: str, tls: str, asked: AskedOfClients | None, file: str, text: str) -> None:
    assert rendered(name, tls=tls, asked=asked).files[file] == text


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
        settings = Settings.from_environ(rendered(name).environment)
        assert (settings.workers, settings.replay_store) == (1, "memory")

    @pytest.mark.parametrize("name", SEVERAL)
    def test_without_digest_there_is_nothing_to_share(self, name: str) -> None:
        settings = Settings.from_environ(rendered(name, auth="none", workers=3).environment)
        assert (settings.workers, settings.replay_store) == (3, "memory")

    @pytest.mark.parametrize("tls", TLS_CHOICES)
    @pytest.mark.parametrize("asked", [None, OPTIONAL])
    @pytest.mark.parametrize("name", SEVERAL)
    def test_files_compile(self, name: str, tls: str, asked: AskedOfClients | None) -> None:
        files = rendered(name, tls=tls, asked=None if tls == "off" else asked, workers=3).files
        for file, text in files.items():
            if file.endswith(".py"):
                code = compile(text, file, "exec")
                assert ("ssl" in code.co_names) == ("import ssl" in text)
                assert "\n\n\n\n" not in text
                assert not text.endswith("\n\n")
        assert any("workers = 3" in text or "workers=3" in text for text in files.values())

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
                assert ("/c/key.pem" in text) == (tls != "off")
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
    for name in deployments.names():
        result = rendered(name, certificate=evil)
        for file, text in result.files.items():
            if file.endswith(".py"):
                assert str(evil.chain) in constants(compile(text, file, "exec"))
        assert result.environment["DEVICE_CERTIFICATE"] == str(evil.chain)
        environment = dict(line.split("=", 1) for line in shlex.split(result.files["device.env"]))
        assert environment["DEVICE_CERTIFICATE"] == str(evil.chain)


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
            if file.endswith(".py"):
                compile(text, file, "exec")
                if "SSL.VERIFY_PEER" in text:  # pyOpenSSL's words for the same
                    assert text.count("SSL.VERIFY_FAIL_IF_NO_PEER_CERT") == (setting == "required")
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
