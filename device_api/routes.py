"""The route table: what the API offers, for whom. Both implementations have exactly these; a test compares them.

The routes themselves stand in flask_impl/_routes.py and quart_impl/_routes.py, in plain decorators. From this table
come the public paths and the OpenAPI document.
"""

from dataclasses import dataclass
from typing import Final, Literal

from device_api.media import JSON, XRD, YANG_JSON

Method = Literal["GET", "POST"]

RESTCONF_ROOT: Final = "/restconf"  # {+restconf} in RFC 8040; HOST_META_PATH tells it

HEALTH_PATH: Final = "/health"
HOST_META_PATH: Final = "/.well-known/host-meta"
OPENAPI_PATH: Final = "/openapi.json"
SYSTEM_STATE_PATH: Final = f"{RESTCONF_ROOT}/data/ietf-system:system-state"
INTERFACES_PATH: Final = f"{RESTCONF_ROOT}/data/ietf-interfaces:interfaces"
INTERFACE_PATH: Final = f"{INTERFACES_PATH}/interface={{name}}"
PING_PATH: Final = f"{RESTCONF_ROOT}/operations/network-device:ping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one resource."""

    name: str  # the view function's, and the OpenAPI operation's
    method: Method
    path: str  # as OpenAPI writes it: {name} stands for one segment
    summary: str
    public: bool = False  # served without credentials
    media_type: str = YANG_JSON  # of what it answers; errors are always YANG_JSON


ROUTES: Final = (
    Route(
        name="health",
        method="GET",
        path=HEALTH_PATH,
        summary="Whether the device serves: 200, or 503 while it drains or its datastore is down.",
        public=True,
        media_type=JSON,
    ),
    Route(
        name="host_meta",
        method="GET",
        path=HOST_META_PATH,
        summary="Where the RESTCONF API begins (RFC 8040 section 3.1).",
        public=True,
        media_type=XRD,
    ),
    Route(name="openapi", method="GET", path=OPENAPI_PATH, summary="This document.", public=True, media_type=JSON),
    Route(
        name="system_state",
        method="GET",
        path=SYSTEM_STATE_PATH,
        summary="Platform and clock (RFC 7317); no datastore is asked.",
    ),
    Route(
        name="interfaces",
        method="GET",
        path=INTERFACES_PATH,
        summary="All interfaces (RFC 8343), from the datastore.",
    ),
    Route(
        name="interface",
        method="GET",
        path=INTERFACE_PATH,
        summary="One interface. A slash in its name is sent as %2F (RFC 8040 section 3.5.3).",
    ),
    Route(
        name="ping",
        method="POST",
        path=PING_PATH,
        summary="Send echo requests and wait for the answers, one interval each.",
    ),
)

PUBLIC_PATHS: Final = frozenset(route.path for route in ROUTES if route.public)
"""Paths that need no credentials, as `targets.routing_path` gives them."""
