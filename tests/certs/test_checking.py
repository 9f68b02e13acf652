"""`check`: what is wrong with certificates in files, folders and servers; each has a code for programs and advice."""

import datetime as dt
import json
import shutil
import socket
import ssl
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from certs import CertificateFiles, KeyKind, ensure_ca, ensure_certificate, issue_certificate, issue_client_certificate
from certs.__main__ import main
from certs._keys import weakness
from certs._names import covers
from tests.certs.conftest import nobody
from tests.certs.foreign import Made, make, openssl, written
from tests.certs.servers import hanging_up, saying, serving, silent, tls


@dataclass(frozen=True, slots=True)
class Checked:
    """What `check --json` says of one target, and its exit status."""

    status: int
    codes: list[str]
    problems: list[str]
    advice: list[str]
    notes: list[str]
    trusted_by: str | None


@dataclass(frozen=True, slots=True)
class Checker:
    capsys: pytest.CaptureFixture[str]
    state: Path

    def all(self, *arguments: str | Path) -> tuple[int, dict[str, Checked]]:
        status = main(["check", "--json", "--state", str(self.state), *map(str, arguments)])
        answer = json.loads(self.capsys.readouterr().out)
        assert answer["ok"] == (status == 0)
        found = {}
        for one in answer["checked"]:
            problems = one["problems"]
            assert one["ok"] == (not problems)
            assert all(problem["problem"] and problem["advice"] for problem in problems)
            found[one["target"]] = Checked(
                status,
                [problem["code"] for problem in problems],
                [problem["problem"] for problem in problems],
                [problem["advice"] for problem in problems],
                one["notes"],
                one["trusted_by"],
            )
        return status, found

    def one(self, *arguments: str | Path) -> Checked:
        _, found = self.all(*arguments)
        (checked,) = found.values()
        return checked

    def error(self, *arguments: str | Path) -> str:
        assert main(["check", "--state", str(self.state), *map(str, arguments)]) == 2
        out, err = self.capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        return err.removeprefix("python -m certs: error: ").rstrip("\n")

    def text(self, *arguments: str | Path) -> list[str]:
        main(["check", "--state", str(self.state), *map(str, arguments)])
        return self.capsys.readouterr().out.splitlines()


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Checker:
    return Checker(capsys, tmp_path / "state")


@pytest.fixture(scope="module")
def root() -> Made:
    return make("a root", ca=True, days=3000)


class TestFolder:
    """Without arguments: everything that our CA has issued, and the CA."""

    def test_all_is_fine(self, check: Checker) -> None:
        ensure_certificate(check.state, KeyKind.ECDSA_P256)
        issue_client_certificate(check.state, "router-7")
        status, found = check.all()
        assert status == 0
        assert [Path(target).relative_to(check.state).as_posix() for target in found] == [
            "ca/ca.pem",
            "certificates/ecdsa-p256/chain.pem",
            "certificates/clients/router-7/chain.pem",
        ]

    def test_for_a_person(self, check: Checker) -> None:
        files = ensure_certificate(check.state, KeyKind.ECDSA_P256)
        ca, server, last = check.text()
        assert ca.startswith(f"ok     {check.state}/ca/ca.pem: CN=https-digest-bench CA ")
        assert server.startswith(f"ok     {files.chain}: localhost, 127.0.0.1, ::1; 198 days left; trusted by https-di")
        assert last == "all fine for 30 days more; next: let a timer check daily (docs/certificates-local.md)"

    def test_what_ends_soon_for_a_person(self, check: Checker) -> None:
        files = ensure_certificate(check.state, KeyKind.ECDSA_P256)
        _, wrong, problem, advice, last = check.text("--days", "199")
        assert wrong.startswith(f"WRONG  {files.chain}: localhost, 127.0.0.1, ::1; 198 days left; ")
        assert problem.startswith("       - ends in 198 days, on 20")
        assert advice == f"         renew it: python -m certs renew --state {check.state}"
        assert last == "1 of 2 wrong: do what stands under each, then check again"

    @pytest.mark.parametrize(("days", "code"), [(198, "ends-soon"), (250, "expired")])
    def test_time(self, check: Checker, days: int, code: str) -> None:
        before = dt.datetime.now(dt.UTC) - dt.timedelta(days=days - 1)
        files = ensure_certificate(check.state, KeyKind.ECDSA_P256, now=before)
        _, found = check.all()
        assert found[str(files.chain)].codes == [code]

    def test_a_ca_that_ends(self, check: Checker) -> None:
        ensure_ca(check.state, now=dt.datetime.now(dt.UTC) - dt.timedelta(days=3640))
        ca = check.one()
        assert ca.codes == ["ends-soon"]
        assert ca.advice == [f"remove {check.state}/ca to have a new CA made, and have clients trust that"]

    def test_one_of_a_former_ca(self, check: Checker) -> None:
        files = ensure_certificate(check.state, KeyKind.ECDSA_P256)
        shutil.rmtree(check.state / "ca")
        ensure_ca(check.state)
        _, found = check.all()
        assert found[str(files.chain)].codes == ["untrusted"]

    def test_damage(self, check: Checker) -> None:
        ensure_certificate(check.state, KeyKind.ECDSA_P256)
        rsa = ensure_certificate(check.state, KeyKind.RSA_2048)
        rsa.chain.write_bytes(b"")
        other = issue_certificate(check.state, KeyKind.ED25519, ["localhost"])
        other.key.unlink()
        _, found = check.all()
        assert found[str(rsa.chain)].codes == ["unreadable"]
        assert found[str(other.chain)].codes == ["no-key"]

    def test_a_damaged_ca(self, check: Checker) -> None:
        ensure_ca(check.state).write_bytes(b"")
        assert check.one().codes == ["unreadable"]

    def test_none(self, check: Checker) -> None:
        line = f"{check.state}: no CA there; name files or host:port, or the CA's folder with --state"
        assert check.error() == line


