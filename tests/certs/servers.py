"""Real servers on loopback, of the standard library, that answer as well or as badly as a test wants."""

import contextlib
import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator

from certs import CertificateFiles


def tls(
    files: CertificateFiles,
    *,
    version: ssl.TLSVersion | None = None,
    client_ca: str | None = None,
    ciphers: str = "DEFAULT:@SECLEVEL=0",
) -> Callable[[socket.socket], None]:
    """A TLS server's part: shake hands, then wait until the client goes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(ciphers)
    if version is not None:
        with warnings_off():
            context.minimum_version = context.maximum_version = version
    context.load_cert_chain(files.chain, files.key)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as tls_connection:
            tls_connection.recv(1)

    return serve


def saying(content: bytes) -> Callable[[socket.socket], None]:
    """A server of something else: it hears the client out and answers the same to all."""

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(content)
            connection.recv(1)

    return serve


def silent(connection: socket.socket) -> None:
    """A server that hangs: it reads and never answers."""
    with contextlib.suppress(OSError):
        while connection.recv(65536):
            pass


def hanging_up(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def serving(serve: Callable[[socket.socket], None], *, host: str = "127.0.0.1") -> Iterator[int]:
    """Listen on a free port, which is given; each connection is served in turn by a thread."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, 0), family=family)
    port: int = listener.getsockname()[1]

    def run() -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                if stopping.is_set():
                    return
                connection.settimeout(10)
                serve(connection)

    stopping = threading.Event()
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield port
    finally:
        stopping.set()
        socket.create_connection((host, port), timeout=10).close()
        thread.join(15)
        listener.close()
        assert not thread.is_alive()


@contextlib.contextmanager
def warnings_off() -> Iterator[None]:
    """Old versions of TLS are deprecated, which is why a test serves them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
