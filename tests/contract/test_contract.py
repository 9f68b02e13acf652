"""Both implementations answer every request alike: real servers, TLS and Digest, one table of cases.

Each row of the table is asked of both; status and error are compared with the row, and then the whole answers with
each other.
"""

import json
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from device_api.bodies import MAX_BODY_BYTES
from device_api.errors import ERRORS_SCHEMA
from device_api.openapi import document
from device_api.routes import PUBLIC_PATHS
from tests.contract.served import Answer, Served
from tests.device_api.schemas import validate

pytestmark = pytest.mark.end_to_end

YANG_JSON = "application/yang-data+json"
HOST_META = "/.well-known/host-meta"
SYSTEM_STATE = "/restconf/data/ietf-system:system-state"
INTERFACES = "/restconf/data/ietf-interfaces:interfaces"
PING = "/restconf/operations/network-device:ping"


@dataclass(frozen=True, slots=True)
class Case:
    """A request, and what must come of it."""

    method: str
    target: str
    status: int
    tag: str | None = None  # error-tag
    path: str | None = None  # error-path
    allow: str | None = None
    credentials: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def __str__(self) -> str:
        body = "" if self.body is None else f" {self.body[:40]!r}"
        return f"{self.method} {self.target[:70]}{body} -> {self.status}" + ("" if self.credentials else " (stranger)")


def ping(status: int, body: object, tag: str | None = None, path: str | None = None, **headers: str) -> Case:
    """A ping; a body that is not octets is sent as JSON."""
    octets = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": YANG_JSON} | {name.replace("_", "-"): value for name, value in headers.items()}
    return Case("POST", PING, status, tag, path, headers=sent, body=octets)


def ping_input(**members: object) -> dict[str, object]:
    return {"network-device:input": {"destination": "192.0.2.1"} | members}


READING = [
    Case("GET", "/health", 200, credentials=False),
    Case("GET", "/health", 200),
    Case("GET", "/health?verbose", 200, credentials=False),
    Case("HEAD", "/health", 200, credentials=False),
    Case("GET", HOST_META, 200, credentials=False),
    Case("GET", HOST_META, 200, credentials=False, headers={"Accept": "application/xrd+xml"}),
    Case("GET", HOST_META, 200),
    Case("HEAD", HOST_META, 200, credentials=False),
    Case("GET", "/openapi.json", 200, credentials=False),
    Case("HEAD", "/openapi.json", 200, credentials=False),
    Case("GET", SYSTEM_STATE, 200),
    Case("GET", f"{SYSTEM_STATE}?a=%2F&b", 200),
    Case("GET", f"{SYSTEM_STATE}?%ff", 200),
    Case("GET", SYSTEM_STATE.replace(":", "%3A"), 200),
    Case("HEAD", SYSTEM_STATE, 200),
    Case("GET", SYSTEM_STATE, 200, headers={"Accept": "text/html"}),
    Case("GET", SYSTEM_STATE, 200, body=b"a body that nobody asked for"),
    Case("GET", INTERFACES, 200),
    Case("HEAD", INTERFACES, 200),
    Case("GET", f"{INTERFACES}/interface=GigabitEthernet1%2F0%2F7", 200),
    Case("GET", f"{INTERFACES}/interface=GigabitEthernet1%2f0%2f7", 200),
    Case("GET", f"{INTERFACES}/interface=%47igabitEthernet1%2F0%2F7", 200),
    Case("HEAD", f"{INTERFACES}/interface=TenGigabitEthernet1%2F1%2F4", 200),
]

