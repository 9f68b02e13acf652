"""`bench probe`: a table for people, JSON for programs, and plain words for what there is not."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from certs import TlsPolicy, TlsVersion
from harness.cli import run_command
from tests.harness.probes.conftest import Serve

ContextOf = Callable[..., ssl.SSLContext]


class TestTable:
    def test_both_versions(
        self, serve: Serve, context_of: ContextOf, ca_file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        url = serve(context_of()).url
        assert run_command(["probe", url, "--ca-file", str(ca_file), "-n", "2"]) == 0
        rows = [line.split() for line in capsys.readouterr().out.splitlines() if line]
        assert rows[0] == [url]
        assert [row[:3] for row in rows[2:6]] == [
            ["1.2", "full", "2"],
            ["1.2", "resumed", "2"],
            ["1.3", "full", "2"],
            ["1.3", "resumed", "2"],
        ]
        assert all(row[-1] == "ecdsa-p256" for row in rows[2:6])
        assert rows[-1][:3] == ["first", "request", "200"]

    def test_a_version_that_is_not_offered(
        self, serve: Serve, context_of: ContextOf, ca_file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        url = serve(context_of(TlsPolicy(versions=frozenset({TlsVersion.TLS_1_3})))).url
        assert run_command(["probe", url, "--ca-file", str(ca_file), "-n", "1"]) == 0
        assert "TLS 1.2 full: the server does not offer TLS 1.2" in capsys.readouterr().out

    def test_plain_http(self, serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run_command(["probe", serve(None).url, "--state", str(tmp_path)]) == 0
        assert "plain HTTP: no handshakes" in capsys.readouterr().out


class TestJson:
    def test_whole(
        self,
        serve: Serve,
        context_of: ContextOf,
        ca_file: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        credentials = tmp_path / "credentials"
        credentials.write_text("admin:secret\n")
        url = serve(context_of()).url.replace("/open", "/closed")
        arguments = ["--ca-file", str(ca_file), "--credentials-file", str(credentials), "-n", "3", "--json"]
        assert run_command(["probe", url, *arguments]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["url"] == url
        assert [(each["version"], each["kind"], each["n"]) for each in found["handshakes"]] == [
            ("1.2", "full", 3),
            ("1.2", "resumed", 3),
            ("1.3", "full", 3),
            ("1.3", "resumed", 3),
        ]
        assert [each["status"] for each in found["requests"]] == [401, 200]
        assert found["requests"][0]["phases_us"].keys() == {"connect", "tls", "send", "wait", "receive"}
