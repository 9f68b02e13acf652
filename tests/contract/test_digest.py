"""Digest beyond the plain request, on both implementations as people start them: the same answers, header by header."""

import http.client
import itertools
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest

import certs
from device_api.bodies import MAX_BODY_BYTES
from device_api.state import read_credentials
from digest_auth import DigestClient, RspauthError
from tests.devices import RunningDevice, running_device

pytestmark = pytest.mark.end_to_end

SYSTEM_STATE = "/restconf/data/ietf-system:system-state"
PING = "/restconf/operations/network-device:ping"
TRIES = 4
SETTINGS = {
    "DEVICE_QOP": "auth,auth-int",
    "DEVICE_FAILED_TRIES": str(TRIES),
    "DEVICE_FAILED_TRIES_PER_MINUTE": "0.1",
    "DEVICE_NONCE_COUNT_LIMIT": "500",
}


class Client:
    """One connection to a device, and nothing that thinks for itself."""

    def __init__(self, device: RunningDevice) -> None:
        parts = urlsplit(device.ready.url)
        assert device.ready.ca_file is not None
        context = certs.client_context(device.ready.ca_file)
        self._connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=20, context=context)

    def ask(
        self, authorization: str | None, method: str = "GET", target: str = SYSTEM_STATE, body: bytes = b""
    ) -> tuple[http.client.HTTPResponse, bytes]:
        headers = {} if authorization is None else {"Authorization": authorization}
        if body:
            headers["Content-Type"] = "application/yang-data+json"
        self._connection.request(method, target, body or None, headers)
        answer = self._connection.getresponse()
        return answer, answer.read()

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module", params=["flask-stdlib", "quart"])
def device(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDevice]:
    with (
        patch.dict(os.environ, SETTINGS),
        running_device(request.param, tmp_path_factory.mktemp("device"), shows_log=False) as running,
    ):
        yield running


@pytest.fixture
def client(device: RunningDevice) -> Iterator[Client]:
    client = Client(device)
    yield client
    client.close()


def digest(device: RunningDevice, client: Client, *, password: str | None = None, whole: bool = False) -> DigestClient:
    assert device.ready.credentials_file is not None
    user, right = read_credentials(device.ready.credentials_file)
    known = DigestClient(user, right if password is None else password, prefers_auth_int=whole)
    answer, _ = client.ask(None)
    assert known.accept(answer.headers.get_all("WWW-Authenticate", []), authorization="")
    return known


def signed(known: DigestClient, method: str = "GET", target: str = SYSTEM_STATE, body: bytes = b"") -> str:
    value = known.authorization(method, target, body)
    assert value is not None
    return value


class TestAuthInt:
    """The body is part of what is signed, in both directions."""

    BODY = b'{"network-device:input":{"destination":"192.0.2.1","count":1,"interval-ms":1}}'

    def test_a_signed_body_is_served_and_the_answer_is_signed(self, device: RunningDevice, client: Client) -> None:
        known = digest(device, client, whole=True)
        value = signed(known, "POST", PING, self.BODY)
        assert "qop=auth-int" in value
        answer, content = client.ask(value, "POST", PING, self.BODY)
        assert answer.status == 200, content
        info = answer.headers["Authentication-Info"]
        assert known.learn(info, authorization=value, content=content)
        with pytest.raises(RspauthError):
            known.learn(info, authorization=value, content=content + b" ")

    def test_a_changed_body_is_refused(self, device: RunningDevice, client: Client) -> None:
        value = signed(digest(device, client, whole=True), "POST", PING, self.BODY)
        answer, _ = client.ask(value, "POST", PING, self.BODY.replace(b'"count":1', b'"count":9'))
        assert answer.status == 401

    def test_a_body_over_the_limit_is_a_413_before_anything_is_decided(
        self, device: RunningDevice, client: Client
    ) -> None:
        body = b"x" * (MAX_BODY_BYTES + 1)
        answer, content = client.ask(signed(digest(device, client, whole=True), "POST", PING, body), "POST", PING, body)
        assert answer.status == 413
        assert "ietf-restconf:errors" in json.loads(content)

    def test_head_has_no_body_to_sign(self, device: RunningDevice, client: Client) -> None:
        known = digest(device, client, whole=True)
        value = signed(known, "HEAD")
        answer, content = client.ask(value, "HEAD")
        assert (answer.status, content) == (200, b"")
        assert known.learn(answer.headers["Authentication-Info"], authorization=value, content=b"")


