"""A connection with pyOpenSSL's TLS, which brings an OpenSSL of its own."""

import contextlib
import socket
from typing import NoReturn

from OpenSSL import SSL, crypto

from flask_impl.server._connection import (
    RECORD,
    HandshakeError,
    PlainConnection,
    PlainHttpError,
    Tls,
    TlsError,
    WantRead,
    WantWrite,
)

_UNEXPECTED_EOF = -1  # SysCallError's first argument where there is no errno


class PyOpenSslConnection(PlainConnection):
    """`OpenSSL.SSL.Connection`, whose errors are made those of `Connection`."""

    __slots__ = ("_tls",)

    shakes_hands = True

    def __init__(self, accepted: socket.socket, context: SSL.Context) -> None:
        super().__init__(accepted)
        try:
            self._tls = SSL.Connection(context, accepted)
        except SSL.Error as error:  # no memory, for instance
            raise OSError(_reason(error)) from None
        self._tls.set_accept_state()

    def handshake(self) -> None:
        try:
            self._tls.do_handshake()
        except SSL.WantReadError:
            raise WantRead from None
        except SSL.WantWriteError:
            raise WantWrite from None
        except (SSL.SysCallError, SSL.ZeroReturnError):
            raise ConnectionResetError("the client left during the handshake") from None
        except SSL.Error as error:
            reason = _reason(error)
            plain = reason in ("http request", "https proxy request") or self.looks_like_http()
            raise (PlainHttpError if plain else HandshakeError)(reason) from None

    def tls(self) -> Tls:
        certificate = None
        # Of the context that the connection has now: the server-name callback may have chosen it.
        if self._tls.get_context().get_verify_mode() != SSL.VERIFY_NONE:
            shown = self._tls.get_peer_certificate()
            certificate = None if shown is None else crypto.dump_certificate(crypto.FILETYPE_ASN1, shown)
        return Tls(self._tls.get_protocol_version_name(), self._tls.get_cipher_name() or "", certificate)

    def receive(self) -> bytes:
        try:
            return self._tls.recv(RECORD)
        except SSL.ZeroReturnError:
            return b""
        except SSL.SysCallError as error:
            if error.args[0] == _UNEXPECTED_EOF:
                return b""  # without a goodbye. What was cut off shows by itself: HTTP says how long things are
            _raise(error)
        except SSL.Error as error:
            _raise(error)

    def pending(self) -> bool:
        return self._tls.pending() > 0

    def send(self, data: bytes | memoryview) -> int:
        try:
            return self._tls.send(data)
        except SSL.Error as error:
            _raise(error)

    def shutdown(self) -> None:
        with contextlib.suppress(SSL.Error):  # there is nobody to tell
            self._tls.shutdown()
        super().shutdown()


def lacking(context: SSL.Context) -> str | None:
    """Say what a context lacks to serve anybody, in one line; None if nothing."""
    try:
        context.check_privatekey()
    except SSL.Error as error:
        return f"it has no certificate with its private key ({_reason(error)})"
    return None


def _raise(error: SSL.Error) -> NoReturn:
    """Turn what interrupts sending and receiving into what `Connection` says it raises."""
    if isinstance(error, SSL.WantReadError):
        raise WantRead from None
    if isinstance(error, SSL.WantWriteError):
        raise WantWrite from None
    if isinstance(error, SSL.SysCallError) and error.args[0] != _UNEXPECTED_EOF:
        raise ConnectionResetError(*error.args) from None
    raise TlsError(_reason(error)) from None


def _reason(error: SSL.Error) -> str:
    """Return OpenSSL's own words, from a list of (library, function, reason); the first came first, and tells most."""
    try:
        reason = str(error.args[0][0][-1])
    except (IndexError, TypeError):
        return str(error) or type(error).__name__
    # pyOpenSSL does not say why.
    return f"client certificate refused: {reason}" if reason == "certificate verify failed" else reason
