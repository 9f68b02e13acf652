"""TLS of a server that runs: certificates by name and kind of key, renewed while clients come, on both stacks."""

import logging
import ssl
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from cryptography import x509

from certs import (
    CertificateError,
    CertificateFiles,
    KeyKind,
    ServerTls,
    TlsPolicy,
    TlsVersion,
    client_context,
    ensure_ca,
    issue_certificate,
    key_kind,
    pyopenssl_server_tls,
    stdlib_server_tls,
)
from certs._contexts_pyopenssl import choose_pyopenssl_context, pyopenssl_context
from certs._contexts_stdlib import choose_stdlib_context, stdlib_context
from certs._server_tls import WATCH_S
from tests.certs.handshakes import Seen, ServerContext, StdlibEnd, accept, converse, establish, visit

MakeTls: TypeAlias = Callable[..., ServerTls[Any]]
Issue: TypeAlias = Callable[..., CertificateFiles]


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def pass_by(self, seconds: float = WATCH_S) -> None:
        self.now_s += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["stdlib", "pyopenssl"])
def make_tls(request: pytest.FixtureRequest, clock: Clock) -> MakeTls:
    def make(certificates: Sequence[CertificateFiles], policy: TlsPolicy) -> ServerTls[Any]:
        if request.param == "stdlib":
            return ServerTls(certificates, policy, make=stdlib_context, let_choose=choose_stdlib_context, clock=clock)
        return ServerTls(certificates, policy, make=pyopenssl_context, let_choose=choose_pyopenssl_context, clock=clock)

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ensure_ca(tmp_path / "state")
    return tmp_path / "state"


@pytest.fixture
def client(folder: Path) -> ssl.SSLContext:
    return client_context(ensure_ca(folder))


@pytest.fixture
def issue(folder: Path, tmp_path: Path) -> Issue:
    def issued(
        name: str, names: Sequence[str] = ("localhost",), kind: KeyKind = KeyKind.ECDSA_P256
    ) -> CertificateFiles:
        files = issue_certificate(folder, kind, names, out=tmp_path / "spare" / name)
        return copied(files, tmp_path / name)

    return issued


def copied(files: CertificateFiles, folder: Path) -> CertificateFiles:
    """Put a pair in place of the one in a folder, as a rename does."""
    folder.mkdir(exist_ok=True)
    for source in (files.key, files.chain):
        new = folder / f".{source.name}"
        new.write_bytes(source.read_bytes())
        new.replace(folder / source.name)
    return CertificateFiles(folder / "chain.pem", folder / "key.pem")


def serial(seen: Seen) -> int:
    return x509.load_der_x509_certificate(seen.certificate).serial_number


def kind(seen: Seen) -> str:
    return key_kind(x509.load_der_x509_certificate(seen.certificate))


def served(client: ssl.SSLContext, context: ServerContext, hostname: str = "localhost") -> int:
    return serial(visit(client, context, hostname=hostname))


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    with caplog.at_level(logging.WARNING, "certs"):
        yield lambda: [record.getMessage() for record in caplog.records if record.name == "certs"]


class TestRenewal:
    """Every handshake gets the newest certificate, from the one context that the server has had from its start."""

    def test_a_renewed_certificate_is_seen_without_being_told(
        self, make_tls: MakeTls, issue: Issue, client: ssl.SSLContext, clock: Clock
    ) -> None:
        tls = make_tls([issue("a")], TlsPolicy())
        before = served(client, tls.context)
        issue("a")
        assert served(client, tls.context) == before, "looked more often than it may"
        clock.pass_by()
        after = served(client, tls.context)
        assert after != before
        clock.pass_by()
        assert served(client, tls.context) == after

    def test_told_it_looks_at_once(self, make_tls: MakeTls, issue: Issue, client: ssl.SSLContext, clock: Clock) -> None:
        del clock  # stands still
        tls = make_tls([issue("a")], TlsPolicy())
        before = served(client, tls.context)
        issue("a")
        tls.reload()
        assert served(client, tls.context) != before

    def test_the_kind_of_key_may_change(
        self, make_tls: MakeTls, issue: Issue, client: ssl.SSLContext, clock: Clock
    ) -> None:
        tls = make_tls([issue("a")], TlsPolicy())
        assert kind(visit(client, tls.context)) == "ecdsa-p256"
        issue("a", kind=KeyKind.RSA_2048)
        clock.pass_by()
        assert kind(visit(client, tls.context)) == "rsa-2048"

    @pytest.mark.parametrize("version", TlsVersion)
    def test_sessions_outlive_it(
        self, make_tls: MakeTls, issue: Issue, folder: Path, clock: Clock, version: TlsVersion
    ) -> None:
        tls = make_tls([issue("a")], TlsPolicy())
        client = client_context(ensure_ca(folder), versions=frozenset({version}))
        first = connected(client, tls.context)
        issue("a")
        clock.pass_by()
        assert connected(client, tls.context, first.tls.session).tls.session_reused

    def test_a_connection_that_is_open_goes_on(
        self, make_tls: MakeTls, issue: Issue, client: ssl.SSLContext, clock: Clock
    ) -> None:
        tls = make_tls([issue("a")], TlsPolicy())
        here, there = StdlibEnd(client, hostname="localhost"), accept(tls.context)
        establish(here, there)
        issue("a")
        clock.pass_by()
        served(client, tls.context)
        converse(here, there)

    def test_the_clients_ca_may_change(
        self,
        make_tls: MakeTls,
        issue: Issue,
        client: ssl.SSLContext,
        client_files: CertificateFiles,
        clock: Clock,
        tmp_path: Path,
    ) -> None:
        trusted = tmp_path / "clients.pem"
        trusted.write_bytes(ensure_ca(tmp_path / "other").read_bytes())
        tls = make_tls([issue("a")], TlsPolicy(client_ca=trusted))
        client.load_cert_chain(client_files.chain, client_files.key)
        with pytest.raises(Exception, match=r"(?i)certificate|unknown ca"):
            visit(client, tls.context)
        trusted.write_bytes(client_files.chain.read_bytes())
        clock.pass_by()
        visit(client, tls.context)


