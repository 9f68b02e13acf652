"""The generator's ceiling, measured against a real server and a real generator in C where they are installed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from certs import KeyKind, client_context
from device_api.state import open_state
from harness.calibration import ceiling
from harness.calibration.ceiling import (
    Ceiling,
    CeilingFailedError,
    installed_peer,
    measure_ceiling,
)
from harness.calibration.servers import installed_nginx
from harness.pinning import Pinning, choose_pinning


@pytest.fixture
def pinning() -> Pinning:
    return choose_pinning()


class TestFigures:
    def test_are_medians_of_blocks(self) -> None:
        found = Ceiling(server="nginx", ours_us=(10.0, 12.0, 20.0), peer="wrk", peer_us=(10.0, 8.0, 10.0))
        assert (found.us, found.of_peer) == (12.0, 1.5)
        assert found.requests_per_s == pytest.approx(83_333, rel=1e-4)

    def test_alone_has_no_ratio(self) -> None:
        assert Ceiling(server="nginx", ours_us=(10.0,), peer=None).of_peer is None


class TestWhatIsInstalled:
    @pytest.mark.parametrize(
        ("there", "name"), [({"wrk", "h2load"}, "wrk"), ({"h2load"}, "h2load"), (set[str](), None)]
    )
    def test_the_first_generator_in_c(self, there: set[str], name: str | None) -> None:
        found = installed_peer(lambda program: f"/usr/bin/{program}" if program in there else None)
        assert (found.name if found else None) == name


@pytest.mark.end_to_end
class TestResponder:
    """The trivial server answers as the generator needs it: a challenge, then the answer, on one connection."""

    def test_challenges_and_answers(self, tmp_path: Path) -> None:
        state = open_state(tmp_path / "state")
        files = state.certificate(KeyKind.ECDSA_P256)
        argv = [sys.executable, "-m", "harness.calibration.responder", str(files.chain), str(files.key)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                url = f"https://127.0.0.1:{int(process.stdout.readline())}/"
                with httpx.Client(verify=client_context(state.ca_file)) as client:
                    assert client.get(url).status_code == 401
                    answer = client.get(url, headers={"Authorization": 'Digest username="u"'})
                    assert answer.status_code == 200
                    assert "ietf-system:system-state" in answer.json()
            finally:
                process.kill()


@pytest.mark.end_to_end
class TestMeasuring:
    @pytest.fixture(autouse=True)
    def short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ceiling, "BLOCKS", 1)
        monkeypatch.setattr(ceiling, "WINDOW_S", 0.5)

    def test_against_the_trivial_server(self, tmp_path: Path, pinning: Pinning) -> None:
        found = measure_ceiling(tmp_path / "state", pinning, seed=1)
        assert (found.server, found.peer, len(found.ours_us)) == ("a trivial server", None, 1)
        assert 1 < found.us < 1000

    @pytest.mark.skipif(installed_nginx() is None or installed_peer() is None, reason="needs nginx, and wrk or h2load")
    def test_against_nginx_beside_a_generator_in_c(self, tmp_path: Path, pinning: Pinning) -> None:
        peer = installed_peer()
        assert peer is not None
        found = measure_ceiling(tmp_path / "state", pinning, seed=1, nginx=installed_nginx(), peer=peer)
        assert (found.server, found.peer) == ("nginx", peer.name)
        assert found.of_peer is not None
        assert found.of_peer > 0

    def test_a_generator_in_c_that_fails_is_one_line(self, tmp_path: Path, pinning: Pinning) -> None:
        peer = installed_peer(lambda _: "/bin/false")
        assert peer is not None
        with pytest.raises(CeilingFailedError, match="wrk failed with status 1"):
            measure_ceiling(tmp_path / "state", pinning, seed=1, peer=replace(peer, argv=("false",)))
