import contextlib
import datetime as dt
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs import (
    CertificateFiles,
    KeyKind,
    TlsPolicy,
    ensure_ca,
    ensure_certificate,
    pyopenssl_server_context,
    stdlib_server_context,
)
from certs._issuing import self_signed
from certs._keys import key_pem
from tests.certs.handshakes import ServerContext

MakeContext = Callable[[CertificateFiles, TlsPolicy], ServerContext]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA that several tests share; whoever changes what is in its folder makes one of his own."""
    folder = tmp_path_factory.mktemp("shared")
    ensure_ca(folder)
    return folder


@pytest.fixture(scope="session")
def ca_file(folder: Path) -> Path:
    return ensure_ca(folder)


@pytest.fixture(scope="session")
def certificates(folder: Path) -> dict[KeyKind, CertificateFiles]:
    """One of each kind, made once: an RSA-4096 key takes a second."""
    return {kind: ensure_certificate(folder, kind) for kind in KeyKind}


@pytest.fixture(scope="session")
def files(folder: Path) -> CertificateFiles:
    return ensure_certificate(folder, KeyKind.ECDSA_P256)


@pytest.fixture(params=["stdlib", "pyopenssl"])
def make_context(request: pytest.FixtureRequest) -> MakeContext:
    """The server context of each TLS stack in turn: what holds for one holds for the other."""
    makers: dict[str, MakeContext] = {"stdlib": stdlib_server_context, "pyopenssl": pyopenssl_server_context}
    return makers[request.param]


@pytest.fixture(scope="session")
def client_files(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    """A client's certificate and key; it is its own CA, so that nothing of ours has issued it."""
    return client_certificate(tmp_path_factory.mktemp("client"))


def client_certificate(folder: Path) -> CertificateFiles:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a client")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(
            name, name, key.public_key(), 1, now - dt.timedelta(hours=1), now + dt.timedelta(days=1)
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = CertificateFiles(folder / "client.pem", folder / "client-key.pem")
    files.chain.write_bytes(certificate.public_bytes(Encoding.PEM))
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Become a user whom permissions bind; root alone has to change for that."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def weak_files(tmp_path: Path) -> CertificateFiles:
    """RSA-1024: a sound pair, under OpenSSL's security level."""
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505 (that it is weak is the point)
    files = CertificateFiles(tmp_path / "weak.pem", tmp_path / "weak-key.pem")
    certificate = self_signed(key, ["localhost"], dt.datetime.now(dt.UTC))
    files.chain.write_bytes(certificate.public_bytes(Encoding.PEM))
    files.key.write_bytes(key_pem(key))
    return files