class TestAuthenticationInfo:
    def test_every_answer_to_a_known_user_carries_it_errors_too(self, device: RunningDevice, client: Client) -> None:
        known = digest(device, client)
        for target, status in ((SYSTEM_STATE, 200), ("/nowhere", 404)):
            value = signed(known, "GET", target)
            answer, _ = client.ask(value, "GET", target)
            assert answer.status == status
            assert known.learn(answer.headers["Authentication-Info"], authorization=value)

    def test_no_other_answer_does(self, device: RunningDevice, client: Client) -> None:
        wrong = signed(digest(device, client, password="wrong"), "GET", "/health")
        for authorization, target in ((None, SYSTEM_STATE), (None, "/health"), (wrong, "/health")):
            answer, _ = client.ask(authorization, "GET", target)
            assert "Authentication-Info" not in answer.headers

    def test_a_client_that_takes_the_next_nonce_is_challenged_once(self, device: RunningDevice, client: Client) -> None:
        known, nonces = digest(device, client), set()
        for _ in range(1000):  # twice what a nonce is good for
            value = signed(known)
            answer, _ = client.ask(value)
            assert answer.status == 200
            known.learn(answer.headers["Authentication-Info"], authorization=value)
            nonces.update(re.findall(r'nonce="([^"]+)"', value))
        assert len(nonces) > 2


class TestExactlyOnce:
    def test_400_requests_on_one_nonce_over_16_connections_and_not_one_needless_401(
        self, device: RunningDevice, client: Client
    ) -> None:
        known = digest(device, client)
        values = [signed(known) for _ in range(400)]
        random.Random(7616).shuffle(values)
        start = threading.Barrier(16)

        def ask(part: list[str]) -> list[int]:
            connection = Client(device)
            try:
                connection.ask(None, "GET", "/health")
                start.wait(20)
                return [connection.ask(value)[0].status for value in part]
            finally:
                connection.close()

        with ThreadPoolExecutor(16) as pool:
            statuses = list(itertools.chain(*pool.map(ask, [values[n::16] for n in range(16)])))
        assert statuses == [200] * 400
        assert {client.ask(value)[0].status for value in values[:20]} == {401}


class TestThrottle:
    def test_too_many_wrong_passwords_are_a_429_that_says_when_to_try_again(self, client: Client) -> None:
        guesser = DigestClient("somebody", "guessed")  # of whom there is none: it makes no difference
        assert guesser.accept(client.ask(None)[0].headers.get_all("WWW-Authenticate", []))
        answers = [client.ask(signed(guesser)) for _ in range(TRIES + 1)]
        assert [answer.status for answer, _ in answers] == [401] * TRIES + [429]
        answer, content = answers[-1]
        assert 1 <= int(answer.headers["Retry-After"]) <= 600
        assert "WWW-Authenticate" not in answer.headers
        assert json.loads(content)["ietf-restconf:errors"]["error"][0]["error-tag"] == "resource-denied"

    def test_nothing_of_that_is_an_error_in_the_log(self, device: RunningDevice) -> None:
        assert [line for line in device.logged() if re.search("ERROR|CRITICAL|Traceback", line)] == []


@pytest.mark.parametrize("implementation", ["flask-stdlib", "quart"])
def test_who_is_added_gets_in_and_who_is_removed_does_not_without_a_restart(
    implementation: str, tmp_path: Path
) -> None:
    def manage(*words: str, password: str = "") -> None:
        done = subprocess.run(
            [sys.executable, "-m", "digest_auth", *words], input=password, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    with running_device(implementation, tmp_path, shows_log=False) as device:
        users = str(tmp_path / "state" / "users")
        client = Client(device)
        try:
            manage("add", users, "guest", "--stdin", password="let me in\n")
            guest = DigestClient("guest", "let me in")
            answer, _ = client.ask(None)
            assert guest.accept(answer.headers.get_all("WWW-Authenticate", []))
            assert _status_becomes(client, guest, 200)
            manage("remove", users, "guest")
            assert _status_becomes(client, guest, 401)
        finally:
            client.close()


def _status_becomes(client: Client, known: DigestClient, status: int) -> bool:
    """Whether it does within 5 s; failed tries are far apart enough for the throttle."""
    deadline_s = time.monotonic() + 5
    while time.monotonic() < deadline_s:
        if client.ask(signed(known))[0].status == status:
            return True
        time.sleep(0.1)
    return False