METHODS = [
    Case("OPTIONS", "/health", 200, allow="GET, HEAD, OPTIONS", credentials=False),
    Case("OPTIONS", SYSTEM_STATE, 200, allow="GET, HEAD, OPTIONS"),
    Case("OPTIONS", INTERFACES, 200, allow="GET, HEAD, OPTIONS"),
    Case("OPTIONS", f"{INTERFACES}/interface=GigabitEthernet1%2F0%2F7", 200, allow="GET, HEAD, OPTIONS"),
    Case("OPTIONS", PING, 200, allow="OPTIONS, POST"),
    Case("POST", "/health", 405, "operation-not-supported", allow="GET, HEAD, OPTIONS", credentials=False),
    Case("OPTIONS", HOST_META, 200, allow="GET, HEAD, OPTIONS", credentials=False),
    Case("PUT", HOST_META, 405, "operation-not-supported", allow="GET, HEAD, OPTIONS", credentials=False, body=b"x"),
    Case("DELETE", "/openapi.json", 405, "operation-not-supported", allow="GET, HEAD, OPTIONS", credentials=False),
    Case("PUT", SYSTEM_STATE, 405, "operation-not-supported", allow="GET, HEAD, OPTIONS", body=b"{}"),
    Case("PATCH", INTERFACES, 405, "operation-not-supported", allow="GET, HEAD, OPTIONS", body=b"{}"),
    Case("GET", PING, 405, "operation-not-supported", allow="OPTIONS, POST"),
    Case("HEAD", PING, 405, allow="OPTIONS, POST"),
]

NOT_THERE = [
    Case("GET", target, 404, "invalid-value")
    for target in (
        "/",
        "/restconf",
        "/nothing",
        "/health/",
        "/.well-known",
        f"{HOST_META}.json",
        "/Health/x",
        f"{SYSTEM_STATE}/",
        f"{INTERFACES}/interface=",
        f"{INTERFACES}/interface",
        f"{INTERFACES}/interface=GigabitEthernet1/0/7",
        f"{INTERFACES}/interface=GigabitEthernet1%252F0%252F7",
        f"{INTERFACES}/interface=GigabitEthernet1%2F0%2F7/",
        f"{INTERFACES}/interface=GigabitEthernet1%2F0%2F7/statistics",
        f"{INTERFACES}/interface=GigabitEthernet1%2F0%2F49",
        f"{INTERFACES}/interface=gigabitethernet1%2F0%2F7",
        f"{INTERFACES}/interface=%00",
        f"{INTERFACES}/interface=%ff",
        f"{INTERFACES}/interface=%C3%A4%20%22",
        f"{INTERFACES}/interface=%zz",
        "/" + INTERFACES[1:].replace("/", "%2F"),
    )
] + [Case("POST", "/nothing", 404, "invalid-value", body=b"{}"), Case("OPTIONS", "/nothing", 404, "invalid-value")]

STRANGERS = [
    Case(method, target, 401, "access-denied", credentials=False)
    for method, target in (
        ("GET", SYSTEM_STATE),
        ("GET", INTERFACES),
        ("GET", f"{INTERFACES}/interface=GigabitEthernet1%2F0%2F7"),
        ("POST", PING),
        # Nor does a stranger learn what exists, and what can be done with it.
        ("GET", "/nothing"),
        ("GET", "/"),
        ("DELETE", SYSTEM_STATE),
        ("OPTIONS", SYSTEM_STATE),
    )
] + [
    Case("HEAD", SYSTEM_STATE, 401, credentials=False),
    Case("POST", PING, 401, "access-denied", credentials=False, body=b"x" * (MAX_BODY_BYTES + 1)),
]

PINGS = [
    ping(415, ping_input(), "invalid-value", Content_Type="text/plain"),
    ping(415, ping_input(), "invalid-value", Content_Type="application/yang-data+xml"),
    ping(415, ping_input(), "invalid-value", Content_Type=""),
    ping(415, b"x" * (MAX_BODY_BYTES + 1), "invalid-value", Content_Type="text/plain"),
    ping(413, b" " * (MAX_BODY_BYTES + 1), "too-big"),
    ping(400, b" " * MAX_BODY_BYTES, "malformed-message"),
    ping(400, b"", "malformed-message"),
    ping(400, b"{", "malformed-message"),
    ping(400, b"\xff", "malformed-message"),
    ping(400, b"[" * 60_000, "malformed-message"),
    ping(400, b'{"network-device:input": NaN}', "malformed-message"),
    ping(400, b'{"network-device:input": {}, "network-device:input": {}}', "malformed-message"),
    ping(400, [], "invalid-value", "/"),
    ping(400, {}, "missing-element", "/network-device:input"),
    ping(400, {"network-device:input": {}}, "missing-element", "/network-device:input/destination"),
    ping(400, ping_input(size=1), "unknown-element", "/network-device:input/size"),
    ping(400, ping_input(destination="a b"), "invalid-value", "/network-device:input/destination"),
    ping(400, ping_input(count=0), "invalid-value", "/network-device:input/count"),
    ping(400, ping_input(count=11), "invalid-value", "/network-device:input/count"),
    ping(400, ping_input(count="1"), "invalid-value", "/network-device:input/count"),
    ping(400, ping_input(count=True), "invalid-value", "/network-device:input/count"),
    ping(400, ping_input(**{"interval-ms": 1001}), "invalid-value", "/network-device:input/interval-ms"),
]

