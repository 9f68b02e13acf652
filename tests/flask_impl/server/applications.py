"""Small WSGI applications, each of which shows one thing."""

import threading
from collections.abc import Iterable, Iterator
from wsgiref.types import StartResponse, WSGIEnvironment


def hello(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the body, read whole."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [body]


def echo_while_it_comes(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """Answer with the body, each piece before the next is read."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    while piece := environ["wsgi.input"].read(65536):
        yield piece


def refuse(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer without a look at the body."""
    start_response("413 Content Too Large", [("Content-Type", "text/plain")])
    return [b"too large"]


def show(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with what the query names of the environment."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(environ.get(name, "")).encode() + b"\n" for name in environ["QUERY_STRING"].split("&")]


class Gate:
    """An application that answers when the test says so; `/free` at once."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.opened = threading.Event()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/free":
            self.entered.release()
            assert self.opened.wait(10)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["PATH_INFO"].encode()]
