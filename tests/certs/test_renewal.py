"""`renew`: what our CA issued and what ends soon is issued again, the same but for its time; no other is touched."""

import datetime as dt
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from certs import (
    CertificateFiles,
    KeyKind,
    check_pair,
    ensure_ca,
    ensure_certificate,
    issue_certificate,
    issue_client_certificate,
    key_kind,
)
from certs.__main__ import main
from certs._files import PRIVATE
from certs._folder import issue_for_key
from certs._issuing import Holder
from certs._keys import key_pem, make_key
from certs._pairs import read_certificates
from tests.certs.foreign import make, openssl, written

KIND = KeyKind.ECDSA_P256
TODAY = dt.datetime.now(dt.UTC)


@dataclass(frozen=True, slots=True)
class Renewer:
    folder: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str | Path, status: int = 0) -> list[str]:
        assert main(["renew", "--state", str(self.folder), *map(str, arguments)]) == status
        out, err = self.capsys.readouterr()
        assert err == ""
        return [line.replace(f"{self.folder}/", "") for line in out.splitlines()]

    def error(self, *arguments: str | Path) -> str:
        assert main(["renew", "--state", str(self.folder), *map(str, arguments)]) == 2
        out, err = self.capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        return err.removeprefix("python -m certs: error: ").rstrip("\n")


@pytest.fixture
def renew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Renewer:
    return Renewer(tmp_path / "state", capsys)


def leaf(files: CertificateFiles) -> x509.Certificate:
    return read_certificates(files.chain)[0]


def ending(
    renew: Renewer, days: int, *, names: Sequence[str] = ("localhost",), out: Path | None = None
) -> CertificateFiles:
    """A server's certificate that ends in so many days, and that was valid for 90."""
    before = TODAY - dt.timedelta(days=90 - days)
    ensure_ca(renew.folder, now=TODAY - dt.timedelta(days=100))
    return issue_certificate(renew.folder, KIND, names, out=out, validity=dt.timedelta(days=90), now=before)


def extensions(certificate: x509.Certificate) -> list[tuple[x509.ObjectIdentifier, bool, x509.ExtensionType]]:
    return [(extension.oid, extension.critical, extension.value) for extension in certificate.extensions]


class TestWhatIsDue:
    def test_what_ends_within_thirty_days(self, renew: Renewer) -> None:
        files = ending(renew, 29)
        line, last = renew()
        end = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1) + dt.timedelta(days=90)
        assert line == f"renewed  certificates/ecdsa-p256/chain.pem: valid until {end:%Y-%m-%d}, key kept"
        assert last == "servers of this project serve it within a second; reload others (--deploy-hook does)"
        check_pair(files)

    def test_what_has_expired(self, renew: Renewer) -> None:
        files = ending(renew, -5)
        renew()
        check_pair(files)

    def test_not_what_has_longer(self, renew: Renewer) -> None:
        files = ending(renew, 31)
        before = files.chain.read_bytes()
        assert renew() == []
        assert files.chain.read_bytes() == before

    def test_as_many_days_as_are_asked_for(self, renew: Renewer) -> None:
        ending(renew, 31)
        assert len(renew("--days", "60")) == 2

    def test_twice_in_a_row_is_once(self, renew: Renewer) -> None:
        files = ending(renew, 3)
        renew()
        before = files.chain.read_bytes()
        assert renew() == []
        assert files.chain.read_bytes() == before

    def test_clients_too(self, renew: Renewer) -> None:
        before = TODAY - dt.timedelta(days=190)
        ensure_ca(renew.folder, now=before)
        files = issue_client_certificate(renew.folder, "router-7", organisation="Example", now=before)
        line, _ = renew()
        assert line.startswith("renewed  certificates/clients/router-7/chain.pem: ")
        assert leaf(files).subject.rfc4514_string() == "CN=router-7,O=Example"
        openssl("verify", "-purpose", "sslclient", "-CAfile", ensure_ca(renew.folder), files.chain)


