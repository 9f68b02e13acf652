"""A client that comes back is spared the full handshake, on both stacks, by tickets (RFC 5077, RFC 8446 2.2)."""

import ssl
from pathlib import Path

import pytest

from certs import CertificateFiles, TlsPolicy, TlsVersion, client_context
from tests.certs.conftest import MakeContext
from tests.certs.handshakes import ServerContext, StdlibEnd, accept, converse, establish


def connect(client: ssl.SSLContext, server: ServerContext, session: ssl.SSLSession | None = None) -> StdlibEnd:
    here, there = StdlibEnd(client, hostname="localhost", session=session), accept(server)
    establish(here, there)
    converse(here, there)
    return here


@pytest.mark.parametrize("version", TlsVersion)
def test_a_session_is_resumed_by_its_ticket(
    make_context: MakeContext, files: CertificateFiles, ca_file: Path, version: TlsVersion
) -> None:
    server = make_context(files, TlsPolicy())
    client = client_context(ca_file, versions=frozenset({version}))
    first = connect(client, server)
    assert not first.tls.session_reused
    session = first.tls.session
    assert session is not None
    assert session.has_ticket
    for _ in range(3):
        later = connect(client, server, session)
        assert later.tls.session_reused
        session = later.tls.session  # of TLS 1.3, each connection brings new tickets


@pytest.mark.parametrize("version", TlsVersion)
@pytest.mark.parametrize("required", [True, False])
def test_who_is_asked_for_a_certificate_shows_it_every_time(
    make_context: MakeContext,
    files: CertificateFiles,
    ca_file: Path,
    client_files: CertificateFiles,
    version: TlsVersion,
    *,
    required: bool,
) -> None:
    """A resumed handshake would verify nothing. (The standard library still knows sessions of TLS 1.2 by their ids.)"""
    server = make_context(files, TlsPolicy(client_ca=client_files.chain, client_certificate_required=required))
    client = client_context(ca_file, versions=frozenset({version}))
    client.load_cert_chain(client_files.chain, client_files.key)
    session = connect(client, server).tls.session
    if session is not None and session.has_ticket:
        assert not connect(client, server, session).tls.session_reused


@pytest.mark.parametrize("version", TlsVersion)
def test_a_ticket_is_worth_nothing_to_another_context(
    make_context: MakeContext, files: CertificateFiles, ca_file: Path, version: TlsVersion
) -> None:
    """Each context draws its own ticket key: a server that restarts gives every client a full handshake."""
    client = client_context(ca_file, versions=frozenset({version}))
    session = connect(client, make_context(files, TlsPolicy())).tls.session
    assert not connect(client, make_context(files, TlsPolicy()), session).tls.session_reused
