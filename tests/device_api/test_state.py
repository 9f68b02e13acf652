"""The state folder is made once, whole, whoever starts first, and what is in it is kept."""

import multiprocessing
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from certs import KeyKind
from device_api.state import StateError, StateLayout, open_state, read_credentials
from digest_auth import PLAIN_ALGORITHMS, UserTable, hash_a1


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _open_in_a_process(folder: Path, results: "multiprocessing.SimpleQueue[bytes]") -> None:
    results.put(open_state(folder).nonce_key)


class TestFirstStart:
    def test_everything_is_there_and_secrets_are_their_owners(self, tmp_path: Path) -> None:
        state = open_state(tmp_path / "a" / "state")
        assert state.ca_file.read_text().startswith("-----BEGIN CERTIFICATE")
        assert len(state.nonce_key) == 32
        for secret in (state.credentials_file, state.users_file, state.nonce_key_file, state.folder / "ca/ca-key.pem"):
            assert _mode(secret) == 0o600
        assert _mode(state.folder) == 0o700

    def test_the_first_user_may_come_in_with_every_algorithm(self, tmp_path: Path) -> None:
        state = open_state(tmp_path, realm="here")
        user, password = read_credentials(state.credentials_file)
        users = UserTable.read(state.users_file)
        for algorithm in PLAIN_ALGORITHMS:
            assert users.find(algorithm, "here", user) == hash_a1(algorithm, user, "here", password)
        assert password not in state.users_file.read_text()

    def test_no_two_devices_have_the_same_secrets(self, tmp_path: Path) -> None:
        one, other = open_state(tmp_path / "1"), open_state(tmp_path / "2")
        assert one.nonce_key != other.nonce_key
        assert read_credentials(one.credentials_file) != read_credentials(other.credentials_file)

    def test_a_certificate_is_made_when_asked_for(self, tmp_path: Path) -> None:
        state = open_state(tmp_path)
        assert not (tmp_path / "certificates").exists()
        files = state.certificate(KeyKind.ECDSA_P256)
        assert files.chain == tmp_path / "certificates/ecdsa-p256/chain.pem"
        assert files.chain.exists()
        assert files == state.certificate(KeyKind.ECDSA_P256)

    def test_processes_that_start_at_once_agree(self, tmp_path: Path) -> None:
        context = multiprocessing.get_context("spawn")
        results: multiprocessing.SimpleQueue[bytes] = context.SimpleQueue()
        processes = [context.Process(target=_open_in_a_process, args=(tmp_path, results)) for _ in range(4)]
        for process in processes:
            process.start()
        keys = {results.get() for _ in processes}
        for process in processes:
            process.join()
        assert keys == {open_state(tmp_path).nonce_key}

    def test_a_relative_folder_stays_the_same_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        state = open_state(Path("here"))
        monkeypatch.chdir("/")
        assert state.credentials_file == tmp_path / "here/credentials"


class TestLaterStarts:
    def test_nothing_changes(self, tmp_path: Path) -> None:
        open_state(tmp_path)
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        open_state(tmp_path)
        assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def test_a_start_cut_short_is_finished_with_the_password_that_it_drew(self, tmp_path: Path) -> None:
        state = open_state(tmp_path)
        before = state.credentials_file.read_text(), state.users_file.read_text()
        state.users_file.unlink()
        open_state(tmp_path)
        assert before == (state.credentials_file.read_text(), state.users_file.read_text())

    def test_a_password_that_was_taken_away_is_not_made_again(self, tmp_path: Path) -> None:
        open_state(tmp_path).credentials_file.unlink()
        assert not open_state(tmp_path).credentials_file.exists()

    @pytest.mark.parametrize("content", ["", "zz", "00" * 31, "ÿ"])
    def test_a_broken_nonce_key_is_not_used(self, tmp_path: Path, content: str) -> None:
        open_state(tmp_path).nonce_key_file.write_text(content)
        with pytest.raises(StateError, match="nonce-key: not a key of 32 bytes"):
            open_state(tmp_path)


class TestBadFolders:
    def test_a_file_in_the_way(self, tmp_path: Path) -> None:
        (tmp_path / "state").write_text("")
        with pytest.raises(StateError, match="choose another with --state") as caught:
            open_state(tmp_path / "state")
        assert "\n" not in str(caught.value)

    def test_a_folder_in_place_of_the_lock(self, tmp_path: Path) -> None:
        (tmp_path / "lock").mkdir()
        with pytest.raises(StateError, match=r"lock: Is a directory"):
            open_state(tmp_path)


class TestCredentials:
    def test_a_password_may_have_colons(self, tmp_path: Path) -> None:
        (tmp_path / "credentials").write_text("me:a:b c\n")
        assert read_credentials(tmp_path / "credentials") == ("me", "a:b c")

    def test_none_there(self, tmp_path: Path) -> None:
        with pytest.raises(StateError, match="start a device with this state folder once"):
            read_credentials(tmp_path / "credentials")

    @pytest.mark.parametrize("content", [b"", b"me", b"me:", b":secret", b"me:secret\nyou:secret\n", b"me:\xff\n"])
    def test_not_one_line_of_user_and_password(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "credentials"
        path.write_bytes(content)
        with pytest.raises(StateError, match="credentials: "):
            read_credentials(path)


def test_the_layout_is_known_without_making_anything(tmp_path: Path) -> None:
    layout = StateLayout(tmp_path / "state")
    assert layout.ca_file == tmp_path / "state/ca/ca.pem"
    assert not layout.folder.exists()


@pytest.mark.parametrize("module", ["device_api.state", "device_api.settings", "device_api.ready"])
def test_what_load_generators_import_stays_light(module: str) -> None:
    """These run inside Locust and the harness: no framework, no database and, until needed, no cryptography."""
    heavy = "{'flask', 'quart', 'werkzeug', 'sqlalchemy', 'cryptography', 'OpenSSL'}"
    program = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout == b"[]\n"
