"""One file pins the key-exchange group of both TLS stacks: seen in handshakes with servers in their own processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from OpenSSL import SSL

from certs import PINNED_GROUP, CertificateError, CertificateFiles, openssl_configuration

# A server for one connection, which it inherits.
SERVER = """
import socket, sys
from pathlib import Path
from certs import CertificateFiles, TlsPolicy, pyopenssl_server_context, stdlib_server_context
stack, descriptor, chain, key = sys.argv[1:]
files = CertificateFiles(Path(chain), Path(key))
connection = socket.socket(fileno=int(descriptor))
if stack == "stdlib":
    tls = stdlib_server_context(files, TlsPolicy()).wrap_socket(connection, server_side=True)
else:
    from OpenSSL import SSL
    tls = SSL.Connection(pyopenssl_server_context(files, TlsPolicy()), connection)
    tls.set_accept_state()
tls.sendall(b"done")
connection.close()
"""


def negotiated_group(stack: str, files: CertificateFiles, configuration: Path, version: int) -> str | None:
    """What a server process and a pyOpenSSL client with everything that it can do agree on."""
    ours, theirs = socket.socketpair()
    ours.settimeout(None)  # pyOpenSSL wants sockets that block or never do
    with ours, theirs:
        command = [sys.executable, "-c", SERVER, stack, str(theirs.fileno()), str(files.chain), str(files.key)]
        environment = {**os.environ, "OPENSSL_CONF": str(configuration)}
        with subprocess.Popen(
            command, env=environment, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True
        ) as server:
            theirs.close()
            context = SSL.Context(SSL.TLS_CLIENT_METHOD)
            context.set_min_proto_version(version)
            context.set_max_proto_version(version)
            client = SSL.Connection(context, ours)
            client.set_connect_state()
            try:
                client.do_handshake()
                assert client.recv(16) == b"done"
            except SSL.Error:
                assert server.stderr is not None
                raise ConnectionError(server.stderr.read()) from None
            return client.get_group_name()


@pytest.fixture
def configuration(tmp_path: Path, group: str | None) -> Path:
    path = tmp_path / "openssl.cnf"
    path.write_text(openssl_configuration(group), encoding="ascii")
    return path


@pytest.mark.parametrize("stack", ["stdlib", "pyopenssl"])
@pytest.mark.parametrize(
    ("group", "name"),
    [
        (PINNED_GROUP, "x25519"),
        ("P-384", "secp384r1"),  # no library's own choice: the file made it
    ],
)
def test_both_stacks_are_pinned_to_one_group(
    stack: str, files: CertificateFiles, configuration: Path, name: str
) -> None:
    assert negotiated_group(stack, files, configuration, SSL.TLS1_3_VERSION) == name


@pytest.mark.parametrize("stack", ["stdlib", "pyopenssl"])
@pytest.mark.parametrize("group", ["P-384"])
def test_tls_1_2_is_pinned_too(stack: str, files: CertificateFiles, configuration: Path) -> None:
    assert negotiated_group(stack, files, configuration, SSL.TLS1_2_VERSION) == "secp384r1"


@pytest.mark.parametrize("group", [None])
def test_unpinned_pyopenssl_chooses_a_group_that_an_older_openssl_does_not_have(
    files: CertificateFiles, configuration: Path
) -> None:
    """Why anything is pinned at all."""
    assert negotiated_group("pyopenssl", files, configuration, SSL.TLS1_3_VERSION) == "X25519MLKEM768"


@pytest.mark.parametrize("group", ["NO-SUCH-GROUP"])
def test_an_unknown_group_is_not_passed_over_by_pyopenssl(files: CertificateFiles, configuration: Path) -> None:
    with pytest.raises(ConnectionError, match="error in system default config"):
        negotiated_group("pyopenssl", files, configuration, SSL.TLS1_3_VERSION)


class TestText:
    def test_nothing_but_the_group_differs(self) -> None:
        pinned, free = openssl_configuration("X25519:P-256"), openssl_configuration(None)
        assert pinned == free + "Groups = X25519:P-256\n"

    @pytest.mark.parametrize("group", ["", "X25519\nOptions = UnsafeLegacyRenegotiation", "P-256 ", ":", "$ENV::HOME"])
    def test_what_cannot_be_a_group_is_refused(self, group: str) -> None:
        with pytest.raises(CertificateError, match="cannot name a key-exchange group; write one like X25519"):
            openssl_configuration(group)