class TestWhatStaysTheSame:
    """Names, purpose, every extension, length and key."""

    @pytest.mark.parametrize("kind", [KeyKind.ECDSA_P256, KeyKind.RSA_2048, KeyKind.ED25519])
    def test_all_but_time_and_number(self, renew: Renewer, kind: KeyKind) -> None:
        names = ["device.lan", "*.lab.example", "192.0.2.1"]
        before = TODAY - dt.timedelta(days=80)
        ensure_ca(renew.folder, now=before)
        files = issue_certificate(renew.folder, kind, names, validity=dt.timedelta(days=90), now=before)
        old, key = leaf(files), files.key.read_bytes()
        renew()
        new = leaf(files)
        assert files.key.read_bytes() == key
        assert (new.subject, new.issuer) == (old.subject, old.issuer)
        assert extensions(new) == extensions(old)
        assert new.not_valid_after_utc - new.not_valid_before_utc == dt.timedelta(days=90)
        assert new.serial_number != old.serial_number
        check_pair(files)

    def test_but_the_key_if_that_is_wished(self, renew: Renewer) -> None:
        files = ending(renew, 3, names=["device.lan"])
        old, key = leaf(files), files.key.read_bytes()
        line, _ = renew("--new-key")
        assert line.endswith(", with a new key")
        assert files.key.read_bytes() != key
        assert key_kind(leaf(files)) == KIND
        assert stat.S_IMODE(files.key.stat().st_mode) == PRIVATE
        held = leaf(files).extensions.get_extension_for_class(x509.SubjectAlternativeName)
        assert held == old.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        check_pair(files)

    def test_a_key_that_is_elsewhere(self, renew: Renewer, tmp_path: Path) -> None:
        """The certificate answered a request: the new one is for the same key."""
        key = make_key(KIND)
        before = TODAY - dt.timedelta(days=190)
        ensure_ca(renew.folder, now=before)
        holder = Holder.server(["device.lan"])
        chain = issue_for_key(renew.folder, key.public_key(), holder, out=tmp_path / "out", now=before)
        assert renew("--new-key", tmp_path / "out", status=1)[0].endswith(
            ": its key is elsewhere; without --new-key it is renewed for the same one"
        )
        renew(tmp_path / "out")
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["chain.pem"]
        files = CertificateFiles(chain, tmp_path / "key.pem")
        files.key.write_bytes(key_pem(key))
        check_pair(files)


class TestWhichOnes:
    def test_elsewhere(self, renew: Renewer, tmp_path: Path) -> None:
        files = ending(renew, 3, out=tmp_path / "lan")
        assert renew("--verbose") == ["nothing there to renew; next: python -m certs issue"]
        renew(tmp_path / "lan")
        check_pair(files)
        assert leaf(files).not_valid_after_utc > TODAY + dt.timedelta(days=80)

    def test_by_kind_or_client(self, renew: Renewer) -> None:
        ending(renew, 3)
        issue_client_certificate(renew.folder, "router-7", now=TODAY - dt.timedelta(days=99))
        assert renew("router-7") == []
        end = TODAY + dt.timedelta(days=100, hours=-1)
        assert renew("ecdsa-p256", "router-7", "--verbose")[1:] == [
            f"not due  certificates/clients/router-7/chain.pem: valid until {end:%Y-%m-%d}",
            "servers of this project serve it within a second; reload others (--deploy-hook does)",
        ]

    def test_an_unknown_one(self, renew: Renewer) -> None:
        ending(renew, 3)
        assert renew.error("router-8") == (
            f"router-8: neither a certificate in {renew.folder} (ecdsa-p256) nor a folder with a chain.pem; "
            "name one of these"
        )

    def test_without_a_ca(self, renew: Renewer) -> None:
        assert renew.error().startswith(f"{renew.folder}: no CA there; name its folder with --state, or make one")


class TestQuiet:
    """A timer's mail comes only when there is news; on a terminal each line is shown."""

    def test_nothing_is_due(self, renew: Renewer) -> None:
        ensure_certificate(renew.folder, KIND)
        assert renew() == []
        line, last = renew("--verbose")
        assert line.startswith("not due  certificates/ecdsa-p256/chain.pem: valid until ")
        assert last == "nothing is due; next: let a timer do this daily (docs/certificates-local.md)"

    def test_a_terminal(self, renew: Renewer, monkeypatch: pytest.MonkeyPatch) -> None:
        ensure_certificate(renew.folder, KIND)
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        assert len(renew()) == 2


