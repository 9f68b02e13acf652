"""`python -m certs`, as a person runs it."""

import datetime as dt
import json
import os
import re
import shlex
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs import (
    CertificateFiles,
    KeyKind,
    adhoc_certificate,
    check_pair,
    ensure_ca,
    ensure_certificate,
    issue_client_certificate,
)
from certs.__main__ import main, parser

COMMANDS = ("init", "issue", "self-signed", "show", "check", "renew")


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


class TestIssueNever:
    """Nothing is overwritten without --force."""

    def test_replaces_the_folder_s_own_by_itself(self, shell: Shell) -> None:
        shell.certs("issue")
        folder = ".device/certificates/ecdsa-p256"
        before = (shell.directory / folder / "key.pem").read_bytes()
        assert shell.error("issue") == (
            f"python -m certs: error: {folder}: holds a certificate already; `python -m certs renew` prolongs it and "
            "keeps its key, --force replaces it and its key, --out writes to another folder"
        )
        assert (shell.directory / folder / "key.pem").read_bytes() == before
        shell.certs("issue --force --name device.lan")
        assert (shell.directory / folder / "key.pem").read_bytes() != before

    def test_replaces_what_another_ca_issued(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        others = adhoc_certificate(tmp_path / "out")
        before = others.key.read_bytes()
        arguments = ["issue", "--state", str(tmp_path / "state"), "--out", str(tmp_path / "out")]
        assert main(arguments) == 2
        assert "holds a chain.pem or key.pem that this CA did not issue" in capsys.readouterr().err
        assert others.key.read_bytes() == before
        assert main([*arguments, "--force"]) == 0
        check_pair(others)

    def test_minds_a_key_whose_certificate_never_came(self, tmp_path: Path) -> None:
        """In the CA's own folder; elsewhere it may be anybody's."""
        files = ensure_certificate(tmp_path, KeyKind.ECDSA_P256)
        files.chain.unlink()
        assert main(["issue", "--state", str(tmp_path)]) == 0
        check_pair(files)
        files = CertificateFiles(tmp_path.parent / "lan" / "chain.pem", tmp_path.parent / "lan" / "key.pem")
        files.key.parent.mkdir()
        files.key.write_text("")
        assert main(["issue", "--state", str(tmp_path), "--out", str(files.key.parent)]) == 2


class TestIssueForClients:
    def test_with_an_organisation(self, shell: Shell) -> None:
        lines = shell.certs("issue --client router-7 --organisation Example --kind rsa-2048")
        folder = ".device/certificates/clients/router-7"
        assert lines[0].startswith("issued a client's certificate for CN=router-7,O=Example, valid until ")
        assert lines[-1] == (
            f"use it so: curl --cert {folder}/chain.pem --key {folder}/key.pem --cacert .device/ca/ca.pem "
            "https://localhost:8443/health"
        )
        leaf = x509.load_pem_x509_certificates((shell.directory / folder / "chain.pem").read_bytes())[0]
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
        assert stat.S_IMODE((shell.directory / folder / "key.pem").stat().st_mode) == 0o600

    @pytest.mark.parametrize(
        ("name", "problem"),
        [
            ("a/b", "'a/b' cannot name a folder"),
            ("..", "'..' cannot name a folder"),
            ("x" * 65, "a client's name has 1 to 64 printable characters; shorten it"),
            ("a\nb", "a client's name has 1 to 64 printable characters"),
            ("", "a client's name has 1 to 64 printable characters"),
        ],
    )
    def test_names(self, tmp_path: Path, name: str, problem: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["issue", "--state", str(tmp_path), "--client", name]) == 2
        assert problem in capsys.readouterr().err
        assert not list(tmp_path.glob("certificates/**/*.pem"))

    def test_an_organisation_without_a_client(self, shell: Shell) -> None:
        assert shell.error("issue --organisation Example").endswith("name the client with --client")


class TestIssueForDays:
    def test_as_many_as_are_asked_for(self, tmp_path: Path) -> None:
        assert main(["issue", "--state", str(tmp_path), "--days", "7"]) == 0
        leaf = x509.load_pem_x509_certificates((tmp_path / "certificates/ecdsa-p256/chain.pem").read_bytes())[0]
        assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == dt.timedelta(days=7)

    def test_never_longer_than_the_ca(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        ensure_ca(tmp_path, now=dt.datetime.now(dt.UTC) - dt.timedelta(days=3600))
        assert main(["issue", "--state", str(tmp_path)]) == 0
        assert "note: not valid for 199 days, because the CA ends on " in capsys.readouterr().out

    def test_too_many_for_apple(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["issue", "--state", str(tmp_path), "--days", "826"]) == 0
        assert "note: Apple's systems refuse servers' certificates of more than 825 days" in capsys.readouterr().out

    @pytest.mark.parametrize("days", ["0", "-1", "x", "99999", "1.5"])
    def test_that_are_none(self, shell: Shell, days: str) -> None:
        assert f"argument --days: '{days}' is not a number of days from 1 to 36500" in shell.error(
            f"issue --days={days}"
        )


class TestShow:
    def test_for_programs(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        files = ensure_certificate(tmp_path, KeyKind.ED25519)
        client = issue_client_certificate(tmp_path, "router-7", organisation="Example")
        assert main(["show", "--json", "--state", str(tmp_path)]) == 0
        ca, server, router = json.loads(capsys.readouterr().out)["certificates"]
        assert [each["for"] for each in (ca, server, router)] == [["CA"], ["server"], ["client"]]
        assert (server["file"], server["key"], server["days_left"]) == (str(files.chain), "ed25519", 198)
        assert server["names"] == ["localhost", "127.0.0.1", "::1"]
        assert (router["file"], router["subject"]) == (str(client.chain), "CN=router-7,O=Example")
        assert router["issuer"] == ca["subject"]
        leaf = x509.load_pem_x509_certificates(files.chain.read_bytes())[0]
        assert server["sha256"] == leaf.fingerprint(hashes.SHA256()).hex()
        assert int(server["serial"], 16) == leaf.serial_number
        assert dt.datetime.fromisoformat(server["not_after"]) == leaf.not_valid_after_utc

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
    def test_it_is_there_for_every_command(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On a screen of 100 columns and 30 lines."""
        monkeypatch.setenv("COLUMNS", "100")
        for command in ("", *COMMANDS):
            with pytest.raises(SystemExit) as caught:
                main([*command.split(), "--help"])
            assert caught.value.code == 0
            lines = capsys.readouterr().out.splitlines()
            assert lines[2] == "examples:"
            assert len(lines) <= 30
            assert max(map(len, lines)) <= 100

    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_example_can_be_typed(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        examples = examples_of(command, capsys)
        assert len(examples) >= 2
        for example in examples:
            parser().parse_args(shlex.split(example))

    def test_a_newcomer_s_first_five_work(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("DEVICE_STATE", raising=False)
        examples = examples_of("", capsys)
        assert [example.split()[0] for example in examples] == ["init", "issue", "show", "check", "renew"]
        for example in examples:
            assert main(shlex.split(example)) == 0


def examples_of(command: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The examples in a command's help, without what is said of them and without what other programs make of them."""
    with pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    return re.findall(r"^  python -m certs (.*?)(?: {2,}.*| \| .*)?$", capsys.readouterr().out, re.MULTILINE)
