"""What `bench export` writes: the configuration that is measured, and all that runs it elsewhere."""

import difflib
import json
import os
import py_compile
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # it ships no types

import certs
import deployments
from certs import CertificateError, CertificateFiles
from deployments import DeploymentError, Reload, ServeOptions, Site
from deployments._types import Upstream
from deployments.exporting import ExportOptions, exported, write
from deployments.exporting._rendering import service
from tests.deployments.machine import (
    SYSTEM_STATE,
    Machine,
    asking,
    credentials,
    free_port,
    installed,
    wait_until_healthy,
)
from tests.requirements import require_program

NAMES = deployments.names()
BENCH = Path("/bench/bench-device")  # a folder that `bench serve` makes, as it were
BENCH_PORT = 9443
HAPROXY = "haproxy -W -db -f haproxy.cfg"

# Every line that is another one where `bench serve` has written it, beside paths, addresses and ports.
DIFFERENCES = {
    "apache.conf": [
        (
            '# In the folder of the application\'s files. Start it with: apache2 -d "$PWD" -f apache.conf -DFOREGROUND',
            "# Started by device-proxy.service.",
        ),
        (
            '# flask-mod_wsgi. Start it with: apache2 -d "$PWD" -f apache.conf -DFOREGROUND',
            "# Started by device.service.",
        ),
        (
            "ErrorLog /dev/stderr",
            '# To standard error, which cannot be opened by name where it is a socket.\nErrorLog "|/bin/cat"',
        ),
        ("WSGIScriptAlias / application.wsgi", "WSGIScriptAlias / /etc/device/application.wsgi"),
    ],
    "haproxy.cfg": [
        (
            "# In the folder of the application's files. Start it with: haproxy -W -db -f haproxy.cfg",
            "# Started by device-proxy.service.",
        ),
        (
            f"# In the folder that holds those of the application's processes. Start it with: {HAPROXY}",
            "# Started by device-proxy.service.",
        ),
        (
            "    # certificate.pem and certificate.pem.key are links to the two files that are renewed.",
            "    # The key is in the file that has .key after this one's name.",
        ),
        (
            "    bind 0.0.0.0:443 ssl crt certificate.pem alpn h2,http/1.1",
            "    bind 0.0.0.0:443 ssl crt /etc/device/tls/certificate.pem alpn h2,http/1.1",
        ),
    ],
    "nginx.conf": [
        (
            '# In the folder of the application\'s files. Start it with: nginx -p "$PWD" -e stderr -c nginx.conf',
            "# Started by device-proxy.service.",
        )
    ],
    "Caddyfile": [
        (
            "# In the folder of the application's files. Start it there with: caddy run",
            "# Started by device-proxy.service.",
        )
    ],
    "uwsgi.ini": [("socket = app.sock", "socket = /run/device/app.sock")],
    "device.env": [
        ("XDG_CONFIG_HOME=/etc/device", "XDG_CONFIG_HOME=/run/device-proxy"),
        ("XDG_DATA_HOME=/etc/device", "XDG_DATA_HOME=/run/device-proxy"),
        ("STEPPATH=/etc/device/caddy", "STEPPATH=/run/device-proxy/caddy"),
    ],
    "application.wsgi": [
        ('site.addsitedir("PACKAGES")', 'site.addsitedir("/opt/device/lib/python3.11/site-packages")')
    ],
}


def workers_of(name: str) -> list[int]:
    return [1, 2] if deployments.find(name).workers.several else [1]


def most_workers(name: str) -> int:
    return workers_of(name)[-1]


CASES = [(name, workers) for name in NAMES for workers in workers_of(name)]


