"""Both TLS stacks serve alike: each test here holds for the standard library's context and for pyOpenSSL's."""

import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from certs import (
    CertificateError,
    CertificateFiles,
    KeyKind,
    TlsPolicy,
    TlsVersion,
    adhoc_certificate,
    client_context,
    ensure_ca,
    ensure_certificate,
    key_kind,
)
from tests.certs.conftest import MakeContext, client_certificate
from tests.certs.handshakes import TLS_ERRORS, PyOpenSSLEnd, StdlibEnd, accept, establish, transfer, visit

ONLY_1_2 = frozenset({TlsVersion.TLS_1_2})
ONLY_1_3 = frozenset({TlsVersion.TLS_1_3})
BOTH = ONLY_1_2 | ONLY_1_3

# Mozilla's guidelines, version 6.0, "intermediate".
MOZILLA_1_2 = {
    KeyKind.ECDSA_P256: {
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    },
    KeyKind.RSA_2048: {
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-RSA-CHACHA20-POLY1305",
    },
}
MOZILLA_1_3 = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}


class TestVersions:
    """TLS 1.2 and 1.3, or one of them; nothing older."""

    @pytest.mark.parametrize("served", [ONLY_1_2, ONLY_1_3, BOTH])
    @pytest.mark.parametrize("version", TlsVersion)
    def test_a_client_is_served_in_the_versions_of_the_policy(
        self,
        make_context: MakeContext,
        files: CertificateFiles,
        ca_file: Path,
        served: frozenset[TlsVersion],
        version: TlsVersion,
    ) -> None:
        server = make_context(files, TlsPolicy(versions=served))
        client = client_context(ca_file, versions=frozenset({version}))
        if version in served:
            assert visit(client, server).version == f"TLSv{version}"
        else:
            with pytest.raises(TLS_ERRORS):
                visit(client, server)

    def test_the_newer_version_is_preferred(
        self, make_context: MakeContext, files: CertificateFiles, ca_file: Path
    ) -> None:
        assert visit(client_context(ca_file), make_context(files, TlsPolicy())).version == "TLSv1.3"

    def test_an_older_client_is_refused(
        self, make_context: MakeContext, files: CertificateFiles, ca_file: Path
    ) -> None:
        client = client_context(ca_file)
        client.set_ciphers("ALL:@SECLEVEL=0")  # below which OpenSSL would not even offer TLS 1.1
        with pytest.deprecated_call():
            client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(TLS_ERRORS):
            visit(client, make_context(files, TlsPolicy()))

    def test_a_policy_without_a_version_cannot_be_made(self) -> None:
        with pytest.raises(ValueError, match="needs a version"):
            TlsPolicy(versions=frozenset())


class TestCiphers:
    """Exactly Mozilla's intermediate list, in the client's order."""

    @pytest.mark.parametrize("kind", MOZILLA_1_2)
    def test_of_all_ciphers_of_tls_1_2_only_these_are_accepted(
        self,
        make_context: MakeContext,
        certificates: dict[KeyKind, CertificateFiles],
        ca_file: Path,
        kind: KeyKind,
    ) -> None:
        server = make_context(certificates[kind], TlsPolicy())
        every = client_context(ca_file, versions=ONLY_1_2)
        every.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
        names = [cipher["name"] for cipher in every.get_ciphers() if not cipher["name"].startswith("TLS_")]
        assert len(names) > 20
        accepted = set()
        for name in names:
            client = client_context(ca_file, versions=ONLY_1_2)
            client.set_ciphers(f"{name}:@SECLEVEL=0")
            try:
                accepted.add(visit(client, server).cipher)
            except TLS_ERRORS:
                continue
        assert accepted == MOZILLA_1_2[kind]

    @pytest.mark.parametrize("cipher", sorted(MOZILLA_1_3))
    def test_the_ciphers_of_tls_1_3_are_accepted(
        self, make_context: MakeContext, files: CertificateFiles, cipher: str
    ) -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)  # the standard library cannot choose among them
        context.set_tls13_ciphersuites(cipher.encode())
        client = PyOpenSSLEnd(context)
        establish(client, accept(make_context(files, TlsPolicy(versions=ONLY_1_3))))
        assert client.tls.get_cipher_name() == cipher

    @pytest.mark.parametrize("first", sorted(MOZILLA_1_2[KeyKind.ECDSA_P256]))
    def test_the_client_knows_best_which_is_fast_on_its_processor(
        self, make_context: MakeContext, files: CertificateFiles, ca_file: Path, first: str
    ) -> None:
        client = client_context(ca_file, versions=ONLY_1_2)
        client.set_ciphers(":".join([first, *MOZILLA_1_2[KeyKind.ECDSA_P256] - {first}]))
        assert visit(client, make_context(files, TlsPolicy())).cipher == first

    def test_renegotiation_is_refused(self, make_context: MakeContext, files: CertificateFiles) -> None:
        client = PyOpenSSLEnd(SSL.Context(SSL.TLS_CLIENT_METHOD))
        server = accept(make_context(files, TlsPolicy(versions=ONLY_1_2)))
        establish(client, server)
        assert client.tls.renegotiate()
        client.handshake()
        transfer(client, server)
        assert server.read() == b""
        transfer(server, client)
        with pytest.raises(SSL.Error, match="no renegotiation"):
            client.handshake()


