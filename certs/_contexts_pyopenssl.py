"""The server's TLS context of pyOpenSSL: what `_contexts_stdlib` says, in the other library's words."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from OpenSSL import SSL

from certs._files import CertificateFiles
from certs._pairs import check_client_ca, check_pair, refused_client_ca, refused_pair
from certs._policy import CIPHER_LIST, TlsPolicy

_AlpnSelector: TypeAlias = Callable[[SSL.Connection, list[bytes]], bytes]

# Without one, OpenSSL refuses to resume a session once clients are asked for certificates. Python's ssl sets its own.
_SESSION_CONTEXT: Final = b"https-digest-bench"


def pyopenssl_server_context(files: CertificateFiles, policy: TlsPolicy) -> SSL.Context:
    """Return a server's context for pyOpenSSL. Raises CertificateError as check_pair does, or for a wrong client CA."""
    return pyopenssl_context([files], policy)


def pyopenssl_context(certificates: Sequence[CertificateFiles], policy: TlsPolicy) -> SSL.Context:
    """Return a context with a certificate of each of several kinds of key, of which OpenSSL takes what suits a client.

    Raises CertificateError as pyopenssl_server_context does.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(policy.oldest.wire)
    context.set_max_proto_version(policy.newest.wire)
    context.set_cipher_list(CIPHER_LIST.encode())
    context.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # as Python's ssl does: an idle connection keeps no buffers
    context.set_session_id(_SESSION_CONTEXT)
    context.set_alpn_select_callback(_alpn_selector([name.encode("ascii") for name in policy.alpn]))
    for files in certificates:
        check_pair(files)
        try:
            context.use_certificate_chain_file(str(files.chain))
            context.use_privatekey_file(str(files.key))
        except SSL.Error as error:
            raise refused_pair(files, _reason(error)) from error
    if policy.client_ca is not None:
        _ask_clients(context, policy.client_ca, required=policy.client_certificate_required)
    return context


def _ask_clients(context: SSL.Context, ca: Path, *, required: bool) -> None:
    check_client_ca(ca)
    try:
        context.load_verify_locations(str(ca))
    except SSL.Error as error:
        raise refused_client_ca(ca, _reason(error)) from error
    context.set_verify(SSL.VERIFY_PEER | (SSL.VERIFY_FAIL_IF_NO_PEER_CERT if required else 0))
    context.set_options(SSL.OP_NO_TICKET)  # see _policy on resumption
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)


def _reason(error: SSL.Error) -> str:
    """Return OpenSSL's own words, from a list of (library, function, reason)."""
    return str(error.args[0][-1][-1]) if error.args and error.args[0] else "no reason given"


def choose_pyopenssl_context(context: SSL.Context, choose: Callable[[str | None], SSL.Context]) -> None:
    """Let each connection that is made with a context go on with the one that `choose` gives for its server name.

    OpenSSL calls this during every handshake, also of a client that names no server. Sessions and their tickets
    remain those of the first context, so that they outlive a change of certificates.
    """

    def chosen(connection: SSL.Connection) -> None:
        name = connection.get_servername()
        connection.set_context(choose(None if name is None else name.decode("ascii", "replace")))

    context.set_tlsext_servername_callback(chosen)


def _alpn_selector(ours: Sequence[bytes]) -> _AlpnSelector:
    """Choose the first of ours that the client offers; a client that offers others alone is refused with an alert.

    RFC 7301, 3.2: no_application_protocol. Python's ssl cannot, and goes on without a protocol.
    """

    def chosen(_connection: SSL.Connection, offered: list[bytes]) -> bytes:
        for name in ours:
            if name in offered:
                return name
        raise SSL.Error([("SSL routines", "", "no application protocol")])

    return chosen
