import ssl
from pathlib import Path
from typing import Any

import pytest

import deployments
from deployments import DeploymentError, ServeOptions

STATE = Path("state")

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tls": "1.1"}, "tls '1.1' is not one of 1.2, 1.3, 1.2+1.3, off"),
    ({"auth": "basic"}, "auth 'basic' is not one of digest, none"),
    (
        {"client_ca": Path("ca.pem"), "tls": "off"},
        "clients can show a certificate only over TLS, which is off; leave out --client-ca",
    ),
    (
        {"client_certificates": "optional"},
        "client certificates are not asked for without a CA; name it with --client-ca",
    ),
    (
        {"client_ca": Path("ca.pem"), "client_certificates": "maybe"},
        "client certificates 'maybe' is not one of required, optional",
    ),
    ({"port": 65536}, "port 65536 is not a port; give 0 (any free one) to 65535"),
    ({"threads": 0}, "0 threads are too few; give 1 or more"),
    ({"workers": 0}, "0 workers are too few; give 1 or more"),
    ({"group": "X25591"}, "no key-exchange group is called 'X25591' here; did you mean X25519?"),
    (
        {"group": "zzz"},
        "no key-exchange group is called 'zzz' here; choose one of X25519, P-256, P-384, P-521, X448, X25519MLKEM768",
    ),
    (
        {"group": "X25519MLKEM768", "tls": "1.2"},
        "group X25519MLKEM768 is for TLS 1.3; serve that, or choose another group",
    ),
]


@pytest.mark.parametrize(("values", "message"), REFUSED)
def test_what_no_deployment_takes(values: dict[str, Any], message: str) -> None:
    with pytest.raises(DeploymentError) as caught:
        ServeOptions(state=STATE, **values)
    assert str(caught.value) == message


class TestWorkers:
    """Several where the server can start them; elsewhere refused in one line that says what to serve instead."""

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("flask-werkzeug", "app.run is one process; serve flask-gunicorn-gthread"),
            ("flask-threaded", "python -m flask_impl is one process; serve flask-gunicorn-gthread"),
            ("flask-threaded-pyopenssl", "python -m flask_impl is one process; serve flask-gunicorn-gthread"),
            ("quart-hypercorn-own", "python -m quart_impl is one process; serve quart-uvicorn"),
        ],
    )
    def test_one_process(self, name: str, message: str) -> None:
        with pytest.raises(DeploymentError) as caught:
            deployments.check(name, ServeOptions(state=STATE, workers=3))
        assert str(caught.value) == f"{name} cannot serve with 3 workers: {message}"
        assert deployments.check(name, ServeOptions(state=STATE)).workers.several is None

    @pytest.mark.parametrize("name", ["flask-gunicorn-sync", "flask-gunicorn-gthread", "quart-uvicorn-uvloop"])
    def test_any_number(self, name: str) -> None:
        assert deployments.check(name, ServeOptions(state=STATE, workers=3)).workers.several is not None


class TestThreads:
    """A number of threads is taken where the server has one, and refused with a reason where it has none."""

    @pytest.mark.parametrize("name", ["flask-threaded", "flask-threaded-pyopenssl", "flask-gunicorn-gthread"])
    def test_threaded_servers_take_one(self, name: str) -> None:
        deployment = deployments.find(name)
        assert deployment.threads.chosen(deployment.name, None) == 16
        assert deployment.threads.chosen(deployment.name, 3) == 3

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("quart-hypercorn-asyncio", "an ASGI server answers from one event loop"),
            ("quart-hypercorn-own", "an ASGI server answers from one event loop"),
            ("quart-hypercorn-uvloop", "an ASGI server answers from one event loop"),
            ("quart-uvicorn", "an ASGI server answers from one event loop"),
            ("quart-uvicorn-uvloop", "an ASGI server answers from one event loop"),
            ("flask-werkzeug", "it starts a thread for each connection"),
            ("flask-gunicorn-sync", "with more than one gunicorn takes its gthread worker"),
        ],
    )
    def test_the_others_say_why_not(self, name: str, reason: str) -> None:
        with pytest.raises(DeploymentError) as caught:
            deployments.start(name, ServeOptions(state=STATE, threads=8))
        assert str(caught.value).startswith(f"{name} takes no number of threads: {reason}")
        assert str(caught.value).endswith("; leave out --threads")
        assert not STATE.exists()

    def test_one_thread_is_what_the_sync_worker_has(self) -> None:
        deployment = deployments.find("flask-gunicorn-sync")
        assert deployment.threads.chosen(deployment.name, 1) == 1


class TestGroupsOfAStack:
    """A group that a stack's OpenSSL does not know is refused, because OpenSSL itself would serve another silently."""

    def test_too_old(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ssl, "OPENSSL_VERSION_INFO", (3, 0, 0, 22, 0))
        with pytest.raises(DeploymentError) as caught:
            deployments.check("flask-werkzeug", ServeOptions(state=STATE, group="X25519MLKEM768"))
        assert str(caught.value) == (
            "group X25519MLKEM768 needs OpenSSL 3.5; this Python has 3.0.22: choose another group "
            "(`bench list` shows who has it)"
        )

    def test_new_enough(self) -> None:
        deployments.check("flask-threaded-pyopenssl", ServeOptions(state=STATE, group="X25519MLKEM768"))

    def test_without_tls_no_group_matters(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ssl, "OPENSSL_VERSION_INFO", (1, 0, 0, 0, 0))
        deployments.check("flask-werkzeug", ServeOptions(state=STATE, tls="off"))


class TestKeyExchange:
    """What a stack can do is read off the OpenSSL that is there, not written down."""

    @pytest.mark.parametrize(
        ("version", "openssl", "default", "refusal"),
        [
            ((1, 1, 1, 23, 15), "1.1.1", "X25519", "needs OpenSSL 3.5; this Python has 1.1.1"),
            ((3, 0, 0, 22, 0), "3.0.22", "X25519", "needs OpenSSL 3.5; this Python has 3.0.22"),
            ((3, 5, 0, 1, 0), "3.5.1", "X25519MLKEM768", None),
        ],
    )
    def test_of_this_python(
        self,
        monkeypatch: pytest.MonkeyPatch,
        version: tuple[int, ...],
        openssl: str,
        default: str,
        refusal: str | None,
    ) -> None:
        monkeypatch.setattr(ssl, "OPENSSL_VERSION_INFO", version)
        exchange = deployments.find("flask-gunicorn-gthread").abilities.key_exchange
        assert (exchange.openssl, exchange.default) == (openssl, default)
        assert exchange.post_quantum_refusal == refusal
        assert ("X25519MLKEM768" in exchange.groups) == (refusal is None)
