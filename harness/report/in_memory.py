"""Part of the section on handshakes: what the TLS libraries alone take, by kind, beside each other.

Read from `handshakes.jsonl`; `bench handshakes` shows the same as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from certs import KeyKind, TlsVersion
from harness import words
from harness.handshakes.comparison import Comparison, reference
from harness.handshakes.figures import (
    HANDSHAKES,
    POST_QUANTUM_GROUP,
    RECORD_BYTES,
    USUAL_GROUP,
    Part,
    Stack,
    Subject,
)
from harness.report import charts
from harness.report.content import Mark, Plot, Section, Table, table
from harness.statistics import Interval, Verdict, verdict

ANCHOR: Final = "handshake-in-memory"
QUESTION: Final = "And the TLS library alone, by key and version?"
KEYS: Final[Mapping[str, str]] = {
    KeyKind.ECDSA_P256: "ECDSA P-256",
    KeyKind.ED25519: "Ed25519",
    KeyKind.RSA_2048: "RSA-2048",
    KeyKind.RSA_4096: "RSA-4096",
}
_STACKS: Final[Mapping[Stack, str]] = {Stack.STDLIB: "standard library", Stack.PYOPENSSL: "pyOpenSSL"}
_LOOKS: Final = {Stack.STDLIB: ("var(--accent)", "circle"), Stack.PYOPENSSL: ("var(--accent-2)", "diamond")}
_NOT_MEASURED: Final = "not measured"
_QUITE_ANOTHER: Final = 1.5  # how many times another a ratio has to be, to be spoken of

# A resumed handshake does not touch the server's key; those with this one stand for all, and all are in the long table.
_RESUMED_WITH: Final = KeyKind.RSA_2048


def section(compared: Comparison) -> Section:
    """Answer from the blocks of a run, or say that it has none."""
    if not any(subject.part in HANDSHAKES for subject in compared.figures):
        said = "Not measured in this run. `bench handshakes` measures it: half a minute, no server."
        return Section(ANCHOR, QUESTION, said, notes=_refused(compared))
    return Section(
        ANCHOR,
        QUESTION,
        _answer(compared),
        legend=tuple(Mark(label(stack, compared), *_LOOKS[stack]) for stack in Stack if any(_of(compared, stack))),
        plots=(_plot(compared),) if _drawn(compared) else (),
        tables=tuple(
            found
            for found in (_kinds_table(compared), _group_table(compared), _record_table(compared), _whole(compared))
            if found.rows
        ),
        notes=_notes(compared),
    )


def finding(compared: Comparison) -> str:
    """Return the most of the answer for a terminal; empty where nothing was measured."""
    said = " ".join(sentence for sentence in (_by_key(compared), _between_stacks(compared)) if sentence)
    return f"TLS alone: {said}" if said else ""


def label(stack: Stack, compared: Comparison) -> str:
    """Return a stack's name with the OpenSSL under it."""
    version = compared.openssl.get(stack)
    return f"{_STACKS[stack]} (OpenSSL {version})" if version else _STACKS[stack]


def kind_name(subject: Subject) -> str:
    """Return version, key and kind: "TLS 1.3 · RSA-2048 · full"; a resumed one without the key."""
    key = KEYS.get(subject.key_kind, subject.key_kind)
    middle = f" · {key}" if subject.part is Part.FULL else ""
    return f"TLS {subject.version}{middle} · {subject.part}"


def _of(compared: Comparison, stack: Stack) -> Iterator[Subject]:
    return (subject for subject in compared.figures if subject.stack is stack and subject.part in HANDSHAKES)


def _kinds() -> tuple[Subject, ...]:
    """Return the kinds of the first table, of one stack: full by version and key, then resumed."""
    full = [
        Subject(stack=Stack.STDLIB, part=Part.FULL, version=version, key_kind=key)
        for version in sorted(TlsVersion, reverse=True)
        for key in KEYS
    ]
    resumed = [
        Subject(stack=Stack.STDLIB, part=Part.RESUMED, version=version, key_kind=_RESUMED_WITH)
        for version in sorted(TlsVersion, reverse=True)
    ]
    return (*full, *resumed)


