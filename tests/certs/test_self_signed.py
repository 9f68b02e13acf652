"""`self-signed` makes what the line of the guides makes, and adds what that lacks. OpenSSL's command is the judge."""

import datetime as dt
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtensionOID

from certs import CertificateFiles, KeyKind, check_pair, client_context, key_kind, stdlib_server_context
from certs.__main__ import main
from certs._command_line import _self_signed
from certs._policy import TlsPolicy
from tests.certs.foreign import openssl
from tests.certs.handshakes import visit

LINE = "req -x509 -newkey rsa:4096 -nodes -out cert.pem -keyout key.pem -days 365"


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    """What the guides' line makes; the subject, which it asks for, is given."""
    folder = tmp_path_factory.mktemp("theirs")
    openssl(*LINE.split(), "-subj", "/CN=localhost", folder=folder)
    return CertificateFiles(folder / "cert.pem", folder / "key.pem")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    folder = tmp_path_factory.mktemp("ours")
    assert main(["self-signed", "--out", str(folder)]) == 0
    return CertificateFiles(folder / "cert.pem", folder / "key.pem")


def read(files: CertificateFiles) -> x509.Certificate:
    (certificate,) = x509.load_pem_x509_certificates(files.chain.read_bytes())
    return certificate


def fields(certificate: x509.Certificate) -> dict[str, object]:
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    hash_algorithm = certificate.signature_hash_algorithm
    assert hash_algorithm is not None
    return {
        "version": certificate.version,
        "serial octets": (certificate.serial_number.bit_length() + 7) // 8 in {19, 20},  # one in 256 begins with zeros
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "signature": (certificate.signature_algorithm_oid, hash_algorithm.name),
        "key": (key.key_size, key.public_numbers().e),
        "validity": certificate.not_valid_after_utc - certificate.not_valid_before_utc,
    }


def extensions(certificate: x509.Certificate) -> dict[x509.ObjectIdentifier, bool]:
    return {extension.oid: extension.critical for extension in certificate.extensions}


def trusting(files: CertificateFiles) -> ssl.SSLContext:
    """A client that looks for names as browsers, requests and Go do; Python's default makes do with a common name."""
    context = client_context(files.chain)
    context.hostname_checks_common_name = False
    return context


class TestLikeOpenSSL:
    def test_the_same_fields(self, ours: CertificateFiles, theirs: CertificateFiles) -> None:
        assert fields(read(ours)) == fields(read(theirs))
        assert fields(read(ours))["validity"] == dt.timedelta(days=365)

    def test_valid_from_now_on(self, ours: CertificateFiles, theirs: CertificateFiles) -> None:
        now = dt.datetime.now(dt.UTC)
        for files in (ours, theirs):
            assert dt.timedelta() <= now - read(files).not_valid_before_utc < dt.timedelta(minutes=5)

    def test_the_same_extensions_and_the_two_that_clients_ask_for(
        self, ours: CertificateFiles, theirs: CertificateFiles
    ) -> None:
        more = {ExtensionOID.SUBJECT_ALTERNATIVE_NAME: False, ExtensionOID.EXTENDED_KEY_USAGE: False}
        assert extensions(read(ours)) == extensions(read(theirs)) | more
        for extension in read(theirs).extensions:
            if extension.oid == ExtensionOID.BASIC_CONSTRAINTS:
                assert read(ours).extensions.get_extension_for_oid(extension.oid).value == extension.value

    def test_the_same_files(self, ours: CertificateFiles, theirs: CertificateFiles) -> None:
        for files in (ours, theirs):
            assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
            assert files.key.read_text().startswith("-----BEGIN PRIVATE KEY-----\n")
            check_pair(files)

    def test_a_client_that_trusts_it_accepts_ours_alone(self, ours: CertificateFiles, theirs: CertificateFiles) -> None:
        visit(trusting(ours), stdlib_server_context(ours, TlsPolicy()))
        with pytest.raises(ssl.SSLCertVerificationError, match=r"(?i)hostname mismatch"):
            visit(trusting(theirs), stdlib_server_context(theirs, TlsPolicy()))

    def test_the_help_gives_the_line(self) -> None:
        assert f"openssl {LINE}" in _self_signed._DESCRIPTION


class TestOptions:
    @pytest.mark.parametrize("kind", [KeyKind.ECDSA_P256, KeyKind.ED25519, KeyKind.RSA_2048])
    def test_of_any_kind(self, tmp_path: Path, kind: KeyKind) -> None:
        assert main(["self-signed", "--kind", kind, "--out", str(tmp_path), "--days", "7"]) == 0
        files = CertificateFiles(tmp_path / "cert.pem", tmp_path / "key.pem")
        assert key_kind(read(files)) == kind
        assert read(files).not_valid_after_utc - read(files).not_valid_before_utc == dt.timedelta(days=7)
        openssl("verify", "-x509_strict", "-verify_hostname", "localhost", "-CAfile", files.chain, files.chain)

    def test_names(self, tmp_path: Path) -> None:
        arguments = ["--kind", "ecdsa-p256", "--name", "device.lan", "--name", "192.0.2.1"]
        assert main(["self-signed", *arguments, "--out", str(tmp_path)]) == 0
        shown = openssl("x509", "-in", tmp_path / "cert.pem", "-noout", "-subject", "-ext", "subjectAltName")
        assert "CN = device.lan" in shown
        assert "DNS:device.lan, IP Address:192.0.2.1" in shown

    @pytest.mark.parametrize("left", ["cert.pem", "key.pem"])
    def test_nothing_is_overwritten(self, tmp_path: Path, left: str, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / left).write_text("mine")
        arguments = ["self-signed", "--kind", "ecdsa-p256", "--out", str(tmp_path)]
        assert main(arguments) == 2
        line = f"{tmp_path / left}: is there already; choose another folder (--out), or replace it with --force"
        assert capsys.readouterr().err == f"python -m certs: error: {line}\n"
        assert [path.name for path in tmp_path.iterdir()] == [left]
        assert main([*arguments, "--force"]) == 0
        check_pair(CertificateFiles(tmp_path / "cert.pem", tmp_path / "key.pem"))
