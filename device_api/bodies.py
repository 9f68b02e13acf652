"""Reading JSON bodies that a peer sent.

Strict where JSON is vague, as I-JSON asks (RFC 7951 section 2, RFC 7493): UTF-8 only, no member twice, no NaN. Whatever
the octets are, the outcome is a value or an error of the 400 family.
"""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Final, NoReturn

from device_api.errors import (
    InvalidValueError,
    MalformedMessageError,
    MissingElementError,
    UnknownElementError,
    UnsupportedMediaTypeError,
)
from device_api.media import JSON, YANG_JSON

MAX_BODY_BYTES: Final = 65_536
"""Of a body that is read whole: hundreds of times what any operation needs, and harmless to hold."""

UNREAD_WAIT_S: Final = 1.0
"""How long an answer waits for the rest of a small body that nobody will read: a few round trips to far away."""

# identifier = (ALPHA / "_") *(ALPHA / DIGIT / "_" / "-" / "."), RFC 7950 section 14; a module's name may stand before.
# Only such a name is repeated in an error-path, and not a long one.
_NAME: Final = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_.-]{0,63}:)?[A-Za-z_][A-Za-z0-9_.-]{0,63}")


def require_json(media_type: str) -> None:
    """Refuse a body of another media type, given without its parameters. Raises UnsupportedMediaTypeError.

    application/json is let in too: it is what most clients say of a JSON body by themselves.
    """
    if media_type not in {YANG_JSON, JSON}:
        raise UnsupportedMediaTypeError(f"send the body as {YANG_JSON}")


def comes_before_the_answer(length: int | None, *, chunked: bool) -> bool:
    """Say whether a body that nobody has read is let in before its request is answered. length: None: not told.

    A server that hangs up on a client which is still sending may lose its answer with the connection (RFC 9112 section
    9.6), as Hypercorn does: what it refuses, such as a Digest client's first request, would fail in place of being
    sent again. A small body is mostly under way already, so it is let in, for UNREAD_WAIT_S and MAX_BODY_BYTES at most.
    A larger one is refused at once. gunicorn lets in as much by itself, and WSGI has no way to wait no longer.
    """
    return chunked if length is None else 0 < length <= MAX_BODY_BYTES


def decode(body: bytes) -> object:
    """Read a document. Raises MalformedMessageError."""
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_once_each, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise MalformedMessageError("the body is not UTF-8") from error
    except RecursionError as error:
        raise MalformedMessageError("the body nests too deep") from error
    except ValueError as error:  # not JSON, a name twice, or a number of thousands of digits
        raise MalformedMessageError(f"the body is not JSON: {error}") from error


def members(
    value: object, path: str, *, required: Collection[str], optional: Collection[str] = ()
) -> Mapping[str, Any]:
    """Return an object's members when it has those that it must have, and no others.

    path: the object's instance identifier; the body as a whole has "". Raises InvalidValueError, UnknownElementError,
    MissingElementError, each naming its element.
    """
    if not isinstance(value, dict):
        raise InvalidValueError("expected an object", path=path or "/")
    for name in value:
        if name not in required and name not in optional:
            known = _NAME.fullmatch(name) is not None
            raise UnknownElementError("there is no such element", path=f"{path}/{name}" if known else path or "/")
    for name in required:
        if name not in value:
            raise MissingElementError("this element is needed", path=f"{path}/{name}")
    return value


def whole_number(value: object, path: str, *, least: int, most: int) -> int:
    """Return an integer within bounds (RFC 7951 section 6.1: a JSON number). Raises InvalidValueError."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise InvalidValueError(f"expected a whole number from {least} to {most}", path=path)
    return value


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has a member twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