def _answer(compared: Comparison) -> str:
    said = [_by_key(compared), _between_stacks(compared), _post_quantum(compared)]
    known = [sentence for sentence in said if sentence]
    return " ".join(known) if known else "Too little was measured to compare kinds of handshake."


def _by_key(compared: Comparison) -> str:
    """Say how many times dearer or cheaper the other keys and a resumption are."""
    stack = next((stack for stack in Stack if reference(stack) in compared), None)
    if stack is None:
        return ""
    base = reference(stack)
    said = []
    for subject, what in (
        (replace(base, key_kind=KeyKind.RSA_4096), "with RSA-4096"),
        (replace(base, key_kind=KeyKind.ECDSA_P256), "with ECDSA P-256"),
        (replace(base, part=Part.RESUMED), "when resumed"),
        (replace(base, part=Part.RESUMED, version="1.2"), "when resumed in TLS 1.2"),
    ):
        ratio = compared.to_reference(subject)
        if ratio is not None:
            said.append(f"{words.ratio(ratio)} {what}{_elsewhere(compared, subject, ratio)}")
    if not said:
        return ""
    return (
        f"Against a full TLS 1.3 handshake with RSA-2048, the server's {_STACKS[stack]} takes "
        f"{words.listed([said[0].replace(words.TIMES, f'{words.TIMES} the CPU', 1), *said[1:]])}."
    )


def _elsewhere(compared: Comparison, subject: Subject, ratio: Interval) -> str:
    """Name another stack's ratio where it is a different one altogether."""
    others = {stack: compared.to_reference(replace(subject, stack=stack)) for stack in Stack if stack != subject.stack}
    said = [
        f"in {_STACKS[stack]} {words.ratio(other)}"
        for stack, other in others.items()
        if other and max(other.estimate, ratio.estimate) > _QUITE_ANOTHER * min(other.estimate, ratio.estimate)
    ]
    return f" ({words.listed(said)})" if said else ""


def _between_stacks(compared: Comparison) -> str:
    usual = Subject(stack=Stack.PYOPENSSL, part=Part.FULL)
    said = []
    for subject, what in ((usual, "a full handshake (TLS 1.3, ECDSA P-256)"), (_resumed(usual), "a resumed one")):
        ratio = compared.ratio(subject, replace(subject, stack=Stack.STDLIB))
        if ratio is not None:
            said.append(f"{_tie_cell(ratio)} for {what}")
    if not said:
        return ""
    return f"With the same group ({USUAL_GROUP}) pyOpenSSL's CPU to the standard library's is {words.listed(said)}."


def _post_quantum(compared: Comparison) -> str:
    """Say what the post-quantum group adds, and who cannot do it."""
    said = []
    for stack in Stack:
        quantum = Subject(stack=stack, part=Part.FULL, group=POST_QUANTUM_GROUP)
        usual = replace(quantum, group=USUAL_GROUP)
        ratio, added = compared.ratio(quantum, usual), compared.added(quantum, usual)
        if ratio is None or added is None:
            continue
        if verdict(ratio) is Verdict.TIE:
            said.append(f"cannot be told from {USUAL_GROUP} in {_STACKS[stack]}")
        else:
            share = words.percent(abs(ratio.estimate - 1))
            adds = "adds" if ratio.estimate > 1 else "saves"
            said.append(
                f"{adds} {share} ({words.microseconds(abs(added.estimate))}) in {_STACKS[stack]}, to a full handshake "
                "with ECDSA P-256"
            )
    cannot = [
        f"the {_STACKS[each.stack]} here cannot do it" for each in compared.cannot if each.group == POST_QUANTUM_GROUP
    ]
    if not said and not cannot:
        return ""
    return f"Post-quantum key exchange ({POST_QUANTUM_GROUP}) {'; '.join([*said, *cannot])}."


def _resumed(subject: Subject) -> Subject:
    return replace(subject, part=Part.RESUMED, key_kind=_RESUMED_WITH)


