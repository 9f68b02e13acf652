"""Key-exchange groups that may be pinned, and which TLS stack has them.

Checked here because OpenSSL 3.0 does not: it passes over a group that it does not know in silence, and serves others.
"""

import difflib
from typing import Final

from certs import PINNED_GROUP
from deployments._errors import DeploymentError
from deployments._stacks import POST_QUANTUM, SINCE, TlsStack, why_not

GROUPS: Final = tuple(SINCE)

USUAL_GROUP: Final = "usual"
"""The one that is pinned unless another is asked for; with a TLS stack that has one group alone, that one."""


def group_of(stack: TlsStack, wanted: str | None) -> str | None:
    """Return the group that a TLS stack is to agree on, as it is called in GROUPS; None leaves it to the stack."""
    if wanted != USUAL_GROUP:
        return wanted
    groups = [group for group in SINCE if why_not(stack, group) is None]
    return groups[0] if len(groups) == 1 else PINNED_GROUP


def check_group(group: str, *, tls_1_2_only: bool) -> None:
    """Refuse a group that nothing here knows, or that no connection could use. Raises DeploymentError."""
    if group not in GROUPS:
        near = difflib.get_close_matches(group.upper(), GROUPS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(GROUPS)}"
        raise DeploymentError(f"no key-exchange group is called {group!r} here; {hint}")
    if tls_1_2_only and group == POST_QUANTUM:  # of TLS 1.3 alone, says its draft
        raise DeploymentError(f"group {group} is for TLS 1.3; serve that, or choose another group")


def check_group_of(stack: TlsStack, group: str) -> None:
    """Refuse a group that the OpenSSL of a TLS stack is too old for. Raises DeploymentError."""
    refusal = why_not(stack, group)
    if refusal is not None:
        raise DeploymentError(f"group {group} {refusal}: choose another group (`bench list` shows who has it)")
