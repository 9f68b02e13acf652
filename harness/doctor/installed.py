"""What is installed here: of deployments, of the bench itself, TLS libraries. Looks, and judges nothing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from typing import Final

import deployments
from deployments import Described, TlsStack
from harness.environment import package_versions
from harness.plan_files import built_in_plans, load_plan

DISTRIBUTION: Final = "https-digest-bench"
FIRST_PLAN: Final = "quick"  # what `bench run` measures if nothing else is said
PEERS: Final = ("wrk", "h2load")  # in the order in which `bench calibrate` looks for them

_NAME: Final = re.compile(r"[\w.-]+")  # at the start of a requirement, PEP 508


class Manager(StrEnum):
    """What installs things."""

    PIP = "pip"
    APT = "apt-get"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """Something that is not installed, and which deployments cannot be served without it."""

    name: str
    package: str  # as its manager calls it
    manager: Manager
    deployments: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanNeeds:
    """What a plan that comes with the bench takes."""

    name: str
    connections: int  # of its widest trial
    open_files: int  # in one process
    deployments: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """A library that speaks TLS, as some deployments that can be served here have it."""

    stack: str
    openssl: str | None  # its version; None: it is no OpenSSL, or cannot be asked
    default_group: str | None
    post_quantum_refusal: str | None  # None: X25519MLKEM768 is its default
    failure: str | None = None  # why it cannot be asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What was found."""

    deployments: int  # how many there are
    servable: tuple[str, ...]
    lacks: tuple[Lack, ...]
    hindered: Mapping[str, str]  # deployments that have all they need and cannot run here, and why
    own_lacks: tuple[str, ...]  # distributions that the bench itself needs
    tls: tuple[Tls, ...]
    plans: tuple[PlanNeeds, ...]
    peer: str | None  # a load generator in C, which `bench calibrate` compares its own with
    has_apt: bool


def read_installed() -> Installed:
    """Look at what is installed."""
    described = deployments.describe()
    complete = [item.deployment for item in described if not item.missing]
    hindrances = {str(deployment.name): deployment.hindrance() for deployment in complete}
    return Installed(
        deployments=len(described),
        servable=tuple(name for name, hindrance in hindrances.items() if hindrance is None),
        lacks=lacks_of(described),
        hindered={name: hindrance for name, hindrance in hindrances.items() if hindrance is not None},
        own_lacks=own_lacks(described),
        tls=tuple(_tls(described)),
        plans=tuple(_plans()),
        peer=next((name for name in PEERS if shutil.which(name)), None),
        has_apt=shutil.which("apt-get") is not None,
    )


def lacks_of(described: Iterable[Described]) -> tuple[Lack, ...]:
    """Return what deployments lack, each thing once, in the order of the deployments."""
    found: dict[tuple[Manager, str, str], list[str]] = {}
    for item in described:
        packages = {program.name: program.package for program in item.deployment.programs}
        lacking = [(Manager.APT, name, packages[name]) for name in item.absent]
        lacking += [(Manager.PIP, need, need) for need, version in item.versions.items() if version is None]
        for key in lacking:
            found.setdefault(key, []).append(str(item.deployment.name))
    return tuple(
        Lack(name=name, package=package, manager=manager, deployments=tuple(names))
        for (manager, name, package), names in found.items()
    )


def own_lacks(described: Iterable[Described], requirements: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return what the bench itself needs and has not: what it was installed with, less what only deployments need.

    requirements: as in the metadata of a distribution; None: those of ours.
    """
    if requirements is None:
        requirements = _requirements()
    served = {_normal(need) for item in described for need in item.deployment.needs}
    own = [
        match.group() for each in requirements if (match := _NAME.match(each)) and _normal(match.group()) not in served
    ]
    return tuple(name for name in own if not package_versions([name]))


def _requirements() -> list[str]:
    try:
        return metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []  # a source tree on the path, whose needs nobody has written down


def _normal(name: str) -> str:
    """Return a distribution's name as the package index compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _tls(described: Iterable[Described]) -> Iterator[Tls]:
    """Yield each TLS library of the deployments that can be served, once."""
    asked: set[TlsStack] = set()
    for item in described:
        stack = item.deployment.abilities.tls_stack
        if item.missing or stack in asked:
            continue
        asked.add(stack)
        try:
            exchange = item.deployment.abilities.key_exchange
        except (OSError, ImportError) as error:  # a library that is there but does not load
            yield Tls(stack=stack, openssl=None, default_group=None, post_quantum_refusal=None, failure=str(error))
        else:
            yield Tls(
                stack=stack,
                openssl=exchange.openssl,
                default_group=exchange.default,
                post_quantum_refusal=exchange.post_quantum_refusal,
            )


def _plans() -> Iterator[PlanNeeds]:
    for name in built_in_plans():
        plan = load_plan(name, deployments=deployments.names())
        servers = [*plan.servers, *(search.server for search in plan.searches)]
        yield PlanNeeds(
            name=name,
            connections=plan.connections,
            open_files=plan.open_files,
            deployments=tuple(dict.fromkeys(server.deployment for server in servers)),
        )
