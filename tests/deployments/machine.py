"""A machine on which an export is installed as its README says: in a folder, with free ports, and without systemd.

What stands in an export is all that is used. Paths are moved below the machine's folder, ports to free ones; units are
read as systemd would read them, as far as they are used here.
"""

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import httpx
import psutil
from cryptography import x509

import certs
from certs.__main__ import main as certs_command
from device_api.state import read_credentials
from digest_auth import ShmReplayStore

NOBODY = 65534
PATIENCE_S = 20.0
SYSTEM_STATE = "/restconf/data/ietf-system:system-state"
_PLACES = re.compile(r"/(?:etc|opt|run|var/lib)/device\b")
_UPSTREAM_PORT = re.compile(r"\b(800[1-9])\b")
_SYSTEMCTL = '#!/bin/sh\necho "$@" >> "$(dirname "$0")/asked"\n'


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Unit:
    """A systemd unit, as far as a process is started, told and stopped by it."""

    name: str
    text: str

    def values(self, key: str) -> list[str]:
        return re.findall(rf"^{key}=(.*)$", self.text, re.MULTILINE)

    def value(self, key: str) -> str:
        (value,) = self.values(key)
        return value

    @property
    def is_proxy(self) -> bool:
        return self.value("User").endswith("-proxy")

    def command(self, key: str) -> list[str]:
        return [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(self.value(key))]


