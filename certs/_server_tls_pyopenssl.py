"""ServerTls with pyOpenSSL's contexts."""

from collections.abc import Sequence

from OpenSSL import SSL

from certs._contexts_pyopenssl import choose_pyopenssl_context, pyopenssl_context
from certs._files import CertificateFiles
from certs._policy import TlsPolicy
from certs._server_tls import WATCH_S, ServerTls


def pyopenssl_server_tls(
    certificates: Sequence[CertificateFiles], policy: TlsPolicy, *, watch_s: float = WATCH_S
) -> ServerTls[SSL.Context]:
    """Return a server's TLS for pyOpenSSL; see ServerTls. Raises CertificateError."""
    return ServerTls(certificates, policy, make=pyopenssl_context, let_choose=choose_pyopenssl_context, watch_s=watch_s)
