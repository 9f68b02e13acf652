import os

# Importing Locust replaces threads and sockets by gevent's, in the whole process: not in that of the tests.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench._client import Client, Request
from bench._deadlines import Deadlines
from bench._tally import Counts, RowCounts, Tally
from bench._target import find_target
from certs import KeyKind, TlsPolicy, ensure_ca, ensure_certificate, stdlib_server_context
from tests.bench.peers import PASSWORD, USER


@dataclass(frozen=True)
class Authority:
    ca_file: Path
    context: ssl.SSLContext  # of a server that it vouches for


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("authority")
    ca_file = ensure_ca(folder)
    files = ensure_certificate(folder, KeyKind.ECDSA_P256)
    return Authority(ca_file, stdlib_server_context(files, TlsPolicy()))


class Asker:
    """A client of one server, and what it counted."""

    def __init__(self, url: str, ca_file: Path, *, password: str = PASSWORD, limit_s: float = 5.0) -> None:
        self.tally = Tally()
        self.client = Client(find_target(url, ca_file), (USER, password), self.tally, Deadlines(limit_s))
        self.request: Request = self.client.prepare("state", "GET", "/state")

    def ask(self, times: int = 1) -> None:
        for _ in range(times):
            self.client.perform(self.request)

    def counts(self) -> Counts:
        """What was counted since the last time."""
        return self.tally.take()

    def row(self) -> RowCounts:
        """The same, where there is but one kind of request."""
        (row,) = self.counts().rows
        return row


MakeAsker = Callable[..., Asker]


@pytest.fixture
def make_asker(authority: Authority, request: pytest.FixtureRequest) -> MakeAsker:
    def make(url: str, *, ca_file: Path = authority.ca_file, password: str = PASSWORD, limit_s: float = 5.0) -> Asker:
        asker = Asker(url, ca_file, password=password, limit_s=limit_s)
        request.addfinalizer(asker.client.close)
        return asker

    return make


@pytest.fixture(params=["https", "http"])
def context(request: pytest.FixtureRequest, authority: Authority) -> ssl.SSLContext | None:
    """With TLS and without: what holds for one holds for the other."""
    return authority.context if request.param == "https" else None
