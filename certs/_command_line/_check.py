"""`check`: what is wrong with certificates, and what to do."""

import argparse
import datetime as dt
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from cryptography import x509

from certs._checking import Standard, Verdict, folder_s_targets, judge, named_targets
from certs._command_line._frame import (
    FINE,
    PROGRAM,
    WRONG,
    Commands,
    Outcome,
    add_folder,
    days,
    state_option,
)
from certs._description import days_left, facts
from certs._errors import CertificateError
from certs._layout import Layout
from certs._names import shown_names
from certs._pairs import read_certificates
from certs._trust import Trust

_DESCRIPTION = f"""\
examples:
  {PROGRAM} check                               the CA's folder
  {PROGRAM} check localhost:8443                what a server shows in a handshake
  {PROGRAM} check cert.pem key.pem --ca cert.pem --name device.lan
  {PROGRAM} check /etc/letsencrypt/live/device.example --days 20

Looks at validity, chain, key, names, purpose, and strength of key and signatures. A chain has to
lead to the file given by --ca; without it, to the folder's CA or to what the system trusts.
Exit status: 0 all fine; 1 something is wrong, and each line says what to do; 2 misuse.
"""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add("check", _run, summary="find what is wrong, and say what to do", description=_DESCRIPTION)
    parser.add_argument("targets", nargs="*", metavar="FILE|DIR|HOST:PORT", help="what to check instead of the folder")
    parser.add_argument(
        "--days",
        type=days(0),
        metavar="N",
        default=30,
        help="complain of what ends within so many days (default: %(default)s)",
    )
    parser.add_argument("--ca", type=Path, metavar="FILE", help="trust this file (PEM) alone")
    parser.add_argument(
        "--name",
        action="append",
        dest="names",
        metavar="NAME",
        help="servers' certificates have to be good for it; repeatable (default: of a server, its host)",
    )
    parser.add_argument(
        "--timeout", type=_seconds, metavar="S", default=5.0, help="for a server's answer (default: %(default)g s)"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    add_folder(parser)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds up to 3600")
    return seconds


def _run(options: argparse.Namespace) -> Outcome:
    layout = Layout(options.state)
    targets = named_targets(options.targets) if options.targets else folder_s_targets(layout)
    standard = _standard(options, layout)
    verdicts = [judge(target, standard) for target in targets]
    status = WRONG if any(verdict.findings for verdict in verdicts) else FINE
    if options.json:
        return Outcome([json.dumps(_as_json(verdicts, standard.now), indent=2)], status)
    return Outcome(list(_lines(verdicts, standard, options.days)), status)


def _standard(options: argparse.Namespace, layout: Layout) -> Standard:
    ca = _ca_of(layout)
    ours = [Trust(layout.ca.chain)] if ca is not None else []
    if options.ca is not None:
        trusts = [Trust(options.ca)]
    elif options.targets or not ours:
        trusts = [*ours, Trust(None)]
    else:
        trusts = ours
    return Standard(
        now=dt.datetime.now(dt.UTC),
        margin=dt.timedelta(days=options.days),
        trusts=trusts,
        names=options.names or [],
        timeout_s=options.timeout,
        ca=ca,
        renew=f"{PROGRAM} renew{state_option(layout)}",
    )


def _ca_of(layout: Layout) -> x509.Certificate | None:
    try:
        return read_certificates(layout.ca.chain)[0]
    except CertificateError:
        return None  # there need not be one; what is wrong with one in a folder is said where the folder is judged


def _lines(verdicts: Sequence[Verdict], standard: Standard, margin_days: int) -> Iterator[str]:
    for verdict in verdicts:
        yield f"{'WRONG' if verdict.findings else 'ok   '}  {_summary(verdict, standard.now)}"
        for finding in verdict.findings:
            yield f"       - {finding.problem}"
            yield f"         {finding.advice}"
        for note in verdict.notes:
            yield f"       note: {note}"
    wrong = sum(bool(verdict.findings) for verdict in verdicts)
    if wrong:
        yield f"{wrong} of {len(verdicts)} wrong: do what stands under each, then check again"
    else:
        yield f"all fine for {margin_days} days more; next: let a timer check daily (docs/certificates-local.md)"


def _summary(verdict: Verdict, now: dt.datetime) -> str:
    leaf = verdict.leaf
    if leaf is None:
        return str(verdict.target)
    left = days_left(leaf, now)
    parts = [
        ", ".join(shown_names(leaf)) or leaf.subject.rfc4514_string(),
        "expired" if left < 0 else f"{left} days left",
    ]
    if verdict.leads_to:
        parts.append(f"trusted by {verdict.leads_to}")
    return f"{verdict.target}: {'; '.join(parts)}"


def _as_json(verdicts: Sequence[Verdict], now: dt.datetime) -> dict[str, object]:
    return {
        "ok": not any(verdict.findings for verdict in verdicts),
        "checked": [
            {
                "target": str(verdict.target),
                "ok": not verdict.findings,
                "problems": [
                    {"code": finding.code, "problem": finding.problem, "advice": finding.advice}
                    for finding in verdict.findings
                ],
                "notes": list(verdict.notes),
                "trusted_by": verdict.leads_to or None,
                "certificate": None if verdict.leaf is None else facts(verdict.leaf, now),
            }
            for verdict in verdicts
        ],
    }
