"""The server's TLS context of the standard library, after the policy."""

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

from certs._files import CertificateFiles
from certs._pairs import check_client_ca, check_pair, refused_client_ca, refused_pair
from certs._policy import CIPHER_LIST, TlsPolicy


def stdlib_server_context(files: CertificateFiles, policy: TlsPolicy) -> ssl.SSLContext:
    """Return a server's context for `ssl`. Raises CertificateError as check_pair does, or for a wrong client CA."""
    return stdlib_context([files], policy)


def stdlib_context(certificates: Sequence[CertificateFiles], policy: TlsPolicy) -> ssl.SSLContext:
    """Return a context with a certificate of each of several kinds of key, of which OpenSSL takes what suits a client.

    Raises CertificateError as stdlib_server_context does.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion(policy.oldest.wire)
    context.maximum_version = ssl.TLSVersion(policy.newest.wire)
    context.set_ciphers(CIPHER_LIST)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE  # on by default here, off by default in pyOpenSSL
    context.set_alpn_protocols(policy.alpn)
    for files in certificates:
        check_pair(files)
        try:
            context.load_cert_chain(files.chain, files.key)
        except OSError as error:  # ssl.SSLError is one
            raise refused_pair(files, _reason(error)) from error
    if policy.client_ca is not None:
        _ask_clients(context, policy.client_ca, required=policy.client_certificate_required)
    return context


def _ask_clients(context: ssl.SSLContext, ca: Path, *, required: bool) -> None:
    check_client_ca(ca)
    try:
        context.load_verify_locations(ca)
    except OSError as error:
        raise refused_client_ca(ca, _reason(error)) from error
    context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    # See _policy on resumption. What is left: sessions of TLS 1.2 by their ids, which Python has no call to switch off.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0


def _reason(error: OSError) -> str:
    return str((error.reason if isinstance(error, ssl.SSLError) else error.strerror) or error)


def choose_stdlib_context(context: ssl.SSLContext, choose: Callable[[str | None], ssl.SSLContext]) -> None:
    """Let each connection that is made with a context go on with the one that `choose` gives for its server name.

    OpenSSL calls this during every handshake, also of a client that names no server. Sessions and their tickets
    remain those of the first context, so that they outlive a change of certificates.
    """

    def chosen(connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = choose(name)

    context.sni_callback = chosen
