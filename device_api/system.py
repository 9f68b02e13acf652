"""The system's state (RFC 7317 section 2.2): tiny, without the datastore, so that its cost is the framework's."""

from datetime import UTC, datetime
from typing import Any, Final

_DATE_AND_TIME: Final = {"type": "string", "format": "date-time"}
_STRING: Final = {"type": "string"}

SYSTEM_STATE_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["ietf-system:system-state"],
    "additionalProperties": False,
    "properties": {
        "ietf-system:system-state": {
            "type": "object",
            "required": ["platform", "clock"],
            "additionalProperties": False,
            "properties": {
                "platform": {
                    "type": "object",
                    "required": ["os-name", "os-release", "os-version", "machine"],
                    "additionalProperties": False,
                    "properties": dict.fromkeys(("os-name", "os-release", "os-version", "machine"), _STRING),
                },
                "clock": {
                    "type": "object",
                    "required": ["current-datetime", "boot-datetime"],
                    "additionalProperties": False,
                    "properties": dict.fromkeys(("current-datetime", "boot-datetime"), _DATE_AND_TIME),
                },
            },
        }
    },
}

# The simulated device's, not the host's: what the host runs on is nobody's business.
_PLATFORM: Final = {
    "os-name": "network-device",
    "os-release": "1.0",
    "os-version": "1.0.0",
    "machine": "simulated-48-port-switch",
}


def date_and_time(moment: datetime) -> str:
    """Write a moment as yang:date-and-time (RFC 6991 section 3), in UTC, to the second."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def system_state(boot_datetime: str, now: datetime) -> dict[str, object]:
    """Return the system-state container. boot_datetime: as `date_and_time` writes it."""
    return {
        "ietf-system:system-state": {
            "platform": _PLATFORM,
            "clock": {"current-datetime": date_and_time(now), "boot-datetime": boot_datetime},
        }
    }
