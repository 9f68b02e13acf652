"""docs/certificates.md, "Our own server": from nothing to a certificate that renews itself under load.

One certificate and one renewal, as the page has them, for six servers at once: each of ours with the hook's copy and
its SIGHUP, and each with certbot's own files, which it has to notice by itself.
"""

import contextlib
import grp
import os
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.devices import DEVICES, RunningDevice, running_device
from tests.docs.pages import ROOT
from tests.lets_encrypt.machine import Machine, page_command, page_commands, page_files
from tests.lets_encrypt.pebble import Certbot, Pebble, trusting
from tests.lets_encrypt.traffic import Client, Traffic, leaf, replaced_s, serial, traffic, wait_until

pytestmark = pytest.mark.end_to_end

UNIT = "/etc/systemd/system/device.service"
HOOK = "/usr/local/sbin/device-certificate"
NEW_WITHIN_S = 1.0
WAYS = ("hook", "watched")


@dataclass(frozen=True, slots=True)
class Issued:
    """The certificate, and a machine that has it."""

    machine: Machine
    certbot: Certbot
    copied: Path  # the folder that the hook fills
    live: Path  # certbot's own


@dataclass(frozen=True, slots=True)
class Renewal:
    """What a server's clients met while its certificate was renewed."""

    server: RunningDevice
    met: Traffic
    replaced_s: float
    before: bytes
    after: bytes


@pytest.fixture(scope="module")
def issued(pebble: Pebble, tmp_path_factory: pytest.TempPathFactory) -> Issued:
    machine = Machine.prepared(tmp_path_factory.mktemp("machine"))
    machine.install(HOOK, {"-g device": f"-g {grp.getgrgid(os.getgid()).gr_name}"})
    machine.unit("device.service", ":")  # not running yet: nothing to reload
    certbot = Certbot.prepared(pebble, machine.at("/etc/letsencrypt"), machine.programs)
    first = page_commands("certbot", "certonly", "--standalone", HOOK)
    rehearsal = next(command for command in first if "--dry-run" in command)
    assert "successful" in certbot.run(machine.placed(rehearsal))
    assert not machine.at("/etc/letsencrypt/live/device.example").exists()
    certbot.run(machine.placed(rehearsal.replace(" --dry-run", "")))
    assert rehearsal.replace(" --dry-run", "") in first
    return Issued(
        machine,
        certbot,
        copied=machine.at("/etc/device/tls/device.example"),
        live=machine.at("/etc/letsencrypt/live/device.example"),
    )


@pytest.fixture(scope="module")
def renewals(issued: Issued, pebble: Pebble, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Renewal]]:
    """All servers, while and after the certificate is renewed: by name of the server and way."""
    machine = issued.machine
    with contextlib.ExitStack() as stack:
        starts = {}
        with ThreadPoolExecutor() as pool:
            for device in DEVICES:
                for way in WAYS:
                    folder = tmp_path_factory.mktemp(f"{device}-{way}")
                    files = issued.copied if way == "hook" else issued.live
                    started = running_device(device, folder, *unit_options(issued, files))
                    starts[f"{device}-{way}"] = pool.submit(stack.enter_context, started)
        servers = {name: start.result() for name, start in starts.items()}
        pids = [servers[name].process.pid for name in servers if name.endswith("-hook")]
        reload = re.search(r"^ExecReload=(.*)$", page_files()[UNIT], re.MULTILINE)
        assert reload is not None
        machine.unit("device.service", f"for MAINPID in {' '.join(map(str, pids))}; do {reload[1]}; done")
        before = leaf(issued.copied / "fullchain.pem")
        met = {
            name: stack.enter_context(traffic(Client(server.address[1], trusting(pebble))))
            for name, server in servers.items()
        }
        wait_until(lambda: all(one.requests > 20 for one in met.values()), "all servers answer")
        issued.certbot.run(page_command("certbot", "renew", "--force-renewal"))
        after = leaf(issued.copied / "fullchain.pem")
        replaced = {
            "hook": replaced_s(issued.copied / "fullchain.pem"),
            "watched": replaced_s(issued.live / "fullchain.pem"),
        }
        asked_until_s = max(replaced.values()) + NEW_WITHIN_S + 0.1
        wait_until(
            lambda: all(one.seen[-1].began_s > asked_until_s for one in met.values()), "all are asked for long enough"
        )
        yield {
            name: Renewal(server, met[name], replaced[name.rpartition("-")[2]], before, after)
            for name, server in servers.items()
        }


