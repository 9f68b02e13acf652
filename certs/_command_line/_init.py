"""`init`: a CA of one's own."""

import argparse

from certs._command_line._frame import (
    PROGRAM,
    Commands,
    Outcome,
    add_folder,
    day,
    quoted,
    state_option,
    trust_line,
)
from certs._description import common_name
from certs._folder import ensure_ca
from certs._layout import Layout
from certs._pairs import read_certificates

_DESCRIPTION = f"""\
examples:
  {PROGRAM} init                       in .device/ca
  {PROGRAM} init --state /srv/device   elsewhere

Makes a certificate authority (CA) of your own: trust it once, and you trust every certificate that
`issue` makes with it. One that is there already is kept. Valid for ten years. How to trust it in
browsers, curl, Python and the system: docs/certificates-local.md.
"""


def add(commands: Commands) -> None:
    """Add the command."""
    add_folder(commands.add("init", _run, summary="make a CA, unless there is one", description=_DESCRIPTION))


def _run(options: argparse.Namespace) -> Outcome:
    layout = Layout(options.state)
    was_there = layout.ca.chain.exists()
    ca = read_certificates(ensure_ca(layout.folder))[0]
    return Outcome(
        [
            f"{'there is' if was_there else 'made'} {common_name(ca.subject)}, valid until {day(ca)}",
            f"  certificate: {layout.ca.chain}",
            f"  key:         {quoted(layout.ca.key)} (keep it to yourself: whoever has it can pose as any server)",
            trust_line(layout.ca.chain),
            f"next: {PROGRAM} issue{state_option(layout)}",
        ]
    )
