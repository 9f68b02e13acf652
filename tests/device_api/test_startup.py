import errno
import os
import socket
from pathlib import Path

import pytest

from certs import CertificateError, KeyKind
from device_api.ready import ReadyFile, ReadyFileError
from device_api.settings import Settings, SettingsError
from device_api.startup import Startup, announced, listen, listen_error, starting
from device_api.state import DeviceState, open_state

SYSTEM_STATE = "https://127.0.0.1:8443/restconf/data/ietf-system:system-state"


def loopbacks() -> list[str]:
    """Hosts to listen on; without IPv6 in the kernel, those of IPv4."""
    try:
        listen("::1", 0).close()
    except SettingsError:
        return ["127.0.0.1", "localhost"]
    return ["127.0.0.1", "localhost", "::1", "[::1]"]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> DeviceState:
    return open_state(tmp_path_factory.mktemp("state folder"))  # with a space, as a user's may have


class TestCertificate:
    """What is served with: the state folder's certificate, a given one, one for this run, or none."""

    def test_of_the_state_folder(self, state: DeviceState) -> None:
        with starting(Settings(state=state.folder)) as startup:
            assert startup.certificates == (state.certificate(KeyKind.ECDSA_P256),)
            assert startup.ready(8443).ca_file == state.ca_file

    def test_of_another_kind(self, state: DeviceState) -> None:
        with starting(Settings(state=state.folder, certificate_kind=(KeyKind.RSA_2048,))) as startup:
            assert startup.certificates == (state.certificate(KeyKind.RSA_2048),)

    def test_of_several_kinds(self, state: DeviceState) -> None:
        kinds = (KeyKind.ECDSA_P256, KeyKind.RSA_2048)
        with starting(Settings(state=state.folder, certificate_kind=kinds)) as startup:
            assert startup.certificates == tuple(map(state.certificate, kinds))

    def test_given(self, state: DeviceState, monkeypatch: pytest.MonkeyPatch) -> None:
        files = state.certificate(KeyKind.ECDSA_P256)
        monkeypatch.chdir(files.chain.parent)
        settings = Settings(state=state.folder, certificate=(Path(files.chain.name),), key=(Path(files.key.name),))
        with starting(settings) as startup:
            assert startup.ready(8443).ca_file == files.chain  # absolute: whoever reads it may be elsewhere

    def test_given_but_not_a_pair(self, state: DeviceState) -> None:
        one, other = state.certificate(KeyKind.ECDSA_P256), state.certificate(KeyKind.RSA_2048)
        settings = Settings(state=state.folder, certificate=(one.chain,), key=(other.key,))
        with pytest.raises(CertificateError), starting(settings):
            pass

    def test_adhoc_lasts_as_long_as_the_server(self, state: DeviceState) -> None:
        with starting(Settings(state=state.folder, adhoc=True)) as startup:
            leaf = startup.ready(8443).ca_file
            assert leaf is not None
            assert leaf.exists()
            assert state.folder not in leaf.parents
        assert not leaf.exists()

    def test_none(self, state: DeviceState) -> None:
        with starting(Settings(state=state.folder, tls=False)) as startup:
            assert startup.certificates == ()
            assert startup.ready(8080).ca_file is None


class TestUrl:
    """What is printed and in the ready file can be connected to from this machine."""

    @pytest.mark.parametrize(
        ("host", "url"),
        [
            ("127.0.0.1", "https://127.0.0.1:8443"),
            ("localhost", "https://localhost:8443"),
            ("::1", "https://[::1]:8443"),
            ("[::1]", "https://[::1]:8443"),
            ("0.0.0.0", "https://127.0.0.1:8443"),
            ("::", "https://[::1]:8443"),
        ],
    )
    def test_of_a_host(self, state: DeviceState, host: str, url: str) -> None:
        with starting(Settings(state=state.folder, host=host)) as startup:
            assert startup.ready(8443).url == url


class TestListen:
    def test_port_0_is_any_free_one(self) -> None:
        with listen("127.0.0.1", 0) as listener:
            assert listener.getsockname()[1] > 0

    @pytest.mark.parametrize("host", loopbacks())
    def test_clients_may_come_before_they_are_accepted(self, host: str) -> None:
        with listen(host, 0) as listener, socket.create_connection(listener.getsockname()[:2]):
            listener.accept()[0].close()

    def test_accepted_sockets_send_at_once(self) -> None:
        with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0

    def test_in_use(self) -> None:
        with listen("127.0.0.1", 0) as listener:
            port = listener.getsockname()[1]
            with pytest.raises(SettingsError, match=rf"--port \(DEVICE_PORT\): {port} is in use on 127.0.0.1"):
                listen("127.0.0.1", port)

    def test_a_port_of_roots(self) -> None:
        line = str(listen_error("127.0.0.1", 443, PermissionError(errno.EACCES, os.strerror(errno.EACCES))))
        assert line == "--port (DEVICE_PORT): 443 is for root alone; give 1024 or more"