class TestApplicationProtocol:
    """ALPN (RFC 7301): the first of the server's that the client offers. One that does not speak of it is served."""

    @pytest.mark.parametrize(
        ("ours", "offered", "chosen"),
        [
            (("http/1.1",), ["http/1.1"], "http/1.1"),
            (("http/1.1",), ["h2", "http/1.1"], "http/1.1"),
            (("h2", "http/1.1"), ["http/1.1", "h2"], "h2"),
            (("http/1.1",), [], None),
        ],
    )
    def test_choice(
        self,
        make_context: MakeContext,
        files: CertificateFiles,
        ca_file: Path,
        ours: tuple[str, ...],
        offered: list[str],
        chosen: str | None,
    ) -> None:
        client = client_context(ca_file)
        client.set_alpn_protocols(offered)
        assert visit(client, make_context(files, TlsPolicy(alpn=ours))).alpn == chosen

    def test_a_client_that_offers_others_alone_is_refused_where_the_library_can(
        self, make_context: MakeContext, files: CertificateFiles, ca_file: Path
    ) -> None:
        """RFC 7301, 3.2, asks for the alert; Python's ssl can only go on without a protocol."""
        client = client_context(ca_file)
        client.set_alpn_protocols(["h2"])
        server = make_context(files, TlsPolicy(alpn=("http/1.1",)))
        if isinstance(server, ssl.SSLContext):
            assert visit(client, server).alpn is None
            return
        here, there = StdlibEnd(client, hostname="localhost"), PyOpenSSLEnd(server, server_side=True)
        here.handshake()
        there.feed(here.drain())
        with pytest.raises(SSL.Error, match="no application protocol"):
            there.handshake()
        here.feed(there.drain())
        with pytest.raises(ssl.SSLError, match=r"(?i)no application protocol"):
            here.handshake()


class TestVerification:
    """Clients verify the server against the CA and under the name that they connected to."""

    @pytest.mark.parametrize("hostname", ["localhost", "127.0.0.1", "::1"])
    @pytest.mark.parametrize("kind", KeyKind)
    def test_each_kind_is_good_for_this_machine(
        self,
        make_context: MakeContext,
        certificates: dict[KeyKind, CertificateFiles],
        ca_file: Path,
        kind: KeyKind,
        hostname: str,
    ) -> None:
        client = client_context(ca_file)
        client.verify_flags |= ssl.VERIFY_X509_STRICT  # what Python 3.13's default context asks
        seen = visit(client, make_context(certificates[kind], TlsPolicy()), hostname=hostname)
        assert key_kind(x509.load_der_x509_certificate(seen.certificate)) == kind

    def test_another_name_is_refused(self, make_context: MakeContext, files: CertificateFiles, ca_file: Path) -> None:
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            visit(client_context(ca_file), make_context(files, TlsPolicy()), hostname="device.example")

    def test_another_ca_is_refused(self, make_context: MakeContext, files: CertificateFiles, tmp_path: Path) -> None:
        with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
            visit(client_context(ensure_ca(tmp_path)), make_context(files, TlsPolicy()))

    def test_an_adhoc_server_is_trusted_by_its_own_certificate(self, make_context: MakeContext, tmp_path: Path) -> None:
        adhoc, other = adhoc_certificate(tmp_path / "adhoc"), adhoc_certificate(tmp_path / "other")
        server = make_context(adhoc, TlsPolicy())
        assert visit(client_context(adhoc.chain), server, hostname="127.0.0.1").version == "TLSv1.3"
        with pytest.raises(ssl.SSLCertVerificationError):
            visit(client_context(other.chain), server)

    def test_a_leaf_in_the_file_is_trusted_without_its_ca(
        self, make_context: MakeContext, files: CertificateFiles, tmp_path: Path
    ) -> None:
        leaf = x509.load_pem_x509_certificates(files.chain.read_bytes())[0]
        (tmp_path / "leaf.pem").write_bytes(leaf.public_bytes(Encoding.PEM))
        visit(client_context(tmp_path / "leaf.pem"), make_context(files, TlsPolicy()))


