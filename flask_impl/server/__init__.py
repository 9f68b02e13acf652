"""A threaded WSGI server with TLS: what `flask run` is not meant to be, in one process and without a proxy.

`serve(app, ssl_context=...)` serves any WSGI application over HTTP/1.1, with a context of the standard library or of
pyOpenSSL, with certificate files that are watched for renewal, or with a certificate made on the spot. One thread waits
for all clients at once (accept, handshake, head, small body, idle); a whole request takes one of a fixed number of
threads. So slow and silent clients take no thread, and an application that blocks takes one. It runs on Linux (epoll,
eventfd).

    _server      Server and serve: the parts put together, signals
    _loop        the I/O loop: who is waited for, deadlines, the stop
    _room        bounds on connections, and who has to go
    _workers     the threads
    _exchange    one request answered
    _client      a client between loop and threads
    _http        requests from octets, by httptools; what is refused
    _body        a large body, read while it arrives
    _environ     PEP 3333: what the application is given
    _answer      PEP 3333: what it gives back
    _connection  TCP and TLS as the rest sees them; _stdlib and _pyopenssl are the two kinds of TLS
    _contexts    what a server may be given for TLS
    _limits      what a client may cost

It must know nothing of the device, of Flask, or of the rest of the project but `certs`: Werkzeug's exceptions (so that
a body that never comes is no traceback in a Flask application) and httptools are all else that it takes from elsewhere.
Its one logger is "flask_impl.server": INFO tells of clients, WARNING of what somebody should look at. flask_impl's
`__main__`, tests and benchmarks import it. Importing touches no file.
"""

from flask_impl.server._contexts import TlsContext
from flask_impl.server._limits import Limits
from flask_impl.server._server import Server, serve

__all__ = ["Limits", "Server", "TlsContext", "serve"]
