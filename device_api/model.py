"""What the datastore holds, and how it reads as YANG data in JSON (RFC 8343, RFC 7951)."""

from typing import Any, Final

from sqlalchemy import BigInteger, Row, Select, String, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

PORTS: Final = 48
_ACCESS_PORTS: Final = 44  # 1 Gbit/s each; the others are uplinks of 10 Gbit/s


class Base(DeclarativeBase):
    """All tables."""


class SchemaVersion(Base):
    """One row, written last: a datastore without it was never finished and is filled again."""

    __tablename__ = "schema_version"

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class Interface(Base):
    """One port. What follows from the rest (admin-status, oper-status) is computed, not stored."""

    __tablename__ = "interface"

    if_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    description: Mapped[str] = mapped_column(String(1024))
    type: Mapped[str] = mapped_column(String(64))
    enabled: Mapped[bool]
    has_link: Mapped[bool]  # something is plugged in
    phys_address: Mapped[str] = mapped_column(String(17))
    speed: Mapped[int] = mapped_column(BigInteger)  # bit/s


_InterfaceRow = tuple[str, str, str, bool, bool, int, str, int]

# Columns and not Interface objects: nothing is changed here, and a row costs half of an object.
INTERFACES: Final[Select[*_InterfaceRow]] = select(
    Interface.name,
    Interface.description,
    Interface.type,
    Interface.enabled,
    Interface.has_link,
    Interface.if_index,
    Interface.phys_address,
    Interface.speed,
).order_by(Interface.if_index)

INTERFACE_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["name", "type", "enabled", "admin-status", "oper-status", "if-index"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 255},
        "description": {"type": "string", "maxLength": 1024},
        "type": {"type": "string", "const": "iana-if-type:ethernetCsmacd"},
        "enabled": {"type": "boolean"},
        "admin-status": {"enum": ["up", "down"]},
        "oper-status": {"enum": ["up", "down"]},
        "if-index": {"type": "integer", "minimum": 1, "maximum": 2147483647},
        "phys-address": {"type": "string", "pattern": "^[0-9a-f]{2}(:[0-9a-f]{2})*$"},
        "speed": {
            "type": "string",
            "pattern": "^[0-9]+$",
            "description": "bit/s; a 64-bit number is a string in JSON.",
        },
    },
}

INTERFACES_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["ietf-interfaces:interfaces"],
    "additionalProperties": False,
    "properties": {
        "ietf-interfaces:interfaces": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"interface": {"type": "array", "items": INTERFACE_SCHEMA}},
        }
    },
}

ONE_INTERFACE_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["ietf-interfaces:interface"],
    "additionalProperties": False,
    "properties": {
        "ietf-interfaces:interface": {"type": "array", "minItems": 1, "maxItems": 1, "items": INTERFACE_SCHEMA}
    },
}


def interface_data(row: Row[*_InterfaceRow]) -> dict[str, object]:
    """Return a row of `INTERFACES` as an entry of the list `interface`."""
    name, description, type_, enabled, has_link, if_index, phys_address, speed = row
    return {
        "name": name,
        "description": description,
        "type": type_,
        "enabled": enabled,
        "admin-status": "up" if enabled else "down",
        "oper-status": "up" if enabled and has_link else "down",
        "if-index": if_index,
        "phys-address": phys_address,
        "speed": str(speed),
    }


def factory_interfaces() -> list[Interface]:
    """Return the ports of a device as it leaves the factory: 44 access ports and 4 uplinks."""
    return [_access_port(number) for number in range(1, _ACCESS_PORTS + 1)] + [
        _uplink(number) for number in range(1, PORTS - _ACCESS_PORTS + 1)
    ]


def _access_port(number: int) -> Interface:
    return Interface(
        if_index=number,
        name=f"GigabitEthernet1/0/{number}",
        description=f"desk 1.{number:02}",
        type="iana-if-type:ethernetCsmacd",
        enabled=number % 11 != 0,
        has_link=number % 4 != 0,
        phys_address=f"02:00:5e:10:00:{number:02x}",  # locally administered
        speed=1_000_000_000,
    )


def _uplink(number: int) -> Interface:
    return Interface(
        if_index=_ACCESS_PORTS + number,
        name=f"TenGigabitEthernet1/1/{number}",
        description=f"uplink to core {(number - 1) % 2 + 1}",
        type="iana-if-type:ethernetCsmacd",
        enabled=True,
        has_link=number <= 2,
        phys_address=f"02:00:5e:10:01:{number:02x}",
        speed=10_000_000_000,
    )
