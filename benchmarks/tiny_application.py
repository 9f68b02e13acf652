"""The smallest WSGI application, so that what is measured is the server; `python -m` serves it with ours.

python -m benchmarks.tiny_application stdlib|pyopenssl PORT CHAIN KEY
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

ANSWER = b"x" * 100


def application(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer anything with the same 100 octets."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(ANSWER)))])
    return [ANSWER]


def main() -> None:
    """Serve it as anybody would: a pair of files, renewed while it runs, and every limit in place."""
    from certs import CertificateFiles, TlsPolicy, pyopenssl_server_tls, stdlib_server_tls  # noqa: PLC0415 (as below)
    from flask_impl.server import serve  # noqa: PLC0415 (not for gunicorn, which imports this module as well)

    backend, port, chain, key = sys.argv[1:]
    make = pyopenssl_server_tls if backend == "pyopenssl" else stdlib_server_tls
    tls = make([CertificateFiles(Path(chain), Path(key))], TlsPolicy())
    serve(application, port=int(port), ssl_context=tls)


if __name__ == "__main__":
    main()
