"""What stands in the certificates (RFC 5280), with OpenSSL's command as the judge."""

import datetime as dt
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs import CertificateError, CertificateFiles, KeyKind, adhoc_certificate, issue_certificate, key_kind
from certs._issuing import Authority, Holder, make_authority
from certs._keys import make_key
from tests.requirements import require_program

NOW = dt.datetime(2026, 1, 31, 12, 0, 0, 999_999, tzinfo=dt.UTC)
CLIENT_CLOCK_BEHIND = dt.timedelta(minutes=59)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return make_authority(NOW)


def issue(authority: Authority, *names: str, now: dt.datetime = NOW) -> x509.Certificate:
    return authority.issue(make_key(KeyKind.ECDSA_P256).public_key(), Holder.server(names), now)


def names_in(certificate: x509.Certificate) -> list[str]:
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [f"{type(name).__name__} {name.value}" for name in extension.value]


def openssl(*arguments: str | Path) -> str:
    program = require_program("openssl", "openssl")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class TestAuthority:
    def test_it_may_sign_certificates_but_not_make_other_authorities(self, authority: Authority) -> None:
        extensions = authority.certificate.extensions
        constraints = extensions.get_extension_for_class(x509.BasicConstraints)
        usage = extensions.get_extension_for_class(x509.KeyUsage)
        assert constraints.critical
        assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
        assert usage.critical
        assert (usage.value.key_cert_sign, usage.value.crl_sign, usage.value.digital_signature) == (True, True, False)

    def test_its_key_is_ecdsa_whatever_it_signs(self, authority: Authority) -> None:
        assert key_kind(authority.certificate) == "ecdsa-p256"

    def test_two_of_them_have_two_names(self, authority: Authority) -> None:
        assert make_authority(NOW).certificate.subject != authority.certificate.subject

    def test_its_time(self, authority: Authority) -> None:
        certificate = authority.certificate
        assert certificate.not_valid_before_utc <= NOW - CLIENT_CLOCK_BEHIND
        assert certificate.not_valid_after_utc - NOW > dt.timedelta(days=3649)


class TestServerCertificate:
    def test_it_serves_and_signs_no_certificates(self, authority: Authority) -> None:
        extensions = issue(authority, "localhost").extensions
        constraints = extensions.get_extension_for_class(x509.BasicConstraints)
        usage = extensions.get_extension_for_class(x509.KeyUsage)
        purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        assert constraints.critical
        assert not constraints.value.ca
        assert usage.critical
        assert (usage.value.digital_signature, usage.value.key_cert_sign) == (True, False)
        assert list(purposes.value) == [ExtendedKeyUsageOID.SERVER_AUTH]

    def test_it_points_to_its_issuer(self, authority: Authority) -> None:
        leaf = issue(authority, "localhost")
        pointer = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        target = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        assert pointer.key_identifier == target.digest
        leaf.verify_directly_issued_by(authority.certificate)

    def test_it_is_valid_for_199_days_in_all(self, authority: Authority) -> None:
        leaf = issue(authority, "localhost")
        assert leaf.not_valid_before_utc <= NOW - CLIENT_CLOCK_BEHIND
        assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == dt.timedelta(days=199)

    def test_it_does_not_outlive_its_ca(self, authority: Authority) -> None:
        end = authority.certificate.not_valid_after_utc
        assert issue(authority, "localhost", now=end - dt.timedelta(days=2)).not_valid_after_utc == end

    def test_no_two_have_the_same_serial_number(self, authority: Authority) -> None:
        assert issue(authority, "localhost").serial_number != issue(authority, "localhost").serial_number