class TestFiles:
    """Named files, wherever they come from; keys go with the certificates that they belong to."""

    def test_a_pair(self, check: Checker, tmp_path: Path, root: Made) -> None:
        files = written(tmp_path / "a", make("device", root, names=["device.lan"]), root)
        ca = written(tmp_path / "root", root).chain
        assert check.one(files.chain, files.key, "--ca", ca) == Checked(0, [], [], [], [], "a root")

    def test_a_folder_by_any_of_the_usual_names(self, check: Checker, tmp_path: Path, root: Made) -> None:
        ca = written(tmp_path / "root", root).chain
        files = written(tmp_path / "a", make("device", root, names=["device.lan"]))
        other = written(tmp_path / "b", make("other", root, names=["device.lan"])).key
        for chain, key in (("chain.pem", "key.pem"), ("fullchain.pem", "privkey.pem"), ("cert.pem", "key.pem")):
            folder = tmp_path / chain
            folder.mkdir()
            shutil.copy(files.chain, folder / chain)
            shutil.copy(files.key, folder / key)
            assert check.one(folder, "--ca", ca).codes == []
            shutil.copy(other, folder / key)
            assert check.one(folder, "--ca", ca).codes == ["key-mismatch"]

    def test_a_key_of_nobody(self, check: Checker, tmp_path: Path, root: Made) -> None:
        ca = written(tmp_path / "root", root).chain
        files = written(tmp_path / "a", make("device", root, names=["device.lan"]))
        other = written(tmp_path / "b", make("other"))
        _, found = check.all(files.chain, other.key, "--ca", ca)
        assert found[str(files.chain)].codes == []
        assert found[str(other.key)].problems == [f"this key does not belong to {files.chain}"]

    def test_a_key_alone(self, check: Checker, tmp_path: Path) -> None:
        assert check.one(written(tmp_path, make("other")).key).advice == ["name its certificate as well"]

    def test_certificate_and_key_in_one_file(self, check: Checker, tmp_path: Path, root: Made) -> None:
        ca = written(tmp_path / "root", root).chain
        files = written(tmp_path / "a", make("device", root, names=["device.lan"]))
        both = tmp_path / "both.pem"
        both.write_bytes(files.chain.read_bytes() + files.key.read_bytes())
        both.chmod(0o644)
        assert check.one(both, "--ca", ca).codes == ["key-open"]
        assert check.one(both, "--ca", ca).advice == [f"chmod o= {both}"]

    def test_a_key_before_the_certificate_that_it_belongs_to(self, check: Checker, tmp_path: Path, root: Made) -> None:
        ca = written(tmp_path / "root", root).chain
        leaf = make("device", root, names=["device.lan"])
        files = written(tmp_path / "a", leaf, root)
        swapped = written(tmp_path / "b", root, leaf)
        swapped.key.write_bytes(files.key.read_bytes())
        found = check.one(tmp_path / "b", "--ca", ca)
        assert found.problems[-1] == "the server's certificate is not the first in the file"

    def test_an_encrypted_key(self, check: Checker, files: CertificateFiles, ca_file: Path, tmp_path: Path) -> None:
        folder = tmp_path / "a"
        folder.mkdir()
        shutil.copy(files.chain, folder / "chain.pem")
        openssl("pkey", "-in", files.key, "-aes256", "-passout", "pass:x", "-out", folder / "key.pem")
        found = check.one(folder, "--ca", ca_file)
        assert found.codes == ["unreadable-key"]
        assert found.advice == [f"decrypt it: openssl pkey -in {folder / 'key.pem'} -out FILE.pem"]

    def test_unreadable(self, check: Checker, tmp_path: Path) -> None:
        path = tmp_path / "x.pem"
        path.write_text("hello")
        found = check.one(path)
        assert (found.status, found.codes) == (1, ["unreadable"])
        assert found.problems == ["not a certificate in PEM"]

    def test_not_permitted(self, check: Checker, files: CertificateFiles) -> None:
        with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others, from the top
            folder = Path(name)
            key = folder / "key.pem"
            shutil.copy(files.key, key)
            with nobody():
                assert check.error(key).startswith(f"{key}: cannot be used (Permission denied); check the path")
            folder.chmod(0o755)
            with nobody():
                assert check.error(key).startswith(f"{key}: not readable for this user; change its owner or run as")


