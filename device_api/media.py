"""The media types that are spoken here, and how JSON is written."""

import json
from typing import Final

YANG_JSON: Final = "application/yang-data+json"  # RFC 8040 section 11.3.2
JSON: Final = "application/json"
XRD: Final = "application/xrd+xml"  # RFC 6415 section 2

_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))  # made once; in ASCII, so no string can make it fail


def encode(document: object) -> bytes:
    """Write a document as compact JSON."""
    return _ENCODER.encode(document).encode("ascii")
