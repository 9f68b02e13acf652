"""One server of each implementation for all of these tests."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.served import IMPLEMENTATIONS, Served, serving


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Served]]:
    """Both servers, by implementation; started at the same time."""
    folders = {name: tmp_path_factory.mktemp(name) for name in IMPLEMENTATIONS}
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(len(folders)) as pool:
        contexts = {name: serving(name, folder) for name, folder in folders.items()}
        entered = {name: pool.submit(context.__enter__) for name, context in contexts.items()}
        for context in contexts.values():
            stack.push(context)
        yield {name: future.result() for name, future in entered.items()}


@pytest.fixture(params=IMPLEMENTATIONS)
def served(request: pytest.FixtureRequest, both: dict[str, Served]) -> Served:
    """One server after the other."""
    return both[request.param]
