"""check_pair: every way in which a certificate and its key can be wrong is one line: what, where, what to do."""

import datetime as dt
import re
import tempfile
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from certs import CertificateError, CertificateFiles, KeyKind, check_pair, issue_certificate, key_kind
from certs._issuing import Holder, make_authority
from tests.certs.conftest import nobody

NOW = dt.datetime(2026, 1, 31, 12, 0, 0, tzinfo=dt.UTC)


@pytest.fixture
def pair(tmp_path: Path) -> CertificateFiles:
    """A sound one, to spoil."""
    return issue_certificate(tmp_path, KeyKind.ECDSA_P256, ["localhost"], now=NOW)


def problem(files: CertificateFiles, *, now: dt.datetime = NOW) -> str:
    with pytest.raises(CertificateError) as caught:
        check_pair(files, now=now)
    line = str(caught.value)
    assert "\n" not in line
    assert isinstance(caught.value, ValueError)
    return line


def test_a_sound_pair(pair: CertificateFiles) -> None:
    check_pair(pair, now=NOW)


def test_a_sound_pair_today(files: CertificateFiles) -> None:
    check_pair(files)


def test_certificate_and_key_in_one_file(pair: CertificateFiles) -> None:
    """As haproxy has it."""
    pair.chain.write_bytes(pair.key.read_bytes() + pair.chain.read_bytes())
    check_pair(CertificateFiles(pair.chain, pair.chain), now=NOW)


class TestFiles:
    @pytest.mark.parametrize("which", ["chain", "key"])
    def test_missing(self, pair: CertificateFiles, which: str) -> None:
        path: Path = getattr(pair, which)
        path.unlink()
        assert problem(pair) == f"{path}: no such file; check the path, or run `python -m certs issue`"

    @pytest.mark.parametrize("which", ["chain", "key"])
    def test_a_folder(self, pair: CertificateFiles, which: str) -> None:
        path: Path = getattr(pair, which)
        path.unlink()
        path.mkdir()
        assert problem(pair) == f"{path}: cannot be read (Is a directory); name a PEM file"

    @pytest.mark.parametrize("which", ["chain", "key"])
    def test_not_permitted(self, which: str) -> None:
        with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others, from the top
            folder = Path(name)
            folder.chmod(0o755)
            pair = issue_certificate(folder, KeyKind.ECDSA_P256, ["localhost"], now=NOW)
            pair.key.chmod(0o644)
            path: Path = getattr(pair, which)
            path.chmod(0)
            with nobody():
                line = f"{path}: not readable for this user; change its owner or run as the user that it belongs to"
                assert problem(pair) == line


