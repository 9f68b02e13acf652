"""`bench export` as its user meets it."""

from pathlib import Path

import pytest

import certs
from harness.cli import run_command


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


class TestExport:
    def test_what_it_writes_and_says(self, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run_command(["export", "flask-waitress@apache", str(out), "--domain", "api.example"]) == 0
        files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
        assert [file for file in files if not file.endswith(".whl")] == [
            "Containerfile",
            "README.md",
            "compose.yaml",
            "device-certificate",
            "etc/apache.conf",
            "etc/application.py",
            "etc/device.env",
            "requirements.txt",
            "systemd/device-proxy.service",
            "systemd/device.service",
        ]
        shown = capsys.readouterr()
        assert shown.out.splitlines() == [
            f"flask-waitress@apache is in {out}: {len(files)} files",
            f"how to install it: {out / 'README.md'}",
        ]
        assert shown.err.startswith("mind: 256 clients that stall")

    def test_every_option(self, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        pair = certs.ensure_certificate(tmp_path, certs.KeyKind.ECDSA_P256)
        given = {
            "--domain": "localhost",
            "--certificate": str(pair.chain),
            "--key": str(pair.key),
            "--workers": "2",
            "--threads": "4",
            "--tls": "1.3",
            "--host": "192.0.2.1",
            "--port": "8443",
            "--group": "P-256",
            "--service": "api",
        }
        options = [word for option in given.items() for word in option]
        assert run_command(["export", "flask-gunicorn-gthread", str(out), *options]) == 0
        settings = (out / "etc" / "device.env").read_text().splitlines()
        for line in (
            "DEVICE_STATE=/var/lib/api",
            "DEVICE_HOST=192.0.2.1",
            "DEVICE_PORT=8443",
            "DEVICE_TLS_VERSIONS=1.3",
            "DEVICE_THREADS=4",
            "DEVICE_WORKERS=2",
            "OPENSSL_CONF=/etc/api/openssl.cnf",
        ):
            assert line in settings
        assert "Groups = P-256" in (out / "etc" / "openssl.cnf").read_text()
        assert "User=api" in (out / "systemd" / "api.service").read_text()
        assert f"sudo api-certificate {pair.chain} {pair.key}" in (out / "README.md").read_text()
        assert "without container files: a container has not the address 192.0.2.1" in capsys.readouterr().err

    def test_an_empty_folder_will_do(self, out: Path) -> None:
        out.mkdir()
        assert run_command(["export", "quart-uvicorn", str(out)]) == 0
        assert (out / "README.md").exists()


class TestBadInput:
    """One line on standard error, status 2, no traceback, and nothing written."""

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (
                ["flask-waitres@nginx"],
                "no deployment is called 'flask-waitres@nginx'; did you mean flask-waitress@nginx?",
            ),
            (["flask-threaded", "--domain", "api.example/"], "'api.example/' is no host name"),
            (["flask-threaded", "--workers", "2"], "flask-threaded cannot serve with 2 workers: "),
            (["quart-uvicorn", "--threads", "2"], "quart-uvicorn takes no number of threads: "),
            (["flask-threaded", "--key", "k.pem"], "a certificate and its key go together; give --certificate too"),
            (["flask-threaded", "--certificate", "c.pem"], "a certificate and its key go together; give --key too"),
            (["flask-threaded", "--certificate", "c.pem", "--key", "k.pem"], "c.pem: no such file; check the path"),
            (["flask-threaded", "--port", "0"], "0 is not in the range"),
            (["flask-threaded", "--host", "here"], "'here' is no address to listen at"),
            (["flask-granian", "--tls", "1.2"], "flask-granian cannot serve TLS 1.2 alone"),
        ],
    )
    def test_one_line(self, out: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
        name, *options = arguments
        assert run_command(["export", name, str(out), *options]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"bench: error: {said}") or said in line
        assert not out.exists()

    def test_a_folder_that_is_not_empty(self, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run_command(["export", "quart-uvicorn", str(out)]) == 0
        capsys.readouterr()
        assert run_command(["export", "flask-threaded", str(out)]) == 2
        assert capsys.readouterr().err == (f"bench: error: {out}: is not empty; name a new folder, or empty this one\n")
        assert "quart-uvicorn" in (out / "README.md").read_text()
