"""The subject of a certificate, as it stands in logs and is told to applications (RFC 4514)."""

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from certs import subject

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def certificate(*parts: tuple[x509.ObjectIdentifier, str]) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(kind, value) for kind, value in parts])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, START, START + dt.timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("common_name", "expected"),
    [
        ("router-7", "CN=router-7,O=Example"),
        ("a,b", r"CN=a\,b,O=Example"),
        ("Zoë", "CN=Zoë,O=Example"),
        ("two\nlines", r"CN=two\0alines,O=Example"),
        ("\x1b[31mred", r"CN=\1b[31mred,O=Example"),
    ],
)
def test_subject(common_name: str, expected: str) -> None:
    shown = certificate((NameOID.ORGANIZATION_NAME, "Example"), (NameOID.COMMON_NAME, common_name))
    assert subject(shown) == expected


def test_what_is_no_certificate() -> None:
    with pytest.raises(ValueError, match=r"."):
        subject(b"nothing")
