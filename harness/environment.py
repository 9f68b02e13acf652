"""On what a run was measured: recorded with it, shown in the report, and held against it when it goes on."""

from __future__ import annotations

import os
import platform
import ssl
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from OpenSSL import SSL

from harness.errors import UserError
from harness.pinning import Pinning

# What makes the server, its TLS, and the load.
PACKAGES = (
    "aioquic",
    "cheroot",
    "cryptography",
    "flask",
    "gevent",
    "granian",
    "gunicorn",
    "h11",
    "httptools",
    "https-digest-bench",
    "hypercorn",
    "locust",
    "pyopenssl",
    "pyuwsgi",
    "quart",
    "sqlalchemy",
    "uvicorn",
    "uvloop",
    "waitress",
    "werkzeug",
    "wsproto",
)

# Trials measured under different ones of these are not of one run.
_MUST_STAY = ("processor", "processors", "kernel", "python", "openssl", "packages")


def describe_environment(pinning: Pinning) -> dict[str, Any]:
    """Return what the figures of a run depend on, as it stands in the header of trials.jsonl."""
    return {
        "processor": processor(),
        "processors": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "openssl": {
            "ssl": ssl.OPENSSL_VERSION,
            "pyopenssl": SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode("ascii", "replace"),
        },
        "packages": package_versions(PACKAGES),
        "governor": _text(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")).strip() or None,
        "virtual": "hypervisor" in _text(Path("/proc/cpuinfo")),
        "server_cpus": sorted(pinning.server),
        "generator_cpus": sorted(pinning.generator),
        "notes": [pinning.note] if pinning.note else [],
    }


def processor() -> str:
    """Return this machine's processor, by its model's name."""
    return processor_name(_text(Path("/proc/cpuinfo")))


def processor_name(cpuinfo: str) -> str:
    """Return the processor's name from the text of /proc/cpuinfo, or the machine's kind where it has none."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in {"model name", "Model"}:
            return value.strip()
    return platform.machine()


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of the packages that are installed; those that are not are left out."""
    versions: dict[str, str] = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def check_same(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to add trials to a run that was begun on something else. Raises UserError naming what changed."""
    for key in _MUST_STAY:
        was, is_now = before.get(key), now.get(key)
        if was != is_now:
            what, was, is_now = _first_difference(key, was, is_now)
            raise UserError(
                f"this run was begun with {what} {was}, and it is {is_now} now",
                hint="its trials would not be comparable; start a new run",
            )


def _first_difference(key: str, was: object, is_now: object) -> tuple[str, object, object]:
    if isinstance(was, Mapping) and isinstance(is_now, Mapping):
        for name in sorted({*was, *is_now}):
            if was.get(name) != is_now.get(name):
                return f"{key} {name}", was.get(name, "absent"), is_now.get(name, "absent")
    return key, was, is_now


def _text(path: Path) -> str:
    """Return a file's text, empty where the kernel has no such file."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
