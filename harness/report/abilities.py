"""Section: what can each do? What the deployments' own descriptions say, which tests hold against real servers."""

from __future__ import annotations

from collections.abc import Sequence

from deployments import Deployment, DeploymentError, find
from harness.report import words
from harness.report.content import Section, table
from harness.report.measured import Contender


def section(contenders: Sequence[Contender]) -> Section:
    """List the abilities of every deployment on the page that this version knows."""
    anchor, question = "abilities", "What can each do?"
    known = [found for name in dict.fromkeys(one.deployment for one in contenders) if (found := _find(name))]
    if not known:
        return Section(
            anchor, question, "Not said: this version of the bench does not know the deployments of this run."
        )
    warned = [f"{deployment.name}: {deployment.warning}" for deployment in known if deployment.warning]
    return Section(
        anchor,
        question,
        _answer(known),
        tables=(
            table(
                "Abilities beyond speed",
                ["deployment", *(name for name, _ in _rows(known[0]))],
                [],
                [(str(deployment.name), *(value for _, value in _rows(deployment))) for deployment in known],
            ),
        ),
        notes=(
            *(words.capitalised(f"{warning}.".replace("..", ".")) for warning in warned),
            (
                "Not measured in this run: these were seen with the pinned versions, and tests that start the "
                "servers check what one request can show."
            ),
        ),
    )


def _answer(known: Sequence[Deployment]) -> str:
    stalled = [str(one.name) for one in known if "accept loop" in one.abilities.handshake]
    said = (
        "All of them speak TLS 1.2 and 1.3; they differ in what a silent client and a renewed certificate do to them."
    )
    if stalled:
        said += f" One client that connects and says nothing stops {words.listed(stalled)}."
    return said


def _rows(deployment: Deployment) -> tuple[tuple[str, str], ...]:
    abilities = deployment.abilities
    resumed = [
        name
        for name, can in (
            ("1.2 ticket", abilities.resumption.tls_1_2_ticket),
            ("1.2 session id", abilities.resumption.tls_1_2_session_id),
            ("1.3 ticket", abilities.resumption.tls_1_3_ticket),
        )
        if can
    ]
    return (
        ("TLS by", str(abilities.tls_stack)),
        ("keeps connections", "yes" if abilities.keep_alive else "no"),
        ("resumes by", words.listed(resumed) or "nothing"),
        ("client certificates", str(abilities.client_certificates)),
        ("handshake runs", str(abilities.handshake)),
        ("new certificate", abilities.reload),
        ("stop finishes requests", "yes" if abilities.stop_finishes_requests else "no"),
        ("request target", str(abilities.raw_target)),
    )


def _find(name: str) -> Deployment | None:
    try:
        return find(name)
    except DeploymentError:
        return None
