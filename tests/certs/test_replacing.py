"""How a pair is replaced: whole files, and with a new key two renames with nothing in between that takes time."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509

from certs import (
    CertificateError,
    CertificateFiles,
    KeyKind,
    TlsPolicy,
    check_pair,
    client_context,
    ensure_ca,
    ensure_certificate,
    issue_certificate,
    stdlib_server_tls,
)
from certs.__main__ import main
from certs._files import write_together
from tests.certs.handshakes import visit

KIND = KeyKind.ECDSA_P256


def replacements(monkeypatch: pytest.MonkeyPatch, watch: Callable[[Path, Path], None]) -> None:
    """Call `watch` with both paths before each rename."""
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        watch(self, target)
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)


class TestTwoRenames:
    def test_both_files_are_whole_before_the_first_is_replaced(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files = ensure_certificate(tmp_path, KIND)
        old = (files.chain.read_bytes(), files.key.read_bytes())
        seen: list[tuple[str, bool]] = []

        def watch(_new: Path, target: Path) -> None:
            temporary = {path.name.split(".")[1]: path for path in files.chain.parent.glob(".*")}
            if not seen:
                assert (files.chain.read_bytes(), files.key.read_bytes()) == old
                check_pair(CertificateFiles(temporary["chain"], temporary["key"]))
            seen.append((target.name, target == files.key))

        replacements(monkeypatch, watch)
        issue_certificate(tmp_path, KIND, ["localhost"])
        assert seen == [("key.pem", True), ("chain.pem", False)]
        check_pair(files)

    def test_a_key_that_stays_is_one_rename(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        ensure_certificate(tmp_path, KIND)
        seen: list[str] = []
        replacements(monkeypatch, lambda _new, target: seen.append(target.name))
        assert main(["renew", "--state", str(tmp_path), "--days", "200"]) == 0
        assert seen == ["chain.pem"]

    def test_without_room_for_both_neither_is_replaced(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        files = ensure_certificate(tmp_path, KIND)
        old = (files.chain.read_bytes(), files.key.read_bytes())
        synced: list[int] = []

        def full(descriptor: int) -> None:
            synced.append(descriptor)
            if len(synced) == 2:
                raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(CertificateError, match="No space left on device"):
            issue_certificate(tmp_path, KIND, ["localhost"])
        assert (files.chain.read_bytes(), files.key.read_bytes()) == old
        assert sorted(path.name for path in files.chain.parent.iterdir()) == ["chain.pem", "key.pem"]

    def test_killed_between_the_two(self, tmp_path: Path) -> None:
        """What is left is made whole by the next who looks."""
        files = ensure_certificate(tmp_path, KIND)
        program = (
            "import os, pathlib, sys, certs\n"
            "real, seen = pathlib.Path.replace, []\n"
            "def replace(self, target):\n"
            "    if seen: os._exit(9)\n"
            "    seen.append(target)\n"
            "    return real(self, target)\n"
            "pathlib.Path.replace = replace\n"
            "certs.issue_certificate(pathlib.Path(sys.argv[1]), certs.KeyKind.ECDSA_P256, ['localhost'])\n"
        )
        died = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
        assert died.returncode == 9
        with pytest.raises(CertificateError, match="does not belong"):
            check_pair(files)
        assert main(["renew", "--state", str(tmp_path)]) == 0
        check_pair(files)

    def test_nothing_to_write(self) -> None:
        write_together([])


class TestReaders:
    """Somebody reads both files over and over while new keys come in."""

    def test_a_mismatch_is_gone_at_the_next_look(self, tmp_path: Path) -> None:
        files = ensure_certificate(tmp_path, KIND)
        looks = misses = 0
        with ThreadPoolExecutor(1) as thread:
            rotations = thread.submit(rotate, tmp_path, 40)
            while not rotations.done():
                looks += 1
                try:
                    check_pair(files)
                except CertificateError:
                    misses += 1
                    until_it_matches(files)
            rotations.result()
        assert looks > misses

    def test_a_server_serves_the_one_or_the_other_without_a_failure(self, tmp_path: Path) -> None:
        server = stdlib_server_tls([ensure_certificate(tmp_path, KIND)], TlsPolicy(), watch_s=0)
        client = client_context(ensure_ca(tmp_path))
        seen = set()
        with ThreadPoolExecutor(1) as thread:
            rotations = thread.submit(rotate, tmp_path, 40)
            while not rotations.done():
                seen.add(visit(client, server.context).certificate)
            rotations.result()
        last = x509.load_pem_x509_certificates((tmp_path / "certificates" / KIND / "chain.pem").read_bytes())[0]
        assert x509.load_der_x509_certificate(visit(client, server.context).certificate) == last
        assert len(seen) > 1


def rotate(folder: Path, times: int) -> None:
    for _ in range(times):
        issue_certificate(folder, KIND, ["localhost"])


def until_it_matches(files: CertificateFiles) -> None:
    deadline_s = time.monotonic() + 5
    while time.monotonic() < deadline_s:
        with contextlib.suppress(CertificateError):
            check_pair(files)
            return
    check_pair(files)