class TestWhatCannotBeUsed:
    """It is warned of once, and changes nothing."""

    def test_a_damaged_ca_of_clients(
        self,
        make_tls: MakeTls,
        issue: Issue,
        client: ssl.SSLContext,
        client_files: CertificateFiles,
        clock: Clock,
        warnings: Callable[[], list[str]],
        tmp_path: Path,
    ) -> None:
        trusted = tmp_path / "clients.pem"
        trusted.write_bytes(client_files.chain.read_bytes())
        tls = make_tls([issue("a")], TlsPolicy(client_ca=trusted))
        client.load_cert_chain(client_files.chain, client_files.key)
        trusted.write_bytes(client_files.chain.read_bytes() + b"-----BEGIN CERTIFICATE-----\nMIIB")
        for _ in range(3):
            clock.pass_by()
            visit(client, tls.context)
        assert len(warnings()) == 1
        assert str(trusted) in warnings()[0]

    @pytest.mark.parametrize(
        "content", [b"", b"-----BEGIN CERTIFICATE-----\nMIIB", None], ids=["empty", "half", "gone"]
    )
    def test_the_certificate_from_before_is_served(
        self,
        make_tls: MakeTls,
        issue: Issue,
        client: ssl.SSLContext,
        clock: Clock,
        warnings: Callable[[], list[str]],
        content: bytes | None,
    ) -> None:
        files = issue("a")
        tls = make_tls([files], TlsPolicy())
        before = served(client, tls.context)
        if content is None:
            files.chain.unlink()
        else:
            files.chain.write_bytes(content)
        for _ in range(4):
            clock.pass_by()
            assert served(client, tls.context) == before
        assert len(warnings()) == 1
        assert str(files.chain) in warnings()[0]
        issue("a")
        clock.pass_by()
        assert served(client, tls.context) != before

    def test_a_pair_of_which_one_file_is_new_is_no_reason_for_a_warning_yet(
        self,
        make_tls: MakeTls,
        issue: Issue,
        client: ssl.SSLContext,
        clock: Clock,
        warnings: Callable[[], list[str]],
    ) -> None:
        files, new = issue("a"), issue("b")
        tls = make_tls([files], TlsPolicy())
        before = served(client, tls.context)
        files.key.write_bytes(new.key.read_bytes())
        clock.pass_by()
        assert served(client, tls.context) == before
        files.chain.write_bytes(new.chain.read_bytes())
        clock.pass_by()
        assert served(client, tls.context) != before
        assert warnings() == []

    def test_who_asks_for_it_is_told_and_nobody_else(
        self,
        make_tls: MakeTls,
        issue: Issue,
        client: ssl.SSLContext,
        clock: Clock,
        warnings: Callable[[], list[str]],
    ) -> None:
        files = issue("a")
        tls = make_tls([files], TlsPolicy())
        before = served(client, tls.context)
        files.key.write_bytes(issue("b").key.read_bytes())
        with pytest.raises(CertificateError, match="does not belong"):
            tls.reload()
        for _ in range(3):
            clock.pass_by()
            assert served(client, tls.context) == before
        assert warnings() == []

    def test_none_at_all(self, make_tls: MakeTls) -> None:
        with pytest.raises(CertificateError, match="needs a certificate"):
            make_tls([], TlsPolicy())


