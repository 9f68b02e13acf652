"""The server's TLS context of pyOpenSSL: what `_contexts_stdlib` says, in the other library's words."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from OpenSSL import SSL

from certs._errors import CertificateError
from certs._files import CertificateFiles
from certs._pairs import check_pair, read_certificates
from certs._policy import CIPHER_LIST, TlsPolicy

_AlpnSelector: TypeAlias = Callable[[SSL.Connection, list[bytes]], Any]  # bytes, or pyOpenSSL's private sentinel

# Without one, OpenSSL refuses to resume a session once clients are asked for certificates. Python's ssl sets its own.
_SESSION_CONTEXT: Final = b"https-digest-bench"


def pyopenssl_server_context(files: CertificateFiles, policy: TlsPolicy) -> SSL.Context:
    """Return a server's context for pyOpenSSL. Raises CertificateError as check_pair does, or for a wrong client CA."""
    check_pair(files)
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(policy.oldest.wire)
    context.set_max_proto_version(policy.newest.wire)
    context.set_cipher_list(CIPHER_LIST.encode())
    context.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # as Python's ssl does: an idle connection keeps no buffers
    context.set_session_id(_SESSION_CONTEXT)
    context.set_alpn_select_callback(_alpn_selector([name.encode("ascii") for name in policy.alpn]))
    try:
        context.use_certificate_chain_file(str(files.chain))
        context.use_privatekey_file(str(files.key))
    except SSL.Error as error:
        reason = error.args[0][-1][-1]  # a list of (library, function, reason)
        raise CertificateError(
            f"{files.chain}: OpenSSL refuses this certificate or its key ({reason}); issue a stronger one"
        ) from error
    if policy.client_ca is not None:
        read_certificates(policy.client_ca)
        context.load_verify_locations(str(policy.client_ca))
        required = SSL.VERIFY_FAIL_IF_NO_PEER_CERT if policy.client_certificate_required else 0
        context.set_verify(SSL.VERIFY_PEER | required)
    return context


def _alpn_selector(ours: Sequence[bytes]) -> _AlpnSelector:
    """Choose as Python's ssl does: the first of ours that the client offers; none of them is no reason to refuse it."""
    return lambda _connection, offered: next((name for name in ours if name in offered), SSL.NO_OVERLAPPING_PROTOCOLS)
