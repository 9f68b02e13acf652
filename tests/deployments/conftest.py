from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One state folder for all deployments: a CA and each kind of key are made once."""
    return tmp_path_factory.mktemp("state")