class TestNames:
    """Whatever a client may connect to: names, wildcards, addresses of both families."""

    @pytest.mark.parametrize(
        ("given", "stands_there"),
        [
            ("localhost", "DNSName localhost"),
            ("device.lan", "DNSName device.lan"),
            ("*.lab.example", "DNSName *.lab.example"),
            ("my_container", "DNSName my_container"),
            ("bücher.example", "DNSName xn--bcher-kva.example"),
            ("192.0.2.1", "IPAddress 192.0.2.1"),
            ("::1", "IPAddress ::1"),
            ("[2001:db8::1]", "IPAddress 2001:db8::1"),
            ("1.example", "DNSName 1.example"),
        ],
    )
    def test_accepted(self, authority: Authority, given: str, stands_there: str) -> None:
        assert names_in(issue(authority, given)) == [stands_there]

    @pytest.mark.parametrize(
        "given",
        [
            "",
            "https://device.lan",
            "device.lan:8443",
            "device.lan/path",
            "two words",
            "-dash.example",
            "dash-.example",
            "a..b",
            ".example",
            "a.*.example",
            "f*.example",
            "*",
            "x" * 64,
            ".".join(["x" * 63] * 4),
            "ü" * 64,
        ],
    )
    def test_refused(self, authority: Authority, given: str) -> None:
        with pytest.raises(CertificateError, match=r"neither a host name nor an address; write it without scheme"):
            issue(authority, given)

    def test_each_once_in_their_order(self, authority: Authority) -> None:
        leaf = issue(authority, "b.example", "a.example", "b.example")
        assert names_in(leaf) == ["DNSName b.example", "DNSName a.example"]

    def test_at_least_one(self, authority: Authority) -> None:
        with pytest.raises(CertificateError, match="at least one name"):
            issue(authority)

    def test_one_that_is_too_long_for_a_common_name(self, authority: Authority) -> None:
        name = f"{'x' * 63}.example"
        assert names_in(issue(authority, name)) == [f"DNSName {name}"]


class TestForeignJudge:
    """`openssl verify` accepts chains, names and purposes, as strictly as it can."""

    @pytest.mark.parametrize(
        "name", [["-verify_hostname", "localhost"], ["-verify_ip", "127.0.0.1"], ["-verify_ip", "::1"]]
    )
    @pytest.mark.parametrize("kind", KeyKind)
    def test_every_kind(
        self, certificates: dict[KeyKind, CertificateFiles], ca_file: Path, kind: KeyKind, name: list[str]
    ) -> None:
        chain = certificates[kind].chain
        strictly = ["-x509_strict", "-purpose", "sslserver", "-auth_level", "2"]
        assert openssl("verify", *strictly, *name, "-CAfile", ca_file, chain) == f"{chain}: OK\n"

    @pytest.mark.parametrize(
        ("kind", "described"),
        [
            (KeyKind.RSA_2048, "Public-Key: (2048 bit)"),
            (KeyKind.RSA_4096, "Public-Key: (4096 bit)"),
            (KeyKind.ECDSA_P256, "NIST CURVE: P-256"),
            (KeyKind.ED25519, "Public Key Algorithm: ED25519"),
        ],
    )
    def test_kinds_are_what_they_are_called(
        self, certificates: dict[KeyKind, CertificateFiles], kind: KeyKind, described: str
    ) -> None:
        text = openssl("x509", "-in", certificates[kind].chain, "-noout", "-text")
        assert described in text
        assert "Signature Algorithm: ecdsa-with-SHA256" in text

    def test_a_key_file_is_plain_pem(self, certificates: dict[KeyKind, CertificateFiles]) -> None:
        for files in certificates.values():
            public = openssl("pkey", "-in", files.key, "-pubout")
            assert openssl("x509", "-in", files.chain, "-noout", "-pubkey") == public

    def test_self_signed(self, tmp_path: Path) -> None:
        chain = adhoc_certificate(tmp_path).chain
        strictly = ["-x509_strict", "-purpose", "sslserver", "-verify_hostname", "localhost"]
        assert openssl("verify", *strictly, "-CAfile", chain, chain) == f"{chain}: OK\n"

    def test_names_are_for_the_certificate_that_has_them(self, folder: Path, ca_file: Path, tmp_path: Path) -> None:
        files = issue_certificate(folder, KeyKind.ECDSA_P256, ["*.lab.example"], out=tmp_path)
        openssl("verify", "-verify_hostname", "one.lab.example", "-CAfile", ca_file, files.chain)
        with pytest.raises(AssertionError, match=r"(?i)hostname mismatch"):
            openssl("verify", "-verify_hostname", "localhost", "-CAfile", ca_file, files.chain)


def test_a_foreign_ca_without_key_identifier_can_issue_too() -> None:
    """One that somebody else made and put in our folder; RFC 5280 asks for the identifier, older tools omit it."""
    key = make_key(KeyKind.ECDSA_P256)
    name = x509.Name.from_rfc4514_string("CN=an old CA")
    bare = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + dt.timedelta(days=30))
    bare = bare.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    old = Authority(bare.sign(key, hashes.SHA256()), key)
    leaf = issue(old, "localhost")
    leaf.verify_directly_issued_by(old.certificate)
    pointer = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert pointer.key_identifier == x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest
