"""A device is opened once, by whoever asks first, and says in one line why it cannot be."""

import json
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from device_api.device import OPEN_ERRORS, RETRY_S, Device, LazyDevice
from device_api.errors import UnavailableError
from device_api.settings import Settings, SettingsError
from device_api.system import SYSTEM_STATE_SCHEMA
from digest_auth import DigestRequest, Refused, UsersFileError
from tests.device_api.schemas import validate


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state=tmp_path / "state")


@pytest.fixture
def device(settings: Settings) -> Iterator[Device]:
    opened = Device.open(settings)
    yield opened
    opened.close()


class TestDevice:
    def test_it_challenges(self, device: Device) -> None:
        assert device.authentication is not None
        verdict = device.authentication.check(DigestRequest("GET", "/", ()))
        assert isinstance(verdict, Refused)
        assert verdict.www_authenticate[0].startswith('Digest realm="network-device"')

    def test_open_to_everybody_it_does_not(self, tmp_path: Path) -> None:
        device = Device.open(Settings(state=tmp_path, auth="none"))
        assert device.authentication is None
        device.close()

    def test_system_state(self, device: Device) -> None:
        document = json.loads(json.dumps(device.system_state()))
        validate(document, SYSTEM_STATE_SCHEMA)
        clock = document["ietf-system:system-state"]["clock"]
        assert clock["boot-datetime"] <= clock["current-datetime"]

    def test_health_follows_the_datastore(self, device: Device) -> None:
        assert (device.health().status, device.health().document) == (200, {"status": "ok"})
        device.close()
        database = device.state.database
        for path in database.parent.glob(f"{database.name}*"):
            path.unlink()
        database.mkdir()
        assert (device.health().status, device.health().document["status"]) == (503, "unavailable")

    def test_a_draining_device_asks_for_no_more(self, device: Device) -> None:
        device.drain()
        assert (device.health().status, device.health().document) == (503, {"status": "draining"})

    def test_a_users_file_that_names_nobody_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "users").write_text("# nobody yet\n")
        with pytest.raises(SettingsError, match="names nobody"):
            Device.open(Settings(state=tmp_path / "state", users=tmp_path / "users"))

    def test_a_users_file_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UsersFileError):
            Device.open(Settings(state=tmp_path / "state", users=tmp_path / "users"))


class TestLazyDevice:
    def test_threads_that_ask_at_once_get_the_same_one(self, settings: Settings) -> None:
        lazy = LazyDevice(settings)
        barrier = threading.Barrier(8)

        def ask() -> Device:
            barrier.wait(10)
            return lazy.get()

        with ThreadPoolExecutor(8) as pool:
            got = [pool.submit(ask) for _ in range(8)]
        assert {future.result() for future in got} == {lazy.open()}
        lazy.close()

    def test_settings_are_read_when_it_is_opened(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        lazy = LazyDevice()
        monkeypatch.setenv("DEVICE_STATE", str(tmp_path / "later"))
        lazy.open()
        assert (tmp_path / "later/users").exists()
        lazy.close()

    def test_why_it_cannot_be_opened_is_logged_once_a_moment(
        self, settings: Settings, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings.state.write_text("in the way")
        clock = Clock()
        lazy = LazyDevice(settings, clock=clock)
        for now_s, lines in ((0.0, 1), (RETRY_S / 2, 1), (RETRY_S + 0.1, 2)):
            clock.now_s = now_s
            with pytest.raises(UnavailableError) as caught:
                lazy.get()
            assert str(settings.state) not in caught.value.message
            assert len(caplog.records) == lines
        assert caplog.records[0].levelno == logging.ERROR
        assert "\n" not in caplog.records[0].getMessage()
        assert lazy.health().status == 503

    def test_a_later_try_may_succeed(self, settings: Settings) -> None:
        settings.state.write_text("in the way")
        clock = Clock()
        lazy = LazyDevice(settings, clock=clock)
        assert lazy.health().status == 503
        settings.state.unlink()
        clock.now_s = RETRY_S + 0.1
        assert lazy.health().status == 200
        lazy.close()

    def test_open_says_what_is_wrong(self, settings: Settings) -> None:
        settings.state.write_text("in the way")
        with pytest.raises(OPEN_ERRORS, match="choose another with --state"):
            LazyDevice(settings).open()


def test_nothing_is_read_for_a_request_once_it_is_open(device: Device) -> None:
    """The Digest check and the tiny route touch no file: the state folder may even be gone."""
    for path in (device.state.users_file, device.state.nonce_key_file, device.state.credentials_file):
        path.unlink()
    assert device.authentication is not None
    device.authentication.check(DigestRequest("GET", "/", ()))
    device.system_state()
