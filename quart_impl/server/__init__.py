"""Serve an ASGI app with Hypercorn's HTTP and our TLS: a bad client holds up nobody, a stop cuts nobody off.

`serve(app, listener, tls=...)` is the server behind `python -m quart_impl`; Hypercorn's own command line stays the way
that its users know (`hypercorn quart_impl:app`). HTTP/1.1, HTTP/2, streams and lifespan are Hypercorn 0.18's, imported
and subclassed, never changed in place. What it lacks stands around them; docs/hypercorn.md says what that is, and how
to see it.

    _serving     serve: the parts put together, signals, lifespan, the clock
    _accepting   new clients
    _bounds      how many there may be, and who makes room
    _connection  one client: TCP to TLS to HTTP, its phases and their limits
    _tls         TLS from octets to octets; _hello looks at the first of them
    _http1       HTTP/1.1, made strict
    _http2       HTTP/2, mended
    _exchange    one request between Hypercorn and the application; bodies that do not come
    _refusal     answers that the server makes itself
    _stopping    the stop
    _limits      what a client may cost

It knows no device and not Quart: whoever calls it brings app, socket and TLS. Importing touches no file.
"""

from quart_impl.server._limits import Limits
from quart_impl.server._serving import LoopKind, serve
from quart_impl.server._tls import ALPN

__all__ = ["ALPN", "Limits", "LoopKind", "serve"]