def as_measured(name: str, workers: int, group: str | None) -> dict[str, str]:
    """What `bench serve` writes, with the export's paths, addresses and ports in place of its own."""
    deployment = deployments.find(name)
    front = deployment.front
    ports = range(9001, 9001 + (workers if front is not None and front.balances else 1))
    upstreams = [Upstream(port=port) for port in ports]
    if front is not None and front.over_socket:
        upstreams = [Upstream(socket=BENCH / "app.sock")]
    site = Site(
        folder=BENCH,
        host="192.0.2.7",
        port=BENCH_PORT,
        certificate=CertificateFiles(Path("/bench/chain.pem"), Path("/bench/key.pem")),
        tls_versions=deployments.TLS_CHOICES["1.2+1.3"],
        threads=deployment.threads.count,
        workers=workers,
        group=group,
        upstream=upstreams[0],
        more_upstreams=tuple(upstreams[1:]),
    )
    options = ServeOptions(state=Path("/bench/state"), host="192.0.2.7", port=BENCH_PORT, workers=workers, group=group)
    places = {
        f"{BENCH}/app.sock": "/run/device/app.sock",
        "shm:bench-device": "shm:device",
        str(BENCH): "/etc/device",
        "/bench/chain.pem": "/etc/device/tls/certificate.pem",
        "/bench/key.pem": "/etc/device/tls/certificate.pem.key",
        "/bench/state": "/var/lib/device",
        "192.0.2.7": "0.0.0.0",
        str(BENCH_PORT): "443",
        **{str(port): str(port - 1000) for port in ports},
    }
    files = dict(deployments.render(deployment, options, site).files)
    for file, text in files.items():
        moved = re.sub(r'(?:site\.addsitedir\(".*"\)\n)+', 'site.addsitedir("PACKAGES")\n', text)
        for before, after in places.items():
            moved = moved.replace(before, after)
        files[file] = moved
    return files


def configuration(name: str, workers: int = 1, group: str | None = None) -> dict[str, str]:
    options = ExportOptions(workers=workers, group=group)
    files = exported(name, options).files
    return {file.removeprefix("etc/"): content.decode() for file, content in files.items() if file.startswith("etc/")}


