"""Our devices over a replay table in Redis: as their clients and administrators meet it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from certs import client_context
from device_api.routes import HEALTH_PATH, SYSTEM_STATE_PATH
from device_api.state import read_credentials
from digest_auth import DigestClient
from tests.devices import RunningDevice, running_device
from tests.digest_auth.redis_server import ADMINISTRATOR, RedisServer, running_redis


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    folder = tmp_path / "redis"
    folder.mkdir()
    with running_redis(folder) as server:
        yield server


@pytest.fixture(params=["flask-stdlib", "quart"])
def device(request: pytest.FixtureRequest, server: RedisServer, tmp_path: Path) -> Iterator[RunningDevice]:
    folder = tmp_path / "device"
    folder.mkdir()
    url = f"redis://administrator:{ADMINISTRATOR}@127.0.0.1:{server.port}"
    with running_device(request.param, folder, "--replay-store", url) as device:
        yield device


class Client:
    """Sends one request at a time, so that a test sees each answer."""

    def __init__(self, device: RunningDevice) -> None:
        assert device.ready.ca_file is not None
        assert device.ready.credentials_file is not None
        self.http = httpx.Client(base_url=device.ready.url, verify=client_context(device.ready.ca_file))
        self._digest = DigestClient(*read_credentials(device.ready.credentials_file))

    def ask(self) -> httpx.Response:
        """Learns from a challenge, but does not ask again by itself."""
        authorization = self._digest.authorization("GET", SYSTEM_STATE_PATH)
        headers = {} if authorization is None else {"Authorization": authorization}
        answer = self.http.get(SYSTEM_STATE_PATH, headers=headers)
        if answer.status_code == 401:
            self._digest.accept(answer.headers.get_list("WWW-Authenticate"))
        return answer

    def health(self) -> int:
        return self.http.get(HEALTH_PATH).status_code


class TestRedisDown:
    """While Redis is down nobody gets in, and the health check says so; afterwards clients go on by themselves."""

    def test_killed_and_started_again(self, device: RunningDevice, server: RedisServer) -> None:
        client = Client(device)
        with client.http:
            assert [client.ask().status_code for _ in range(3)] == [401, 200, 200]
            assert client.health() == 200
            server.kill()
            answers = [client.ask() for _ in range(3)]
            assert [answer.status_code for answer in answers] == [503, 503, 503]
            assert not any(b"Redis" in answer.content for answer in answers)
            assert client.health() == 503
            server.start()
            stale, granted = client.ask(), client.ask()
            assert (stale.status_code, granted.status_code) == (401, 200)
            assert "stale=true" in stale.headers["WWW-Authenticate"]
            assert client.health() == 200
        log = device.log.read_text()
        assert log.count(f"Redis at 127.0.0.1:{server.port} cannot be reached") == 1
        assert ADMINISTRATOR not in log
        assert "Traceback" not in log


class TestStart:
    """A device that cannot use its Redis does not start, and says why in one line."""

    def test_redis_that_evicts(self, server: RedisServer, tmp_path: Path) -> None:
        with server.administrator() as administrator:
            administrator.config_set("maxmemory-policy", "allkeys-lru")
            administrator.config_set("maxmemory", "100mb")
        words = [sys.executable, "-m", "quart_impl", "--port", "0", "--state", str(tmp_path / "state")]
        words += ["--replay-store", f"redis://administrator:{ADMINISTRATOR}@127.0.0.1:{server.port}"]
        tried = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
        assert tried.returncode == 2
        assert "set maxmemory-policy noeviction there" in tried.stderr
        assert "Traceback" not in tried.stderr
        assert ADMINISTRATOR not in tried.stdout + tried.stderr
