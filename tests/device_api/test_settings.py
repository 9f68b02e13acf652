"""Settings come from DEVICE_* variables, and what is wrong with one is said in a line that names it."""

import dataclasses
from pathlib import Path

import pytest

from certs import KeyKind, TlsVersion
from device_api.settings import PREFIX, Settings, SettingsError, is_loopback, parse_setting
from digest_auth import Algorithm, Qop

# One value for each field, as its user writes it, and what it means. A field without a row here fails a test.
WRITTEN = {
    "state": ("elsewhere", Path("elsewhere")),
    "host": ("::1", "::1"),
    "port": ("0", 0),
    "tls": ("on", True),
    "tls_backend": ("pyopenssl", "pyopenssl"),
    "tls_versions": ("1.2, 1.3", frozenset(TlsVersion)),
    "certificate": ("chain.pem, other.pem", (Path("chain.pem"), Path("other.pem"))),
    "key": ("key.pem,other-key.pem", (Path("key.pem"), Path("other-key.pem"))),
    "certificate_kind": ("rsa-4096,ecdsa-p256", (KeyKind.RSA_4096, KeyKind.ECDSA_P256)),
    "adhoc": ("off", False),
    "client_ca": ("clients.pem", Path("clients.pem")),
    "client_certificates": ("optional", "optional"),
    "users": ("users", Path("users")),
    "auth": ("none", "none"),
    "threads": ("7", 7),
    "connections": ("9", 9),
    "pending_connections": ("8", 8),
    "datastore": ("sqlite:///other.sqlite3", "sqlite:///other.sqlite3"),
    "ready_file": ("ready.json", Path("ready.json")),
    "algorithms": ("MD5,SHA-256,MD5", (Algorithm.MD5, Algorithm.SHA_256, Algorithm.MD5)),
    "qop": ("auth,auth-int,auth", (Qop.AUTH, Qop.AUTH_INT)),
    "userhash": ("on", True),
    "domain": ("/restconf,https://a.example/b", ("/restconf", "https://a.example/b")),
    "opaque": ("x1", "x1"),
    "nonce_count_limit": ("100", 100),
    "authentication_info": ("off", False),
    "failed_tries": ("0", 0),
    "failed_tries_per_minute": ("0.5", 0.5),
    "replay_store": ("shm:device-1", "shm:device-1"),
    "workers": ("1", 1),
    "realm": ("a realm", "a realm"),
    "nonce_lifetime_s": ("1.5", 1.5),
    "log_level": ("debug", "debug"),
    "added_cpu_us": ("6.5", 6.5),
    "added_delay_ms": ("1", 1.0),
}


def test_every_field_can_be_a_variable() -> None:
    settings = Settings.from_environ({PREFIX + name.upper(): text for name, (text, _) in WRITTEN.items()})
    assert dataclasses.asdict(settings) == {name: value for name, (_, value) in WRITTEN.items()}


def test_unset_and_empty_variables_leave_the_defaults() -> None:
    assert Settings.from_environ({"DEVICE_PORT": "", "DEVICE_HOST": "  "}) == Settings() == Settings.from_environ({})


