from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from certs import CertificateFiles, KeyKind, ensure_ca, ensure_certificate
from certs._folder import issue_client_certificate
from tests.quart_impl.serving import TinyServer, tiny_server

Serve = Callable[..., AbstractContextManager[TinyServer]]


@pytest.fixture(scope="session")
def tls_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="session")
def files(tls_folder: Path) -> CertificateFiles:
    return ensure_certificate(tls_folder, KeyKind.ECDSA_P256)


@pytest.fixture(scope="session")
def ca_file(tls_folder: Path) -> Path:
    return ensure_ca(tls_folder)


@pytest.fixture(scope="session")
def client(tls_folder: Path) -> CertificateFiles:
    """A client's certificate, of the same CA."""
    return issue_client_certificate(tls_folder, "router-7", organisation="Example")


@pytest.fixture
def serve(files: CertificateFiles, ca_file: Path) -> Serve:
    """Start the tiny server over TLS: `with serve(linger_s=0.3) as server`."""
    return partial(tiny_server, files, ca_file)


@pytest.fixture(params=["asyncio", "uvloop"])
def serve_on_each_loop(request: pytest.FixtureRequest, files: CertificateFiles, ca_file: Path) -> Serve:
    """Like `serve`, for what one loop may do and another not."""
    return partial(tiny_server, files, ca_file, loop=request.param)
