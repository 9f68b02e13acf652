"""The request, with its target as it was sent, and the path that follows from it.

WSGI itself (PEP 3333) hands over a decoded PATH_INFO alone. Servers add the target under one of two names; as seen by
running them with `%2F`, `//`, `%7E`, a lone `?` and absolute-form:

    RAW_URI        our own server and gunicorn: exact; Werkzeug's: exact, but of a leading `//` one slash is left, by
                   http.server, and such a request is refused by Digest, unless a request handler of one's own takes
                   the target from the request line (deployments has one in its template)
    REQUEST_URI    waitress, uWSGI, mod_wsgi (with AllowEncodedSlashes NoDecode), cheroot: exact
    neither        granian's WSGI: Digest cannot be checked there, unless something before the application puts a target
                   together (deployments has a function for that in its template)
"""

from typing import Final, cast
from wsgiref.types import WSGIEnvironment

import flask
from werkzeug.exceptions import RequestEntityTooLarge

from device_api.targets import routing_path


def request_target(environ: WSGIEnvironment) -> str | None:
    """Return the request target as it was sent, each character an octet; None where the server does not tell."""
    target = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    return None if target is None else str(target)


class DeviceRequest(flask.Request):
    """A request whose `path` keeps an encoded slash apart from a real one (device_api.targets)."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        super().__init__(environ)
        self.target = request_target(environ)
        if self.target is not None:
            self.path = routing_path(self.target)

    def read_body(self) -> bytes:
        """Return the whole body. Raises RequestEntityTooLarge.

        Werkzeug's `get_data` cuts a body without Content-Length off at MAX_CONTENT_LENGTH and says nothing of it: what
        then stands before the cut may well be valid.
        """
        body = self.get_data()
        if self.content_length is None and len(body) == self.max_content_length and self.input_stream.read(1):
            raise RequestEntityTooLarge
        return body


# flask.request, known to be one of ours.
request: Final = cast("DeviceRequest", flask.request)