class TestContent:
    @pytest.mark.parametrize("content", [b"", b"hello\n", b"\xff\xfe\x00", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
    def test_not_a_certificate(self, pair: CertificateFiles, content: bytes) -> None:
        pair.chain.write_bytes(content)
        assert problem(pair).startswith(
            f"{pair.chain}: not a certificate in PEM; name another file, or issue a new one"
        )

    @pytest.mark.parametrize(
        "content",
        [b"", b"hello\n", b"\xff\xfe\x00", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"],
    )
    def test_not_a_key(self, pair: CertificateFiles, content: bytes) -> None:
        pair.key.write_bytes(content)
        assert problem(pair).startswith(f"{pair.key}: not a private key in PEM; name another file, or issue a new one")

    def test_a_binary_certificate(self, pair: CertificateFiles) -> None:
        certificate = x509.load_pem_x509_certificates(pair.chain.read_bytes())[0]
        pair.chain.write_bytes(certificate.public_bytes(Encoding.DER))
        assert problem(pair) == (
            f"{pair.chain}: binary (DER), not PEM; convert it: openssl x509 -inform der -in {pair.chain} -out FILE.pem"
        )

    def test_a_binary_key(self, pair: CertificateFiles, certificates: dict[KeyKind, CertificateFiles]) -> None:
        key = load_pem_private_key(certificates[KeyKind.RSA_2048].key.read_bytes(), None)
        pair.key.write_bytes(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
        assert "binary (DER), not PEM; convert it: openssl pkey -inform der" in problem(pair)

    def test_an_encrypted_key(self, pair: CertificateFiles) -> None:
        key = load_pem_private_key(pair.key.read_bytes(), None)
        for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
            pair.key.write_bytes(key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"secret")))
            assert problem(pair) == (
                f"{pair.key}: the key is encrypted and a server cannot ask for its passphrase; "
                f"decrypt it: openssl pkey -in {pair.key} -out FILE.pem"
            )

    def test_swapped(self, pair: CertificateFiles) -> None:
        line = problem(CertificateFiles(pair.key, pair.chain))
        assert line == (f"{pair.key}: holds a private key where a certificate is expected; are the two files swapped?")
        line = problem(CertificateFiles(pair.chain, pair.chain))
        assert line == f"{pair.chain}: holds a certificate where a private key is expected; are the two files swapped?"

    def test_paths_in_commands_are_quoted(self, pair: CertificateFiles, tmp_path: Path) -> None:
        key = tmp_path / "my key.pem"
        key.write_bytes(b"\x30\x82\x00\x00")
        assert f"-in '{key}'" in problem(CertificateFiles(pair.chain, key))


class TestBelongingTogether:
    def test_the_key_of_another_certificate(
        self, pair: CertificateFiles, certificates: dict[KeyKind, CertificateFiles]
    ) -> None:
        for kind in KeyKind:
            key = certificates[kind].key
            assert re.fullmatch(
                re.escape(f"{key}: this key does not belong to the certificate in {pair.chain}; ") + "name the key .*",
                problem(CertificateFiles(pair.chain, key)),
            )

    def test_a_chain_in_the_wrong_order(self, pair: CertificateFiles) -> None:
        leaf, ca = x509.load_pem_x509_certificates(pair.chain.read_bytes())
        pair.chain.write_bytes(ca.public_bytes(Encoding.PEM) + leaf.public_bytes(Encoding.PEM))
        assert problem(pair) == (
            f"{pair.chain}: the server's certificate is not the first in the file; "
            f"put the one that belongs to {pair.key} first"
        )


class TestValidity:
    def test_expired(self, pair: CertificateFiles) -> None:
        end = x509.load_pem_x509_certificates(pair.chain.read_bytes())[0].not_valid_after_utc
        check_pair(pair, now=end)
        assert problem(pair, now=end + dt.timedelta(seconds=1)) == (
            f"{pair.chain}: the certificate expired on 2026-08-18; issue a new one (`python -m certs issue`)"
        )

    def test_not_valid_yet(self, pair: CertificateFiles) -> None:
        start = x509.load_pem_x509_certificates(pair.chain.read_bytes())[0].not_valid_before_utc
        check_pair(pair, now=start)
        assert problem(pair, now=start - dt.timedelta(seconds=1)) == (
            f"{pair.chain}: the certificate is not valid before 2026-01-31 11:00 UTC; "
            "check this machine's clock, or issue a new one (`python -m certs issue`)"
        )


class TestKeyKind:
    """Named as KeyKind does, whoever made the certificate."""

    @pytest.mark.parametrize("kind", KeyKind)
    def test_ours(self, certificates: dict[KeyKind, CertificateFiles], kind: KeyKind) -> None:
        assert key_kind(x509.load_pem_x509_certificate(certificates[kind].chain.read_bytes())) == kind.value

    @pytest.mark.parametrize(
        ("key", "name"),
        [
            (ec.generate_private_key(ec.SECP384R1()), "ecdsa-p384"),
            (ec.generate_private_key(ec.SECP521R1()), "ecdsa-p521"),
            (ec.generate_private_key(ec.SECP256K1()), "ecdsa-secp256k1"),
            (ed25519.Ed25519PrivateKey.generate(), "ed25519"),
            (ed448.Ed448PrivateKey.generate(), "ed448"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_those_of_others(
        self, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey, name: str
    ) -> None:
        assert key_kind(make_authority(NOW).issue(key.public_key(), Holder.server(["localhost"]), NOW)) == name
