"""One request's phases: those that happened are there, those that did not are absent."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from certs import ensure_ca
from harness.errors import UserError
from harness.probes.phases import probe_phases
from tests.harness.probes.conftest import Serve

ContextOf = Callable[..., ssl.SSLContext]


class TestPhases:
    def test_https(self, serve: Serve, context_of: ContextOf, ca_file: Path) -> None:
        (only,) = probe_phases(serve(context_of()), ca_file, None)
        assert (only.status, only.body_bytes) == (200, 50)
        assert set(only.phases_us) == {"connect", "tls", "send", "wait", "receive"}
        assert all(value > 0 for value in only.phases_us.values())
        assert only.total_us == pytest.approx(sum(only.phases_us.values()))

    def test_http_has_no_tls(self, serve: Serve) -> None:
        (only,) = probe_phases(serve(None), None, None)
        assert set(only.phases_us) == {"connect", "send", "wait", "receive"}

    def test_digest_answers_the_challenge_on_the_same_connection(
        self, serve: Serve, context_of: ContextOf, ca_file: Path
    ) -> None:
        target = replace(serve(context_of()), path="/closed")
        first, again = probe_phases(target, ca_file, ("admin", "secret"))
        assert (first.status, again.status) == (401, 200)
        assert set(again.phases_us) == {"send", "wait", "receive"}

    def test_a_realm_and_a_name_beyond_ascii(self, serve: Serve) -> None:
        _, again = probe_phases(replace(serve(None), path="/latin-1"), None, ("Jäsøn", "secret"))
        assert again.status == 200

    def test_without_credentials_the_challenge_is_the_answer(self, serve: Serve) -> None:
        (only,) = probe_phases(replace(serve(None), path="/closed"), None, None)
        assert only.status == 401


class TestTrouble:
    def test_not_trusted(self, serve: Serve, context_of: ContextOf, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"is not trusted: .* --ca-file"):
            probe_phases(serve(context_of()), ensure_ca(tmp_path), None)

    def test_credentials_that_no_header_can_carry(self, serve: Serve) -> None:
        with pytest.raises(UserError, match=r"the credentials cannot be used: .* control character"):
            probe_phases(replace(serve(None), path="/closed"), None, ("ad\0min", "secret"))

    def test_no_digest_on_offer(self, serve: Serve) -> None:
        with pytest.raises(UserError, match="offers no Digest"):
            probe_phases(replace(serve(None), path="/basic"), None, ("admin", "secret"))
