"""Our servers with more than one certificate: by kind of key, and by the name that the client asks for."""

import socket
import ssl
from collections.abc import Iterator

import pytest
from cryptography import x509

from certs import KeyKind, client_context, ensure_ca, issue_certificate, key_kind
from tests.devices import DEVICES, RunningDevice, running_device

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module", params=DEVICES)
def device(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDevice]:
    """One for localhost with keys of two kinds, and for *.lab.example."""
    folder = tmp_path_factory.mktemp(request.param)
    options = []
    for kind, names in (
        (KeyKind.ECDSA_P256, ["localhost"]),
        (KeyKind.RSA_2048, ["localhost"]),
        (KeyKind.ECDSA_P256, ["*.lab.example"]),
    ):
        files = issue_certificate(folder / "ca", kind, names, out=folder / f"{kind}-{names[0].strip('*.')}")
        options += ["--certificate", str(files.chain), "--key", str(files.key)]
    with running_device(request.param, folder, *options) as running:
        yield running


@pytest.fixture
def client(device: RunningDevice) -> ssl.SSLContext:
    return client_context(ensure_ca(device.log.parent / "ca"))


def shown(device: RunningDevice, client: ssl.SSLContext, name: str) -> x509.Certificate:
    with socket.create_connection(device.address, 10) as plain, client.wrap_socket(plain, server_hostname=name) as tls:
        certificate = tls.getpeercert(binary_form=True)
    assert certificate is not None
    return x509.load_der_x509_certificate(certificate)


def test_ecdsa_for_who_can_verify_it_and_rsa_for_who_cannot(device: RunningDevice, client: ssl.SSLContext) -> None:
    assert key_kind(shown(device, client, "localhost")) == "ecdsa-p256"
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("ECDHE+aRSA+AESGCM")
    assert key_kind(shown(device, client, "localhost")) == "rsa-2048"


def test_the_name_that_is_asked_for(device: RunningDevice, client: ssl.SSLContext) -> None:
    shown(device, client, "router.lab.example")  # the client verifies the name
    with pytest.raises(ssl.SSLCertVerificationError, match=r"router\.other\.example"):
        shown(device, client, "router.other.example")
