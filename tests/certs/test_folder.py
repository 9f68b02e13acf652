"""The folder of a CA: made on demand, kept while it is sound, made by one when many ask."""

import datetime as dt
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509

from certs import (
    CertificateError,
    CertificateFiles,
    KeyKind,
    adhoc_certificate,
    check_pair,
    ensure_ca,
    ensure_certificate,
    issue_certificate,
    key_kind,
)
from certs._files import write_atomically
from certs._keys import key_pem, make_key
from certs._pairs import read_pair
from tests.certs.conftest import nobody

NOW = dt.datetime(2026, 1, 31, 12, 0, 0, tzinfo=dt.UTC)
KIND = KeyKind.ECDSA_P256


def leaf(files: CertificateFiles) -> x509.Certificate:
    return x509.load_pem_x509_certificates(files.chain.read_bytes())[0]


def ensure(folder: Path, *, now: dt.datetime = NOW) -> tuple[bytes, bytes]:
    """The content of chain and key."""
    files = ensure_certificate(folder, KIND, now=now)
    check_pair(files, now=now)
    return files.chain.read_bytes(), files.key.read_bytes()


class TestLayout:
    def test_where_things_are(self, tmp_path: Path) -> None:
        folder = tmp_path / "not" / "there"
        assert ensure_ca(folder) == folder / "ca" / "ca.pem"
        assert (folder / "ca" / "ca-key.pem").exists()
        files = ensure_certificate(folder, KeyKind.RSA_2048)
        assert files == CertificateFiles(
            folder / "certificates" / "rsa-2048" / "chain.pem", folder / "certificates" / "rsa-2048" / "key.pem"
        )

    @pytest.mark.parametrize("kind", KeyKind)
    def test_each_kind_has_its_own(self, certificates: dict[KeyKind, CertificateFiles], kind: KeyKind) -> None:
        assert key_kind(leaf(certificates[kind])) == kind
        check_pair(certificates[kind])

    def test_a_chain_is_the_certificate_and_the_ca(self, files: CertificateFiles, ca_file: Path) -> None:
        assert files.chain.read_text().count("BEGIN CERTIFICATE") == 2
        assert files.chain.read_text().endswith(ca_file.read_text())

    def test_adhoc_needs_no_ca(self, tmp_path: Path) -> None:
        files = adhoc_certificate(tmp_path)
        check_pair(files)
        assert files == CertificateFiles(tmp_path / "chain.pem", tmp_path / "key.pem")
        assert leaf(files).issuer == leaf(files).subject


class TestWhatIsKept:
    """A certificate stays while it is whole, of the folder's CA, and valid for another day."""

    def test_a_sound_one(self, tmp_path: Path) -> None:
        assert ensure(tmp_path) == ensure(tmp_path, now=NOW + dt.timedelta(days=197))

    @pytest.mark.parametrize("days", [198, 200, 3000])
    def test_one_that_ends_is_issued_again_for_the_same_key(self, tmp_path: Path, days: int) -> None:
        """With the key kept, one rename replaces it: no server ever reads half of a new pair."""
        ca = ensure_ca(tmp_path, now=NOW).read_bytes()
        chain, key = ensure(tmp_path)
        new_chain, same_key = ensure(tmp_path, now=NOW + dt.timedelta(days=days))
        assert new_chain != chain
        assert same_key == key
        assert ensure_ca(tmp_path, now=NOW).read_bytes() == ca

    def test_a_new_ca_issues_again(self, tmp_path: Path) -> None:
        chain, _ = ensure(tmp_path)
        (tmp_path / "ca" / "ca.pem").unlink()
        new_chain, _ = ensure(tmp_path)
        assert new_chain != chain
        leaf(ensure_certificate(tmp_path, KIND, now=NOW)).verify_directly_issued_by(
            x509.load_pem_x509_certificate((tmp_path / "ca" / "ca.pem").read_bytes())
        )

    def test_one_with_other_names(self, tmp_path: Path) -> None:
        issued = issue_certificate(tmp_path, KIND, ["device.example"], now=NOW).chain.read_bytes()
        assert ensure(tmp_path)[0] == issued

    def test_one_of_another_kind_is_not(self, tmp_path: Path) -> None:
        other = issue_certificate(tmp_path, KeyKind.RSA_2048, ["localhost"], now=NOW)
        files = ensure_certificate(tmp_path, KIND, now=NOW)
        other.chain.replace(files.chain)
        other.key.replace(files.key)
        assert key_kind(leaf(ensure_certificate(tmp_path, KIND, now=NOW))) == KIND

    def test_a_sound_one_needs_no_ca_key(self, tmp_path: Path) -> None:
        before = ensure(tmp_path)
        (tmp_path / "ca" / "ca-key.pem").unlink()
        assert ensure(tmp_path) == before
        with pytest.raises(CertificateError, match=r"ca-key\.pem: the CA's key is not here.*bring it.*or remove"):
            ensure_certificate(tmp_path, KeyKind.RSA_2048, now=NOW)

    def test_an_expired_ca_is_not_replaced_behind_its_clients_backs(self, tmp_path: Path) -> None:
        ensure(tmp_path)
        late = NOW + dt.timedelta(days=3700)
        for ensure_something in (
            lambda: ensure_ca(tmp_path, now=late),
            lambda: ensure_certificate(tmp_path, KIND, now=late),
        ):
            with pytest.raises(CertificateError, match=r"ca\.pem: the CA expired on 2036-01-29; remove .*/ca to have"):
                ensure_something()