class TestSeveral:
    """Of the same names: by what the client can verify. Of other names: by the one that it asks for (RFC 6066, 3)."""

    def test_rsa_beside_ecdsa(self, make_tls: MakeTls, issue: Issue, client: ssl.SSLContext) -> None:
        tls = make_tls([issue("rsa", kind=KeyKind.RSA_2048), issue("ecdsa")], TlsPolicy())
        assert kind(visit(client, tls.context)) == "ecdsa-p256"
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        client.set_ciphers("ECDHE+aRSA+AESGCM")
        assert kind(visit(client, tls.context)) == "rsa-2048"

    @pytest.mark.parametrize(
        ("asked", "expected"),
        [
            ("localhost", "first"),
            ("b.example", "second"),
            ("B.Example", "second"),
            ("x.c.example", "second"),
            ("router.lab", "third"),
        ],
    )
    def test_by_name(self, make_tls: MakeTls, issue: Issue, client: ssl.SSLContext, asked: str, expected: str) -> None:
        files = {
            "first": issue("first", ["localhost", "127.0.0.1"]),
            "second": issue("second", ["b.example", "*.c.example"]),
            "third": issue("third", ["router.lab"]),
        }
        tls = make_tls(list(files.values()), TlsPolicy())
        chain = x509.load_pem_x509_certificates(files[expected].chain.read_bytes())
        assert served(client, tls.context, asked) == chain[0].serial_number

    @pytest.mark.parametrize("asked", [None, "unknown.example", "a.x.c.example", "127.0.0.1"])
    def test_without_a_name_of_theirs_it_is_the_first(
        self, make_tls: MakeTls, issue: Issue, client: ssl.SSLContext, asked: str | None
    ) -> None:
        first, second = issue("first", ["localhost", "127.0.0.1"]), issue("second", ["b.example", "*.c.example"])
        client.check_hostname = False
        here, there = StdlibEnd(client, hostname=asked), accept(make_tls([first, second], TlsPolicy()).context)
        establish(here, there)
        shown = here.tls.getpeercert(binary_form=True)
        assert shown is not None
        serial_number = x509.load_pem_x509_certificates(first.chain.read_bytes())[0].serial_number
        assert x509.load_der_x509_certificate(shown).serial_number == serial_number

    def test_the_same_kind_twice_for_the_same_names(self, make_tls: MakeTls, issue: Issue) -> None:
        first, second = issue("first"), issue("second")
        with pytest.raises(CertificateError, match="leave out one"):
            make_tls([first, second], TlsPolicy())

    def test_each_may_be_renewed(self, make_tls: MakeTls, issue: Issue, client: ssl.SSLContext, clock: Clock) -> None:
        tls = make_tls([issue("a"), issue("b", ["b.example"])], TlsPolicy())
        first, second = served(client, tls.context), served(client, tls.context, "b.example")
        issue("b", ["b.example"])
        clock.pass_by()
        assert served(client, tls.context, "b.example") != second
        assert served(client, tls.context) == first


class TestWhoAsksForClientCertificates:
    """The choice of a context changes nothing in what the policy asks of clients."""

    def test_one_without_is_refused(
        self, make_tls: MakeTls, issue: Issue, client: ssl.SSLContext, client_files: CertificateFiles
    ) -> None:
        tls = make_tls([issue("a")], TlsPolicy(client_ca=client_files.chain))
        with pytest.raises(Exception, match=r"(?i)certificate"):
            visit(client, tls.context)
        client.load_cert_chain(client_files.chain, client_files.key)
        visit(client, tls.context)

    def test_application_protocols_are_the_policy_s(
        self, make_tls: MakeTls, issue: Issue, client: ssl.SSLContext
    ) -> None:
        client.set_alpn_protocols(["http/1.1", "h2"])
        assert visit(client, make_tls([issue("a")], TlsPolicy(alpn=("h2",))).context).alpn == "h2"


def connected(client: ssl.SSLContext, server: ServerContext, session: ssl.SSLSession | None = None) -> StdlibEnd:
    here, there = StdlibEnd(client, hostname="localhost", session=session), accept(server)
    establish(here, there)
    converse(here, there)
    return here


def test_both_stacks_are_offered(issue: Issue, client: ssl.SSLContext) -> None:
    files = issue("a")
    for tls in (stdlib_server_tls([files], TlsPolicy()), pyopenssl_server_tls([files], TlsPolicy())):
        visit(client, tls.context)