CASES = [*READING, *METHODS, *NOT_THERE, *STRANGERS, *PINGS]

_TIMES = re.compile(rb'"(current|boot)-datetime":"[^"]*"')


def _alike(answer: Answer) -> tuple[int, dict[str, list[str]], bytes]:
    status, headers, body = answer.comparable()
    return status, headers, _TIMES.sub(b'"\\1-datetime":"..."', body)


def _check_error(answer: Answer, case: Case) -> None:
    assert answer.all("content-type") == [YANG_JSON]
    errors = json.loads(answer.body)
    validate(errors, ERRORS_SCHEMA)
    (error,) = errors["ietf-restconf:errors"]["error"]
    assert (error["error-tag"], error.get("error-path")) == (case.tag, case.path)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_both_answer_alike(both: dict[str, Served], case: Case) -> None:
    answers = {
        name: served.ask(case.method, case.target, headers=case.headers, body=case.body, credentials=case.credentials)
        for name, served in both.items()
    }
    for answer in answers.values():
        assert answer.status == case.status
        assert answer.all("allow") == ([] if case.allow is None else [case.allow])
        assert answer.all("cache-control") == ["no-cache"]
        assert len(answer.all("www-authenticate")) == (answer.status == 401)
        if case.tag is not None:
            _check_error(answer, case)
        elif case.method in {"HEAD", "OPTIONS"}:
            assert answer.body == b""
    assert _alike(answers["flask_impl"]) == _alike(answers["quart_impl"])


@pytest.mark.parametrize("target", [SYSTEM_STATE, INTERFACES, "/health", HOST_META, "/openapi.json", "/nothing"])
def test_head_says_what_get_would(served: Served, target: str) -> None:
    get, head = (served.ask(method, target) for method in ("GET", "HEAD"))
    assert len(get.body) == int(get.all("content-length")[0])
    assert head.comparable()[:2] == get.comparable()[:2]


@pytest.mark.parametrize(
    ("method", "path", "target", "body"),
    [
        ("GET", "/health", "/health", None),
        ("GET", SYSTEM_STATE, SYSTEM_STATE, None),
        ("GET", INTERFACES, INTERFACES, None),
        ("GET", f"{INTERFACES}/interface={{name}}", f"{INTERFACES}/interface=GigabitEthernet1%2F0%2F7", None),
        ("POST", PING, PING, ping_input(**{"interval-ms": 1})),
    ],
)
def test_answers_are_as_the_openapi_document_says(
    served: Served, method: str, path: str, target: str, body: object
) -> None:
    content = None if body is None else json.dumps(body).encode()
    answer = served.ask(method, target, headers={"Content-Type": YANG_JSON}, body=content)
    assert answer.status == 200
    described = document()
    (media_type,) = answer.all("content-type")
    schema = described["paths"][path][method.lower()]["responses"]["200"]["content"][media_type]["schema"]
    validate(json.loads(answer.body), schema | {"components": described["components"]})


def test_the_openapi_document_is_the_one_that_is_tested(served: Served) -> None:
    assert json.loads(served.ask("GET", "/openapi.json").body) == document()


def test_who_knows_the_host_alone_finds_the_api(served: Served) -> None:
    """As RFC 8040 section 3.1 has it: an XRD, whose link named restconf leads to the root of every path there is."""
    answer = served.ask("GET", HOST_META, credentials=False)
    assert answer.all("content-type") == ["application/xrd+xml"]
    xrd = "{http://docs.oasis-open.org/ns/xri/xrd-1.0}"
    found = ET.fromstring(answer.body)  # noqa: S314 (it is our own)
    assert found.tag == f"{xrd}XRD"
    (root,) = (link.get("href") for link in found.iter(f"{xrd}Link") if link.get("rel") == "restconf")
    assert served.ask("GET", f"{root}/data/ietf-system:system-state").status == 200
    assert all(path.startswith(f"{root}/") for path in document()["paths"] if path not in PUBLIC_PATHS)


