"""Changing the text of a users file: all that is not the user's in question stays as it is, to the octet.

So do comments, the order of lines, and lines of algorithms that are not known here. A user is one of a realm: the same
name in another realm is somebody else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from digest_auth._users import UsersFileError, UsersLine, users_lines


@dataclass(frozen=True, slots=True)
class UsersText:
    """The text of a users file whose lines are well-formed, though they may name an algorithm that is not known."""

    text: str
    named: Sequence[tuple[int, UsersLine]]  # with their numbers, from 1

    @classmethod
    def parse(cls, text: str, source: str) -> "UsersText":
        """Raises UsersFileError: what is no users file is better not changed."""
        return cls(text, tuple(users_lines(text, source)))

    def of(self, user: str, realm: str) -> Sequence[tuple[int, UsersLine]]:
        """The lines of a user."""
        return [(number, line) for number, line in self.named if (line.user, line.realm) == (user, realm)]

    def in_realm(self, realm: str) -> Sequence[UsersLine]:
        """The lines of everybody in a realm."""
        return [line for _, line in self.named if line.realm == realm]

    def realms(self) -> Sequence[str]:
        """All realms, in the order of their first lines."""
        return tuple(dict.fromkeys(line.realm for _, line in self.named))

    def with_lines(self, user: str, realm: str, lines: Sequence[str]) -> str:
        """Put lines in the place of the user's, where the first of them was, or at the end. Without lines: none.

        The last line is ended: Apache's htdigest (2.4.71, seen) loses one that is not.
        """
        ours = {number for number, _ in self.of(user, realm)}
        place = min(ours, default=None)
        kept: list[str] = []
        for number, line in enumerate(self.text.split("\n"), 1):
            if number == place:
                kept.extend(lines)
            if number not in ours:
                kept.append(line)
        if kept and not kept[-1]:
            kept.pop()  # what stands behind the last line end: nothing
        if place is None:
            kept.extend(lines)
        return "".join(f"{line}\n" for line in kept)


def require_absent(text: UsersText, user: str, realm: str) -> None:
    """Raise UsersFileError when the user has a line."""
    if text.of(user, realm):
        raise UsersFileError(
            f"user {user!r} is in realm {realm!r} already; give a new password with the command `password`"
        )


def require_present(text: UsersText, user: str, realm: str) -> None:
    """Raise UsersFileError when the user has no line."""
    if not text.of(user, realm):
        raise UsersFileError(f"no user {user!r} in realm {realm!r}; the command `list` shows who there is")
