"""What is to be said of what is installed. Pure: its facts in, findings out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from harness.doctor.findings import Finding, good, mind, missing
from harness.doctor.installed import FIRST_PLAN, PEERS, Installed, Lack, Manager, Tls


def installed_findings(installed: Installed) -> tuple[Finding, ...]:
    """Judge what is there and what is not."""
    return (
        *_own(installed),
        _served(installed),
        *(_lack(lack, installed) for lack in installed.lacks),
        *_hindered(installed),
        *map(_tls, installed.tls),
        *_post_quantum(installed.tls),
        _peer(installed),
    )


def install_commands(installed: Installed) -> Mapping[Manager, str]:
    """Return a command for each package manager that has something to do; it brings all that is missing."""
    packages: dict[Manager, list[str]] = {manager: [] for manager in Manager}
    packages[Manager.PIP] += installed.own_lacks
    for lack in installed.lacks:
        packages[lack.manager].append(lack.package)
    if installed.peer is None:
        packages[Manager.APT].append(PEERS[0])
    return {manager: _install(manager, names) for manager, names in packages.items() if names}


def _install(manager: Manager, packages: list[str]) -> str:
    return f"{manager} install {' '.join(dict.fromkeys(packages))}"


def _own(installed: Installed) -> Iterator[Finding]:
    for name in installed.own_lacks:
        yield missing(name, "not installed; the bench itself needs it", _install(Manager.PIP, [name]), in_the_way=True)


def _served(installed: Installed) -> Finding:
    seen = f"{len(installed.servable)} of {installed.deployments} can be served here"
    if not installed.lacks:
        return good("deployments", seen)  # what hinders one that lacks nothing stands with that one
    return missing("deployments", seen, "install what is missing, as far as you want to serve or measure it")


def _lack(lack: Lack, installed: Installed) -> Finding:
    plans = _plans_with(lack.deployments, installed)
    elsewhere = ""
    if lack.manager is Manager.APT and not installed.has_apt:
        elsewhere = " (Debian's name of the package; this system has another package manager)"
    return missing(
        lack.name,
        f"not installed; it is needed for {', '.join(lack.deployments)}{_refused(plans)}",
        _install(lack.manager, [lack.package]) + elsewhere,
        in_the_way=FIRST_PLAN in plans,
    )


def _hindered(installed: Installed) -> Iterator[Finding]:
    for name, hindrance in installed.hindered.items():
        plans = _plans_with([name], installed)
        why, _, remedy = hindrance.partition("; ")
        yield mind(
            name,
            f"it {why}{_refused(plans)}",
            remedy or "serve another one: all that it needs is installed",
            in_the_way=FIRST_PLAN in plans,
        )


def _plans_with(names: Collection[str], installed: Installed) -> list[str]:
    return [plan.name for plan in installed.plans if not set(plan.deployments).isdisjoint(names)]


def _refused(plans: Collection[str]) -> str:
    return f"; refused: the plans {', '.join(plans)}" if plans else ""


def _tls(tls: Tls) -> Finding:
    subject = f"TLS by {tls.stack}"
    if tls.failure is not None:
        return mind(
            subject, f"its library does not load: {tls.failure}", "install it again; nothing that uses it starts"
        )
    library = f"OpenSSL {tls.openssl}, " if tls.openssl else ""
    also = "post-quantum" if tls.post_quantum_refusal is None else f"X25519MLKEM768 {tls.post_quantum_refusal}"
    return good(subject, f"{library}key exchange by {tls.default_group} unless told otherwise; {also}")


def _post_quantum(found: Collection[Tls]) -> Iterator[Finding]:
    subject = "post-quantum key exchange"
    able = [tls.stack for tls in found if tls.post_quantum_refusal is None and tls.failure is None]
    if not able:
        yield mind(
            subject,
            "no TLS library here has X25519MLKEM768",
            "what it costs cannot be measured: take a Python with OpenSSL 3.5, or newer cryptography with pyOpenSSL",
        )
    elif len(able) == len(found):
        yield good(subject, "with every TLS library here")
    else:
        yield mind(
            subject,
            f"with {' and '.join(able)} alone",
            "it makes handshakes dearer, so compare those of one group: bench list and the report say who has which",
        )


def _peer(installed: Installed) -> Finding:
    subject = " or ".join(PEERS)
    if installed.peer is not None:
        return good(subject, f"{installed.peer} is there, which bench calibrate holds its own generator against")
    return missing(
        subject,
        "not installed; bench calibrate then holds its own generator against nothing",
        _install(Manager.APT, [PEERS[0]]),
    )
