"""The OpenAPI 3.1 document, built from the route table and the schemas that stand beside what reads and writes."""

import functools
from collections.abc import Mapping
from typing import Any, Final

from device_api.errors import ERRORS_SCHEMA
from device_api.media import YANG_JSON, encode
from device_api.model import INTERFACES_SCHEMA, ONE_INTERFACE_SCHEMA
from device_api.ping import INPUT_SCHEMA, OUTPUT_SCHEMA
from device_api.routes import ROUTES, Route
from device_api.system import SYSTEM_STATE_SCHEMA

API_VERSION: Final = "1.0.0"

_HEALTH_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"enum": ["ok", "draining", "unavailable"]}, "reason": {"type": "string"}},
}

_SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "errors": ERRORS_SCHEMA,
    "health": _HEALTH_SCHEMA,
    "host_meta": {"type": "string", "description": "An XRD document whose link of rel restconf is the API's root."},
    "openapi": {"type": "object"},
    "system_state": SYSTEM_STATE_SCHEMA,
    "interfaces": INTERFACES_SCHEMA,
    "interface": ONE_INTERFACE_SCHEMA,
    "ping_input": INPUT_SCHEMA,
    "ping": OUTPUT_SCHEMA,
}

# What each operation can answer besides 200, 500 and, where credentials are needed, 400 and 401.
_ERRORS: Final[Mapping[str, tuple[int, ...]]] = {
    "interfaces": (503,),
    "interface": (404, 503),
    "ping": (400, 413, 415),
}

_MEANINGS: Final = {
    200: "As asked.",
    400: "The request cannot be understood; error-path names the element at fault.",
    401: "Credentials are needed, or a fresh nonce (stale=true).",
    404: "There is no such resource.",
    413: "The body is too long.",
    415: "The body is not JSON.",
    500: "Internal error.",
    503: "The device cannot answer now.",
}


def document() -> dict[str, Any]:
    """Return the document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Simulated network device",
            "version": API_VERSION,
            "description": "In the shape of RESTCONF (RFC 8040). Every error is answered with an ietf-restconf:errors "
            "document. HEAD and OPTIONS are known wherever GET is.",
        },
        "paths": paths,
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {"digest": {"type": "http", "scheme": "digest", "description": "RFC 7616"}},
        },
    }


@functools.cache
def document_json() -> bytes:
    """Return the document as it is served."""
    return encode(document())


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": route.name, "summary": route.summary, "responses": _responses(route)}
    if not route.public:
        operation["security"] = [{"digest": []}]
    if "{name}" in route.path:
        operation["parameters"] = [
            {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        ]
    if route.method == "POST":
        operation["requestBody"] = {"required": True, "content": _content(YANG_JSON, f"{route.name}_input")}
    return operation


def _responses(route: Route) -> dict[str, Any]:
    responses: dict[str, Any] = {
        "200": {"description": _MEANINGS[200], "content": _content(route.media_type, route.name)},
    }
    if route.name == "health":
        responses["503"] = {"description": _MEANINGS[503], "content": _content(route.media_type, route.name)}
    errors = {*_ERRORS.get(route.name, ()), 500} | (set() if route.public else {400, 401})
    for status in sorted(errors):
        responses[str(status)] = {"description": _MEANINGS[status], "content": _content(YANG_JSON, "errors")}
    if "401" in responses:
        responses["401"]["headers"] = {
            "WWW-Authenticate": {"description": "One line for each challenge.", "schema": {"type": "string"}}
        }
    return responses


def _content(media_type: str, schema: str) -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