class TestKilledInBetween:
    """Keys are written first: whatever a killed process left is made whole by the next."""

    def test_key_without_certificate(self, tmp_path: Path) -> None:
        files = ensure_certificate(tmp_path, KIND, now=NOW)
        files.chain.unlink()
        ensure(tmp_path)

    def test_new_key_beside_old_certificate(self, tmp_path: Path) -> None:
        files = ensure_certificate(tmp_path, KIND, now=NOW)
        files.key.write_bytes(key_pem(make_key(KIND)))
        with pytest.raises(CertificateError, match="does not belong"):
            check_pair(files, now=NOW)
        ensure(tmp_path)

    def test_ca_key_without_ca(self, tmp_path: Path) -> None:
        ca = ensure_ca(tmp_path, now=NOW)
        ca.unlink()
        ensure_ca(tmp_path, now=NOW)
        ensure(tmp_path)

    @pytest.mark.parametrize("damage", [b"", b"-----BEGIN CERTIFICATE-----\nMIIB"])
    def test_damaged_files(self, tmp_path: Path, damage: bytes) -> None:
        files = ensure_certificate(tmp_path, KIND, now=NOW)
        files.chain.write_bytes(damage)
        files.key.write_bytes(damage)
        ensure(tmp_path)

    def test_a_failed_write_leaves_the_old_file_and_nothing_else(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "key.pem"
        write_atomically(path, b"old", mode=0o600)

        def full(_descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write_atomically(path, b"new", mode=0o600)
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]


class TestPermissions:
    """Keys are their owner's alone, whatever the umask, from before they hold anything."""

    @pytest.fixture(autouse=True)
    def _no_umask(self) -> Iterator[None]:
        umask = os.umask(0)
        yield
        os.umask(umask)

    def test_of_everything_in_a_folder(self, tmp_path: Path) -> None:
        folder = tmp_path / "state"
        ensure_certificate(folder, KIND)
        adhoc_certificate(folder / "adhoc")
        modes = {
            str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
            for path in [folder, *folder.rglob("*.pem")]
        }
        assert modes == {
            ".": 0o700,
            "ca/ca.pem": 0o644,
            "ca/ca-key.pem": 0o600,
            "certificates/ecdsa-p256/chain.pem": 0o644,
            "certificates/ecdsa-p256/key.pem": 0o600,
            "adhoc/chain.pem": 0o644,
            "adhoc/key.pem": 0o600,
        }

    def test_from_the_moment_of_creation(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[tuple[int, int]] = []
        opened = os.open

        def watch(path: str | Path, flags: int, mode: int = 0o777) -> int:
            descriptor = opened(path, flags, mode)
            if flags & os.O_CREAT and str(path).startswith(str(tmp_path)):
                status = os.fstat(descriptor)
                seen.append((stat.S_IMODE(status.st_mode), status.st_size))
            return descriptor

        monkeypatch.setattr(os, "open", watch)
        write_atomically(tmp_path / "key.pem", b"secret", mode=0o600)
        assert seen == [(0o600, 0)]

    def test_a_key_that_was_open_to_others_is_closed_when_it_is_replaced(self, tmp_path: Path) -> None:
        files = ensure_certificate(tmp_path, KIND)
        files.key.chmod(0o644)
        issue_certificate(tmp_path, KIND, ["localhost"])
        assert stat.S_IMODE(files.key.stat().st_mode) == 0o600


class TestManyAtOnce:
    """Workers that start together on an empty folder all get the one certificate that one of them made."""

    WORKER = (
        "import sys, hashlib, pathlib, certs\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "certs.ensure_certificate, certs.check_pair\n"  # load first, so that they meet at the folder
        "print('ready', flush=True); sys.stdin.readline()\n"
        "files = certs.ensure_certificate(folder, certs.KeyKind.ECDSA_P256)\n"
        "certs.check_pair(files)\n"
        "print(hashlib.sha256(files.chain.read_bytes() + files.key.read_bytes()).hexdigest())\n"
    )

    def test_processes(self, tmp_path: Path) -> None:
        command = [sys.executable, "-c", self.WORKER, str(tmp_path / "state")]
        workers = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
        ]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("\n")
            worker.stdin.flush()
        answers = {worker.communicate(timeout=30)[0] for worker in workers}
        assert [worker.returncode for worker in workers] == [0] * 4
        assert len(answers) == 1

    def test_threads(self, tmp_path: Path) -> None:
        with ThreadPoolExecutor(8) as threads:
            contents = set(threads.map(lambda _: ensure(tmp_path / "state"), range(16)))
        assert len(contents) == 1

    def test_a_reader_never_meets_half_a_pair_while_a_certificate_is_renewed(self, tmp_path: Path) -> None:
        """Renewed by itself, that is; `issue` draws a new key, and so has two files to replace."""
        files = ensure_certificate(tmp_path, KIND, now=NOW)

        def renew() -> None:
            for year in range(1, 6):
                ensure_certificate(tmp_path, KIND, now=NOW + dt.timedelta(days=400 * year))

        with ThreadPoolExecutor(1) as thread:
            renewals = thread.submit(renew)
            while not renewals.done():
                read_pair(files)  # raises unless they belong together
            renewals.result()


class TestIssue:
    """`issue` always draws a new key, and never overwrites what is not this CA's."""

    def test_a_new_pair_each_time(self, tmp_path: Path) -> None:
        first = issue_certificate(tmp_path, KIND, ["localhost"]).key.read_bytes()
        assert issue_certificate(tmp_path, KIND, ["localhost"]).key.read_bytes() != first

    def test_elsewhere(self, tmp_path: Path) -> None:
        files = issue_certificate(tmp_path / "state", KIND, ["device.example"], out=tmp_path / "out")
        assert files == CertificateFiles(tmp_path / "out" / "chain.pem", tmp_path / "out" / "key.pem")
        check_pair(files)
        assert not (tmp_path / "state" / "certificates").exists()

    def test_elsewhere_again(self, tmp_path: Path) -> None:
        first = issue_certificate(tmp_path / "state", KIND, ["device.example"], out=tmp_path / "out").key.read_bytes()
        again = issue_certificate(tmp_path / "state", KIND, ["device.example"], out=tmp_path / "out")
        assert again.key.read_bytes() != first

    @pytest.mark.parametrize("left", ["chain.pem", "key.pem"])
    def test_but_not_over_the_files_of_others(self, tmp_path: Path, left: str) -> None:
        others = adhoc_certificate(tmp_path / "out")
        for path in {others.chain, others.key} - {tmp_path / "out" / left}:
            path.unlink()
        content = (tmp_path / "out" / left).read_bytes()
        with pytest.raises(CertificateError, match="this CA did not issue; remove them, or choose another folder"):
            issue_certificate(tmp_path / "state", KIND, ["localhost"], out=tmp_path / "out")
        assert (tmp_path / "out" / left).read_bytes() == content

    def test_a_wrong_name_changes_nothing(self, tmp_path: Path) -> None:
        before = ensure(tmp_path)
        with pytest.raises(CertificateError, match="neither"):
            issue_certificate(tmp_path, KIND, ["no good"], now=NOW)
        assert ensure(tmp_path) == before


class TestFolderThatCannotBeWritten:
    def test_a_file_in_its_place(self, tmp_path: Path) -> None:
        (tmp_path / "state").write_text("")
        with pytest.raises(CertificateError, match=r"state: cannot be written \(.*\); make .*/state a folder"):
            ensure_ca(tmp_path / "state")

    def test_no_permission(self) -> None:
        with (
            nobody(),
            pytest.raises(CertificateError, match=r"cannot be written \(Permission denied\); make .* a folder that"),
        ):
            adhoc_certificate(Path("/certificates-of-nobody"))
