"""Certificates that somebody else made: OpenSSL's command, and CAs, ends and names as a test wants them."""

import datetime as dt
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from certs import CertificateFiles
from tests.requirements import require_program

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)


def openssl(*arguments: str | Path, folder: Path | None = None) -> str:
    program = require_program("openssl", "openssl")
    done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True, slots=True)
class Made:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: CertificateIssuerPrivateKeyTypes


def make(
    name: str,
    issuer: Made | None = None,
    *,
    organisation: str | None = None,
    names: Sequence[str] = (),
    days: float = 90,
    age_days: float = 1,
    ca: bool = False,
    key: CertificateIssuerPrivateKeyTypes | None = None,
) -> Made:
    """A certificate that ends in so many days; without an issuer it is its own."""
    fields = [] if organisation is None else [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation)]
    subject = x509.Name([*fields, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    key = key or ec.generate_private_key(ec.SECP256R1())
    start, end = NOW - dt.timedelta(days=age_days), NOW + dt.timedelta(days=days)
    by = subject if issuer is None else issuer.certificate.subject
    builder = x509.CertificateBuilder(by, subject, key.public_key(), x509.random_serial_number(), start, end)
    builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if names:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(each) for each in names])
        builder = builder.add_extension(alternatives, critical=False)
    return Made(builder.sign(key if issuer is None else issuer.key, hashes.SHA256()), key)


def written(folder: Path, *chain: Made) -> CertificateFiles:
    """The chain and the key of its first."""
    folder.mkdir(parents=True, exist_ok=True)
    files = CertificateFiles(folder / "cert.pem", folder / "key.pem")
    files.chain.write_bytes(b"".join(made.certificate.public_bytes(Encoding.PEM) for made in chain))
    files.key.write_bytes(chain[0].key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files.key.chmod(0o600)
    return files