def _cell(ratio: Interval | None) -> str:
    """Return a ratio with its interval: "0.53 x (0.52 - 0.54)", with the sign; of a thing to itself the 1 alone."""
    if ratio is None:
        return _NOT_MEASURED
    if ratio.low == ratio.high == 1.0:
        return words.Said(f"1{words.THIN}{words.TIMES}", 1.0)
    return words.ratio_with_range(ratio)


def _tie_cell(ratio: Interval | None) -> str:
    """Return a ratio that answers a question: a tie is called one, and so are too few blocks to tell."""
    if ratio is None or verdict(ratio) is not Verdict.TIE:
        return _cell(ratio)
    if ratio.excludes(1.0) or not ratio.is_finite:
        return words.ratio_with_range(ratio).noting(", too few blocks to tell")
    return words.Said.of(ratio, f"a tie ({words.ratio_range(ratio)})")


def _level_cell(compared: Comparison, subject: Subject) -> str:
    level = compared.level(subject)
    return words.microseconds_between(level) if level is not None else _NOT_MEASURED


def _drawn(compared: Comparison) -> list[charts.Dot]:
    dots = []
    for kind in _kinds():
        for stack in Stack:
            subject = replace(kind, stack=stack)
            ratio = compared.to_reference(subject)
            if ratio is None or subject == reference(stack):
                continue
            dots.append(
                charts.Dot(
                    line=kind_name(kind),
                    series=label(stack, compared),
                    value=ratio.estimate,
                    low=ratio.low if ratio.is_finite else ratio.estimate,
                    high=ratio.high if ratio.is_finite else ratio.estimate,
                    said=f"{label(stack, compared)}, {kind_name(kind)}: {_cell(ratio)}",
                )
            )
    order = {name: position for position, name in enumerate(_by_cost(dots))}
    return sorted(dots, key=lambda dot: order[dot.line])


def _by_cost(dots: Sequence[charts.Dot]) -> list[str]:
    """Return the lines, the cheapest first."""
    cheapest: dict[str, float] = {}
    for dot in dots:
        cheapest[dot.line] = min(dot.value, cheapest.get(dot.line, dot.value))
    return sorted(cheapest, key=lambda line: cheapest[line])


def _plot(compared: Comparison) -> Plot:
    looks = [charts.Series(label(stack, compared), *_LOOKS[stack]) for stack in Stack]
    return Plot(
        name="plot-handshake-in-memory",
        caption=(
            "Server CPU of a handshake as a ratio to TLS 1.3, full, RSA-2048 of the same library, with 95 % intervals, "
            f"on {words.listed(compared.processors)}"
        ),
        spec=charts.log_dots(_drawn(compared), looks, title="ratio to TLS 1.3 · RSA-2048 · full"),
    )


def _kinds_table(compared: Comparison) -> Table:
    rows = [
        (
            kind_name(kind),
            *(
                text
                for stack in Stack
                for text in (
                    _level_cell(compared, replace(kind, stack=stack)),
                    _cell(compared.to_reference(replace(kind, stack=stack))),
                )
            ),
            _tie_cell(compared.ratio(replace(kind, stack=Stack.PYOPENSSL), replace(kind, stack=Stack.STDLIB))),
        )
        for kind in _kinds()
        if any(replace(kind, stack=stack) in compared for stack in Stack)
    ]
    return table(
        (
            f"Server CPU of one handshake, and its ratio to TLS 1.3 · RSA-2048 · full of the same library; "
            f"{USUAL_GROUP}, on {words.listed(compared.processors)}"
        ),
        ["version, key, kind"],
        [
            *(heading for stack in Stack for heading in (label(stack, compared), f"{_STACKS[stack]}: ratio")),
            "pyOpenSSL to standard library",
        ],
        rows,
    )