class TestPing:
    """The device waits for each echo: one interval each, one after the other."""

    @staticmethod
    def _output(served: Served, **members: object) -> dict[str, Any]:
        body = json.dumps(ping_input(**members)).encode()
        answer = served.ask("POST", PING, headers={"Content-Type": f"{YANG_JSON}; charset=utf-8"}, body=body)
        assert (answer.status, answer.all("content-type")) == (200, [YANG_JSON])
        output = json.loads(answer.body)["network-device:output"]
        assert isinstance(output, dict)
        return output

    def test_each_echo_takes_an_interval(self, served: Served) -> None:
        output = self._output(served, count=3, **{"interval-ms": 40})
        assert (output["destination"], output["packets-sent"], output["packets-received"]) == ("192.0.2.1", 3, 3)
        assert [40_000 <= taken < 1_000_000 for taken in output["round-trip-us"]] == [True] * 3

    def test_count_and_interval_may_be_left_out(self, served: Served) -> None:
        (taken,) = self._output(served)["round-trip-us"]
        assert taken >= 100_000

    def test_json_by_its_common_name_is_taken_too(self, served: Served) -> None:
        body = json.dumps(ping_input(**{"interval-ms": 1})).encode()
        assert served.ask("POST", PING, headers={"Content-Type": "application/json"}, body=body).status == 200

    def test_a_body_in_chunks(self, both: dict[str, Served]) -> None:
        """No Content-Length: httpx sends what an iterator gives as chunks."""
        for served in both.values():
            start = json.dumps(ping_input(**{"interval-ms": 1})).encode()
            room = MAX_BODY_BYTES - len(start)
            for more, status in ((0, 200), (room, 200), (room + 1, 413), (2 * room, 413)):
                pieces = [start, b" " * more]
                answer = served.client.post(
                    served.ready.url + PING,
                    content=iter(pieces),
                    headers={"Content-Type": YANG_JSON, "Authorization": served.authorization("POST", PING)},
                )
                assert answer.status_code == status


class TestCredentials:
    """What a Digest client may get wrong, over the wire. The order of the checks is tests/digest_auth's."""

    def test_a_challenge_is_a_line_of_its_own(self, served: Served) -> None:
        (challenge,) = served.challenges()
        assert challenge.startswith('Digest realm="network-device", qop="auth", algorithm=SHA-256, nonce="')
        assert served.challenges() != [challenge]

    def test_a_count_is_good_for_one_request(self, served: Served) -> None:
        authorization = {"Authorization": served.authorization("GET", SYSTEM_STATE)}
        first, second = (served.ask("GET", SYSTEM_STATE, headers=authorization, credentials=False) for _ in range(2))
        assert (first.status, second.status) == (200, 401)
        assert second.all("www-authenticate")[0].endswith(", stale=true")

    def test_counts_may_come_in_any_order(self, served: Served) -> None:
        values = [served.authorization("GET", SYSTEM_STATE) for _ in range(4)]
        answers = [
            served.ask("GET", SYSTEM_STATE, headers={"Authorization": value}, credentials=False)
            for value in reversed(values)
        ]
        assert [answer.status for answer in answers] == [200] * 4

    def test_credentials_for_another_target_open_nothing(self, both: dict[str, Served]) -> None:
        answers = [
            served.ask(
                "GET",
                INTERFACES,
                headers={"Authorization": served.authorization("GET", SYSTEM_STATE)},
                credentials=False,
            )
            for served in both.values()
        ]
        assert [answer.status for answer in answers] == [400, 400]
        assert answers[0].comparable() == answers[1].comparable()

    @pytest.mark.parametrize(
        ("authorization", "status"),
        [
            ("Basic YWRtaW46YWRtaW4=", 401),
            ("Bearer x", 401),
            ("Digest", 400),
            ("Digest nonsense", 400),
            ('Digest username="admin", username="admin"', 400),
            ('Digest username="admin", realm="network-device", nonce="x", uri="/", response="y"', 401),
            ("Digest " + "a=b, " * 1500, 400),
            ('Digest username="\xff\xfe"', 400),
        ],
        ids=lambda value: str(value)[:30],
    )
    def test_what_a_stranger_may_send(self, both: dict[str, Served], authorization: str, status: int) -> None:
        answers = [served.ask_raw("GET", SYSTEM_STATE, [("Authorization", authorization)]) for served in both.values()]
        assert [answer.status for answer in answers] == [status, status]
        assert answers[0].comparable() == answers[1].comparable()

    def test_two_headers_are_one_too_many(self, served: Served) -> None:
        values = [("Authorization", served.authorization("GET", SYSTEM_STATE)) for _ in range(2)]
        assert served.ask_raw("GET", SYSTEM_STATE, values).status == 400


