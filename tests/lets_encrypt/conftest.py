"""One ACME server for all tests here: it starts in no time, but each certificate takes certbot three seconds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lets_encrypt.pebble import Pebble, running_pebble


@pytest.fixture(scope="session")
def pebble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    folder: Path = tmp_path_factory.mktemp("pebble")
    with running_pebble(folder) as running:
        yield running
