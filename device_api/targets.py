"""From the request target as it was sent to the path that routes are matched with.

    request-target = origin-form / absolute-form / authority-form / asterisk-form      RFC 9112 section 3.2
    origin-form    = absolute-path [ "?" query ]
    absolute-form  = scheme "://" authority path-abempty [ "?" query ]                 RFC 3986 section 3

RESTCONF puts a list's key into the path: `interface=GigabitEthernet1%2F0%2F1` (RFC 8040 section 3.5.3) is one segment.
The path that servers hand over, WSGI's PATH_INFO or ASGI's path, is decoded as a whole, and no longer tells the key's
slashes from the path's: `interface=a%2Fstatistics` and `interface=a/statistics` have become the same. So both
implementations match routes with the path below, in which %2F, and the percent sign itself, stay encoded; `key_value`
decodes what is left of a key.
"""

import re
from typing import Final
from urllib.parse import unquote

_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?]*")

# A run of octets to decode: all but %25 and %2F. Octets of a run belong together, they may be one UTF-8 character.
_DECODED: Final = re.compile(r"(?:%(?!2[5Ff])[0-9A-Fa-f]{2})+")

# Werkzeug's matching takes several slashes at a path's start for one, but `//health` is not `/health`.
_EMPTY_FIRST_SEGMENT: Final = "//"


def routing_path(target: str) -> str:
    """Return the path of a request target, decoded but for %25 and %2F. It never raises.

    target: text in which each character stands for an octet (ISO 8859-1). Encoded octets that are not UTF-8 become
    U+FFFD, which no resource has in its name. The second of several slashes at the start comes back as %2F.
    """
    path = target.partition("?")[0]
    if path[:1] != "/":
        absolute = _ABSOLUTE.match(path)
        path = (path[absolute.end() :] or "/") if absolute else path
    if "%" in path:
        path = _DECODED.sub(lambda run: unquote(run[0]), path)
    if path.startswith(_EMPTY_FIRST_SEGMENT):
        path = "/%2F" + path.removeprefix(_EMPTY_FIRST_SEGMENT)
    return path


def key_value(segment: str) -> str:
    """Decode what `routing_path` left encoded of a list's key."""
    return unquote(segment) if "%" in segment else segment
