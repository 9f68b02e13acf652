"""Section: what can each do? What the deployments' own descriptions say, which tests hold against real servers."""

from __future__ import annotations

from collections.abc import Sequence

from deployments import Deployment, DeploymentError, find
from harness import words
from harness.measured import Contender
from harness.report.content import Section, Table, table

MOST_COLUMNS = 4


def section(contenders: Sequence[Contender]) -> Section:
    """List the abilities of every deployment on the page that this version knows."""
    anchor, question = "abilities", "What can each do?"
    known = [found for name in dict.fromkeys(one.deployment for one in contenders) if (found := _find(name))]
    if not known:
        return Section(
            anchor, question, "Not said: this version of the bench does not know the deployments of this run."
        )
    warned = [f"{one.name}: {one.warning}" for one in known if one.warning]
    source = (
        "Not measured in this run: seen with the pinned versions; tests that start the servers check what one request "
        "can show."
    )
    return Section(anchor, question, _answer(known), tables=(_table(known),), notes=(*warned, source))


def _table(known: Sequence[Deployment]) -> Table:
    """Put one deployment in a column while they are few, in a row when they are many."""
    caption = "Abilities beyond speed"
    names = [str(one.name) for one in known]
    abilities = [_rows(one) for one in known]
    if len(known) <= MOST_COLUMNS:
        rows = [(same[0][0], *(value for _, value in same)) for same in zip(*abilities, strict=True)]
        return table(caption, ["ability", *names], [], rows)
    titles = [name for name, _ in abilities[0]]
    rows = [(name, *(value for _, value in own)) for name, own in zip(names, abilities, strict=True)]
    return table(caption, ["deployment", *titles], [], rows)


def _answer(known: Sequence[Deployment]) -> str:
    stalled = [str(one.name) for one in known if "accept loop" in one.abilities.handshake]
    said = "Beyond speed they differ most in what a silent client and a renewed certificate do to them."
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
