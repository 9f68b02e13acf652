"""Handshakes are what they are called: full or resumed is proved, what was negotiated is read, not assumed."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from certs import KeyKind, TlsPolicy, TlsVersion, ensure_ca
from harness.errors import UserError
from harness.network.model import round_trips
from harness.probes.handshake import HandshakeProbe, VersionNotOfferedError, certifies, negotiate
from harness.probes.summary import HandshakeSummary, probe_handshakes
from harness.probes.target import Target, parse_target
from tests.harness.probes.conftest import Serve

ContextOf = Callable[..., ssl.SSLContext]
TRIES = 4


def by_name(summaries: tuple[HandshakeSummary, ...]) -> dict[tuple[str, str], HandshakeSummary]:
    return {(each.version, each.kind): each for each in summaries}


class TestBothVersions:
    """A server of TLS 1.2 and 1.3 with session tickets."""

    @pytest.fixture
    def seen(self, serve: Serve, context_of: ContextOf, ca_file: Path) -> dict[tuple[str, str], HandshakeSummary]:
        return by_name(probe_handshakes(serve(context_of()), ca_file, TRIES))

    def test_all_resumed_where_that_was_asked(self, seen: dict[tuple[str, str], HandshakeSummary]) -> None:
        assert {key: (each.n, each.asked) for key, each in seen.items()} == {
            ("1.2", "full"): (TRIES, TRIES),
            ("1.2", "resumed"): (TRIES, TRIES),
            ("1.3", "full"): (TRIES, TRIES),
            ("1.3", "resumed"): (TRIES, TRIES),
        }

    def test_flights(self, seen: dict[tuple[str, str], HandshakeSummary]) -> None:
        # RFC 8446 section 2, RFC 5246 section 7.3: what TLS 1.2 takes longer for.
        assert {key: each.flights for key, each in seen.items()} == {
            ("1.2", "full"): 4,
            ("1.2", "resumed"): 3,
            ("1.3", "full"): 3,
            ("1.3", "resumed"): 3,
        }

    def test_round_trips_are_those_of_the_model(self, seen: dict[tuple[str, str], HandshakeSummary]) -> None:
        assert {key: each.round_trips for key, each in seen.items()} == {
            (version, kind): round_trips(version, resumed=kind == "resumed").tls for version, kind in seen
        }

    def test_the_first_answer_is_later_than_the_handshake(self, seen: dict[tuple[str, str], HandshakeSummary]) -> None:
        for each in seen.values():
            assert each.time_us_p50 is not None
            assert each.first_answer_us_p50 is not None
            assert each.first_answer_us_p50 > each.time_us_p50

    def test_a_resumed_handshake_receives_no_certificate(self, seen: dict[tuple[str, str], HandshakeSummary]) -> None:
        for version in ("1.2", "1.3"):
            full, resumed = seen[version, "full"].received, seen[version, "resumed"].received
            assert full is not None
            assert resumed is not None
            assert full - resumed > 400

    def test_what_was_negotiated(self, seen: dict[tuple[str, str], HandshakeSummary]) -> None:
        for (version, _), each in seen.items():
            assert each.tls is not None
            assert each.tls.version == f"TLSv{version}"
            assert each.tls.key_kind == "ecdsa-p256"
            assert each.tls.cipher
            assert each.tls.group

    def test_times(self, seen: dict[tuple[str, str], HandshakeSummary]) -> None:
        for each in seen.values():
            assert each.time_us_p50 is not None
            assert each.time_us_p95 is not None
            assert 50 < each.time_us_p50 <= each.time_us_p95 < 5e6


class TestToTheEnd:
    """The server closes first, and has then done all its work."""

    @pytest.mark.parametrize("version", TlsVersion)
    def test_sessions_can_be_resumed(
        self, serve: Serve, context_of: ContextOf, ca_file: Path, version: TlsVersion
    ) -> None:
        probe = HandshakeProbe(serve(context_of()), ca_file, frozenset({version}), to_the_end=True)
        _, session = probe.full()
        assert session is not None
        resumed, _ = probe.resume(session)
        assert resumed.resumed
        assert resumed.waits == resumed.round_trips + 1


class TestOneVersion:
    """A version that the server does not offer is said so, and the other one is measured."""

    @pytest.mark.parametrize(("offered", "missing"), [("1.2", "1.3"), ("1.3", "1.2")])
    def test_said_plainly(self, serve: Serve, context_of: ContextOf, ca_file: Path, offered: str, missing: str) -> None:
        policy = TlsPolicy(versions=frozenset({TlsVersion(offered)}))
        seen = by_name(probe_handshakes(serve(context_of(policy)), ca_file, 2))
        assert seen[offered, "full"].n == 2
        for kind in ("full", "resumed"):
            assert seen[missing, kind].n == 0
            assert seen[missing, kind].why_not == f"the server does not offer TLS {missing}"

    def test_negotiate_takes_what_there_is(self, serve: Serve, context_of: ContextOf, ca_file: Path) -> None:
        target = serve(context_of(TlsPolicy(versions=frozenset({TlsVersion.TLS_1_2})), KeyKind.RSA_2048))
        tls = negotiate(target, ca_file)
        assert (tls.version, tls.key_kind) == ("TLSv1.2", "rsa-2048")

    def test_negotiate_prefers_the_newer(self, serve: Serve, context_of: ContextOf, ca_file: Path) -> None:
        assert negotiate(serve(context_of()), ca_file).version == "TLSv1.3"


class TestNoResumption:
    """A server that resumes nothing is not credited with fast handshakes."""

    def test_said_plainly(self, serve: Serve, context_of: ContextOf, ca_file: Path) -> None:
        context = context_of()
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
        # Python always keeps a session cache of its own in a context; without ids there is nothing to find in it.
        seen = by_name(probe_handshakes(serve(context), ca_file, TRIES))
        assert seen["1.3", "resumed"].n == 0
        assert seen["1.3", "resumed"].why_not == "the server resumes no session"
        assert seen["1.3", "full"].n == TRIES

    def test_a_session_of_another_server_is_declined(self, serve: Serve, context_of: ContextOf, ca_file: Path) -> None:
        probe = HandshakeProbe(serve(context_of()), ca_file, frozenset({TlsVersion.TLS_1_3}))
        _, session = probe.full()
        assert session is not None
        probe._target = serve(context_of())
        handshake, _ = probe.resume(session)
        assert not handshake.resumed


class TestTrouble:
    """One line that says what, where and what to do."""

    def test_nobody_there(self, ca_file: Path) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))  # bound and not listening: refuses, and nobody else can take it
            port = unused.getsockname()[1]
            with pytest.raises(
                UserError, match=rf"cannot connect to 127.0.0.1:{port} .Connection refused.*bench serve"
            ):
                negotiate(parse_target(f"https://127.0.0.1:{port}"), ca_file)

    def test_no_such_host(self, ca_file: Path) -> None:
        with pytest.raises(UserError, match=r"cannot connect to nowhere\.invalid:443"):
            negotiate(parse_target("https://nowhere.invalid"), ca_file)

    def test_another_ca(self, serve: Serve, context_of: ContextOf, tmp_path: Path) -> None:
        other = ensure_ca(tmp_path)
        with pytest.raises(UserError, match=r"the certificate of .* is not trusted: .* --ca-file"):
            negotiate(serve(context_of()), other)

    def test_no_tls_there(self, serve: Serve, ca_file: Path) -> None:
        plain = serve(None)
        with pytest.raises(UserError, match=str(plain.port)):
            negotiate(parse_target(f"https://127.0.0.1:{plain.port}"), ca_file)

    def test_version_refused(self, serve: Serve, context_of: ContextOf, ca_file: Path) -> None:
        target = serve(context_of(TlsPolicy(versions=frozenset({TlsVersion.TLS_1_3}))))
        with pytest.raises(VersionNotOfferedError):
            HandshakeProbe(target, ca_file, frozenset({TlsVersion.TLS_1_2})).full()


class TestNames:
    """RFC 9525: only the subjectAltName counts, a wildcard is one whole label, addresses are compared as such."""

    @pytest.mark.parametrize(
        ("host", "good"),
        [
            ("device.example", True),
            ("DEVICE.example.", True),
            ("a.lab.example", True),
            ("a.b.lab.example", False),
            ("lab.example", False),
            ("192.0.2.1", True),
            ("192.0.2.2", False),
            ("2001:db8::1", True),
            ("2001:db8:0:0::1", True),
            ("common.example", False),
        ],
    )
    def test_certifies(self, host: str, *, good: bool) -> None:
        assert certifies(certificate_for("device.example", "*.lab.example", "192.0.2.1", "2001:db8::1"), host) is good

    def test_without_the_extension(self) -> None:
        assert not certifies(certificate_for(), "common.example")


class TestTargets:
    """A URL is taken apart once; what is none is said to be none."""

    @pytest.mark.parametrize(
        ("url", "target"),
        [
            (
                "https://127.0.0.1:8443",
                Target(scheme="https", host="127.0.0.1", port=8443, path="/restconf/data/ietf-system:system-state"),
            ),
            ("http://[::1]/a?b=%20", Target(scheme="http", host="::1", port=80, path="/a?b=%20")),
            ("https://device.example/x", Target(scheme="https", host="device.example", port=443, path="/x")),
        ],
    )
    def test_parts(self, url: str, target: Target) -> None:
        assert parse_target(url) == target

    @pytest.mark.parametrize("url", ["127.0.0.1:8443", "ftp://a", "https://", "https://a:99999", "https://[::1", ""])
    def test_not_a_url(self, url: str) -> None:
        with pytest.raises(UserError, match=r"write https://HOST:PORT/PATH"):
            parse_target(url)


def certificate_for(*names: str) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "common.example")])
    start = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=9))
    )
    if names:
        general: list[x509.GeneralName] = []
        for name in names:
            try:
                general.append(x509.IPAddress(ipaddress.ip_address(name)))
            except ValueError:
                general.append(x509.DNSName(name))
        builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
    return builder.sign(key, hashes.SHA256())