class TestTargets:
    """The target is taken as it was sent, however strange, by routing as by Digest."""

    @pytest.mark.parametrize(
        ("target", "status"),
        [
            (SYSTEM_STATE, 200),
            (f"{SYSTEM_STATE}?", 200),
            (f"{SYSTEM_STATE}?a?b=/c", 200),
            (f"https://localhost{SYSTEM_STATE}", 200),
            (f"https://localhost{SYSTEM_STATE}?a", 200),
            ("https://localhost", 404),
            (f"//x{SYSTEM_STATE}", 404),
            (SYSTEM_STATE.replace("/data/", "//data/"), 404),
            (SYSTEM_STATE.replace("/data/", "/x/../data/"), 404),
            (SYSTEM_STATE.replace("/data/", "/./data/"), 404),
            (f"{SYSTEM_STATE};a=b", 404),
            (f"{SYSTEM_STATE}%", 404),
            ("/%", 404),
            ("/%2e%2e/", 404),
            ('/"a|b\\c^`{}', 404),
        ],
    )
    def test_with_credentials_for_it(self, both: dict[str, Served], target: str, status: int) -> None:
        answers = [
            served.ask_raw("GET", target, [("Authorization", served.authorization("GET", target))])
            for served in both.values()
        ]
        assert [answer.status for answer in answers] == [status, status]
        assert _alike(answers[0]) == _alike(answers[1])

    def test_who_asks_to_upgrade_learns_no_more_than_others(self, served: Served) -> None:
        """Flask goes on in HTTP/1.1, as it may (RFC 9110 section 7.8); to Quart it is another kind of request."""
        upgrade = [
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ]
        known, unknown = (
            served.ask_raw("GET", target, upgrade, connection="Upgrade") for target in (SYSTEM_STATE, "/nothing")
        )
        assert known.status in {401, 404}
        assert known.comparable() == unknown.comparable()

    def test_options_of_the_server_as_a_whole(self, both: dict[str, Served]) -> None:
        answers = [
            served.ask_raw("OPTIONS", "*", [("Authorization", served.authorization("OPTIONS", "*"))])
            for served in both.values()
        ]
        assert answers[0].comparable() == answers[1].comparable()


class TestBrokenDatastore:
    """What needs the datastore is 503 while it is down, says nothing internal, and the rest goes on."""

    @staticmethod
    def _rename(served: Served, old: str, new: str) -> None:
        with closing(sqlite3.connect(served.state.database)) as connection:
            connection.execute(f"ALTER TABLE {old} RENAME TO {new}")

    def test_while_its_table_is_away(self, both: dict[str, Served]) -> None:
        answers = []
        for served in both.values():
            self._rename(served, "interface", "aside")
            try:
                answers.append(served.ask("GET", INTERFACES))
                assert served.ask("GET", SYSTEM_STATE).status == 200
            finally:
                self._rename(served, "aside", "interface")
            assert served.ask("GET", INTERFACES).status == 200
        for answer in answers:
            assert (answer.status, answer.all("retry-after")) == (503, ["1"])
            assert b"table" not in answer.body
        assert answers[0].comparable() == answers[1].comparable()


def test_public_paths_are_the_only_ones_without_credentials(served: Served) -> None:
    for path in document()["paths"]:
        target = path.replace("{name}", "x")
        assert (served.ask("GET", target, credentials=False).status != 401) is (path in PUBLIC_PATHS)


def test_nothing_of_all_this_was_an_error_in_the_log(both: dict[str, Served]) -> None:
    """Last: what strangers send is no reason to log an error, and no request was answered 500."""
    for served in both.values():
        assert "Traceback" not in served.log.read_text()
