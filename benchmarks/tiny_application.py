"""The smallest WSGI application, so that what is measured is the server. `benchmarks.tiny_server` has ours serve it."""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

ANSWER = b"x" * 100


def application(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer anything with the same 100 octets."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(ANSWER)))])
    return [ANSWER]
