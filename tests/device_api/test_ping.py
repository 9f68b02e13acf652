"""Ping's input is checked whole, and each complaint names its element."""

import json
from typing import Any

import pytest

from device_api.errors import DeviceError
from device_api.ping import INPUT_SCHEMA, OUTPUT_SCHEMA, Ping, ping_output, read_ping
from tests.device_api.schemas import SchemaError, validate


def _body(given: dict[str, Any]) -> bytes:
    return json.dumps({"network-device:input": given}).encode()


ACCEPTED: list[tuple[dict[str, Any], Ping]] = [
    ({"destination": "192.0.2.1", "count": 1, "interval-ms": 100}, Ping("192.0.2.1", 1, 0.1)),
    ({"destination": "192.0.2.1"}, Ping("192.0.2.1", 1, 0.1)),
    ({"destination": "2001:DB8::1", "count": 10, "interval-ms": 1000}, Ping("2001:db8::1", 10, 1.0)),
    ({"destination": "core-1.example", "interval-ms": 1}, Ping("core-1.example", 1, 0.001)),
    ({"destination": "localhost"}, Ping("localhost", 1, 0.1)),
]

REFUSED: list[tuple[object, str, str]] = [
    # body, error-tag, error-path
    ([], "invalid-value", "/"),
    ({}, "missing-element", "/network-device:input"),
    ({"network-device:input": {}, "x": 1}, "unknown-element", "/x"),
    ({"input": {}}, "unknown-element", "/input"),
    ({"network-device:input": None}, "invalid-value", "/network-device:input"),
    ({"network-device:input": {}}, "missing-element", "/network-device:input/destination"),
    ({"network-device:input": {"destination": "a", "size": 1}}, "unknown-element", "/network-device:input/size"),
    *(
        ({"network-device:input": {"destination": value}}, "invalid-value", "/network-device:input/destination")
        for value in (
            1,
            None,
            "",
            " ",
            "a b",
            "-a",
            "a..b",
            "192.0.2.256",
            "1.2.3",
            "a" * 64,
            "a." * 127 + "ab",
            "::g",
            "ä",
        )
    ),
    *(
        (
            {"network-device:input": {"destination": "a", "count": value}},
            "invalid-value",
            "/network-device:input/count",
        )
        for value in (0, 11, -1, 1.0, "1", True, None)
    ),
    *(
        (
            {"network-device:input": {"destination": "a", "interval-ms": value}},
            "invalid-value",
            "/network-device:input/interval-ms",
        )
        for value in (0, 1001, 0.5, "100", False, None)
    ),
]


@pytest.mark.parametrize(("given", "ping"), ACCEPTED)
def test_accepted(given: dict[str, Any], ping: Ping) -> None:
    assert read_ping(_body(given)) == ping
    validate({"network-device:input": given}, INPUT_SCHEMA)


@pytest.mark.parametrize(("body", "tag", "path"), REFUSED)
def test_refused(body: object, tag: str, path: str) -> None:
    with pytest.raises(DeviceError) as caught:
        read_ping(json.dumps(body).encode())
    assert (caught.value.status, caught.value.tag, caught.value.path) == (400, tag, path)


def test_the_schema_refuses_the_same_but_for_destinations_and_floats() -> None:
    """JSON Schema calls 1.0 an integer, and has no word for host names that all validators know."""
    for body, _, path in REFUSED:
        if (path.endswith("/destination") and "destination" in str(body)) or "1.0}" in str(body):
            continue
        with pytest.raises(SchemaError):
            validate(body, INPUT_SCHEMA)


def test_output_counts_what_came_back() -> None:
    output = ping_output(Ping("192.0.2.1", 3, 0.1), [100_093_999, 100_100_000])
    assert output == {
        "network-device:output": {
            "destination": "192.0.2.1",
            "packets-sent": 3,
            "packets-received": 2,
            "round-trip-us": [100_093, 100_100],
        }
    }
    validate(output, OUTPUT_SCHEMA)
