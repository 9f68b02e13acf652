"""What is Caddy's own: where it listens, where it writes, what it makes of a reload that cannot be."""

import shutil
import socket
import subprocess
from pathlib import Path

import psutil
import pytest

import certs
import deployments
from certs import CertificateFiles
from deployments import TLS_CHOICES, AskedOfClients, DeploymentError, RunningServer, ServeOptions
from tests.deployments.clients import SYSTEM_STATE, address, client, facing, renew, serial, shake_hands
from tests.deployments.test_rendering import rendered

CADDY = [name for name in deployments.names() if name.endswith("@caddy")]
NAME = CADDY[0]

WHOLE = """\
# In the folder of the application's files. Start it there with: caddy run
{
	# So near that its path is never too long for a UNIX socket. A renewed certificate: caddy reload --force
	admin unix/admin.sock
	auto_https off
	# For requests that run when it is stopped. After a reload they may take as long as they like.
	grace_period 8s
	log {
		level WARN
	}
	servers {
		# Not h3, which would be served on UDP.
		protocols h1 h2
		# Of a request, its target included; as it comes 1 MiB.
		max_header_size 16KiB
		# As it comes it never hangs up on a silent client.
		timeouts {
			read_header 10s
			idle 30s
		}
		# There is one site, which asks everybody: no other name opens it to somebody who showed nothing.
		strict_sni_host insecure_off
	}
}

https://:8443 {
	bind ::1
	tls `/c/chain.pem` `/c/key.pem` {
		protocols tls1.2 tls1.3
		curves x25519
		client_auth {
			mode verify_if_given
			# The first certificate in this file; it reads no other. For more CAs, a line and a file each.
			trusted_ca_cert_file `/c/clients.pem`
		}
	}
	reverse_proxy 127.0.0.1:8000 {
		# It sets X-Forwarded-For and X-Forwarded-Proto itself. What clients say besides is not believed.
		header_up -X-Forwarded-Host
		header_up -Forwarded
		# Beside its own; no answer has two.
		header_down -Server
		transport http {
			# Else it asks for gzip in the name of clients that do not.
			compression off
		}
	}
}
"""


class TestCaddyfile:
    """Its own tool finds nothing to change in it; what its language cannot say is refused."""

    def test_whole(self) -> None:
        asked = AskedOfClients(Path("/c/clients.pem"), required=False)
        assert rendered(NAME, host="::1", asked=asked).files["Caddyfile"] == WHOLE

    @pytest.mark.parametrize("tls", TLS_CHOICES)
    def test_it_is_as_its_formatter_writes_it(self, tls: str, tmp_path: Path) -> None:
        file = tmp_path / "Caddyfile"
        file.write_text(rendered(NAME, tls=tls).files[file.name])
        done = subprocess.run(["caddy", "fmt", file], capture_output=True, text=True, check=True, timeout=10)
        assert done.stdout == file.read_text()

    @pytest.mark.parametrize("path", ["/it`s", "/{$HOME}", "/{env.HOME}"])
    def test_a_path_that_it_cannot_say(self, path: str) -> None:
        evil = CertificateFiles(chain=Path(path), key=Path("/k"))
        with pytest.raises(DeploymentError, match=r"a backquote or an opening brace; choose another$"):
            rendered(NAME, certificate=evil)


@pytest.mark.end_to_end
class TestRunning:
    """Nothing of it is anywhere but at its port and in its folder."""

    def test_it_writes_nothing_in_the_home_folder(
        self, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
            monkeypatch.delenv(variable, raising=False)
        with deployments.start(NAME, ServeOptions(state=state)) as server:
            server.reload()
            assert {file.name for file in (server.folder / "caddy").iterdir()} == {"autosave.json"}
        assert list(tmp_path.iterdir()) == []

    def test_it_listens_at_its_port_alone(self, state: Path) -> None:
        with deployments.start(NAME, ServeOptions(state=state)) as server:
            assert listeners(server) == [(socket.SOCK_STREAM, address(server)[1])]
            assert (server.folder / "admin.sock").is_socket()

    def test_a_certificate_that_is_broken(self, state: Path, tmp_path: Path) -> None:
        """It says so, and serves the one from before."""
        own = tmp_path / "state"
        shutil.copytree(state, own)
        with deployments.start(NAME, ServeOptions(state=own)) as server:
            before = serial(own)
            chain = certs.ensure_certificate(own, certs.KeyKind.ECDSA_P256).chain
            whole = chain.read_bytes()
            chain.write_bytes(whole[:40])
            with pytest.raises(DeploymentError, match=rf"^{NAME}: env .* caddy reload .* ended with status 1; Error: "):
                server.reload()
            assert shake_hands(server).serial == before
            chain.write_bytes(whole)
            renew(own)
            server.reload()
            assert shake_hands(server).serial == serial(own) != before
            with client(server) as knows:
                assert knows.get(SYSTEM_STATE).status_code == 200


def listeners(server: RunningServer) -> list[tuple[int, int]]:
    """Kind and port of each socket of the proxy that waits for strangers."""
    return [
        (connection.type, connection.laddr.port)
        for process in facing(server)
        for connection in process.net_connections(kind="inet")
        if connection.type == socket.SOCK_DGRAM or connection.status == psutil.CONN_LISTEN
    ]
