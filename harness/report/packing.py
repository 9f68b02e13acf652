"""What is too long to stand in the page as it is: zlib, which `templates/packing.js` unpacks."""

from __future__ import annotations

import base64
import zlib


def packed(data: bytes) -> str:
    """Return data as base64 of zlib; nothing in it can end a script element."""
    return base64.b64encode(zlib.compress(data, 9)).decode()
