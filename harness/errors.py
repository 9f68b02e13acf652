"""Errors that reach the person who typed the command.

A `UserError` is one line: what is wrong, where, and what to do about it. `harness.cli.main` prints it after
`bench: error:` and exits with status 2; nothing else catches it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Something that only the person at the keyboard can put right.

    message: what is wrong, and where; kept as `what`. hint: what to do. `str()` is both, on one line.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.what = " ".join(message.split())
        one_line = " ".join((f"{message}; {hint}" if hint else message).split())
        super().__init__(one_line)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that `name` most likely stands for, or None when nothing is near."""
    candidates = sorted(known)
    close = difflib.get_close_matches(name, candidates, n=1, cutoff=0.5)
    return close[0] if close else None


def unknown_name(kind: str, name: str, known: Iterable[str], *, where: str = "", hint: str = "") -> UserError:
    """Make the error for a name that is none of `known`: it offers the nearest, or lists them all.

    kind: what the name should have named ("scenario"). where: the place it was read from. hint: more advice.
    """
    candidates = sorted(known)
    close = nearest(name, candidates)
    advice = f"did you mean {close!r}?" if close else f"known: {', '.join(candidates)}"
    place = f"{where}: " if where else ""
    return UserError(
        f"{place}no {kind} is called {name!r}", hint=f"{advice}{'' if close else '.'} {hint}" if hint else advice
    )