class TestWhatCannotBeRenewed:
    """Exit status 1, and who must see to it; the others are renewed all the same."""

    def test_a_public_ca_s(self, renew: Renewer, tmp_path: Path) -> None:
        ending(renew, 3)
        others = make("device", make("R3", ca=True, organisation="Let's Encrypt"), names=["device.lan"], days=3)
        files = written(tmp_path / "live", others)
        files.chain.rename(tmp_path / "live" / "chain.pem")
        before = (tmp_path / "live" / "chain.pem").read_bytes()
        ours, theirs, last = renew("ecdsa-p256", tmp_path / "live", status=1)
        assert ours.startswith("renewed  ")
        assert theirs.startswith(f"FAILED   {tmp_path}/live/chain.pem: ends on ")
        assert theirs.endswith(" and is not our CA's; renew it with the tool that fetched it: certbot renew")
        assert last == "next: do what stands after FAILED, then run it again"
        assert (tmp_path / "live" / "chain.pem").read_bytes() == before

    def test_but_one_that_is_not_due_is_nobody_s_business(self, renew: Renewer, tmp_path: Path) -> None:
        ensure_ca(renew.folder)
        files = written(tmp_path / "live", make("device", names=["device.lan"], days=60))
        files.chain.rename(tmp_path / "live" / "chain.pem")
        assert renew(tmp_path / "live") == []

    def test_without_the_ca_s_key(self, renew: Renewer) -> None:
        ending(renew, 3)
        (renew.folder / "ca" / "ca-key.pem").unlink()
        assert "the CA's key is not here" in renew(status=1)[0]

    def test_one_that_ends_with_its_ca(self, renew: Renewer) -> None:
        """A new one would not live longer."""
        ensure_ca(renew.folder, now=TODAY - dt.timedelta(days=3640))
        issue_certificate(renew.folder, KIND, ["localhost"], now=TODAY - dt.timedelta(days=1))
        line = renew(status=1)[0]
        assert "ends with its CA, https-digest-bench CA " in line
        assert line.endswith("ca to have a new CA made, and have clients trust that")

    def test_a_damaged_one(self, renew: Renewer) -> None:
        files = ending(renew, 3)
        files.chain.write_bytes(b"")
        assert renew(status=1)[0].startswith(
            "FAILED   certificates/ecdsa-p256/chain.pem: not a certificate in PEM; name another file, or issue a new"
        )

    def test_one_whose_key_cannot_be_read(self, renew: Renewer) -> None:
        files = ending(renew, 3)
        files.key.unlink()
        files.key.mkdir()
        assert "key.pem: cannot be read (Is a directory)" in renew(status=1)[0]


class TestHook:
    """Run once, in a shell, after everything else, and only if anything was renewed."""

    def test_after_a_renewal(self, renew: Renewer, tmp_path: Path) -> None:
        files = ending(renew, 3)
        old = files.chain.read_bytes()
        renew("--deploy-hook", f"cat {files.chain} > {tmp_path}/seen && echo x >> {tmp_path}/times")
        assert (tmp_path / "seen").read_bytes() == files.chain.read_bytes() != old
        assert (tmp_path / "times").read_text() == "x\n"

    def test_not_without_one(self, renew: Renewer, tmp_path: Path) -> None:
        ending(renew, 60)
        renew("--deploy-hook", f"touch {tmp_path}/seen")
        assert not (tmp_path / "seen").exists()

    def test_that_fails(self, renew: Renewer) -> None:
        ending(renew, 3)
        assert renew("--deploy-hook", "exit 3", status=1)[-1] == (
            "FAILED   the hook `exit 3` ended with 3; run it by hand"
        )


class TestKilledInBetween:
    def test_a_new_key_beside_an_old_certificate_is_made_whole(self, renew: Renewer) -> None:
        """Whenever the certificate ends: a server that starts cannot use the two."""
        files = ending(renew, 80, names=["device.lan"])
        files.key.write_bytes(key_pem(make_key(KIND)))
        line, _ = renew()
        assert line.endswith(", for the key beside it, which did not belong to it")
        check_pair(files)
        assert leaf(files).subject.rfc4514_string() == "CN=device.lan,O=https-digest-bench"
