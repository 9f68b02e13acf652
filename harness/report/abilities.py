"""Section: what can each do? What the deployments' own descriptions say, which tests hold against real servers.

A few deployments stand as columns of one table. Many are grouped by who terminates TLS and by framework; what is the
same for a whole group is said once, and its table, which folds, has only what differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deployments import Deployment, DeploymentError, find
from harness import words
from harness.measured import Contender
from harness.report.content import Section, Table, table

MOST_COLUMNS = 4
APPS: Mapping[str, str] = {"flask": "Flask", "quart": "Quart"}
SOURCE = (
    "Not measured in this run: seen with the pinned versions; tests that start the servers check what one request "
    "can show."
)


def section(contenders: Sequence[Contender]) -> Section:
    """List the abilities of every deployment on the page that this version knows."""
    anchor, question = "abilities", "What can each do?"
    known = [found for name in dict.fromkeys(one.deployment for one in contenders) if (found := _find(name))]
    if not known:
        return Section(
            anchor, question, "Not said: this version of the bench does not know the deployments of this run."
        )
    if len(known) <= MOST_COLUMNS:
        notes = (*(f"{names}: {warning}" for warning, names in warnings(known)), SOURCE)
        return Section(anchor, question, _answer(known), tables=(_columns(known),), notes=notes)
    parts = [_group(name, those) for name, those in _groups(known).items()]
    warned = [f"{words.capitalised(warning)}: {names}" for warning, names in warnings(known)]
    if warned:
        said = f"{words.count(len(warned), 'thing')} that the servers do, and who does them:"
        parts.append(Section("abilities-warnings", "What should one mind?", said, notes=tuple(warned)))
    return Section(anchor, question, _answer(known), notes=(SOURCE,), parts=tuple(parts))


def by_name(deployment: Deployment) -> Mapping[str, str]:
    """Return each ability in words, by the title that the tables give it."""
    return dict(_rows(deployment))


def warnings(known: Sequence[Deployment]) -> list[tuple[str, str]]:
    """Return each warning once, with the names of those whom it is for."""
    found: dict[str, list[str]] = {}
    for one in known:
        if one.warning:
            found.setdefault(one.warning, []).append(str(one.name))
    return [(warning, words.listed(names)) for warning, names in found.items()]


def _columns(known: Sequence[Deployment]) -> Table:
    """Put one deployment in a column."""
    abilities = [_rows(one) for one in known]
    rows = [(same[0][0], *(value for _, value in same)) for same in zip(*abilities, strict=True)]
    return table("Abilities beyond speed", ["ability", *(str(one.name) for one in known)], [], rows)


def _groups(known: Sequence[Deployment]) -> dict[str, list[Deployment]]:
    groups: dict[str, list[Deployment]] = {}
    for one in known:
        app = APPS.get(one.name.app, one.name.app)
        where = "behind a proxy" if one.name.proxy else "by itself"
        groups.setdefault(f"{app} {where}", []).append(one)
    return groups


def _group(name: str, those: Sequence[Deployment]) -> Section:
    """Say once what a group's deployments share; what differs stands in a table that folds."""
    abilities = [dict(_rows(one)) for one in those]
    titles = list(abilities[0])
    shared = [title for title in titles if len({own[title] for own in abilities}) == 1]
    differing = [title for title in titles if title not in shared]
    alike = "; ".join(f"{title}: {abilities[0][title]}" for title in shared)
    who = str(those[0].name) if len(those) == 1 else f"All {len(those)}"
    answer = f"{who}: {alike}." if alike else "They share nothing that is listed here."
    anchor = f"abilities-{name.lower().replace(' ', '-')}"
    if not differing:
        names = words.listed([str(one.name) for one in those])
        return Section(anchor, name, answer, notes=(names,) if len(those) > 1 else ())
    rows = [(str(one.name), *(own[title] for title in differing)) for one, own in zip(those, abilities, strict=True)]
    caption = f"{name}: where the {len(those)} differ"
    return Section(anchor, name, answer, tables=(table(caption, ["deployment", *differing], [], rows, folded=True),))


def _answer(known: Sequence[Deployment]) -> str:
    stalled = [str(one.name) for one in known if "accept loop" in one.abilities.handshake]
    said = "Beyond speed they differ most in what a silent client and a renewed certificate do to them."
    if stalled:
        stops = "stops" if len(stalled) == 1 else "stops each of"
        said += f" One client that connects and says nothing {stops} {words.listed(stalled)}."
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