class TestReadyFile:
    """It is there while connections are accepted, and says what DESIGN.md's formats ask for."""

    def announce(self, state: DeviceState, path: Path) -> Settings:
        return Settings(state=state.folder, ready_file=path)

    def test_while_serving(self, state: DeviceState, tmp_path: Path) -> None:
        path = tmp_path / "ready.json"
        with starting(self.announce(state, path)) as startup:
            assert not path.exists()
            with announced(startup, 4711):
                assert ReadyFile.read(path) == ReadyFile(
                    url="https://127.0.0.1:4711",
                    pid=os.getpid(),
                    processes=(),
                    ca_file=state.ca_file,
                    credentials_file=state.credentials_file,
                )
        assert not path.exists()

    def test_gone_after_a_failure_too(self, state: DeviceState, tmp_path: Path) -> None:
        path = tmp_path / "ready.json"
        with pytest.raises(RuntimeError), starting(self.announce(state, path)) as startup, announced(startup, 1):
            raise RuntimeError
        assert not path.exists()

    def test_another_servers_is_left_alone(self, state: DeviceState, tmp_path: Path) -> None:
        path = tmp_path / "ready.json"
        other = ReadyFile(url="https://127.0.0.1:2", pid=os.getpid() + 1)
        with starting(self.announce(state, path)) as startup, announced(startup, 1):
            other.write(path)
        assert ReadyFile.read(path) == other

    def test_removed_by_somebody_else(self, state: DeviceState, tmp_path: Path) -> None:
        path = tmp_path / "ready.json"
        with starting(self.announce(state, path)) as startup, announced(startup, 1):
            path.unlink()

    def test_a_relative_one_stays_where_it_was_written(
        self, state: DeviceState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with starting(self.announce(state, Path("ready.json"))) as startup, announced(startup, 1):
            monkeypatch.chdir("/")
        assert not (tmp_path / "ready.json").exists()

    def test_unwritable(self, state: DeviceState, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        settings = self.announce(state, tmp_path / "missing" / "ready.json")
        with starting(settings) as startup, pytest.raises(ReadyFileError), announced(startup, 1):
            pass
        assert capsys.readouterr().out == ""  # "listening" would not be true


class TestTalk:
    """The lines on stdout, the last of which can be pasted into a shell."""

    def talk(self, settings: Settings, capsys: pytest.CaptureFixture[str]) -> tuple[Startup, list[str]]:
        with starting(settings) as startup, announced(startup, 8443):
            return startup, capsys.readouterr().out.splitlines()

    def test_as_it_comes(self, state: DeviceState, capsys: pytest.CaptureFixture[str]) -> None:
        _, lines = self.talk(Settings(state=state.folder), capsys)
        ca, credentials = state.ca_file, state.credentials_file
        assert lines == [
            "listening on https://127.0.0.1:8443",
            f"its CA: {ca}",
            f"first user and password: {credentials}",
            f"try: curl --cacert '{ca}' --digest --user \"$(cat '{credentials}')\" {SYSTEM_STATE}",
        ]

    def test_without_tls_and_digest(self, state: DeviceState, capsys: pytest.CaptureFixture[str]) -> None:
        _, lines = self.talk(Settings(state=state.folder, tls=False, auth="none"), capsys)
        assert lines == [
            "listening on http://127.0.0.1:8443",
            "user and password: none needed (--auth none)",
            "try: curl http://127.0.0.1:8443/restconf/data/ietf-system:system-state",
        ]

    def test_adhoc(self, state: DeviceState, capsys: pytest.CaptureFixture[str]) -> None:
        startup, lines = self.talk(Settings(state=state.folder, adhoc=True), capsys)
        assert lines[1] == f"its certificate: {startup.certificates[0].chain}"

    def test_users_of_ones_own(self, state: DeviceState, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        startup, lines = self.talk(Settings(state=state.folder, users=tmp_path / "people"), capsys)
        assert f"users: {tmp_path / 'people'}" in lines
        assert " --digest --user NAME " in lines[-1]
        assert startup.ready(8443).credentials_file is None

    def test_client_certificates(self, state: DeviceState, capsys: pytest.CaptureFixture[str]) -> None:
        _, lines = self.talk(Settings(state=state.folder, client_ca=state.ca_file), capsys)
        assert f"clients need a certificate of: {state.ca_file}" in lines
        assert " --cert CLIENT.pem --key CLIENT-KEY.pem " in lines[-1]

    def test_everywhere(self, state: DeviceState, capsys: pytest.CaptureFixture[str]) -> None:
        _, lines = self.talk(Settings(state=state.folder, host="0.0.0.0"), capsys)
        assert lines[0] == "listening on https://127.0.0.1:8443 (and on this machine's other addresses)"

    def test_the_first_password_may_have_been_put_away(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        state = open_state(tmp_path)
        state.credentials_file.unlink()
        startup, lines = self.talk(Settings(state=state.folder), capsys)
        assert startup.ready(8443).credentials_file is None
        assert f"users: {state.users_file}" in lines
