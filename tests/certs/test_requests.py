"""`issue --csr`: the request's key and names, after a look at both, and nothing else of it."""

import re
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs import CertificateFiles, check_pair
from certs.__main__ import main
from certs._pairs import read_certificates
from tests.certs.foreign import openssl


def request(folder: Path, *options: str, newkey: str = "rsa:2048") -> Path:
    """A request of the openssl command, and its key."""
    key = ["-newkey", newkey, "-nodes", "-keyout", "device.key"]
    openssl("req", "-new", *key, "-out", "device.csr", "-subj", "/CN=ignored", *options, folder=folder)
    return folder / "device.csr"


def names(folder: Path) -> list[str]:
    (chain,) = folder.glob("chain.pem")
    held = read_certificates(chain)[0].extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [str(name.value) for name in held.value]


@pytest.fixture
def issue(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> "Issue":
    return Issue(tmp_path, capsys)


class Issue:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._state = folder / "state"
        self._capsys = capsys

    def __call__(self, csr: Path, *options: str) -> list[str]:
        assert main(["issue", "--state", str(self._state), "--csr", str(csr), *options]) == 0
        return self._capsys.readouterr().out.splitlines()

    def error(self, csr: Path, *options: str) -> str:
        assert main(["issue", "--state", str(self._state), "--csr", str(csr), *options]) == 2
        out, err = self._capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        return err.removeprefix("python -m certs: error: ").rstrip("\n")


class TestWhatIsIssued:
    def test_a_chain_beside_the_request_and_no_key(self, issue: Issue, tmp_path: Path) -> None:
        csr = request(tmp_path, "-addext", "subjectAltName=DNS:device.lan,IP:192.0.2.9")
        lines = issue(csr)
        assert lines[0].startswith("issued rsa-2048 for device.lan, 192.0.2.9, valid until ")
        assert lines[-1].startswith(f"send back {tmp_path / 'chain.pem'}, and {tmp_path / 'state/ca/ca.pem'} for ")
        assert names(tmp_path) == ["device.lan", "192.0.2.9"]
        check_pair(CertificateFiles(tmp_path / "chain.pem", tmp_path / "device.key"))
        assert not list(tmp_path.glob("key.pem"))
        openssl("verify", "-purpose", "sslserver", "-CAfile", tmp_path / "state/ca/ca.pem", tmp_path / "chain.pem")

    @pytest.mark.parametrize("newkey", ["ec", "ed25519", "rsa:2048"])
    def test_for_keys_of_every_kind(self, issue: Issue, tmp_path: Path, newkey: str) -> None:
        options = ["-pkeyopt", "ec_paramgen_curve:prime256v1"] if newkey == "ec" else []
        csr = request(tmp_path, *options, newkey=newkey)
        issue(csr, "--name", "device.lan")
        check_pair(CertificateFiles(tmp_path / "chain.pem", tmp_path / "device.key"))

    def test_names_on_the_command_line_count_instead_of_the_request_s(self, issue: Issue, tmp_path: Path) -> None:
        csr = request(tmp_path, "-addext", "subjectAltName=DNS:bank.example")
        issue(csr, "--name", "device.lan", "--out", str(tmp_path / "out"))
        assert names(tmp_path / "out") == ["device.lan"]

    def test_no_other_extension_is_taken_over(self, issue: Issue, tmp_path: Path) -> None:
        wishes = ["basicConstraints=critical,CA:TRUE", "extendedKeyUsage=codeSigning", "1.2.3.4=ASN1:UTF8String:x"]
        csr = request(
            tmp_path,
            *(word for wish in wishes for word in ("-addext", wish)),
            *("-addext", "subjectAltName=DNS:device.lan"),
        )
        lines = issue(csr)
        assert "note: not taken over from the request: BasicConstraints, ExtendedKeyUsage, 1.2.3.4" in lines
        leaf = read_certificates(tmp_path / "chain.pem")[0]
        assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
        assert "ignored" not in leaf.subject.rfc4514_string()

    def test_a_client_s(self, issue: Issue, tmp_path: Path) -> None:
        issue(request(tmp_path), "--client", "router-7")
        chain = tmp_path / "state/certificates/clients/router-7/chain.pem"
        assert read_certificates(chain)[0].subject.rfc4514_string() == "CN=router-7"
        openssl("verify", "-purpose", "sslclient", "-CAfile", tmp_path / "state/ca/ca.pem", chain)


class TestWhatIsRefused:
    def test_one_that_was_changed(self, issue: Issue, tmp_path: Path) -> None:
        csr = request(tmp_path, "-addext", "subjectAltName=DNS:device.lan")
        der = openssl_der(csr)
        csr.write_bytes(pem(der.replace(b"device.lan", b"banker.lan")))
        assert "the request's signature is not by its key" in issue.error(csr)
        assert not (tmp_path / "chain.pem").exists()

    def test_a_weak_key(self, issue: Issue, tmp_path: Path) -> None:
        csr = request(tmp_path, newkey="rsa:1024")
        line = issue.error(csr, "--name", "device.lan")
        assert line.startswith(f"{csr}: asks for a certificate for an RSA key of 1024 bits, where 2048 is the least; ")

    def test_no_names(self, issue: Issue, tmp_path: Path) -> None:
        csr = request(tmp_path)
        assert issue.error(csr) == f"{csr}: asks for no names; say what it is to be good for with --name"

    @pytest.mark.parametrize("name", ["email:a@b.example", "URI:https://device.lan/"])
    def test_names_that_are_not_hosts(self, issue: Issue, tmp_path: Path, name: str) -> None:
        csr = request(tmp_path, "-addext", f"subjectAltName={name}")
        assert "which is neither a host name nor an address; say what it is to be good for" in issue.error(csr)

    def test_names_that_no_host_has(self, issue: Issue, tmp_path: Path) -> None:
        csr = request(tmp_path, "-addext", "subjectAltName=DNS:a.*.example")
        assert "'a.*.example' is neither a host name nor an address" in issue.error(csr)

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (b"", "not a certificate signing request in PEM; make one: openssl req -new"),
            (b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n", "a damaged certificate signing request; copy it again"),
            (b"\x30\x82\x01\x00", "binary (DER), not PEM; convert it: openssl req -inform der"),
            (b"x" * 200_000, "too large for a certificate signing request; name another file"),
        ],
    )
    def test_files_of_other_content(self, issue: Issue, tmp_path: Path, content: bytes, expected: str) -> None:
        path = tmp_path / "x.csr"
        path.write_bytes(content)
        assert issue.error(path).startswith(f"{path}: {expected}")

    def test_a_kind_with_it(self, issue: Issue, tmp_path: Path) -> None:
        assert issue.error(request(tmp_path), "--kind", "rsa-2048").startswith("--kind goes without --csr")

    def test_to_write_over_anything(self, issue: Issue, tmp_path: Path) -> None:
        csr = request(tmp_path)
        issue(csr, "--name", "device.lan")
        before = (tmp_path / "chain.pem").read_bytes()
        assert re.search(r"holds a certificate already; .* --force ", issue.error(csr, "--name", "device.lan"))
        assert (tmp_path / "chain.pem").read_bytes() == before
        issue(csr, "--name", "device.lan", "--force")
        assert (tmp_path / "chain.pem").read_bytes() != before

    def test_to_put_a_chain_beside_another_key(self, issue: Issue, tmp_path: Path) -> None:
        csr = request(tmp_path)
        openssl("genrsa", "-out", tmp_path / "key.pem", "2048")
        line = issue.error(csr, "--name", "device.lan")
        assert line.startswith(f"{tmp_path / 'key.pem'}: the key of something else")


def openssl_der(csr: Path) -> bytes:
    openssl("req", "-in", csr, "-outform", "der", "-out", csr.with_suffix(".der"))
    return csr.with_suffix(".der").read_bytes()


def pem(der: bytes) -> bytes:
    return ssl.DER_cert_to_PEM_cert(der).replace("CERTIFICATE", "CERTIFICATE REQUEST").encode()
