"""Errors are RFC 8040 section 7.1 documents, and none says more than it should."""

import json

import pytest

from device_api import errors
from device_api.errors import ERRORS_SCHEMA, DeviceError, body_for_status
from tests.device_api.schemas import validate

# RFC 8040 section 7: which statuses an error-tag may have. missing-element is RFC 6241's; 408, 415 and 503 are ours.
STATUSES = {
    "access-denied": {401, 403},
    "invalid-value": {400, 404, 406, 415},
    "malformed-message": {400},
    "missing-element": {400},
    "operation-failed": {408, 412, 500, 503},
    "operation-not-supported": {405, 501},
    "too-big": {413, 400},
    "unknown-element": {400},
}

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DeviceError)]


def _only_error(body: bytes) -> dict[str, str]:
    document = json.loads(body)
    validate(document, ERRORS_SCHEMA)
    (error,) = document["ietf-restconf:errors"]["error"]
    assert isinstance(error, dict)
    return error


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_tag_and_status_go_together(kind: type[DeviceError]) -> None:
    error = _only_error(kind("what is wrong", path="/a:b/c").body())
    assert kind.status in STATUSES[error["error-tag"]]
    assert (error["error-message"], error["error-path"]) == ("what is wrong", "/a:b/c")


def test_every_kind_stands_in_the_drawing() -> None:
    drawn = (errors.__doc__ or "").split()
    assert [kind.__name__ for kind in KINDS if kind.__name__ not in drawn] == []


@pytest.mark.parametrize("status", [400, 401, 404, 405, 408, 413, 415, 500, 503])
def test_what_a_framework_refuses_reads_alike(status: int) -> None:
    error = _only_error(body_for_status(status))
    assert status in STATUSES[error["error-tag"]]
    assert "error-path" not in error


@pytest.mark.parametrize("status", [402, 418, 431, 499, 502, 599])
def test_a_status_that_nobody_thought_of_has_a_body_too(status: int) -> None:
    assert _only_error(body_for_status(status))["error-message"]


def test_a_reason_takes_the_place_of_the_usual_text() -> None:
    assert _only_error(body_for_status(401, "no credentials"))["error-message"] == "no credentials"
