"""Our own threaded server with the smallest application. A module of its own: gunicorn's process is not to hold ours.

python -m benchmarks.tiny_server stdlib|pyopenssl PORT CHAIN KEY
"""

import sys
from pathlib import Path

from benchmarks.tiny_application import application
from certs import CertificateFiles, TlsPolicy, pyopenssl_server_tls, stdlib_server_tls
from flask_impl.server import serve


def main() -> None:
    """Serve it as anybody would: a pair of files, renewed while it runs, and every limit in place."""
    backend, port, chain, key = sys.argv[1:]
    make = pyopenssl_server_tls if backend == "pyopenssl" else stdlib_server_tls
    tls = make([CertificateFiles(Path(chain), Path(key))], TlsPolicy())
    serve(application, port=int(port), ssl_context=tls)


if __name__ == "__main__":
    main()