def unit_options(issued: Issued, files: Path) -> list[str]:
    """Options of the page's unit but for port and state, which a test has its own of."""
    lines = page_files()[UNIT].replace("\\\n", " ")
    command = re.search(r"^ExecStart=(.*)$", lines, re.MULTILINE)
    assert command is not None
    program, *words = shlex.split(command[1])
    assert (program, words[:2]) == ("/opt/device/bin/python", ["-m", "flask_impl"])
    options = dict(zip(words[2::2], words[3::2], strict=True))
    assert options.pop("--host") == "0.0.0.0"
    assert options.pop("--port") == "443"
    assert options.pop("--state") == "/var/lib/device"
    copied = issued.machine.placed("/etc/device/tls/device.example")
    return [word.replace(copied, str(files)) for pair in options.items() for word in map(issued.machine.placed, pair)]


@pytest.fixture(params=[f"{device}-{way}" for device in DEVICES for way in WAYS])
def renewal(renewals: dict[str, Renewal], request: pytest.FixtureRequest) -> Renewal:
    return renewals[request.param]


class TestTheCopy:
    """The service's group can read it, nobody else; certbot's own folder stays closed."""

    def test_modes(self, issued: Issued) -> None:
        assert stat.S_IMODE(issued.copied.stat().st_mode) == 0o750
        files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in issued.copied.iterdir()}
        assert files == {"privkey.pem": 0o640, "fullchain.pem": 0o640}

    def test_certbots_own_stay_closed(self, issued: Issued) -> None:
        assert stat.S_IMODE(issued.live.parent.stat().st_mode) == 0o700

    @pytest.mark.usefixtures("renewals")
    def test_the_hook_runs_at_the_first_certificate_and_at_each_renewal(self, issued: Issued) -> None:
        assert issued.machine.systemctl_calls() == ["try-reload-or-restart device.service"] * 2


class TestRenewalUnderLoad:
    """Nobody notices: no request fails, no kept connection is closed, and a second later all is new."""

    def test_no_request_fails(self, renewal: Renewal) -> None:
        assert renewal.met.failures == []

    def test_kept_connections_stay(self, renewal: Renewal) -> None:
        assert renewal.met.closed == 0

    def test_the_new_certificate_within_a_second(self, renewal: Renewal) -> None:
        assert serial(renewal.before) != serial(renewal.after)
        assert renewal.met.shown_since(0.0) == {renewal.before, renewal.after}
        assert renewal.met.shown_since(renewal.replaced_s + NEW_WITHIN_S) == {renewal.after}

    def test_it_is_logged_and_nothing_is_wrong(self, renewal: Renewal) -> None:
        log = renewal.server.logged()
        assert any("serving the certificates of" in line for line in log)
        assert not any("WARNING" in line or "ERROR" in line or "Traceback" in line for line in log)


def test_the_pages_monitor(renewals: dict[str, Renewal], pebble: Pebble, tmp_path: Path) -> None:
    """Content with the new certificate, and not with one that ends within the time that it is told."""
    port = renewals["flask-stdlib-watched"].server.address[1]
    command = page_command("python", "certs", "check").replace("device.example:443", f"127.0.0.1:{port}")
    python, *words = shlex.split(command)
    assert python == "python"
    words = [sys.executable, *words, "--name", "device.example", "--ca", str(pebble.root)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    for more, status in (([], 0), (["--days", "9999"], 1)):
        checked = subprocess.run([*words, *more], cwd=tmp_path, env=environ, capture_output=True, check=False)
        assert checked.returncode == status, checked
