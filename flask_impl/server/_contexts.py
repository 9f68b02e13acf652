"""What a server may be given for TLS, and what it makes of that.

    ssl.SSLContext, OpenSSL.SSL.Context    used as they are: whoever made one has decided what it says to clients
    certs.ServerTls                        its context; its files can be read again
    (certificate, key)                     paths of PEM files: a ServerTls with this project's policy
    "adhoc"                                the same, with a certificate made for this server, which no client trusts

Neither pyOpenSSL nor the part of `certs` that makes a ServerTls is imported before it is needed: both are dear.
"""

import functools
import logging
import os
import shutil
import socket
import ssl
import sys
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, Union

import certs
from flask_impl.server._connection import Connection, PlainConnection
from flask_impl.server._stdlib import StdlibConnection

if TYPE_CHECKING:
    from OpenSSL import SSL

_log = logging.getLogger("flask_impl.server")

PemFile: TypeAlias = Union[str, "os.PathLike[str]"]
TlsContext: TypeAlias = Union[
    ssl.SSLContext, "SSL.Context", "certs.ServerTls[Any]", tuple[PemFile, PemFile], Literal["adhoc"]
]
"""Each kind of value that `serve` takes as ssl_context, besides None."""

_KINDS: Final = (
    "an ssl.SSLContext, an OpenSSL.SSL.Context, a certs.ServerTls, a pair of paths (certificate, key), or 'adhoc'"
)


@dataclass(frozen=True, slots=True)
class Transport:
    """How connections are made of accepted sockets."""

    connect: Callable[[socket.socket], Connection]
    secure: bool
    renewable: "certs.ServerTls[Any] | None"  # whose certificates can be read again


def transport(given: TlsContext | None) -> Transport:
    """Make what a server needs of what it was given; None is TCP without TLS.

    Raises TypeError for what is of no kind above, ValueError for what cannot serve (CertificateError is one): one line.
    """
    if given is None:
        return Transport(PlainConnection, secure=False, renewable=None)
    renewable = _renewable(given)
    connect = _connector(given if renewable is None else renewable.context)
    return Transport(connect, secure=True, renewable=renewable)


def _renewable(given: object) -> "certs.ServerTls[Any] | None":
    if isinstance(given, str):
        if given != "adhoc":
            raise ValueError(f"ssl_context is {given!r}; the only word for it is 'adhoc', files are (certificate, key)")
        return _adhoc()
    if isinstance(given, tuple):
        if len(given) != 2 or not all(isinstance(path, str | os.PathLike) for path in given):
            raise TypeError(f"ssl_context is {given!r}; as a pair it is the paths of two PEM files, (certificate, key)")
        return _of_files(*given)
    if not isinstance(given, ssl.SSLContext) and isinstance(given, certs.ServerTls):
        return given
    return None


def _of_files(certificate: PemFile, key: PemFile) -> "certs.ServerTls[ssl.SSLContext]":
    return certs.stdlib_server_tls([certs.CertificateFiles(Path(certificate), Path(key))], certs.TlsPolicy())


def _adhoc() -> "certs.ServerTls[ssl.SSLContext]":
    folder = Path(tempfile.mkdtemp(prefix="adhoc-certificate-"))
    try:
        files = certs.adhoc_certificate(folder)
        tls = _of_files(files.chain, files.key)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(tls, shutil.rmtree, folder, ignore_errors=True)  # or at the end of the process
    return tls


def _connector(context: object) -> Callable[[socket.socket], Connection]:
    """Return what makes a Connection of an accepted socket."""
    if isinstance(context, ssl.SSLContext):
        if context.protocol is ssl.PROTOCOL_TLS_CLIENT:  # as of ssl.create_default_context(), unless one says otherwise
            raise ValueError(
                "ssl_context is a client's ssl.SSLContext; a server needs ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)"
            )
        return functools.partial(StdlibConnection, context=context)
    if "OpenSSL.SSL" in sys.modules:  # otherwise it cannot be one of pyOpenSSL's
        from OpenSSL import SSL  # noqa: PLC0415 (only where it is used)

        from flask_impl.server._pyopenssl import PyOpenSslConnection, lacking  # noqa: PLC0415 (as above)

        if isinstance(context, SSL.Context):
            # As Python's ssl does, and harmless: an idle connection then keeps no buffers, 10 kB of them.
            context.set_mode(SSL.MODE_RELEASE_BUFFERS)
            lack = lacking(context)
            if lack is not None:  # no error: its server-name callback may have another context for each client
                _log.warning("ssl_context: %s; call use_privatekey_file and use_certificate_chain_file", lack)
            return functools.partial(PyOpenSslConnection, context=context)
    raise TypeError(f"ssl_context is {type(context).__name__}; it should be {_KINDS}")
