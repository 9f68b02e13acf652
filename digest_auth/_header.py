r"""Reading `Authorization` and `WWW-Authenticate`: the grammar beside the patterns.

RFC 9110 section 11:

    credentials   = auth-scheme 1*SP #auth-param
    challenge     = auth-scheme [ 1*SP #auth-param ]
    auth-param    = token BWS "=" BWS ( token / quoted-string )
    quoted-string = DQUOTE *( qdtext / quoted-pair ) DQUOTE
    quoted-pair   = "\" ( HTAB / SP / VCHAR / obs-text )
    qdtext        = HTAB / SP / %x21 / %x23-5B / %x5D-7E / obs-text
    #element      = a list with commas, in which a recipient must bear empty elements (section 5.6.1)

Departures, each because of clients seen in the wild: `algorithm`, `qop` and `nc` are accepted quoted or not
(RFC 7616 section 3.4 forbids the quotes, yet requests, wget and urllib send them); unknown parameters are ignored.

Values arrive as text in which each character stands for one octet (ISO 8859-1), as WSGI and h11 hand them over.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import unquote

MAX_HEADER_LENGTH = 8192
"""Characters of an `Authorization` value that are looked at: the usual limit of a whole header line (nginx, httpd)."""

_TCHARS = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_CONTROLS = r"\x00-\x08\x0a-\x1f\x7f"  # all but HTAB; some of a header's values are sent back in one
_QUOTED = rf'"([^"\\{_CONTROLS}]*+(?:\\[^{_CONTROLS}][^"\\{_CONTROLS}]*+)*+)"'

# Possessive quantifiers throughout: time grows with the header's length and no faster, whatever is sent.
# What fits neither a parameter nor the commas between falls into the last group, and is an error.
_PARAMETERS = re.compile(
    rf"({_TCHARS})[ \t]*+=[ \t]*+(?:{_QUOTED}|({_TCHARS}))[ \t]*+(?:,[ \t,]*+|\Z)|(.++)", re.DOTALL
)

_CHALLENGES = re.compile(
    rf"(?:({_TCHARS})(?:[ ]++(?![ \t]*+=)|[ \t]*+(?=,|\Z)))?+"
    rf"(?:({_TCHARS})[ \t]*+=[ \t]*+(?:{_QUOTED}|({_TCHARS})))?+[ \t]*+(?:,[ \t,]*+|\Z)"
)

# The form in which most clients write credentials: RFC 7616's own parameters, in any order, each once, with quotes
# where it wants them, no backslash and one space behind each comma. One match gives all values, in half the time of
# the list above. What else is sent is left to that list, so this form may only match what means the same there.
_COMMON_QUOTED = ("username", "realm", "nonce", "uri", "response", "cnonce")
_COMMON_TOKENS = ("algorithm", "qop", "nc")
_VALUE = rf'"([^"\\{_CONTROLS}]*+)"'
_COMMON_PARAMETERS = [f"{name}={_VALUE}" for name in _COMMON_QUOTED] + [
    f"{name}=({_TCHARS})" for name in _COMMON_TOKENS
]
# (?(N)(?!)) refuses a parameter whose group N has matched before.
_COMMON_FORM = re.compile(
    "Digest (?:(?:"
    + "|".join(f"(?({group})(?!)){parameter}" for group, parameter in enumerate(_COMMON_PARAMETERS, 1))
    + r")(?:, (?!\Z)|\Z))++"
)

# ext-value = charset "'" [ language ] "'" value-chars (RFC 8187 section 3.2); RFC 7616 allows UTF-8 alone.
_EXTENDED = re.compile(r"(?i:UTF-8)'[A-Za-z0-9-]*+'((?:%[0-9A-Fa-f]{2}|[!#$&+.^_`|~0-9A-Za-z-])*+)")

_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)


class HeaderError(ValueError):
    """A header that does not follow the grammar; the message says how and repeats nothing that was sent."""


class Credentials(NamedTuple):
    """The parameters of `Authorization: Digest` that RFC 7616 section 3.4 defines, unquoted; None for one not sent."""

    username: str | None
    realm: str | None
    nonce: str | None
    uri: str | None
    response: str | None
    cnonce: str | None
    algorithm: str | None
    qop: str | None
    nc: str | None
    opaque: str | None = None
    userhash: str | None = None
    extended_username: str | None = None  # username*

    @classmethod
    def parse(cls, value: str) -> "Credentials | None":
        """Read a field's value; None when it is of another scheme. Raises HeaderError, as `credentials` does."""
        if len(value) <= MAX_HEADER_LENGTH:
            common = _COMMON_FORM.fullmatch(value)
            if common is not None:
                return cls(*common.groups())
        sent = credentials(value)
        return None if sent is None else cls(*map(sent.get, _PARAMETER_NAMES))


_PARAMETER_NAMES = (*_COMMON_QUOTED, *_COMMON_TOKENS, "opaque", "userhash", "username*")


def credentials(value: str) -> dict[str, str] | None:
    """The parameters of an `Authorization: Digest` value by lowered name; None when it is of another scheme.

    Raises HeaderError: too long, not the grammar above, or a parameter that stands twice.
    """
    if len(value) > MAX_HEADER_LENGTH:
        raise HeaderError(f"the Authorization header is longer than {MAX_HEADER_LENGTH} octets")
    scheme, _, rest = value.strip(" \t").partition(" ")
    if scheme.lower() != "digest":
        return None
    found = _PARAMETERS.findall(rest.lstrip(" \t,"))
    parameters = {name.lower(): quoted or token for name, quoted, token, _ in found}
    if "" in parameters:  # only what the last group caught has no name
        raise HeaderError("the Authorization header is not a list of name=value parameters")
    if len(parameters) != len(found):
        raise HeaderError("a parameter stands twice in the Authorization header")
    if "\\" in rest:
        return {name: _QUOTED_PAIR.sub(r"\1", text) for name, text in parameters.items()}
    return parameters


def extended_value(value: str) -> str:
    """The text of an ext-value, as in `username*` (RFC 8187 section 3.2, RFC 7616 section 3.4). Raises HeaderError."""
    match = _EXTENDED.fullmatch(value)
    if match is None:
        raise HeaderError("username* is not an RFC 8187 value in UTF-8")
    try:
        return unquote(match[1], errors="strict")
    except UnicodeDecodeError:
        raise HeaderError("username* is not an RFC 8187 value in UTF-8") from None


def challenges(values: Iterable[str]) -> Iterator[dict[str, str]]:
    """The parameters of each Digest challenge in `WWW-Authenticate` lines, in the order in which they were sent.

    A line may hold several challenges. What is not the grammar ends the reading of that line: a client does
    better with the challenges it could read than with none.
    """
    for value in values:
        yield from _challenges_of_line(value[:MAX_HEADER_LENGTH].strip(" \t,"))


def _challenges_of_line(line: str) -> Iterator[dict[str, str]]:
    current: dict[str, str] | None = None
    position = 0
    while position < len(line):
        match = _CHALLENGES.match(line, position)
        if match is None or match.end() == position:
            break
        position = match.end()
        scheme, name, quoted, token = match.groups()
        if scheme is not None:
            if current is not None:
                yield current
            current = {} if scheme.lower() == "digest" else None
        if name is not None and current is not None:
            current.setdefault(name.lower(), _QUOTED_PAIR.sub(r"\1", quoted) if quoted else (token or ""))
    if current is not None:
        yield current


def quote(text: str) -> str:
    """A quoted-string that stands for the text."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