class TestTrust:
    """A chain has to lead to --ca; without it to the folder's CA, or to what the system trusts."""

    def test_the_folder_s_ca_by_itself(self, check: Checker, tmp_path: Path) -> None:
        files = issue_certificate(check.state, KeyKind.ECDSA_P256, ["device.lan"], out=tmp_path / "lan")
        trusted_by = check.one(files.chain).trusted_by
        assert trusted_by is not None
        assert trusted_by.startswith("https-digest-bench CA ")

    def test_ca_is_trusted_alone(self, check: Checker, tmp_path: Path, root: Made) -> None:
        files = issue_certificate(check.state, KeyKind.ECDSA_P256, ["device.lan"], out=tmp_path / "lan")
        assert check.one(files.chain, "--ca", written(tmp_path, root).chain).codes == ["untrusted"]

    def test_the_system_s(self, check: Checker, tmp_path: Path, root: Made, monkeypatch: pytest.MonkeyPatch) -> None:
        """OpenSSL's own variable names another store than the machine's."""
        files = written(tmp_path / "a", make("device", root, names=["device.lan"]))
        assert check.one(files.chain).codes == ["untrusted"]
        monkeypatch.setenv("SSL_CERT_FILE", str(written(tmp_path / "root", root).chain))
        assert check.one(files.chain).trusted_by == "a root"

    def test_over_an_intermediate(self, check: Checker, tmp_path: Path, root: Made) -> None:
        ca = written(tmp_path / "root", root).chain
        intermediate = make("a middle", root, ca=True)
        leaf = make("device", intermediate, names=["device.lan"])
        whole = written(tmp_path / "whole", leaf, intermediate).chain
        assert check.one(whole, "--ca", ca).trusted_by == "a root"
        alone = check.one(written(tmp_path / "alone", leaf).chain, "--ca", ca)
        assert alone.problems == ["nothing that is trusted leads to it: there is no certificate of a middle"]
        assert "fullchain.pem" in alone.advice[0]

    def test_an_intermediate_that_ends(self, check: Checker, tmp_path: Path, root: Made) -> None:
        ca = written(tmp_path / "root", root).chain
        intermediate = make("a middle", root, ca=True, days=3)
        files = written(tmp_path / "a", make("device", intermediate, names=["device.lan"]), intermediate)
        found = check.one(files.chain, "--ca", ca)
        assert found.codes == ["ends-soon"]
        assert found.problems[0].startswith("the certificate of a middle above it ends in 2 days")

    def test_self_signed(self, check: Checker, tmp_path: Path) -> None:
        files = written(tmp_path, make("device", names=["device.lan"]))
        assert check.one(files.chain).codes == ["self-signed"]
        assert check.one(files.chain, "--ca", files.chain).codes == []

    def test_a_forged_one(self, check: Checker, tmp_path: Path, root: Made) -> None:
        """Another CA of the same name."""
        files = written(tmp_path / "a", make("device", make("a root", ca=True), names=["device.lan"]))
        found = check.one(files.chain, "--ca", written(tmp_path / "root", root).chain)
        assert found.codes == ["untrusted"]
        assert "signature" in found.problems[0]


