"""The TLS context of a client, the standard library's. Loads no cryptography: load generators import it."""

import ssl
from pathlib import Path

from certs._errors import CertificateError
from certs._files import read_bytes
from certs._policy import ALL_VERSIONS, TlsPolicy, TlsVersion


def client_context(ca_file: Path, *, versions: frozenset[TlsVersion] = ALL_VERSIONS) -> ssl.SSLContext:
    """Return a client's context that trusts what is in a PEM file and nothing else; host names are checked.

    A certificate in the file is trusted whether it is a root or not: of an ad-hoc server it is the server's own.
    Raises CertificateError.
    """
    policy = TlsPolicy(versions=versions)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and host name unless told otherwise
    context.minimum_version = ssl.TLSVersion(policy.oldest.wire)
    context.maximum_version = ssl.TLSVersion(policy.newest.wire)
    context.set_alpn_protocols(policy.alpn)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    read_bytes(ca_file)  # says more than OpenSSL does if it is not there
    try:
        context.load_verify_locations(ca_file)
    except ssl.SSLError as error:
        raise CertificateError(
            f"{ca_file}: no certificates in PEM; name the file of the CA that is to be trusted"
        ) from error
    return context
