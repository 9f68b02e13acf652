"""Clients that others wrote against both implementations: tests/interoperation/table.py says what comes of it."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from unittest.mock import patch
from urllib.error import URLError

import aiohttp
import pytest
from playwright.sync_api import Browser

from device_api.ready import ReadyFile
from device_api.state import open_state
from digest_auth import PLAIN_ALGORITHMS, htdigest_line
from tests.devices import running_device
from tests.docs.pages import ROOT
from tests.interoperation.clients import (
    CLIENTS,
    Asked,
    Place,
    chromium,
    installed_version,
    outcome,
    with_browser,
    with_curl,
)
from tests.interoperation.table import NAMES, NOTES, SETTINGS, USERS, VERSIONS, Row, render, works

pytestmark = pytest.mark.end_to_end

PAGE = ROOT / "docs" / "digest-clients.md"
IMPLEMENTATIONS = ("flask-stdlib", "quart")
REALM = "network-device"
SYSTEM_STATE = "/restconf/data/ietf-system:system-state"
INTERFACE = "/restconf/data/ietf-interfaces:interfaces/interface=GigabitEthernet1%2F0%2F7"
PING = json.dumps({"network-device:input": {"destination": "192.0.2.1", "interval-ms": 1}}).encode()
ASKED = (
    Asked("GET", f"{SYSTEM_STATE}?a=b/c"),
    Asked("POST", "/restconf/operations/network-device:ping", PING),
    Asked("PUT", INTERFACE, b"{}"),
)


@dataclass(frozen=True)
class Served:
    """A running device, and the rows of the table that are about it."""

    ready: ReadyFile
    rows: tuple[Row, ...]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The users and the state of all devices, which so have one CA."""
    folder = tmp_path_factory.mktemp("interoperation")
    lines = [htdigest_line(user, REALM, word, one) for user, word in USERS.items() for one in PLAIN_ALGORITHMS]
    (folder / "users").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def browser(home: Path) -> Iterator[Browser]:
    with chromium(home, open_state(home / "state").ca_file) as started:
        yield started


def running(implementation: str, settings: Mapping[str, str], home: Path, folder: Path) -> Iterator[ReadyFile]:
    places = ("--state", str(home / "state"), "--users", str(home / "users"))
    environment = {f"DEVICE_{name}": value for name, value in settings.items()}
    with patch.dict(os.environ, environment), running_device(implementation, folder, *places) as device:
        yield device.ready


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def implementation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=SETTINGS, ids=lambda row: row.title)
def served(
    request: pytest.FixtureRequest, implementation: str, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    of_admin: Row = request.param
    rows = (of_admin, *(row for row in NAMES if row.settings == of_admin.settings))
    for ready in running(implementation, of_admin.settings, home, tmp_path_factory.mktemp("device")):
        yield Served(ready, rows)


@pytest.mark.parametrize("client", VERSIONS)
def test_what_a_client_does(served: Served, client: str, request: pytest.FixtureRequest) -> None:
    ask = partial(with_browser, request.getfixturevalue("browser")) if client == "chromium" else CLIENTS[client]
    for row in served.rows:
        try:
            asked = ASKED if row in SETTINGS else ASKED[:1]
            seen = outcome(ask(place_of(served.ready, row.user), asked))
        except (ValueError, LookupError, NotImplementedError, URLError, aiohttp.ClientError) as error:
            seen = f"raises {type(error).__name__}"
        assert seen == row.cells[client], (
            f"{client} {installed_version(client)} with {row.title}: it was {row.cells[client]!r}, and is {seen!r} now."
            " If that is right, correct tests/interoperation/table.py, and write docs/digest-clients.md again with it"
        )


def place_of(device: ReadyFile, user: str) -> Place:
    assert device.ca_file is not None
    return Place(device.url, device.ca_file, user, USERS[user])


@pytest.fixture(scope="module")
def usual(implementation: str, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReadyFile]:
    """A device as it comes, but for its users."""
    yield from running(implementation, {}, home, tmp_path_factory.mktemp("device"))


class TestMoreOfClients:
    """Other ways to say the same, and a wrong password."""

    def test_curl_chooses_digest_by_itself(self, usual: ReadyFile) -> None:
        assert outcome(with_curl(place_of(usual, "admin"), ASKED, scheme="--anyauth")) == "SHA-256"

    def test_a_browser_takes_user_and_password_from_the_url(self, usual: ReadyFile, browser: Browser) -> None:
        context = browser.new_context()
        page = context.new_page()
        with_password = usual.url.replace("https://", f"https://admin:{USERS['admin']}@")
        answer = page.goto(with_password + SYSTEM_STATE)
        assert answer is not None
        assert answer.status == 200
        context.close()

    @pytest.mark.parametrize("client", ["curl", "requests", "httpx", "aiohttp"])
    def test_a_wrong_password_ends_in_a_401(self, usual: ReadyFile, client: str) -> None:
        place = replace(place_of(usual, "accents"), password="wrong")
        assert outcome(CLIENTS[client](place, ASKED[:1])) == "refused: SHA-256"

    def test_a_browser_gives_up_a_wrong_password(self, usual: ReadyFile, browser: Browser) -> None:
        place = replace(place_of(usual, "accents"), password="wrong")
        assert {one.status for one in with_browser(browser, place, ASKED[:1])} == {401}


class TestPage:
    """docs/digest-clients.md is made of the table."""

    def test_it_is_up_to_date(self) -> None:
        again = "python -m tests.interoperation.table > docs/digest-clients.md"
        assert PAGE.read_text() == render(), f"write it again: {again}"

    def test_each_failure_has_a_note_and_each_note_a_failure(self) -> None:
        failures = {
            (client, seen) for row in (*SETTINGS, *NAMES) for client, seen in row.cells.items() if not works(seen)
        }
        assert failures == set(NOTES)

    @pytest.mark.parametrize("client", ["requests", "httpx", "aiohttp"])
    def test_versions_are_those_that_are_pinned(self, client: str) -> None:
        assert VERSIONS[client] == installed_version(client)