class TestWhoHasToRenew:
    @pytest.mark.parametrize(
        ("organisation", "advice"),
        [
            ("Let's Encrypt", "renew it with the tool that fetched it: certbot renew"),
            ("Example", "its issuer has to renew it: R3 (by ACME: certbot renew)"),
        ],
    )
    def test_others(self, check: Checker, tmp_path: Path, organisation: str, advice: str) -> None:
        issuer = make("R3", ca=True, organisation=organisation)
        files = written(tmp_path / "a", make("device", issuer, names=["device.lan"], days=3))
        assert check.one(files.chain, "--ca", written(tmp_path / "ca", issuer).chain).advice == [advice]

    def test_ours_elsewhere(self, check: Checker, tmp_path: Path) -> None:
        files = issue_certificate(
            check.state, KeyKind.ECDSA_P256, ["a.lan"], out=tmp_path / "lan", validity=dt.timedelta(days=3)
        )
        advice = f"renew it: python -m certs renew --state {check.state} {tmp_path / 'lan'}"
        assert check.one(files.chain).advice == [advice]


class TestContent:
    def test_not_valid_yet(self, check: Checker, tmp_path: Path, root: Made) -> None:
        files = written(tmp_path / "a", make("device", root, names=["device.lan"], age_days=-2))
        found = check.one(files.chain, "--ca", written(tmp_path / "root", root).chain)
        assert found.codes == ["not-yet-valid"]
        assert found.advice == ["check the clock of this machine"]

    def test_names(self, check: Checker, files: CertificateFiles, ca_file: Path) -> None:
        assert check.one(files.chain, "--ca", ca_file, "--name", "localhost", "--name", "::1").codes == []
        found = check.one(files.chain, "--ca", ca_file, "--name", "device.lan")
        assert found.codes == ["name-mismatch"]
        assert found.problems == ["not good for device.lan, only for localhost, 127.0.0.1, ::1"]

    def test_what_the_guides_make(self, check: Checker, tmp_path: Path) -> None:
        line = "req -x509 -newkey rsa:2048 -nodes -out cert.pem -keyout key.pem -days 365 -subj /CN=localhost"
        openssl(*line.split(), folder=tmp_path)
        found = check.one(tmp_path, "--ca", tmp_path / "cert.pem")
        assert found.codes == ["no-names"]
        assert found.notes == ["also a CA, which a server should not be: Firefox refuses it"]

    @pytest.mark.parametrize("digest", ["md5", "sha1"])
    def test_weak_signatures(self, check: Checker, tmp_path: Path, digest: str) -> None:
        for line in (
            "req -x509 -newkey rsa:2048 -nodes -out ca.pem -keyout ca.key -subj /CN=ca -days 90",
            "req -newkey rsa:2048 -nodes -out a.csr -keyout a.key -subj /CN=a -addext subjectAltName=DNS:a.lan",
            f"x509 -req -in a.csr -CA ca.pem -CAkey ca.key -{digest} -copy_extensions copy -out a.pem -days 90",
        ):
            openssl(*line.split(), folder=tmp_path)
        found = check.one(tmp_path / "a.pem", "--ca", tmp_path / "ca.pem")
        assert found.codes == ["weak-signature"]
        assert f"signed with {digest.upper()}" in found.problems[0]

    def test_a_weak_key(self, check: Checker, weak_files: CertificateFiles) -> None:
        found = check.one(weak_files.chain, "--ca", weak_files.chain)
        assert found.problems == ["has an RSA key of 1024 bits, where 2048 is the least"]

    def test_a_curve_that_nobody_knows(self) -> None:
        assert "secp256k1" in weakness(ec.generate_private_key(ec.SECP256K1()).public_key())
        assert not weakness(ec.generate_private_key(ec.SECP384R1()).public_key())

    def test_a_client_s_certificate_is_not_a_server_s(self, check: Checker) -> None:
        files = issue_client_certificate(check.state, "router-7", names=["localhost"])
        assert check.one(files.chain).codes == []
        with serving(tls(files)) as port:
            found = check.one(f"localhost:{port}")
        assert found.problems == ["not for a server (its purpose is client)"]

    def test_what_may_surprise(self, check: Checker) -> None:
        long = dt.timedelta(days=900)
        files = issue_certificate(check.state, KeyKind.ED25519, ["a.lan"], validity=long)
        assert check.one(files.chain).notes == [
            "valid for more than 825 days: Apple's systems refuse it",
            "Ed25519: no browser takes it",
        ]


