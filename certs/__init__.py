"""Certificates and TLS contexts: a local CA, the server certificates it issues, and one policy for two TLS stacks.

What it is: keys and certificates in a folder (made under a lock, whole or not at all, keys readable by their owner
alone), what can be wrong with a pair of files said in one line, and server contexts for the standard library and for
pyOpenSSL that differ in nothing the libraries let us choose. What it must not do: open a socket, know a web framework,
a server or the rest of this project. Anyone may import it; importing touches no file.

`python -m certs` is its command line. Importing the package loads `ssl` alone: cryptography and pyOpenSSL, 50 ms
together, come with the first use of a function that needs them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from certs._client import client_context
from certs._errors import CertificateError
from certs._files import CertificateFiles
from certs._kinds import KeyKind
from certs._openssl_configuration import PINNED_GROUP, openssl_configuration
from certs._policy import TlsPolicy, TlsVersion

if TYPE_CHECKING:
    from certs._contexts_pyopenssl import pyopenssl_server_context
    from certs._contexts_stdlib import stdlib_server_context
    from certs._folder import (
        adhoc_certificate,
        ensure_ca,
        ensure_certificate,
        issue_certificate,
        issue_client_certificate,
    )
    from certs._keys import key_kind
    from certs._pairs import check_pair
    from certs._server_tls import ServerTls
    from certs._server_tls_pyopenssl import pyopenssl_server_tls
    from certs._server_tls_stdlib import stdlib_server_tls
    from certs._subjects import subject
else:
    _DEFERRED: Final = {
        "adhoc_certificate": "certs._folder",
        "check_pair": "certs._pairs",
        "ensure_ca": "certs._folder",
        "ensure_certificate": "certs._folder",
        "issue_certificate": "certs._folder",
        "issue_client_certificate": "certs._folder",
        "key_kind": "certs._keys",
        "pyopenssl_server_context": "certs._contexts_pyopenssl",
        "pyopenssl_server_tls": "certs._server_tls_pyopenssl",
        "ServerTls": "certs._server_tls",
        "stdlib_server_context": "certs._contexts_stdlib",
        "stdlib_server_tls": "certs._server_tls_stdlib",
        "subject": "certs._subjects",
    }

    # Unseen by type checkers, which would otherwise believe that every name exists here.
    def __getattr__(name: str) -> object:
        if name not in _DEFERRED:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_DEFERRED[name]), name)
        return value

    def __dir__() -> list[str]:
        return [*globals(), *_DEFERRED]


__all__ = [
    "PINNED_GROUP",
    "CertificateError",
    "CertificateFiles",
    "KeyKind",
    "ServerTls",
    "TlsPolicy",
    "TlsVersion",
    "adhoc_certificate",
    "check_pair",
    "client_context",
    "ensure_ca",
    "ensure_certificate",
    "issue_certificate",
    "issue_client_certificate",
    "key_kind",
    "openssl_configuration",
    "pyopenssl_server_context",
    "pyopenssl_server_tls",
    "stdlib_server_context",
    "stdlib_server_tls",
    "subject",
]
