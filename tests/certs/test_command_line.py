"""`python -m certs`, as a person runs it."""

import datetime as dt
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from certs import CertificateFiles, KeyKind, adhoc_certificate, check_pair, ensure_ca, ensure_certificate
from certs.__main__ import main


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    lines: list[str]
    errors: list[str]


@dataclass(frozen=True, slots=True)
class Shell:
    """A working directory of its own."""

    directory: Path

    def run(self, arguments: str, **variables: str) -> Answer:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **variables}
        done = subprocess.run(
            [sys.executable, "-m", "certs", *shlex.split(arguments)],
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return Answer(done.returncode, done.stdout.splitlines(), done.stderr.splitlines())

    def certs(self, arguments: str, **variables: str) -> list[str]:
        answer = self.run(arguments, **variables)
        assert (answer.status, answer.errors) == (0, [])
        return answer.lines

    def error(self, arguments: str) -> str:
        answer = self.run(arguments)
        assert (answer.status, answer.lines, len(answer.errors)) == (2, [], 1)
        return answer.errors[0]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.delenv("DEVICE_STATE", raising=False)
    return Shell(tmp_path)


class TestInit:
    def test_it_makes_a_ca_and_says_what_to_do_with_it(self, shell: Shell) -> None:
        made, certificate, key, trust, following = shell.certs("init")
        assert re.fullmatch(r"made https-digest-bench CA [0-9a-f]{8}, valid until \d{4}-\d\d-\d\d", made)
        assert certificate == "  certificate: .device/ca/ca.pem"
        assert key.startswith("  key:         .device/ca/ca-key.pem (")
        assert trust == "clients trust it so: curl --cacert .device/ca/ca.pem https://localhost:8443/health"
        assert following == "next: python -m certs issue"

    def test_one_that_is_there_is_kept(self, shell: Shell) -> None:
        ca = ensure_ca(shell.directory / "my state")
        before = ca.read_bytes()
        lines = shell.certs("init --state 'my state'")
        assert lines[0].startswith("there is https-digest-bench CA ")
        assert lines[-1] == "next: python -m certs issue --state 'my state'"
        assert ca.read_bytes() == before


class TestIssue:
    def test_for_this_machine(self, shell: Shell) -> None:
        issued, chain, key, serve, trust = shell.certs("issue")
        assert re.fullmatch(r"issued ecdsa-p256 for localhost, 127\.0\.0\.1, ::1, valid until \d{4}-\d\d-\d\d", issued)
        folder = Path(".device/certificates/ecdsa-p256")
        assert chain == f"  chain: {folder}/chain.pem"
        assert key == f"  key:   {folder}/key.pem"
        assert serve == (f"serve with it: python -m flask_impl --certificate {folder}/chain.pem --key {folder}/key.pem")
        assert trust == "clients trust it so: curl --cacert .device/ca/ca.pem https://localhost:8443/health"
        check_pair(CertificateFiles(shell.directory / folder / "chain.pem", shell.directory / folder / "key.pem"))

    def test_of_a_kind_for_names_elsewhere(self, shell: Shell) -> None:
        lines = shell.certs("issue --kind rsa-2048 --name device.lan --name 192.0.2.1 --out out", DEVICE_STATE="state")
        assert lines[0].startswith("issued rsa-2048 for device.lan, 192.0.2.1, valid until ")
        assert lines[-1] == "clients trust it so: curl --cacert state/ca/ca.pem https://device.lan:8443/health"
        leaf = x509.load_pem_x509_certificate((shell.directory / "out" / "chain.pem").read_bytes())
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert [str(name.value) for name in names] == ["device.lan", "192.0.2.1"]
        check_pair(CertificateFiles(shell.directory / "out" / "chain.pem", shell.directory / "out" / "key.pem"))

    def test_one_that_this_machine_s_clients_would_refuse_comes_with_a_note(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["issue", "--state", str(tmp_path), "--name", "*.lab.example"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert "note: not good for all of localhost, 127.0.0.1, ::1; whoever connects to those is warned of it" in lines
        assert lines[-1].endswith("https://any.lab.example:8443/health")


class TestShow:
    def test_the_folder_as_a_table(
        self, shell: Shell, folder: Path, certificates: dict[KeyKind, CertificateFiles]
    ) -> None:
        lines = shell.certs(f"show --state {folder}")
        headings, ca, *leaves, trust = lines
        assert re.split(" {2,}", headings) == [
            "FILE",
            "SUBJECT",
            "FOR",
            "KEY",
            "VALID UNTIL",
            "DAYS LEFT",
            "ISSUER",
            "NAMES",
        ]
        assert re.search(r"/ca/ca\.pem +https-digest-bench CA \w{8} +CA +ecdsa-p256 +\S+ +3649 +itself +-$", ca)
        assert len(leaves) == len(certificates)
        for kind, line in zip(KeyKind, leaves, strict=True):
            row = (
                rf"/{kind}/chain\.pem +localhost +server +{kind} +\S+ +198 +https-digest-bench CA \w{{8}} +"
                r"localhost 127\S+ ::1$"
            )
            assert re.search(row, line)
        assert trust.startswith("clients trust these so: curl --cacert ")

    def test_columns_are_aligned(
        self, folder: Path, certificates: dict[KeyKind, CertificateFiles], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["show", "--state", str(folder)]) == 0
        headings, *rows = capsys.readouterr().out.splitlines()[:-1]
        assert len(rows) == 1 + len(certificates)
        for heading in ("SUBJECT", "FOR", "KEY", "VALID UNTIL", "ISSUER", "NAMES"):
            at = headings.index(heading)
            assert all(row[at - 1] == " " != row[at] for row in rows)

    def test_a_ca_alone_asks_for_a_certificate(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        ensure_ca(tmp_path)
        assert main(["show", "--state", str(tmp_path)]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == f"next: python -m certs issue --state {tmp_path}"

    def test_files_with_all_that_is_in_them(
        self, files: CertificateFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        adhoc = adhoc_certificate(tmp_path)
        assert main(["show", str(files.chain), str(adhoc.chain)]) == 0
        rows = capsys.readouterr().out.splitlines()[1:-1]
        assert [row.split()[0] for row in rows] == [str(files.chain)] * 2 + [str(adhoc.chain)]

    def test_an_expired_one(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        long_ago = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
        files = ensure_certificate(tmp_path, KeyKind.ECDSA_P256, now=long_ago)
        assert main(["show", "--state", str(tmp_path)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert re.search(r" 2020-07-17 +expired ", lines[2])
        assert lines[-1] == f"expired: {files.chain}; next: python -m certs renew --state {tmp_path}"


class TestErrors:
    """One line on stderr, status 2."""

    @pytest.mark.parametrize(
        ("arguments", "line"),
        [
            (
                "show",
                ".device: no CA there; make one with `python -m certs init`, or name the folder with --state",
            ),
            ("show absent.pem", "absent.pem: no such file; check the path, or run `python -m certs issue`"),
            (
                "issue --name https://device.lan",
                (
                    "'https://device.lan' is neither a host name nor an address; "
                    "write it without scheme, port or path, as in device.example, *.lab.example or 192.0.2.1"
                ),
            ),
            ("", "the following arguments are required: COMMAND; `python -m certs --help` shows examples"),
        ],
    )
    def test_lines(self, shell: Shell, arguments: str, line: str) -> None:
        assert shell.error(arguments) == f"python -m certs: error: {line}"

    def test_an_unknown_kind_lists_those_that_there_are(self, shell: Shell) -> None:
        line = shell.error("issue --kind dsa")
        assert line.startswith("python -m certs: error: argument --kind: invalid choice: 'dsa' (choose from ")
        assert all(kind in line for kind in KeyKind)

    def test_a_folder_that_is_a_file(self, shell: Shell) -> None:
        (shell.directory / ".device").write_text("")
        assert ".device: cannot be written (File exists); make .device a folder" in shell.error("init")


class TestHelp:
    def test_it_is_there_for_every_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        for command in ([], ["init"], ["issue"], ["self-signed"], ["show"], ["check"], ["renew"]):
            with pytest.raises(SystemExit) as caught:
                main([*command, "--help"])
            assert caught.value.code == 0
            lines = capsys.readouterr().out.splitlines()
            assert lines[2] == "examples:"
            assert len(lines) <= 30
            assert max(map(len, lines)) <= 100

    def test_its_examples_work(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("DEVICE_STATE", raising=False)
        with pytest.raises(SystemExit):
            main(["--help"])
        text = capsys.readouterr().out
        examples = re.findall(r"^  python -m certs (.*?)(?:  .*)?$", text, re.MULTILINE)
        assert len(examples) >= 4
        adhoc_certificate(tmp_path / "other")
        for example in examples:
            assert main(shlex.split(example)) == 0
