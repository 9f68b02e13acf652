"""The server's TLS context of the standard library, after the policy."""

import ssl
from collections.abc import Callable, Sequence

from certs._errors import CertificateError
from certs._files import CertificateFiles
from certs._pairs import check_pair, read_certificates
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
        except ssl.SSLError as error:
            raise CertificateError(
                f"{files.chain}: OpenSSL refuses this certificate or its key ({error.reason}); issue a stronger one"
            ) from error
    if policy.client_ca is not None:
        read_certificates(policy.client_ca)
        context.load_verify_locations(policy.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED if policy.client_certificate_required else ssl.CERT_OPTIONAL
    return context


def choose_stdlib_context(context: ssl.SSLContext, choose: Callable[[str | None], ssl.SSLContext]) -> None:
    """Let each connection that is made with a context go on with the one that `choose` gives for its server name.

    OpenSSL calls this during every handshake, also of a client that names no server. Sessions and their tickets
    remain those of the first context, so that they outlive a change of certificates.
    """

    def chosen(connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = choose(name)

    context.sni_callback = chosen
