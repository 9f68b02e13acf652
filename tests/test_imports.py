"""Who may import whom: the map of the house, held against every import statement in it.

An arrow does not pass on what lies behind it: `harness` may use `deployments`, not what `deployments` uses.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# What a package may import of this project. A dotted name admits that module (and what is below it) alone.
ALLOWED = {
    "digest_auth": set[str](),
    "certs": set[str](),
    "device_api": {"digest_auth", "certs"},
    "flask_impl": {"device_api", "digest_auth", "certs"},
    "quart_impl": {"device_api", "digest_auth", "certs"},
    "deployments": {
        "device_api.settings",
        "device_api.state",
        "device_api.ready",
        "digest_auth.ShmReplayStore",  # makes the table of several workers, and takes it away again
        "digest_auth.StoreUnavailableError",
        "certs",
    },
    "harness": {"deployments", "device_api.state", "device_api.ready", "digest_auth", "certs"},
    "bench": {"digest_auth", "certs", "device_api.state", "harness.recording"},
}

# These must run where nothing else is installed, or before gevent has patched what they would pull in.
# Modules that their users import by name, each for what one distribution brings.
OPTIONAL = {
    "digest_auth/httpx.py": "httpx",
    "digest_auth/redis.py": "redis",
    "digest_auth/_redis_server.py": "redis",
}
STANDARD_LIBRARY_ONLY = ["digest_auth", "harness/__init__.py", "harness/recording.py"]

# Frameworks, servers and load generators: what a package must not know of.
FORBIDDEN = {
    "certs": {"flask", "quart", "werkzeug", "hypercorn", "uvicorn", "gunicorn", "locust"},
    "device_api": {"flask", "quart", "werkzeug", "hypercorn", "uvicorn", "gunicorn", "locust"},
    "flask_impl": {"quart", "hypercorn", "uvicorn", "locust"},
    "quart_impl": {"flask", "gunicorn", "uvicorn", "locust"},
    "harness": {"flask", "quart", "hypercorn", "uvicorn", "gunicorn", "locust", "gevent"},
}


def modules(package: str) -> list[Path]:
    path = ROOT / package
    found = [path] if path.is_file() else sorted(path.rglob("*.py"))
    assert found, f"{package} is empty"
    return found


def imported(path: Path) -> Iterator[str]:
    """Each dotted name that a file imports; `from a import b` gives a.b, which may be a module or a name in one."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide which package is meant"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def admits(allowed: str, name: str) -> bool:
    return name == allowed or name.startswith(allowed + ".")


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_the_map_allows(package: str) -> None:
    ours = set(ALLOWED) | {"tests", "benchmarks"}
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(package)
        for name in imported(path)
        if name.partition(".")[0] in ours - {package} and not any(admits(allowed, name) for allowed in ALLOWED[package])
    }
    assert wrong == set()


@pytest.mark.parametrize("part", STANDARD_LIBRARY_ONLY)
def test_the_standard_library_is_enough(part: str) -> None:
    allowed = sys.stdlib_module_names | {part.partition("/")[0]}
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(part)
        for name in imported(path)
        if name.partition(".")[0] not in allowed | {OPTIONAL.get(str(path.relative_to(ROOT)))}
    }
    assert wrong == set()


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_package_knows_a_framework_that_is_none_of_its_business(package: str) -> None:
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(package)
        for name in imported(path)
        if name.partition(".")[0] in FORBIDDEN[package]
    }
    assert wrong == set()


@pytest.mark.parametrize("package", ALLOWED)
def test_each_package_says_what_it_is_and_who_may_import_it(package: str) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text("utf-8")))
    assert docstring is not None
    assert "import" in docstring


@pytest.mark.parametrize("package", ["digest_auth", "certs"])
def test_the_public_door_is_complete(package: str) -> None:
    door = __import__(package)
    offered = {
        name
        for name in dir(door)
        if not name.startswith("_") and getattr(getattr(door, name), "__module__", "").startswith(package)
    }
    assert offered <= set(door.__all__)