class Machine:
    """root: readable for everybody, as proxies are started by nobody where tests are root's."""

    def __init__(self, root: Path, exported: Path) -> None:
        self.root = root
        self._exported = exported
        self._ports: dict[str, str] = {}
        self._running: list[tuple[Unit, subprocess.Popen[bytes], socket.socket]] = []
        self.etc = root / "etc" / "device"
        self.state = root / "var" / "lib" / "device"
        self.asked = root / "bin" / "asked"
        self._install_files()
        self._install_packages()

    def moved(self, text: str) -> str:
        def port(found: re.Match[str]) -> str:
            return self._ports.setdefault(found[1], str(free_port()))

        # The table of used nonces is in the whole machine's memory.
        named = text.replace("shm:device", f"shm:{self.root.name}")
        return _UPSTREAM_PORT.sub(port, _PLACES.sub(lambda found: f"{self.root}{found[0]}", named))

    def _install_files(self) -> None:
        for path in sorted(self._exported.glob("etc/**/*")):
            target = self.etc / path.relative_to(self._exported / "etc")
            if path.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(self.moved(path.read_text()))
        self.units = [
            Unit(path.stem, self.moved(path.read_text()))
            for path in sorted((self._exported / "systemd").iterdir(), key=lambda path: path.stem)
        ]
        self.state.mkdir(parents=True, mode=0o700)

    def _install_packages(self) -> None:
        """No index is asked: what is pinned is here already, and nothing else may be used."""
        environment = self.root / "opt" / "device"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
        (packages,) = (environment / "lib").glob("python*/site-packages")
        # Where they are, nobody may not be let in.
        copied = any(self._is_nobodys(unit) and not unit.is_proxy for unit in self.units)
        pinned = (self._exported / "requirements.txt").read_text()
        for name in re.findall(r"^([A-Za-z0-9._-]+)==", pinned, re.MULTILINE):
            with contextlib.suppress(metadata.PackageNotFoundError):  # pinned for another version of Python
                self._link(metadata.distribution(name), packages, environment / "bin", copied=copied)
        (wheel,) = self._exported.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(packages)

    @staticmethod
    def _link(distribution: metadata.Distribution, packages: Path, programs: Path, *, copied: bool) -> None:
        for file in distribution.files or ():
            there = Path(str(distribution.locate_file(file))).resolve()
            if file.parts[0] == "..":
                if "bin" in file.parts and not (programs / there.name).exists():
                    (programs / there.name).symlink_to(there)
                continue
            first, there = packages / file.parts[0], Path(str(distribution.locate_file(file.parts[0])))
            if first.exists() or file.parts[0] == "__pycache__":
                continue
            if copied and there.is_dir():
                shutil.copytree(there, first)
            elif copied:
                shutil.copy(there, first)
            else:
                first.symlink_to(there)

    def put_certificate(self, names: tuple[str, ...] = ("localhost", "127.0.0.1")) -> None:
        """Issue another one, and run the script that certbot runs."""
        pair = self.root / "pair"
        arguments = ["--state", str(self.root / "ca"), "--out", str(pair), "--force"]
        for name in names:
            arguments += ["--name", name]
        assert certs_command(["issue", *arguments]) == 0
        bin_folder = self.root / "bin"
        bin_folder.mkdir(exist_ok=True)
        (bin_folder / "systemctl").write_text(_SYSTEMCTL)
        (bin_folder / "systemctl").chmod(0o755)
        script = self.root / "bin" / "certificate"
        text = self.moved((self._exported / "device-certificate").read_text())
        script.write_text(re.sub(r"-g device(?:-proxy)?\b", f"-g {self._group}", text))
        path = f"{bin_folder}:{os.environ['PATH']}"
        subprocess.run(
            ["/bin/sh", script, pair / "chain.pem", pair / "key.pem"], check=True, env=os.environ | {"PATH": path}
        )

    @property
    def _group(self) -> int:
        return NOBODY if os.geteuid() == 0 else os.getegid()

    def environment(self) -> dict[str, str]:
        lines = (self.etc / "device.env").read_text().splitlines()
        settings = dict(shlex.split(line)[0].split("=", 1) for line in lines)
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", **settings}

    def start(self) -> None:
        """Each unit, the application's first."""
        for unit in sorted(self.units, key=lambda unit: unit.is_proxy):
            self._start(unit)

    def _start(self, unit: Unit) -> None:
        run = self.root / "run" / unit.value("RuntimeDirectory")
        run.mkdir(parents=True, exist_ok=True)
        other = self._is_nobodys(unit)
        if other:
            os.chown(run, NOBODY, NOBODY)
        if other and not unit.is_proxy:
            os.chown(self.state, NOBODY, NOBODY)
        ours, theirs = socket.socketpair()  # as under systemd, whose journal is a socket
        with theirs:
            process = subprocess.Popen(
                unit.command("ExecStart"),
                cwd=unit.value("WorkingDirectory"),
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=theirs.fileno(),
                stderr=theirs.fileno(),
                start_new_session=True,
                user=NOBODY if other else None,
                group=NOBODY if other else None,
                extra_groups=([os.getegid()] if unit.values("SupplementaryGroups") else []) if other else None,
            )
        self._running.append((unit, process, ours))

    @staticmethod
    def _is_nobodys(unit: Unit) -> bool:
        """Proxies, and Apache in any case, are other users' than root; Python's own place may be for root alone."""
        return os.geteuid() == 0 and (unit.is_proxy or unit.command("ExecStart")[0].endswith("/apache2"))

    def log(self) -> str:
        said = b""
        for _, _, ours in self._running:
            ours.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while part := ours.recv(65536):
                    said += part
        return said.decode(errors="replace")

    def reload(self, name: str) -> None:
        """What `systemctl reload` does; returns when the workers from before have gone.

        HAProxy's master loses a signal to stop that comes before that (2.6.12, seen in 4 of 4).
        """
        unit, process, _ = next(each for each in self._running if each[0].name == name)
        before = psutil.Process(process.pid).children(recursive=True)
        # $MAINPID is the one variable that a unit here has.
        words = shlex.split(unit.value("ExecReload").replace("$MAINPID", str(process.pid)))
        subprocess.run(
            words, check=True, cwd=unit.value("WorkingDirectory"), env=self.environment(), timeout=PATIENCE_S
        )
        _, left = psutil.wait_procs(before, timeout=PATIENCE_S)
        assert left == [], self.log()

    def served(self, port: int) -> int:
        """The serial number of the certificate that a client is shown."""
        pem = ssl.get_server_certificate(("127.0.0.1", port), timeout=5)
        return x509.load_pem_x509_certificate(pem.encode()).serial_number

    def wait_until_served(self, port: int, *, other_than: int) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(OSError):  # just while it is told
                if self.served(port) != other_than:
                    return
            assert time.monotonic() < deadline_s, self.log()
            time.sleep(0.05)

    def stop(self) -> dict[str, int]:
        """Stop them in the order of the README, each by its signal; return their statuses by name."""
        statuses = {}
        for unit, process, _ in sorted(self._running, key=lambda each: not each[0].is_proxy):
            if process.poll() is None:
                process.send_signal(signal.Signals[unit.value("KillSignal")])
            statuses[unit.name] = process.wait(PATIENCE_S)
        return statuses

    def close(self) -> None:
        """Kill what is left of each, which is a process group of its own."""
        for _, process, ours in self._running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            ours.close()
        ShmReplayStore.remove(self.root.name)


def credentials(machine: Machine) -> tuple[str, str]:
    return read_credentials(machine.state / "credentials")


def ca_file(machine: Machine) -> Path:
    return machine.root / "ca" / "ca" / "ca.pem"


def asking(machine: Machine, port: int, *, user: tuple[str, str] | None = None) -> httpx.Client:
    auth = None if user is None else httpx.DigestAuth(*user)
    verify = certs.client_context(ca_file(machine))
    return httpx.Client(base_url=f"https://127.0.0.1:{port}", auth=auth, verify=verify, timeout=5.0, trust_env=False)


def wait_until_healthy(machine: Machine, port: int) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(httpx.TransportError), asking(machine, port) as client:
            if client.get("/health").status_code == 200:
                return
        assert time.monotonic() < deadline_s, machine.log()
        time.sleep(0.05)


@contextlib.contextmanager
def installed(root: Path, exported: Path) -> Iterator[Machine]:
    machine = Machine(root, exported)
    try:
        yield machine
    finally:
        machine.close()
