"""ServerTls with the standard library's contexts."""

import ssl
from collections.abc import Sequence

from certs._contexts_stdlib import choose_stdlib_context, stdlib_context
from certs._files import CertificateFiles
from certs._policy import TlsPolicy
from certs._server_tls import WATCH_S, ServerTls


def stdlib_server_tls(
    certificates: Sequence[CertificateFiles], policy: TlsPolicy, *, watch_s: float = WATCH_S
) -> ServerTls[ssl.SSLContext]:
    """Return a server's TLS for `ssl`; see ServerTls. Raises CertificateError."""
    return ServerTls(certificates, policy, make=stdlib_context, let_choose=choose_stdlib_context, watch_s=watch_s)