def _group_table(compared: Comparison) -> Table:
    rows = []
    for stack in Stack:
        cannot = next((c for c in compared.cannot if c.stack is stack and c.group == POST_QUANTUM_GROUP), None)
        if cannot is not None:
            rows.append((label(stack, compared), "every kind", "", "cannot", "", ""))
            continue
        for part in (Part.FULL, Part.RESUMED):
            for key in KEYS:
                quantum = Subject(stack=stack, part=part, key_kind=key, group=POST_QUANTUM_GROUP)
                usual = replace(quantum, group=USUAL_GROUP)
                if quantum not in compared or (part is Part.RESUMED and key != _RESUMED_WITH):
                    continue
                added = compared.added(quantum, usual)
                rows.append(
                    (
                        label(stack, compared),
                        kind_name(quantum),
                        _level_cell(compared, usual),
                        _level_cell(compared, quantum),
                        words.microseconds_between(added) if added is not None else _NOT_MEASURED,
                        _tie_cell(compared.ratio(quantum, usual)),
                    )
                )
    return table(
        f"Post-quantum key exchange beside the usual one: {POST_QUANTUM_GROUP} and {USUAL_GROUP}",
        ["TLS library", "version, key, kind"],
        [USUAL_GROUP, POST_QUANTUM_GROUP, "adds", f"ratio to {USUAL_GROUP}"],
        rows,
    )


def _record_table(compared: Comparison) -> Table:
    rows = []
    for part, verb in ((Part.WRITE, "written"), (Part.READ, "read")):
        for size in RECORD_BYTES:
            usual = Subject(stack=Stack.STDLIB, part=part, record_bytes=size)
            other = replace(usual, stack=Stack.PYOPENSSL)
            if usual in compared or other in compared:
                rows.append(
                    (
                        f"{size:,} bytes {verb}",
                        _level_cell(compared, usual),
                        _level_cell(compared, other),
                        _tie_cell(compared.ratio(other, usual)),
                    )
                )
    return table(
        "Server CPU of one record, TLS 1.3",
        ["record"],
        [*(label(stack, compared) for stack in Stack), "pyOpenSSL to standard library"],
        rows,
    )


def _whole(compared: Comparison) -> Table:
    """List everything, with how many blocks stand behind it; long, and so folded."""
    rows = []
    for subject in sorted(compared.figures, key=_long_order):
        level = compared.level(subject)
        if level is None or subject.part not in HANDSHAKES:
            continue
        rows.append(
            (
                f"TLS {subject.version} · {KEYS.get(subject.key_kind, subject.key_kind)} · {subject.part}",
                label(subject.stack, compared),
                subject.group,
                words.microseconds_between(level),
                _cell(compared.to_reference(subject)),
                f"{level.n}",
            )
        )
    return table(
        f"Every kind of handshake that was measured ({len(rows)})",
        ["version, key, kind", "TLS library", "key exchange"],
        ["server CPU", "ratio to TLS 1.3 full RSA-2048", "blocks"],
        rows,
    )


def _long_order(subject: Subject) -> tuple[object, ...]:
    return subject.version, subject.part, subject.key_kind, subject.group, subject.stack


def _notes(compared: Comparison) -> tuple[str, ...]:
    notes = [
        (
            "Client and server shake hands over memory buffers in one process and the server's steps alone are timed "
            "(CPU time of the thread, the contexts of our own servers, a fresh process in each block; what reading the "
            f"clock takes, {compared.clock_ns:,.0f}{words.THIN}ns, is taken off). There is no socket and no server "
            "program in it, so that a server's handshake, above, costs more."
        ),
        (
            "Every resumed handshake was proved to be one (no certificate was sent), every full one not to be, and "
            f"the group that was agreed on is {USUAL_GROUP} unless another one is named."
        ),
        (
            "The two libraries bring their own OpenSSL: what is compared is the pair of both as installed here, not "
            "Python's glue alone."
        ),
    ]
    notes += [
        f"{each.group} cannot be had from the {_STACKS[each.stack]} here: {each.why}." for each in compared.cannot
    ]
    return (*notes, *_refused(compared))


def _refused(compared: Comparison) -> tuple[str, ...]:
    return tuple(
        f"Set aside: {kind_name(one.subject)} in {_STACKS[one.subject.stack]}, block {one.block + 1}: {one.why}."
        for one in compared.refused
    )
