"""A connection with the standard library's TLS."""

import contextlib
import socket
import ssl

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


class StdlibConnection(PlainConnection):
    """`ssl.SSLSocket`, whose operations happen to be those of `Connection` under other names."""

    __slots__ = ("_tls",)

    shakes_hands = True

    def __init__(self, accepted: socket.socket, context: ssl.SSLContext) -> None:
        accepted.setblocking(False)
        accepted.getpeername()  # of a client that has left, wrap_socket would raise without closing what it has made
        self._tls = context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
        super().__init__(self._tls)  # not the accepted one: wrap_socket has detached it

    def handshake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            raise WantRead from None
        except ssl.SSLWantWriteError:
            raise WantWrite from None
        except ssl.SSLEOFError:
            raise ConnectionResetError("the client left during the handshake") from None
        except ssl.SSLError as error:
            plain = error.reason in ("HTTP_REQUEST", "HTTPS_PROXY_REQUEST") or self.looks_like_http()
            raise (PlainHttpError if plain else HandshakeError)(_reason(error)) from None

    def tls(self) -> Tls:
        cipher = self._tls.cipher()
        certificate = None
        if self._tls.context.verify_mode != ssl.CERT_NONE:
            certificate = self._tls.getpeercert(binary_form=True)
        return Tls(self._tls.version() or "", cipher[0] if cipher else "", certificate)

    def receive(self) -> bytes:
        try:
            return self._tls.recv(RECORD)
        except ssl.SSLWantReadError:
            raise WantRead from None
        except ssl.SSLWantWriteError:
            raise WantWrite from None
        except ssl.SSLZeroReturnError:
            return b""
        except ssl.SSLError as error:
            raise TlsError(_reason(error)) from None

    def pending(self) -> bool:
        return self._tls.pending() > 0

    def send(self, data: bytes | memoryview) -> int:
        try:
            return self._tls.send(data)
        except ssl.SSLWantReadError:
            raise WantRead from None
        except ssl.SSLWantWriteError:
            raise WantWrite from None

    def shutdown(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # there is nobody to tell, or nothing to wait for
            self._tls.unwrap()  # sends close_notify, and would like to wait for the client's
        super().shutdown()


def _reason(error: ssl.SSLError) -> str:
    """Return OpenSSL's own words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"client certificate refused: {error.verify_message}"
    return (error.reason or str(error)).replace("_", " ").lower()