class TestMeasuredFiles:
    """What is exported is what is measured: paths, addresses and ports differ, and the lines that are listed above."""

    @pytest.mark.parametrize(("name", "workers"), CASES)
    def test_file_by_file(self, monkeypatch: pytest.MonkeyPatch, name: str, workers: int) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        measured = as_measured(name, workers, certs.PINNED_GROUP)
        taken_home = configuration(name, workers, certs.PINNED_GROUP)
        assert taken_home.keys() == measured.keys()
        for file, text in measured.items():
            for before, after in DIFFERENCES.get(file, []):
                text = text.replace(f"{before}\n", f"{after}\n")  # noqa: PLW2901 (one after the other)
            differing = difflib.unified_diff(text.splitlines(), taken_home[file].splitlines(), lineterm="", n=0)
            assert list(differing) == [], file

    def test_no_difference_is_listed_in_vain(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        found = {
            (file, line)
            for name in NAMES
            for file, text in as_measured(name, 1, None).items()
            for line in text.splitlines()
        }
        listed = {(file, before) for file, lines in DIFFERENCES.items() for before, _ in lines}
        assert listed <= found

    @pytest.mark.parametrize("name", NAMES)
    def test_no_group_is_pinned_unless_it_is_asked_for(self, name: str) -> None:
        pinned, usual = configuration(name, group=certs.PINNED_GROUP), configuration(name)
        assert pinned.keys() - usual.keys() == {"openssl.cnf"}
        differing = {
            line.strip("- \t")
            for file, text in usual.items()
            for line in difflib.ndiff(pinned[file].splitlines(), text.splitlines())
            if line[0] in "-+"
        }
        caddy = {"curves x25519"} if name.endswith("@caddy") else set()
        assert differing == {"OPENSSL_CONF=/etc/device/openssl.cnf"} | caddy

    @pytest.mark.parametrize("name", NAMES)
    def test_nothing_of_the_place_where_it_was_exported(self, name: str) -> None:
        options = ExportOptions(workers=most_workers(name))
        text = b"\n".join(content for file, content in exported(name, options).files.items() if ".whl" not in file)
        for ours in (str(Path(deployments.__file__).parents[1]), tempfile.gettempdir() + "/bench", "ready", "_guard"):
            assert ours.encode() not in text.replace(b"ready to be installed", b"").replace(b"already", b"")


class TestWhoeverExports:
    """root exports what another user does: the services have users of their own."""

    @pytest.mark.parametrize("name", ["flask-mod_wsgi", "flask-waitress@nginx"])
    def test_as_root(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        by_root = exported(name, ExportOptions())
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        assert by_root == exported(name, ExportOptions())
        assert not any(b"setuid(0)" in content or b"user root" in content for content in by_root.files.values())

    def test_the_same_again(self) -> None:
        assert exported("flask-threaded", ExportOptions()) == exported("flask-threaded", ExportOptions())


class TestUnits:
    """A unit for each process, which systemd understands, and which may do little."""

    def test_systemd_understands_every_line(self, tmp_path: Path) -> None:
        """All at once, as services of different names: it takes a second to begin."""
        program = require_program("systemd-analyze", "systemd")
        units = []
        for number, (name, workers) in enumerate(CASES):
            files = exported(name, ExportOptions(workers=workers, service=f"s{number}")).files
            for file in files:
                if file.startswith("systemd/"):
                    units.append(tmp_path / Path(file).name)
                    units[-1].write_text(re.sub(r"/opt/s\d+/bin/\w+", "/bin/true", files[file].decode()))
        done = subprocess.run([program, "verify", *units], capture_output=True, text=True, check=False)
        assert done.stderr == ""
        units[0].write_text(units[0].read_text().replace("ProtectClock=", "ProtectClocks="))
        wrong = subprocess.run([program, "verify", units[0]], capture_output=True, text=True, check=False)
        assert "ProtectClocks" in wrong.stderr

    @pytest.mark.parametrize(("name", "workers"), CASES)
    def test_how_it_is_told_and_stopped(self, name: str, workers: int) -> None:
        deployment = deployments.find(name)
        files = exported(name, ExportOptions(workers=workers)).files
        units = {file: text.decode() for file, text in files.items() if file.startswith("systemd/")}
        front = deployment.front
        balanced = front is not None and front.balances and workers > 1
        apps = [f"systemd/device-app{number + 1}.service" for number in range(workers)]
        expected = apps if balanced else ["systemd/device.service"]
        assert sorted(units) == sorted([*expected, *(["systemd/device-proxy.service"] if front else [])])
        for file in expected:
            assert f"\nKillSignal={deployment.stop.name}\n" in units[file]
            assert "\nUser=device\n" in units[file]
            assert "\nStateDirectory=device\n" in units[file]
            told = front is None and deployment.abilities.reload not in {Reload.WATCHED, Reload.RESTART}
            assert ("ExecReload=" in units[file]) == told
        if front is not None:
            proxy = units["systemd/device-proxy.service"]
            assert f"\nKillSignal={front.stop.name}\n" in proxy
            assert "\nUser=device-proxy\n" in proxy
            assert ("ExecReload=" in proxy) == (front.renew is not None)
            assert all(Path(file).name in line for file in expected for line in re.findall("After=.*", proxy))
            assert ("SupplementaryGroups=device" in proxy) == front.over_socket
        for text in units.values():
            assert "\nEnvironmentFile=/etc/device/device.env\n" in text
            assert "\nProtectSystem=strict\n" in text

    def test_only_who_faces_clients_may_have_a_port_of_roots(self) -> None:
        files = exported("flask-waitress@nginx", ExportOptions()).files
        assert b"CAP_NET_BIND_SERVICE" in files["systemd/device-proxy.service"]
        assert b"CAP_NET_BIND_SERVICE" not in files["systemd/device.service"]
        high = exported("flask-waitress@nginx", ExportOptions(port=8443)).files
        assert b"CAP_NET_BIND_SERVICE" not in high["systemd/device-proxy.service"]

    def test_what_systemd_thinks_of_the_rights_that_are_left(self, tmp_path: Path) -> None:
        """Its score goes from 0, nothing exposed, to 10."""
        program = require_program("systemd-analyze", "systemd")
        write(exported("flask-waitress@nginx", ExportOptions()), tmp_path / "out")
        for unit in (tmp_path / "out" / "systemd").iterdir():
            asked = [program, "security", "--offline=true", "--json=short", "--threshold=30", "--no-pager", str(unit)]
            done = subprocess.run(asked, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr


class TestServersOwnChecks:
    """Each program reads its exported file and has nothing against it."""

    @pytest.fixture
    def place(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="export-") as folder:
            Path(folder).chmod(0o755)
            yield Path(folder)

    @pytest.mark.parametrize(
        ("name", "program", "package", "check"),
        [
            ("flask-waitress@nginx", "nginx", "nginx-light", "-t -p RUN -e stderr -c ETC/nginx.conf"),
            ("flask-gunicorn-gthread-unix@nginx", "nginx", "nginx-light", "-t -p RUN -e stderr -c ETC/nginx.conf"),
            ("flask-pyuwsgi@nginx", "nginx", "nginx-light", "-t -p RUN -e stderr -c ETC/nginx.conf"),
            ("quart-uvicorn-uvloop@nginx", "nginx", "nginx-light", "-t -p RUN -e stderr -c ETC/nginx.conf"),
            ("quart-hypercorn-asyncio@nginx", "nginx", "nginx-light", "-t -p RUN -e stderr -c ETC/nginx.conf"),
            ("flask-gunicorn-gthread@nginx", "nginx", "nginx-light", "-t -p RUN -e stderr -c ETC/nginx.conf"),
            ("flask-waitress@apache", "apache2", "apache2", "-t -d RUN -f ETC/apache.conf"),
            ("quart-uvicorn-uvloop@apache", "apache2", "apache2", "-t -d RUN -f ETC/apache.conf"),
            ("flask-mod_wsgi", "apache2", "libapache2-mod-wsgi-py3", "-t -d RUN -f ETC/apache.conf"),
            ("flask-waitress@haproxy", "haproxy", "haproxy", "-c -f ETC/haproxy.cfg"),
            ("quart-uvicorn-uvloop@haproxy", "haproxy", "haproxy", "-c -f ETC/haproxy.cfg"),
            ("quart-hypercorn-asyncio-tls@haproxy", "haproxy", "haproxy", "-c -f ETC/haproxy.cfg"),
            ("flask-waitress@caddy", "caddy", "caddy", "validate --config ETC/Caddyfile"),
            ("quart-uvicorn-uvloop@caddy", "caddy", "caddy", "validate --config ETC/Caddyfile"),
        ],
    )
    @pytest.mark.parametrize("workers", [1, 2])
    def test_configuration(self, place: Path, name: str, program: str, package: str, check: str, workers: int) -> None:
        path = require_program(program, package)
        options = ExportOptions(host="127.0.0.1", port=free_port(), workers=min(workers, most_workers(name)))
        write(exported(name, options), place / "out")
        machine = Machine(place, place / "out")
        machine.put_certificate()
        run = place / "run" / "device-proxy"
        run.mkdir(parents=True)
        words = [word.replace("RUN", str(run)).replace("ETC", str(machine.etc)) for word in check.split()]
        done = subprocess.run(
            [path, *words], capture_output=True, text=True, check=False, cwd=run, env=machine.environment()
        )
        assert done.returncode == 0, done.stderr

    @pytest.mark.parametrize("name", NAMES)
    def test_python(self, tmp_path: Path, name: str) -> None:
        for file, text in configuration(name, most_workers(name)).items():
            if file.endswith((".py", ".wsgi")):
                path = tmp_path / Path(file).name
                path.write_text(text)
                py_compile.compile(str(path), doraise=True)

    def test_script(self, tmp_path: Path) -> None:
        write(exported("flask-threaded", ExportOptions()), tmp_path / "out")
        script = tmp_path / "out" / "device-certificate"
        assert os.access(script, os.X_OK)
        done = subprocess.run(["/bin/sh", "-n", script], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


class TestContainers:
    """No image is built by these tests: what stands in the files is held against what else is exported."""

    @pytest.mark.parametrize(("name", "workers"), CASES)
    def test_compose(self, name: str, workers: int) -> None:
        options = ExportOptions(workers=workers)
        composed = yaml.safe_load(exported(name, options).files["compose.yaml"])
        what = service(deployments.find(name), options)
        services = composed["services"]
        several = len(what.processes) > 1
        assert set(services) == {process.name for process in what.processes} | ({"pod"} if several else set())
        for process in what.processes:
            mine = services[process.name]
            assert tuple(mine["command"]) == process.command
            assert mine["stop_signal"] == process.stop.name
            assert mine["env_file"] == "etc/device.env"
            assert (mine.get("network_mode") == "service:pod") == several
            volumes = mine.get("volumes", [])
            assert ("./tls:/etc/device/tls:ro" in volumes) == process.ends_tls
            assert ("healthcheck" in mine) == (process.health is not None)
            if process.health is not None:
                assert mine["healthcheck"]["test"][-1].endswith("/health")
            assert ("state:/var/lib/device" in volumes) == (not process.is_proxy)
        assert services["pod" if several else "device"]["ports"][0] == "443:443"

    @pytest.mark.parametrize("name", NAMES)
    def test_containerfile(self, name: str) -> None:
        files = exported(name, ExportOptions(workers=most_workers(name))).files
        text = files["Containerfile"].decode()
        instructions = re.findall(r"^([A-Z]+) ", text.replace("\\\n", ""), re.MULTILINE)
        stages = ["FROM", "RUN", "RUN", "COPY", "RUN", "COPY", "USER", "WORKDIR", "STOPSIGNAL", "CMD"]
        proxied = ["FROM", "RUN", "RUN", "COPY", "USER", "WORKDIR", "STOPSIGNAL", "CMD"]
        deployment = deployments.find(name)
        assert instructions == stages + (proxied if deployment.front else [])
        for copied in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE):
            for source in copied.split():
                assert source == "etc/" or source in files
        for command in re.findall(r"^CMD (.*)$", text, re.MULTILINE):
            assert json.loads(command)[0].startswith("/")
        for program in deployment.programs:
            assert program.package in text
        assert "--require-hashes" in text

    def test_an_address_of_the_machine_is_none_of_a_container(self) -> None:
        files = exported("flask-threaded", ExportOptions(host="192.0.2.1")).files
        assert "compose.yaml" not in files
        assert "Containerfile" not in files
        assert b"ontainer" not in files["README.md"]


class TestRequirements:
    """Pinned, with hashes, what the deployment needs and nothing that only measures."""

    @pytest.mark.parametrize("name", NAMES)
    def test_what_is_in(self, name: str) -> None:
        text = exported(name, ExportOptions()).files["requirements.txt"].decode()
        entries = re.findall(r"^([A-Za-z0-9._-]+)==\S+", text, re.MULTILINE)
        named = {entry.lower() for entry in entries}
        assert {need.lower() for need in deployments.find(name).needs} <= named
        assert not {"locust", "scipy", "numpy", "altair", "hatchling", "httpx"} & named
        assert text.count("--hash=sha256:") >= len(entries)
        assert "://" not in text  # no index is named


class TestPage:
    """README.md: the steps, with commands that fit what is exported."""

    @pytest.mark.parametrize("name", NAMES)
    def test_what_it_says(self, name: str) -> None:
        deployment = deployments.find(name)
        files = exported(name, ExportOptions(domain="api.example", workers=most_workers(name))).files
        page = files["README.md"].decode()
        for file in files:
            if file.startswith("systemd/"):
                assert Path(file).name in page
        if deployment.warning is not None:
            assert f"**Mind:** {deployment.warning}." in page
        for program in deployment.programs:
            assert program.package in page
        assert "https://api.example/restconf/data/ietf-system:system-state" in page
        assert "device.example" not in page
        assert re.findall(r"^\*\*(\d)\. ", page, re.MULTILINE) == list("12345678")
        assert deployment.abilities.raw_target.value in page
        assert len(page.splitlines()) < 170
        assert "\n\n\n" not in page

    def test_a_certificate_that_was_had_already(self, tmp_path: Path) -> None:
        pair = certs.ensure_certificate(tmp_path, certs.KeyKind.ECDSA_P256)
        files = exported("flask-threaded", ExportOptions(certificate=pair)).files
        assert f"sudo device-certificate {pair.chain} {pair.key}\n" in files["README.md"].decode()
        assert not any(b"PRIVATE KEY" in content for file, content in files.items() if not file.endswith(".whl"))

    def test_another_service(self) -> None:
        files = exported("flask-waitress@haproxy", ExportOptions(service="api", workers=2)).files
        for file, content in files.items():
            if not file.endswith(".whl"):
                assert not re.search(rb"/(etc|opt|run|var/lib)/device\b|\bUser=device", content), file
        assert "systemd/api-app2.service" in files
        assert b"DEVICE_REPLAY_STORE=shm:api\n" in files["etc/device.env"]

    def test_two_on_one_machine(self) -> None:
        """They share no port, even where the one that clients know lies among the application's."""
        options = ExportOptions(port=9002, upstream_port=9001, workers=2)
        configuration = exported("flask-waitress@haproxy", options).files["etc/haproxy.cfg"].decode()
        assert re.findall(r"server app\d 127\.0\.0\.1:(\d+)", configuration) == ["9001", "9003"]
        assert "bind 0.0.0.0:9002 ssl" in configuration


class TestBadInput:
    """One line: what, where, what to do."""

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"domain": "https://x.example"}, "'https://x.example' is no host name"),
            ({"domain": "a b"}, "is no host name"),
            ({"domain": "*.example"}, "is no host name"),
            ({"domain": ""}, "is no host name"),
            ({"domain": "x" * 64}, "is no host name"),
            ({"host": "localhost"}, "'localhost' is no address to listen at"),
            ({"port": 0}, "port 0 is any free one"),
            ({"port": 70000}, "port 70000 is not a port"),
            ({"tls": "off"}, "an export serves HTTPS"),
            ({"upstream_port": 65535}, "upstream port 65535 leaves no room for 1 of them"),
            ({"workers": 0}, "0 workers are too few"),
            ({"threads": 0}, "0 threads are too few"),
            ({"group": "X25518"}, "did you mean X25519?"),
            ({"service": "My Service"}, "'My Service' cannot name a service"),
            ({"service": "x" * 25}, "cannot name a service"),
        ],
    )
    def test_options(self, given: dict[str, object], said: str) -> None:
        with pytest.raises(DeploymentError) as caught:
            ExportOptions(**given)  # type: ignore[arg-type]  # each of its own type, as a table has them
        assert said in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "options", "said"),
        [
            ("flask-gunicorn", ExportOptions(), "no deployment is called 'flask-gunicorn'; did you mean"),
            ("flask-werkzeug", ExportOptions(workers=2), "flask-werkzeug cannot serve with 2 workers"),
            ("quart-uvicorn", ExportOptions(threads=4), "quart-uvicorn takes no number of threads"),
            ("quart-granian", ExportOptions(tls="1.2"), "quart-granian cannot serve TLS 1.2 alone"),
        ],
    )
    def test_what_a_deployment_refuses(self, name: str, options: ExportOptions, said: str) -> None:
        with pytest.raises(DeploymentError, match=f"^{re.escape(said)}"):
            exported(name, options)

    def test_certificates(self, tmp_path: Path) -> None:
        pair = certs.ensure_certificate(tmp_path, certs.KeyKind.ECDSA_P256)
        other = certs.ensure_certificate(tmp_path, certs.KeyKind.RSA_2048)
        with pytest.raises(CertificateError, match=r"none\.pem: no such file"):
            ExportOptions(certificate=CertificateFiles(tmp_path / "none.pem", pair.key))
        with pytest.raises(CertificateError, match="this key does not belong to the certificate"):
            ExportOptions(certificate=CertificateFiles(pair.chain, other.key))
        with pytest.raises(CertificateError, match=r"not good for api\.example, only for localhost, "):
            ExportOptions(certificate=pair, domain="api.example")
        assert ExportOptions(certificate=pair, domain="localhost").certificate == pair

    def test_a_folder_that_is_not_empty(self, tmp_path: Path) -> None:
        export = exported("flask-threaded", ExportOptions())
        (tmp_path / "mine").write_text("kept")
        with pytest.raises(DeploymentError, match="is not empty; name a new folder"):
            write(export, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["mine"]
        with pytest.raises(DeploymentError, match="mine"):
            write(export, tmp_path / "mine")
        with pytest.raises(DeploymentError, match="Not a directory"):
            write(export, tmp_path / "mine" / "below")

    def test_whole_or_not_at_all(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        export = exported("flask-threaded", ExportOptions())
        rename, moved = Path.rename, list[str]()

        def full(self: Path, target: Path) -> Path:
            if len(moved) == 2:
                raise OSError(28, "No space left on device", str(target))
            moved.append(self.name)
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", full)
        with pytest.raises(DeploymentError, match="No space left on device"):
            write(export, tmp_path / "new" / "deep")
        assert list(tmp_path.iterdir()) == []
        (tmp_path / "there").mkdir()
        moved.clear()
        with pytest.raises(DeploymentError):
            write(export, tmp_path / "there")
        assert list((tmp_path / "there").iterdir()) == []

    def test_everybody_can_read_it_whatever_the_umask(self, tmp_path: Path) -> None:
        before = os.umask(0o077)
        try:
            write(exported("flask-waitress@nginx", ExportOptions()), tmp_path / "out")
        finally:
            os.umask(before)
        for path in (tmp_path / "out").rglob("*"):
            assert path.stat().st_mode & 0o044 == 0o044, path


@pytest.mark.end_to_end
class TestInstalled:
    """An export is all that it needs: installed from its files alone, it serves, and stops in good order."""

    @pytest.fixture
    def place(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="export-") as folder:
            Path(folder).chmod(0o755)  # proxies are nobody's where tests are root's
            yield Path(folder)

    @pytest.mark.parametrize("name", NAMES)
    def test_it_serves_and_stops(self, place: Path, name: str) -> None:
        (described,) = deployments.describe(name)
        for program in described.deployment.programs:
            if program.file is None:
                require_program(program.name, program.package)
        port = free_port()
        write(exported(name, ExportOptions(host="127.0.0.1", port=port, workers=most_workers(name))), place / "out")
        with installed(place, place / "out") as machine:
            machine.put_certificate()
            machine.start()
            wait_until_healthy(machine, port)
            with asking(machine, port) as client:
                assert client.get(SYSTEM_STATE).status_code == 401
            with asking(machine, port, user=credentials(machine)) as client:
                for _ in range(8):
                    answer = client.get(SYSTEM_STATE)
                    assert answer.status_code == 200, machine.log()
            statuses = machine.stop()
            log = machine.log()
        for unit in machine.units:
            own = described.deployment.abilities.stop_status if described.deployment.front is None else 0
            assert statuses[unit.name] in {own, 0, -15}, log
        assert "Traceback" not in log
        assert "ermission denied" not in log

    @pytest.mark.parametrize(
        "name",
        [
            "flask-threaded",
            "flask-gunicorn-gthread",
            "flask-waitress@nginx",
            "flask-waitress@apache",
            "flask-waitress@haproxy",
            "flask-waitress@caddy",
        ],
    )
    def test_a_renewed_certificate_is_served(self, place: Path, name: str) -> None:
        port = free_port()
        write(exported(name, ExportOptions(host="127.0.0.1", port=port)), place / "out")
        with installed(place, place / "out") as machine:
            machine.put_certificate()
            machine.start()
            wait_until_healthy(machine, port)
            before = machine.served(port)
            machine.asked.unlink(missing_ok=True)
            machine.put_certificate()
            if machine.asked.exists():
                verb, unit = machine.asked.read_text().split()
                assert verb == "try-reload-or-restart"
                machine.reload(unit.removesuffix(".service"))
            machine.wait_until_served(port, other_than=before)
            machine.stop()
