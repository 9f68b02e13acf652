"""The OpenAPI document is valid, and has every route of the table and no other."""

import json

from openapi_spec_validator import OpenAPIV31SpecValidator

from device_api.openapi import document, document_json
from device_api.routes import PUBLIC_PATHS, ROUTES


def test_it_is_valid_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(json.loads(document_json())).validate()


def test_it_has_the_route_table() -> None:
    described = {(path, method.upper()) for path, methods in document()["paths"].items() for method in methods}
    assert described == {(route.path, route.method) for route in ROUTES}


def test_what_is_not_public_needs_credentials() -> None:
    for path, methods in document()["paths"].items():
        for operation in methods.values():
            assert ("security" in operation) is (path not in PUBLIC_PATHS)
            assert ("401" in operation["responses"]) is (path not in PUBLIC_PATHS)


def test_route_names_and_paths_are_unique() -> None:
    assert len({route.name for route in ROUTES}) == len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)