@pytest.mark.parametrize(
    ("variable", "text", "complaint"),
    [
        ("PORT", "http", "'http' is not a whole number"),
        ("PORT", "65536", "65536 is not a port"),
        ("PORT", "-1", "-1 is not a port"),
        ("TLS", "yes", "'yes' is not one of on, off"),
        ("TLS_VERSIONS", "1.1", "'1.1' is not one of 1.2, 1.3"),
        ("TLS_VERSIONS", ",", "the list is empty"),
        ("CERTIFICATE_KIND", "rsa2048", "did you mean 'rsa-2048'?"),
        ("ALGORITHMS", "SHA256", "did you mean 'SHA-256'?"),
        ("TLS_BACKEND", "gnutls", "'gnutls' is not one of stdlib, pyopenssl"),
        ("AUTH", "basic", "'basic' is not one of digest, none"),
        ("THREADS", "0", "0 is too few"),
        ("CONNECTIONS", "0", "0 is too few"),
        ("PENDING_CONNECTIONS", "0", "0 is too few"),
        ("CERTIFICATE_KIND", ",", "the list is empty"),
        ("CLIENT_CERTIFICATES", "maybe", "'maybe' is not one of required, optional"),
        ("CLIENT_CERTIFICATES", "optional", "are not asked for without --client-ca"),
        ("LOG_LEVEL", "verbose", "'verbose' is not one of debug, info, warning, error"),
        ("NONCE_LIFETIME_S", "nan", "nan s is out of range"),
        ("NONCE_COUNT_LIMIT", "4097", "4097 is out of range"),
        ("QOP", "auth-conf", "'auth-conf' is not one of auth, auth-int"),
        ("QOP", ",", "the list is empty"),
        ("OPAQUE", 'a"b', "cannot stand in a header"),
        ("DOMAIN", "/é", "cannot stand in a header"),
        ("REALM", "Gerät", "give printable ASCII without"),
        ("FAILED_TRIES", "-1", "-1 is out of range"),
        ("FAILED_TRIES_PER_MINUTE", "1e-320", "is out of range"),
        ("FAILED_TRIES_PER_MINUTE", "many", "'many' is not a number"),
        ("REPLAY_STORE", "disk", "is none that is known"),
        ("REPLAY_STORE", "shm:a/b", "is none that is known"),
        ("WORKERS", "0", "0 is too few"),
        ("ADDED_CPU_US", "-1", "-1 is out of range; give 0 (nothing) to 1000000"),
        ("ADDED_DELAY_MS", "nan", "nan is out of range"),
        ("NONCE_LIFETIME_S", "soon", "'soon' is not a number of seconds"),
        ("REALM", 'a"b', "cannot stand in a header"),
        ("REALM", "a:b", "cannot stand in a header"),
    ],
)
def test_a_wrong_value_names_option_and_variable(variable: str, text: str, complaint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ({PREFIX + variable: text})
    line = str(caught.value)
    assert complaint in line
    assert line.startswith(f"--{variable.lower().replace('_', '-')} (DEVICE_{variable}): ")
    assert "\n" not in line


@pytest.mark.parametrize(
    ("environ", "blamed"),
    [
        ({"DEVICE_CERTIFICATE": "chain.pem"}, "--key"),
        ({"DEVICE_KEY": "key.pem"}, "--certificate"),
        ({"DEVICE_CERTIFICATE": "a.pem,b.pem", "DEVICE_KEY": "a-key.pem"}, "--key"),
        ({"DEVICE_ADHOC": "on", "DEVICE_CERTIFICATE": "c", "DEVICE_KEY": "k"}, "--adhoc"),
        ({"DEVICE_TLS": "off", "DEVICE_ADHOC": "on"}, "--adhoc"),
        ({"DEVICE_TLS": "off", "DEVICE_CLIENT_CA": "ca.pem"}, "--client-ca"),
        ({"DEVICE_TLS": "off", "DEVICE_CERTIFICATE": "c", "DEVICE_KEY": "k"}, "--certificate"),
        ({"DEVICE_AUTH": "none", "DEVICE_HOST": "0.0.0.0"}, "--auth"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(environ: dict[str, str], blamed: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{blamed} "):
        Settings.from_environ(environ)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("LOCALHOST", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_only_loopback_counts_as_loopback(host: str, *, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_a_single_setting_can_be_parsed() -> None:
    assert parse_setting("threads", "3") == 3


def test_several_workers_need_a_store_that_they_share() -> None:
    with pytest.raises(SettingsError, match="2 workers would each keep their own memory of used nonces"):
        Settings(workers=2)
    assert Settings(workers=2, replay_store="shm:device").workers == 2
    assert Settings(workers=2, auth="none").workers == 2
