"""The WSGI environment of a request: PEP 3333, on RFC 3875's names."""

import functools
import io
import ssl
import sys
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import certs
from flask_impl.server._connection import Tls
from flask_impl.server._http import Request

SOFTWARE: Final = "https-digest-bench"

_UNPREFIXED: Final = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}
_PROTOCOLS: Final = {"1.1": "HTTP/1.1", "1.0": "HTTP/1.0"}


def server_environ(address: tuple[str, int], *, tls: bool) -> dict[str, Any]:
    """Return what is the same for every request of a server."""
    environ: dict[str, Any] = {
        "SCRIPT_NAME": "",
        "SERVER_NAME": address[0],
        "SERVER_PORT": str(address[1]),
        "SERVER_SOFTWARE": SOFTWARE,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https" if tls else "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,  # Werkzeug: the input ends by itself, also where Content-Length is missing
    }
    if tls:
        environ["HTTPS"] = "on"
    return environ


def connection_environ(peer: tuple[str, int], tls: Tls | None) -> dict[str, str]:
    """Return what is the same for every request of a connection; TLS under the names of Apache's mod_ssl.

    Raises ValueError for a client's certificate that OpenSSL could read and nobody else can.
    """
    environ = {"REMOTE_ADDR": peer[0], "REMOTE_PORT": str(peer[1])}
    if tls is not None:
        environ["SSL_PROTOCOL"] = sys.intern(tls.version)  # the same few for all connections
        environ["SSL_CIPHER"] = sys.intern(tls.cipher)
        environ["SSL_CLIENT_VERIFY"] = "NONE"
        if tls.certificate is not None:
            environ |= {
                "SSL_CLIENT_VERIFY": "SUCCESS",
                "SSL_CLIENT_CERT": ssl.DER_cert_to_PEM_cert(tls.certificate),
                # PEP 3333, "Unicode Issues": octets, each of them a character; as for PATH_INFO.
                "SSL_CLIENT_S_DN": certs.subject(tls.certificate).encode().decode("latin-1"),
            }
    return environ


def request_environ(
    server: dict[str, Any], connection: dict[str, str], request: Request, body: io.BufferedIOBase
) -> dict[str, Any]:
    """Return a request's whole environment. RAW_URI and REQUEST_URI are the target exactly as it was sent."""
    target = request.target.decode("latin-1")
    authority, rest = _split(target)
    path, _, query = rest.partition("?")
    environ = server | connection
    environ["REQUEST_METHOD"] = request.method
    environ["RAW_URI"] = environ["REQUEST_URI"] = target
    environ["PATH_INFO"] = path if "%" not in path else unquote_to_bytes(path).decode("latin-1")
    environ["QUERY_STRING"] = query
    environ["SERVER_PROTOCOL"] = _PROTOCOLS[request.version]
    environ["wsgi.input"] = body
    for name, value in request.fields:
        key = _key(name)
        if key is None:
            continue
        text = value.decode("latin-1")
        if key in environ:
            text = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{text}"
        environ[key] = text
    if authority is not None:
        environ["HTTP_HOST"] = authority  # RFC 9112 section 3.2.2: it replaces the field
    return environ


def _split(target: str) -> tuple[str | None, str]:
    """Split a target into its authority, where it has one, and its path and query."""
    if target[0] in "/*":
        return None, target
    authority, slash, rest = target.partition("://")[2].partition("/")
    if "?" in authority:  # http://example.org?query: an empty path
        authority, _, rest = authority.partition("?")
        return authority, f"/?{rest}"
    return authority, slash + rest if slash else "/"


@functools.lru_cache(maxsize=256)
def _key(name: str) -> str | None:
    """Return a field's CGI name; None for one with an underscore, which would pass for another with a dash."""
    if "_" in name:
        return None
    return _UNPREFIXED.get(name) or "HTTP_" + name.upper().replace("-", "_")
