"""The ping operation: what it takes and what it answers. The waiting between is each framework's own.

{"network-device:input": {"destination": "192.0.2.1", "count": 1, "interval-ms": 100}}
{"network-device:output": {"destination": "192.0.2.1", "packets-sent": 1, "packets-received": 1,
                           "round-trip-us": [100093]}}
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from device_api.bodies import decode, members, whole_number
from device_api.errors import InvalidValueError

MAX_COUNT: Final = 10
MAX_INTERVAL_MS: Final = 1000
"""With MAX_COUNT: nobody can hold a thread for more than 10 s."""
DEFAULT_COUNT: Final = 1
DEFAULT_INTERVAL_MS: Final = 100

_INPUT: Final = "network-device:input"
_INPUT_PATH: Final = f"/{_INPUT}"

# label = (ALPHA / DIGIT) [ *61(ALPHA / DIGIT / "-") (ALPHA / DIGIT) ], RFC 1123 section 2.1; at most 253 octets in all.
# A last label of digits alone is a mistyped address, not a name.
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*(?![0-9]+\Z){_LABEL}")

INPUT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": [_INPUT],
    "additionalProperties": False,
    "properties": {
        _INPUT: {
            "type": "object",
            "required": ["destination"],
            "additionalProperties": False,
            "properties": {
                "destination": {
                    "type": "string",
                    "maxLength": 253,
                    "description": "An IPv4 or IPv6 address, or a host name.",
                    "examples": ["192.0.2.1"],
                },
                "count": {"type": "integer", "minimum": 1, "maximum": MAX_COUNT, "default": DEFAULT_COUNT},
                "interval-ms": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": MAX_INTERVAL_MS,
                    "default": DEFAULT_INTERVAL_MS,
                    "description": "One echo takes this long.",
                },
            },
        }
    },
}

OUTPUT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["network-device:output"],
    "additionalProperties": False,
    "properties": {
        "network-device:output": {
            "type": "object",
            "required": ["destination", "packets-sent", "packets-received", "round-trip-us"],
            "additionalProperties": False,
            "properties": {
                "destination": {"type": "string"},
                "packets-sent": {"type": "integer", "minimum": 1},
                "packets-received": {"type": "integer", "minimum": 0},
                "round-trip-us": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            },
        }
    },
}


@dataclass(frozen=True, slots=True)
class Ping:
    """A ping to be sent: `count` echoes, each taking one interval."""

    destination: str
    count: int
    interval_s: float


def read_ping(body: bytes) -> Ping:
    """Read the operation's input. Raises errors of the 400 family; those about an element name it."""
    whole = members(decode(body), "", required=(_INPUT,))
    given = members(whole[_INPUT], _INPUT_PATH, required=("destination",), optional=("count", "interval-ms"))
    count = whole_number(given.get("count", DEFAULT_COUNT), f"{_INPUT_PATH}/count", least=1, most=MAX_COUNT)
    interval_ms = whole_number(
        given.get("interval-ms", DEFAULT_INTERVAL_MS), f"{_INPUT_PATH}/interval-ms", least=1, most=MAX_INTERVAL_MS
    )
    return Ping(_destination(given["destination"]), count, interval_ms / 1000)


def ping_output(ping: Ping, round_trips_ns: Sequence[int]) -> dict[str, object]:
    """Return the operation's output. round_trips_ns: how long each answered echo took."""
    return {
        "network-device:output": {
            "destination": ping.destination,
            "packets-sent": ping.count,
            "packets-received": len(round_trips_ns),
            "round-trip-us": [taken // 1000 for taken in round_trips_ns],
        }
    }


def _destination(value: object) -> str:
    path = f"{_INPUT_PATH}/destination"
    if isinstance(value, str):
        if _HOST_NAME.fullmatch(value):
            return value
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            pass
    raise InvalidValueError("expected an IP address or a host name", path=path)
