"""The application as a wheel (PyPA's binary distribution format), made of the packages that it consists of.

Not by a build tool: it is five folders of Python, and who exports need not have one. The same sources give the same
file, to the byte.
"""

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_PROJECT: Final = "https-digest-bench"
_DISTRIBUTION: Final = "https_digest_device"
_WHEEL: Final = "Wheel-Version: 1.0\nGenerator: bench export\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_TIME: Final = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can tell
_MODE: Final = 0o100644 << 16


def wheel(packages: Iterable[str]) -> tuple[str, bytes]:
    """Return the name and the content of a wheel that holds these packages of ours, none of which is imported."""
    version = metadata.version(_PROJECT)
    info = f"{_DISTRIBUTION}-{version}.dist-info"
    files = dict(sorted(file for package in packages for file in _files(package)))
    files[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: {_DISTRIBUTION.replace('_', '-')}\nVersion: {version}\n"
        f"Summary: The simulated network device of {_PROJECT}\nRequires-Python: >=3.11\n"
    ).encode()
    files[f"{info}/WHEEL"] = _WHEEL.encode()
    record = f"{info}/RECORD"
    lines = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    files[record] = "".join(f"{line}\n" for line in (*lines, f"{record},,")).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = _MODE
            archive.writestr(entry, content)
    return f"{_DISTRIBUTION}-{version}-py3-none-any.whl", packed.getvalue()


def _files(package: str) -> Iterator[tuple[str, bytes]]:
    spec = find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(package)
    for folder in map(Path, spec.submodule_search_locations):
        for path in folder.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"{package}/{path.relative_to(folder).as_posix()}", path.read_bytes()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