class TestNames:
    """RFC 9525, 6.3: a wildcard is one whole label; the common name does not count."""

    @pytest.mark.parametrize(
        ("held", "name", "good"),
        [
            ("device.lan", "device.lan", True),
            ("device.lan", "DEVICE.lan", True),
            ("Device.Lan", "device.lan", True),
            ("device.lan", "x.device.lan", False),
            ("*.lab.example", "one.lab.example", True),
            ("*.lab.example", "lab.example", False),
            ("*.lab.example", "a.b.lab.example", False),
        ],
    )
    def test_compared(self, held: str, name: str, *, good: bool) -> None:
        assert covers(make(name, names=[held]).certificate, name) is good

    def test_none(self) -> None:
        assert not covers(make("device.lan").certificate, "device.lan")


class TestServers:
    """A real handshake with whatever listens; what it shows is judged like a file."""

    def test_fine(self, check: Checker, files: CertificateFiles, ca_file: Path) -> None:
        with serving(tls(files)) as port:
            for name in (f"localhost:{port}", f"127.0.0.1:{port}", f"https://localhost:{port}/health"):
                found = check.one(name, "--ca", ca_file)
                assert (found.status, found.codes) == (0, [])
                assert found.trusted_by is not None

    def test_over_ipv6(self, check: Checker, files: CertificateFiles, ca_file: Path) -> None:
        if not has_ipv6():
            pytest.skip("this machine has no IPv6")
        with serving(tls(files), host="::1") as port:
            assert check.one(f"[::1]:{port}", "--ca", ca_file).codes == []

    def test_trusted_by_the_folder_s_ca_by_itself(self, check: Checker) -> None:
        files = ensure_certificate(check.state, KeyKind.ECDSA_P256)
        with serving(tls(files)) as port:
            assert check.one(f"localhost:{port}").codes == []

    def test_expired(self, check: Checker) -> None:
        before = dt.datetime.now(dt.UTC) - dt.timedelta(days=300)
        files = ensure_certificate(check.state, KeyKind.ECDSA_P256, now=before)
        with serving(tls(files)) as port:
            found = check.one(f"localhost:{port}")
        assert found.codes == ["expired"]
        assert found.advice == [f"where the server runs, renew it: python -m certs renew --state {check.state}"]

    def test_another_name(self, check: Checker) -> None:
        files = issue_certificate(check.state, KeyKind.ECDSA_P256, ["device.lan"])
        with serving(tls(files)) as port:
            assert check.one(f"localhost:{port}").codes == ["name-mismatch"]
            assert check.one(f"localhost:{port}", "--name", "device.lan").codes == []

    def test_self_signed(self, check: Checker, tmp_path: Path) -> None:
        files = written(tmp_path, make("localhost", names=["localhost"]))
        with serving(tls(files)) as port:
            assert check.one(f"localhost:{port}").codes == ["self-signed"]

    def test_no_chain_to_what_is_trusted(
        self, check: Checker, files: CertificateFiles, root: Made, tmp_path: Path
    ) -> None:
        with serving(tls(files)) as port:
            assert check.one(f"localhost:{port}", "--ca", written(tmp_path, root).chain).codes == ["untrusted"]

    def test_a_weak_key(self, check: Checker, weak_files: CertificateFiles) -> None:
        with serving(tls(weak_files)) as port:
            assert check.one(f"localhost:{port}", "--ca", weak_files.chain).codes == ["weak-key"]

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_one_that_asks_for_a_client_s_certificate(
        self, check: Checker, files: CertificateFiles, ca_file: Path, version: ssl.TLSVersion
    ) -> None:
        """It shows its own before it turns us away."""
        with serving(tls(files, version=version, client_ca=str(ca_file))) as port:
            assert check.one(f"localhost:{port}", "--ca", ca_file).codes == []

    def test_an_old_version(self, check: Checker, files: CertificateFiles) -> None:
        with serving(tls(files, version=ssl.TLSVersion.TLSv1_1)) as port:
            assert check.one(f"localhost:{port}").codes == ["old-version"]

    @pytest.mark.parametrize(
        ("serve", "code", "advice"),
        [
            (saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "not-tls", "check the port, or turn HTTPS on"),
            (saying(b"SSH-2.0-OpenSSH_9.2\r\n"), "not-tls", "check the port"),
            (saying(b"\x16\x03\x03" + bytes(100)), "refused", "look into the server's log"),
            (hanging_up, "closed", "look into the server's log"),
            (silent, "stalled", "look whether it is a TLS port and whether the server hangs"),
        ],
        ids=["http", "ssh", "garbage", "hanging up", "silent"],
    )
    def test_no_handshake(self, check: Checker, serve: Callable[[socket.socket], None], code: str, advice: str) -> None:
        with serving(serve) as port:
            found = check.one(f"localhost:{port}", "--timeout", "0.2")
        assert (found.status, found.codes) == (1, [code])
        assert found.advice[0].startswith(advice)

    def test_a_closed_port(self, check: Checker) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        found = check.one(f"127.0.0.1:{port}")
        assert (found.status, found.codes) == (1, ["unreachable"])
        assert found.advice == ["start the server, or check the port"]

    def test_an_unknown_host(self, check: Checker) -> None:
        assert check.one("host.invalid:443").codes == ["unknown-host"]

    def test_several_at_once(self, check: Checker, files: CertificateFiles, ca_file: Path) -> None:
        with serving(tls(files)) as good, serving(hanging_up) as bad:
            status, found = check.all(f"localhost:{good}", f"localhost:{bad}", "--ca", ca_file)
        assert status == 1
        assert [one.codes for one in found.values()] == [[], ["closed"]]


