"""`renew`: for a timer, or by hand."""

import argparse
import datetime as dt
import subprocess
import sys
from collections.abc import Iterator, Sequence

from certs._command_line._frame import FINE, PROGRAM, WRONG, Commands, Outcome, add_folder, days
from certs._errors import CertificateError
from certs._layout import Layout, changing
from certs._renewal import Renewal, State, Terms, renew, to_renew

_DESCRIPTION = f"""\
examples:
  {PROGRAM} renew                               whatever in the folder ends within 30 days
  {PROGRAM} renew --days 60 lan router-7        a folder anywhere, a client's by name
  {PROGRAM} renew --new-key --days 400          all of it now, with new keys
  {PROGRAM} renew --deploy-hook 'systemctl reload nginx'

Issues certificates of our CA again, for the same names, purpose, length and key. Servers of this
project see it by themselves; for others there is the hook. Not on a terminal (cron, timers), it
says nothing when there is nothing to do. Exit status: 0 done, or nothing is due; 1 something is
due that could not be renewed, and who must see to it, or the hook failed; 2 misuse.
"""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add("renew", _run, summary="prolong what ends soon", description=_DESCRIPTION)
    parser.add_argument(
        "names", nargs="*", metavar="NAME|DIR", help="kind, client or folder to renew instead of all in the folder"
    )
    parser.add_argument(
        "--days",
        type=days(0),
        metavar="N",
        default=30,
        help="renew what ends within so many days (default: %(default)s)",
    )
    parser.add_argument("--new-key", action="store_true", help="make a new key as well for what is due")
    parser.add_argument("--deploy-hook", metavar="COMMAND", help="run it in a shell if anything was renewed")
    parser.add_argument("--verbose", action="store_true", help="say what is not due even where nobody looks on")
    add_folder(parser)


def _run(options: argparse.Namespace) -> Outcome:
    layout = Layout(options.state)
    if not layout.ca.chain.exists():
        raise CertificateError(
            f"{layout.folder}: no CA there; name its folder with --state, or make one: {PROGRAM} init"
        )
    terms = Terms(dt.timedelta(days=options.days), options.new_key, dt.datetime.now(dt.UTC))
    with changing(layout):
        renewals = [renew(layout, files, terms) for files in to_renew(layout, options.names)]
    lines = list(_lines(renewals, quiet=not (options.verbose or sys.stdout.isatty())))
    status = WRONG if any(renewal.state is State.FAILED for renewal in renewals) else FINE
    if options.deploy_hook and any(renewal.state is State.RENEWED for renewal in renewals):
        # As certbot's hooks are: a line for a shell, from whoever typed the command, and nothing else goes into it.
        hook = subprocess.run(options.deploy_hook, shell=True, check=False)  # noqa: S602 - see above
        if hook.returncode != 0:
            lines.append(f"FAILED   the hook `{options.deploy_hook}` ended with {hook.returncode}; run it by hand")
            status = WRONG
    return Outcome(lines, status)


_WORDS = {State.NOT_DUE: "not due", State.RENEWED: "renewed", State.FAILED: "FAILED"}


def _lines(renewals: Sequence[Renewal], *, quiet: bool) -> Iterator[str]:
    if quiet and all(renewal.state is State.NOT_DUE for renewal in renewals):
        return
    for renewal in renewals:
        yield f"{_WORDS[renewal.state]:7}  {renewal.chain}: {renewal.what}"
    if not renewals:
        yield f"nothing there to renew; next: {PROGRAM} issue"
    elif any(renewal.state is State.FAILED for renewal in renewals):
        yield "next: do what stands after FAILED, then run it again"
    elif any(renewal.state is State.RENEWED for renewal in renewals):
        yield "servers of this project serve it within a second; reload others (--deploy-hook does)"
    else:
        yield "nothing is due; next: let a timer do this daily (docs/certificates-local.md)"