@pytest.mark.parametrize("version", TlsVersion)
class TestClientCertificates:
    """With a client CA, who shows no certificate of it is refused, unless certificates are optional."""

    @pytest.fixture
    def client(self, ca_file: Path, version: TlsVersion) -> ssl.SSLContext:
        return client_context(ca_file, versions=frozenset({version}))

    @pytest.mark.parametrize("required", [True, False])
    def test_one_of_the_ca_is_let_in(
        self,
        make_context: MakeContext,
        files: CertificateFiles,
        client: ssl.SSLContext,
        client_files: CertificateFiles,
        *,
        required: bool,
    ) -> None:
        policy = TlsPolicy(client_ca=client_files.chain, client_certificate_required=required)
        client.load_cert_chain(client_files.chain, client_files.key)
        visit(client, make_context(files, policy))

    def test_none_is_refused(
        self,
        make_context: MakeContext,
        files: CertificateFiles,
        client: ssl.SSLContext,
        client_files: CertificateFiles,
    ) -> None:
        with pytest.raises(TLS_ERRORS, match="peer did not return a certificate"):
            visit(client, make_context(files, TlsPolicy(client_ca=client_files.chain)))

    def test_none_is_let_in_where_it_is_optional(
        self,
        make_context: MakeContext,
        files: CertificateFiles,
        client: ssl.SSLContext,
        client_files: CertificateFiles,
    ) -> None:
        policy = TlsPolicy(client_ca=client_files.chain, client_certificate_required=False)
        visit(client, make_context(files, policy))

    @pytest.mark.parametrize("required", [True, False])
    def test_one_of_another_ca_is_refused(
        self,
        make_context: MakeContext,
        files: CertificateFiles,
        client: ssl.SSLContext,
        client_files: CertificateFiles,
        tmp_path: Path,
        *,
        required: bool,
    ) -> None:
        stranger = client_certificate(tmp_path)
        client.load_cert_chain(stranger.chain, stranger.key)
        policy = TlsPolicy(client_ca=client_files.chain, client_certificate_required=required)
        with pytest.raises(TLS_ERRORS, match=r"(?i)certificate.verify.failed"):
            visit(client, make_context(files, policy))


class TestWhatIsWrong:
    """A context is not made of what cannot be served."""

    def test_a_pair_that_is_not_one(
        self, make_context: MakeContext, certificates: dict[KeyKind, CertificateFiles]
    ) -> None:
        mixed = CertificateFiles(certificates[KeyKind.RSA_2048].chain, certificates[KeyKind.ECDSA_P256].key)
        with pytest.raises(CertificateError, match="does not belong"):
            make_context(mixed, TlsPolicy())

    def test_a_client_ca_that_is_none(self, make_context: MakeContext, files: CertificateFiles, tmp_path: Path) -> None:
        with pytest.raises(CertificateError, match=r"absent\.pem: no use as the CA of clients \(no such file\)"):
            make_context(files, TlsPolicy(client_ca=tmp_path / "absent.pem"))
        with pytest.raises(CertificateError, match=r"holds a private key .*; name a PEM file with its certificate"):
            make_context(files, TlsPolicy(client_ca=files.key))
        damaged = tmp_path / "damaged.pem"
        damaged.write_bytes(files.chain.read_bytes() + b"-----BEGIN CERTIFICATE-----\nMIIB")
        with pytest.raises(CertificateError, match=r"damaged\.pem: no use as the CA of clients"):
            make_context(files, TlsPolicy(client_ca=damaged))

    def test_a_key_that_openssl_finds_too_weak(self, make_context: MakeContext, weak_files: CertificateFiles) -> None:
        with pytest.raises(CertificateError, match=r"(?i)refuses this certificate.*ee.key.too.small.*issue a new one"):
            make_context(weak_files, TlsPolicy())

    def test_the_ca_that_a_client_is_to_trust(self, files: CertificateFiles, tmp_path: Path) -> None:
        with pytest.raises(CertificateError, match=r"absent\.pem: no such file"):
            client_context(tmp_path / "absent.pem")
        with pytest.raises(CertificateError, match="no certificates in PEM"):
            client_context(files.key)


def test_a_renewed_certificate_is_another_context(make_context: MakeContext, tmp_path: Path) -> None:
    """Contexts hold what was in the files when they were made: replacing the files changes no server that runs."""
    files = ensure_certificate(tmp_path, KeyKind.ECDSA_P256)
    client = client_context(ensure_ca(tmp_path))
    server = make_context(files, TlsPolicy())
    before = visit(client, server).certificate
    files.chain.unlink()
    ensure_certificate(tmp_path, KeyKind.ECDSA_P256)
    assert visit(client, server).certificate == before
    assert visit(client, make_context(files, TlsPolicy())).certificate != before
