"""Every error of the API, with the status and the body that it is answered with (RFC 8040 section 7).

    DeviceError                     500 operation-failed
    ├── MalformedMessageError       400 malformed-message    not JSON, or not I-JSON
    ├── InvalidValueError           400 invalid-value        of a known element; names it in error-path
    ├── MissingElementError         400 missing-element
    ├── UnknownElementError         400 unknown-element
    ├── NoSuchResourceError         404 invalid-value
    ├── UnsupportedMediaTypeError   415 invalid-value
    └── UnavailableError            503 operation-failed     a store is down, or the device is not open yet

A framework raises errors of its own (404, 405, 413, …); `body_for_status` answers those, and never repeats what they
say. So each framework needs two handlers of three lines, and both answer alike.
"""

import functools
from http import HTTPStatus
from typing import Any, ClassVar, Final

from device_api.media import encode

ERRORS_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["ietf-restconf:errors"],
    "additionalProperties": False,
    "properties": {
        "ietf-restconf:errors": {
            "type": "object",
            "required": ["error"],
            "additionalProperties": False,
            "properties": {
                "error": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["error-type", "error-tag"],
                        "additionalProperties": False,
                        "properties": {
                            "error-type": {"enum": ["transport", "rpc", "protocol", "application"]},
                            "error-tag": {"type": "string"},
                            "error-path": {"type": "string"},
                            "error-message": {"type": "string"},
                        },
                    },
                }
            },
        }
    },
}


class DeviceError(Exception):
    """An answer that is an error. The message goes to the client: it says nothing internal."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "application"
    tag: ClassVar[str] = "operation-failed"

    def __init__(self, message: str, *, path: str | None = None) -> None:
        """path: the instance identifier of the element at fault, "/network-device:input/count"."""
        super().__init__(message)
        self.message = message
        self.path = path

    @property
    def headers(self) -> dict[str, str]:
        """Header fields that the answer needs besides its body."""
        return {}

    def body(self) -> bytes:
        """Return the error's RFC 8040 section 7.1 body."""
        return error_body(type_=self.type, tag=self.tag, message=self.message, path=self.path)


class MalformedMessageError(DeviceError):
    """A body that cannot be read."""

    status = 400
    type = "protocol"
    tag = "malformed-message"


class InvalidValueError(DeviceError):
    """A value of the wrong type, or out of bounds."""

    status = 400
    type = "protocol"
    tag = "invalid-value"


class MissingElementError(DeviceError):
    """Something that the model demands is not there (RFC 6241 appendix A)."""

    status = 400
    type = "protocol"
    tag = "missing-element"


class UnknownElementError(DeviceError):
    """Something that the model does not know."""

    status = 400
    type = "protocol"
    tag = "unknown-element"


class NoSuchResourceError(DeviceError):
    """A data resource that does not exist."""

    status = 404
    tag = "invalid-value"


class UnsupportedMediaTypeError(DeviceError):
    """A body in an encoding that is not spoken here (RFC 8040 section 5.2, which leaves the tag open)."""

    status = 415
    type = "protocol"
    tag = "invalid-value"  # as section 7 has it for 406, the same question the other way round


class UnavailableError(DeviceError):
    """The device cannot answer now, and may later."""

    status = 503

    @property
    def headers(self) -> dict[str, str]:
        """Ask for a moment's patience: what is down is a matter of seconds or of people."""
        return {"Retry-After": "1"}


def error_body(*, type_: str, tag: str, message: str, path: str | None = None) -> bytes:
    """Write an `ietf-restconf:errors` document with one error (RFC 8040 section 7.1)."""
    error = {"error-type": type_, "error-tag": tag}
    if path is not None:
        error["error-path"] = path
    error["error-message"] = message
    return encode({"ietf-restconf:errors": {"error": [error]}})


# Type, tag (RFC 8040 section 7, its table) and text for what a framework refuses by itself, or Digest.
_BY_STATUS: Final[dict[int, tuple[str, str, str]]] = {
    400: ("protocol", "malformed-message", "the request cannot be understood"),
    401: ("protocol", "access-denied", "no valid credentials were sent"),
    404: ("protocol", "invalid-value", "there is no such resource"),
    405: ("protocol", "operation-not-supported", "the resource does not know this method; see Allow"),
    408: ("transport", "operation-failed", "the request did not arrive in time"),
    413: ("protocol", "too-big", "the body is too long"),
    415: ("protocol", "invalid-value", "the body's media type is not supported"),
    429: ("protocol", "resource-denied", "too many tries; see Retry-After"),
    500: ("application", "operation-failed", "internal error; the device's log has the cause"),
    503: ("application", "operation-failed", "the device cannot answer now"),
}


@functools.lru_cache(maxsize=64)  # there are that many statuses and reasons, all of them our own
def body_for_status(status: int, message: str | None = None) -> bytes:
    """Write the body of an error that a framework or the Digest check raised; without a message, the usual one."""
    fallback = _BY_STATUS[500] if status >= 500 else _BY_STATUS[400]
    type_, tag, usual = _BY_STATUS.get(status, (*fallback[:2], _phrase(status)))
    return error_body(type_=type_, tag=tag, message=message or usual)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"status {status}"
