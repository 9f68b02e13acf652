"""docs/certificates.md, "Behind a proxy": issued through the proxy itself, renewed while clients ask."""

import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.devices import RunningDevice, running_device
from tests.lets_encrypt.machine import Machine
from tests.lets_encrypt.pebble import running_pebble
from tests.lets_encrypt.proxies import PLAYS, Renewed, Site
from tests.lets_encrypt.traffic import serial

pytestmark = pytest.mark.end_to_end

NEW_WITHIN_S = 3.0  # a reload starts processes, on a busy machine too
CADDYS_VALIDITY_S = (
    12  # renewed with a third left; what Caddy and the clients need of that on a busy machine is a second or two
)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDevice]:
    """As the page's ExecStart has it behind a proxy."""
    with running_device("flask-stdlib", tmp_path_factory.mktemp("app"), "--no-tls") as running:
        yield running


@pytest.fixture(scope="module")
def plays(app: RunningDevice) -> Iterator[dict[str, "Future[Renewed]"]]:
    """All at once, each with an ACME server of its own: certbot sleeps two seconds of the three that it takes."""
    with ThreadPoolExecutor(len(PLAYS)) as pool:
        yield {name: pool.submit(play, name, app) for name in PLAYS}


@pytest.fixture(params=PLAYS)
def renewed(plays: dict[str, "Future[Renewed]"], request: pytest.FixtureRequest) -> Renewed:
    return plays[request.param].result()


def play(name: str, app: RunningDevice) -> Renewed:
    assert app.ready.credentials_file is not None
    # Short, since names of UNIX sockets may have 107 characters; open, since Apache serves files as another user.
    with tempfile.TemporaryDirectory(prefix="proxy-") as created:
        folder = Path(created)
        folder.chmod(0o755)
        (folder / "acme").mkdir()
        validity_s = CADDYS_VALIDITY_S if name == "caddy" else None
        with running_pebble(folder / "acme", validity_s=validity_s) as pebble:
            machine = Machine.prepared(folder / "machine")
            return PLAYS[name](Site(machine, pebble, app.address[1], app.ready.credentials_file))


class TestBehindAProxy:
    def test_no_request_fails_while_the_certificate_is_renewed(self, renewed: Renewed) -> None:
        assert renewed.met.failures == []
        assert renewed.met.requests > 100

    def test_new_connections_are_shown_the_new_certificate(self, renewed: Renewed) -> None:
        assert serial(renewed.before) != serial(renewed.after)
        assert renewed.met.last_shown_s(renewed.before) < renewed.replaced_s + NEW_WITHIN_S

    def test_caddys_own_renewal_touches_no_connection(self, plays: dict[str, "Future[Renewed]"]) -> None:
        assert plays["caddy"].result().met.closed == 0

    def test_digest_works_through_it(self, renewed: Renewed) -> None:
        assert renewed.signed_status == 200

    def test_port_80_leads_to_443(self, renewed: Renewed) -> None:
        assert renewed.redirect.endswith("device.example/a/b?c=d")
        assert renewed.redirect.startswith("https://")