class TestMisuse:
    @pytest.mark.parametrize(
        ("name", "line"),
        [
            ("nonsense", "nonsense: no such file; a server is written host:port, as in localhost:8443"),
            ("a/b.pem:443", "a/b.pem:443: no such file; a server is written host:port, as in localhost:8443"),
            ("localhost:0", "localhost:0: 0 is no port; ports go from 1 to 65535"),
            ("localhost:65536", "localhost:65536: 65536 is no port; ports go from 1 to 65535"),
            ("a b:443", "'a b' is neither a host name nor an address; write it without scheme, port or path"),
        ],
    )
    def test_targets(self, check: Checker, name: str, line: str) -> None:
        assert check.error(name).startswith(line)

    def test_a_folder_of_something_else(self, check: Checker, tmp_path: Path) -> None:
        assert check.error(tmp_path) == (
            f"{tmp_path}: holds none of chain.pem, fullchain.pem, cert.pem; name a file, "
            f"or if it is a CA's folder: --state {tmp_path}"
        )

    def test_a_ca_file_that_is_none(self, check: Checker, files: CertificateFiles) -> None:
        assert "holds a private key where a certificate is expected" in check.error(files.chain, "--ca", files.key)

    @pytest.mark.parametrize(
        ("options", "line"),
        [
            (["--days", "-1"], "argument --days: '-1' is not a number of days from 0 to 36500"),
            (["--timeout", "0"], "argument --timeout: '0' is not a number of seconds up to 3600"),
        ],
    )
    def test_options(self, options: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            main(["check", "=".join(options)])
        assert caught.value.code == 2
        assert line in capsys.readouterr().err


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True
