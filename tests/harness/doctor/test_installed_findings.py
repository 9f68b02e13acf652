"""What is said of what is installed, and the commands that bring the rest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.doctor.findings import Finding, Standing, obstacles
from harness.doctor.installed import Installed, Lack, Manager, Tls
from harness.doctor.installed_findings import install_commands, installed_findings
from tests.harness.doctor.facts import INSTALLED

NGINX = Lack(name="nginx", package="nginx-light", manager=Manager.APT, deployments=("flask-waitress@nginx",))
HYPERCORN = Lack(name="hypercorn", package="hypercorn", manager=Manager.PIP, deployments=("quart-hypercorn",))


def found(installed: Installed) -> dict[str, Finding]:
    return {finding.subject: finding for finding in installed_findings(installed)}


class TestNothingMissing:
    def test_all_good(self) -> None:
        assert {finding.standing for finding in found(INSTALLED).values()} == {Standing.GOOD}
        assert install_commands(INSTALLED) == {}

    def test_said(self) -> None:
        assert found(INSTALLED)["deployments"].seen == "3 of 3 can be served here"
        assert found(INSTALLED)["TLS by pyopenssl"].seen == (
            "OpenSSL 4.0.1, key exchange by X25519MLKEM768 unless told otherwise; post-quantum"
        )


class TestMissing:
    def test_a_proxy(self) -> None:
        findings = found(replace(INSTALLED, lacks=(NGINX,), servable=INSTALLED.servable[:2]))
        assert findings["deployments"].standing is Standing.MISSING
        assert findings["deployments"].seen == "2 of 3 can be served here"
        assert findings["nginx"] == Finding(
            "nginx",
            Standing.MISSING,
            "not installed; it is needed for flask-waitress@nginx; refused: the plans full",
            "apt-get install nginx-light",
        )

    def test_elsewhere_than_on_debian(self) -> None:
        advice = found(replace(INSTALLED, lacks=(NGINX,), has_apt=False))["nginx"].advice
        assert advice.startswith("apt-get install nginx-light (Debian's name of the package")

    def test_what_the_first_plan_measures_is_in_the_way(self) -> None:
        findings = installed_findings(replace(INSTALLED, lacks=(HYPERCORN, NGINX)))
        assert obstacles(findings) == ("hypercorn",)

    def test_what_the_bench_itself_needs_is_in_the_way(self) -> None:
        findings = installed_findings(replace(INSTALLED, own_lacks=("locust",)))
        assert obstacles(findings) == ("locust",)
        assert findings[0].advice == "pip install locust"

    def test_a_generator_to_compare_with_is_not(self) -> None:
        finding = found(replace(INSTALLED, peer=None))["wrk or h2load"]
        assert (finding.standing, finding.in_the_way) == (Standing.MISSING, False)
        assert finding.advice == "apt-get install wrk"

    def test_one_command_a_manager(self) -> None:
        haproxy = replace(NGINX, name="haproxy", package="haproxy")
        again = replace(NGINX, name="nginxctl")  # another program of the same package
        installed = replace(INSTALLED, lacks=(NGINX, HYPERCORN, again, haproxy), own_lacks=("locust",), peer=None)
        assert install_commands(installed) == {
            Manager.PIP: "pip install locust hypercorn",
            Manager.APT: "apt-get install nginx-light haproxy wrk",
        }


class TestHindered:
    """All is there, and yet it cannot run here."""

    def test_said(self) -> None:
        installed = replace(INSTALLED, hindered={"flask-uwsgi": "has Python 3.11 in it; take python3.11"})
        finding = found(installed)["flask-uwsgi"]
        assert (finding.standing, finding.in_the_way) == (Standing.MIND, False)
        assert (finding.seen, finding.advice) == ("it has Python 3.11 in it", "take python3.11")

    def test_the_first_plan_is_refused(self) -> None:
        installed = replace(INSTALLED, hindered={"quart-hypercorn": "cannot run here"})
        assert obstacles(installed_findings(installed)) == ("quart-hypercorn",)
        finding = found(installed)["quart-hypercorn"]
        assert finding.seen == "it cannot run here; refused: the plans quick"
        assert finding.advice


OLD = Tls(
    stack="stdlib",
    openssl="3.0.22",
    default_group="X25519",
    post_quantum_refusal="needs OpenSSL 3.5; this Python has 3.0.22",
)
BROKEN = Tls(
    stack="stdlib",
    openssl=None,
    default_group=None,
    post_quantum_refusal=None,
    failure="libssl.so.3: cannot open shared object file",
)


class TestTls:
    def test_without_post_quantum_key_exchange(self) -> None:
        assert found(replace(INSTALLED, tls=(OLD,)))["TLS by stdlib"].seen == (
            "OpenSSL 3.0.22, key exchange by X25519 unless told otherwise; X25519MLKEM768 needs OpenSSL 3.5; this "
            "Python has 3.0.22"
        )

    def test_one_that_is_no_openssl(self) -> None:
        go = Tls(stack="Go", openssl=None, default_group="X25519", post_quantum_refusal="is not one that Go has")
        assert found(replace(INSTALLED, tls=(go,)))["TLS by Go"].seen == (
            "key exchange by X25519 unless told otherwise; X25519MLKEM768 is not one that Go has"
        )

    def test_one_that_does_not_load(self) -> None:
        finding = found(replace(INSTALLED, tls=(BROKEN,)))["TLS by stdlib"]
        assert finding.standing is Standing.MIND
        assert "libssl.so.3" in finding.seen


class TestPostQuantum:
    """Who has it: handshakes with it and without are not to be compared."""

    @pytest.mark.parametrize(
        ("tls", "standing", "seen"),
        [
            (INSTALLED.tls, Standing.GOOD, "with every TLS library here"),
            ((OLD, *INSTALLED.tls), Standing.MIND, "with pyopenssl alone"),
            ((OLD,), Standing.MIND, "no TLS library here has X25519MLKEM768"),
            ((BROKEN,), Standing.MIND, "no TLS library here has X25519MLKEM768"),
        ],
    )
    def test_said(self, tls: tuple[Tls, ...], standing: Standing, seen: str) -> None:
        finding = found(replace(INSTALLED, tls=tls))["post-quantum key exchange"]
        assert (finding.standing, finding.seen, finding.in_the_way) == (standing, seen, False)
