"""Which clients work with which settings: what the tests hold every client to, and what docs/digest-clients.md shows.

    python -m tests.interoperation.table > docs/digest-clients.md

A cell is what `outcome` says: what of Digest the client used, when all that it asked for was answered, or what went
wrong. Each thing that goes wrong has a note.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

VERSIONS: Mapping[str, str] = {
    "curl": "7.88.1",
    "wget": "1.21.3",
    "requests": "2.34.2",
    "httpx": "0.28.1",
    "aiohttp": "3.14.5",
    "urllib": "Python 3.11",
    "chromium": "156",
    "digest_auth": "",  # this tree's
}

NO_CREDENTIALS = "sends no credentials"


@dataclass(frozen=True)
class Row:
    """Settings, by what they are without their prefix DEVICE_; or a user of the device."""

    title: str
    settings: Mapping[str, str]
    cells: Mapping[str, str]
    user: str = "admin"


SETTINGS = (
    Row(
        "`SHA-256`",
        {"ALGORITHMS": "SHA-256"},
        {
            "curl": "SHA-256",
            "wget": "refused: MD5",
            "requests": "SHA-256",
            "httpx": "SHA-256",
            "aiohttp": "SHA-256",
            "urllib": "raises ValueError",
            "chromium": "SHA-256",
            "digest_auth": "SHA-256",
        },
    ),
    Row(
        "`SHA-256,MD5`",
        {"ALGORITHMS": "SHA-256,MD5"},
        {
            "curl": "SHA-256",
            "wget": "MD5",
            "requests": "MD5",
            "httpx": "SHA-256",
            "aiohttp": "SHA-256",
            "urllib": "raises ValueError",
            "chromium": "SHA-256",
            "digest_auth": "SHA-256",
        },
    ),
    Row(
        "`MD5,SHA-256`",
        {"ALGORITHMS": "MD5,SHA-256"},
        {
            "curl": "MD5",
            "wget": "MD5",
            "requests": "SHA-256",
            "httpx": "MD5",
            "aiohttp": "MD5",
            "urllib": "MD5",
            "chromium": "MD5",
            "digest_auth": "SHA-256",
        },
    ),
    Row(
        "`MD5`",
        {"ALGORITHMS": "MD5"},
        dict.fromkeys(VERSIONS, "MD5"),
    ),
    Row(
        "`SHA-256,SHA-512-256,SHA-256`",
        {"ALGORITHMS": "SHA-256,SHA-512-256,SHA-256"},
        {
            "curl": "SHA-256",
            "wget": "refused: MD5",
            "requests": "SHA-256",
            "httpx": "SHA-256",
            "aiohttp": "SHA-256",
            "urllib": "raises ValueError",
            "chromium": "SHA-256",
            "digest_auth": "SHA-256",
        },
    ),
    Row(
        "`SHA-256,SHA-512-256`",
        {"ALGORITHMS": "SHA-256,SHA-512-256"},
        {
            "curl": "SHA-256",
            "wget": "refused: MD5",
            "requests": NO_CREDENTIALS,
            "httpx": "SHA-256",
            "aiohttp": "SHA-256",
            "urllib": "raises ValueError",
            "chromium": "SHA-256",
            "digest_auth": "SHA-256",
        },
    ),
    Row(
        "`SHA-512-256,SHA-256`",
        {"ALGORITHMS": "SHA-512-256,SHA-256"},
        {
            "curl": "refused: SHA-512-256",
            "wget": "refused: MD5",
            "requests": "SHA-256",
            "httpx": "raises KeyError",
            "aiohttp": "raises ClientError",
            "urllib": "raises ValueError",
            "chromium": "SHA-256",
            "digest_auth": "SHA-512-256",
        },
    ),
    Row(
        "`SHA-256-sess`",
        {"ALGORITHMS": "SHA-256-sess"},
        {
            "curl": "SHA-256-sess",
            "wget": "refused: MD5",
            "requests": NO_CREDENTIALS,
            "httpx": "SHA-256-sess",
            "aiohttp": "SHA-256-sess",
            "urllib": "raises ValueError",
            "chromium": "SHA-256-sess",
            "digest_auth": "SHA-256-sess",
        },
    ),
    Row(
        "`MD5-sess`",
        {"ALGORITHMS": "MD5-sess"},
        {
            "curl": "MD5-sess",
            "wget": "MD5-sess",
            "requests": "MD5-sess",
            "httpx": "MD5-sess",
            "aiohttp": "MD5-sess",
            "urllib": "raises ValueError",
            "chromium": "MD5-sess",
            "digest_auth": "MD5-sess",
        },
    ),
    Row(
        "`MD5,SHA-256`, `DEVICE_QOP=auth,auth-int`",
        {"ALGORITHMS": "MD5,SHA-256", "QOP": "auth,auth-int"},
        {
            "curl": "MD5",
            "wget": "refused: SHA-256, no qop",
            "requests": "SHA-256",
            "httpx": "MD5",
            "aiohttp": "MD5, auth-int",
            "urllib": "MD5",
            "chromium": "MD5",
            "digest_auth": "SHA-256",
        },
    ),
    Row(
        "`MD5,SHA-256`, `DEVICE_QOP=auth-int`",
        {"ALGORITHMS": "MD5,SHA-256", "QOP": "auth-int"},
        {
            "curl": "MD5, auth-int / refused: MD5, auth-int",
            "wget": "refused: SHA-256, no qop",
            "requests": NO_CREDENTIALS,
            "httpx": "raises NotImplementedError",
            "aiohttp": "MD5, auth-int",
            "urllib": "raises URLError",
            "chromium": NO_CREDENTIALS,
            "digest_auth": "SHA-256, auth-int",
        },
    ),
    Row(
        "`MD5,SHA-256`, `DEVICE_USERHASH=on`",
        {"ALGORITHMS": "MD5,SHA-256", "USERHASH": "on"},
        {
            "curl": "MD5, hashed name",
            "wget": "MD5",
            "requests": "SHA-256",
            "httpx": "MD5",
            "aiohttp": "MD5",
            "urllib": "MD5",
            "chromium": "MD5, hashed name",
            "digest_auth": "SHA-256, hashed name",
        },
    ),
    Row(
        "`MD5,SHA-256`, `DEVICE_NONCE_COUNT_LIMIT=2`",
        {"ALGORITHMS": "MD5,SHA-256", "NONCE_COUNT_LIMIT": "2"},
        {
            "curl": "MD5",
            "wget": "MD5",
            "requests": "SHA-256",
            "httpx": "MD5",
            "aiohttp": "MD5",
            "urllib": "MD5",
            "chromium": "MD5",
            "digest_auth": "SHA-256",
        },
    ),
)
"""All asked as one user, whose name and password are ASCII."""

USERS: Mapping[str, str] = {
    "admin": "right-password",
    "punctuation": "a:b \"c\" \\d, 'e' %20 =;",
    "accents": "clé de sûreté",
    "Jäsøn Doe": "Secret, or not?",
}
"""Passwords by name."""

_OF_USERS = {"ALGORITHMS": "MD5,SHA-256"}  # the list with which each client works

NAMES = (
    Row(
        "colon, quotes, backslash, space in the password",
        _OF_USERS,
        {
            "curl": "MD5",
            "wget": "MD5",
            "requests": "SHA-256",
            "httpx": "MD5",
            "aiohttp": "MD5",
            "urllib": "MD5",
            "chromium": "MD5",
            "digest_auth": "SHA-256",
        },
        "punctuation",
    ),
    Row(
        "accents in the password",
        _OF_USERS,
        {
            "curl": "MD5",
            "wget": "MD5",
            "requests": "SHA-256",
            "httpx": "MD5",
            "aiohttp": "MD5",
            "urllib": "raises UnicodeEncodeError",
            "chromium": "MD5",
            "digest_auth": "SHA-256",
        },
        "accents",
    ),
    Row(
        "accents in the user's name",
        _OF_USERS,
        {
            "curl": "MD5",
            "wget": "MD5",
            "requests": "SHA-256",
            "httpx": "raises UnicodeEncodeError",
            "aiohttp": "MD5",
            "urllib": "raises UnicodeEncodeError",
            "chromium": "MD5",
            "digest_auth": "SHA-256",
        },
        "Jäsøn Doe",
    ),
)

NOTES: Mapping[tuple[str, str], str] = {
    ("wget", "refused: MD5"): "wget knows MD5 alone and answers every challenge with it: put MD5 on the list.",
    ("wget", "refused: SHA-256, no qop"): (
        "wget knows no list of `qop`s: where `auth-int` is offered it leaves `qop` out, which is RFC 2069's weaker form"
        " and never accepted."
    ),
    ("requests", NO_CREDENTIALS): (
        "requests joins all challenges, and of each parameter the last one wins. It knows MD5, MD5-sess, SHA-256,"
        " SHA-512 and `qop=auth`; where the last challenge is another it sends no credentials."
    ),
    ("httpx", "raises KeyError"): "httpx reads the first challenge alone, and SHA-512-256 is unknown to it.",
    ("httpx", "raises NotImplementedError"): "httpx has no `auth-int`.",
    ("httpx", "raises UnicodeEncodeError"): (
        "httpx writes headers in ASCII: subclass `httpx.DigestAuth`, or use `digest_auth.httpx.SharedDigestAuth`."
    ),
    ("aiohttp", "raises ClientError"): "aiohttp reads the first challenge alone, and SHA-512-256 is unknown to it.",
    ("urllib", "raises ValueError"): (
        "`HTTPDigestAuthHandler` reads the first challenge alone and knows MD5 (and SHA, which is not RFC 7616's):"
        " put MD5 first."
    ),
    ("urllib", "raises URLError"): "`HTTPDigestAuthHandler` has no `auth-int`.",
    ("urllib", "raises UnicodeEncodeError"): "`HTTPDigestAuthHandler` takes ASCII alone.",
    ("curl", "refused: SHA-512-256"): "What this curl calls SHA-512-256 is SHA-256.",
    ("curl", "MD5, auth-int / refused: MD5, auth-int"): (
        "Requests without a body work; of others this curl hashes no body, whatever it is."
    ),
    ("chromium", NO_CREDENTIALS): "Chromium has no `auth-int`: it sends no credentials, and what comes is the 401.",
}

_HEAD = """\
# Which clients work with which Digest settings

Each cell was seen by running the client against both implementations, Flask over HTTP/1.1 and Quart over HTTP/2 where
the client has it: `GET` with a query, `POST` with a body, `PUT` with a body and `%2F` in the path, one after the other.
It says what of Digest the client used; **no** has a note below. `digest_auth` is this project's own, as
`digest_auth.httpx.SharedDigestAuth`. A client that begins to work, or stops, makes a test fail.
"""

_BEFORE_NAMES = """
Names and passwords, with `DEVICE_ALGORITHMS=MD5,SHA-256`. Users files are UTF-8, and the server says so in each
challenge (`charset=UTF-8`):
"""

_BEFORE_NOTES = """
Why not:
"""

_ADVICE = """
What to choose:

- `SHA-256` alone is the default: it is what to use unless somebody comes with wget or urllib.
- `SHA-256,SHA-512-256,SHA-256` offers SHA-512-256, which is as strong, to a client that prefers it (none of these does)
  and keeps all others working. Without the last SHA-256 requests sends nothing: a list's end matters as well.
- `SHA-256,MD5` lets wget in, but makes requests use MD5. With `MD5,SHA-256` most clients use MD5.
- Every client goes on by itself when its nonce is used up (the last line of the first table) or too old: the server
  says `stale=true`, and nobody is asked for the password again.
- `auth-int` is for clients of one's own: beside ours, aiohttp alone uses it rightly.
"""


def render() -> str:
    """The page, docs/digest-clients.md."""
    notes: dict[str, int] = {}
    settings = "\n".join(_lines("`DEVICE_ALGORITHMS`", SETTINGS, notes))
    names = "\n".join(_lines("User", NAMES, notes))
    numbered = "\n".join(f"{number}. {text}" for text, number in notes.items())
    return f"{_HEAD}\n{settings}\n{_BEFORE_NAMES}\n{names}\n{_BEFORE_NOTES}\n{numbered}\n{_ADVICE}"


def _lines(corner: str, rows: tuple[Row, ...], notes: dict[str, int]) -> Iterator[str]:
    yield _line(corner, (f"{client} {version}".rstrip() for client, version in VERSIONS.items()))
    yield "|" + "---|" * (1 + len(VERSIONS))
    for row in rows:
        yield _line(row.title, (_cell(client, row.cells[client], notes) for client in VERSIONS))


def _line(title: str, cells: Iterable[str]) -> str:
    return f"|{title}|{'|'.join(cells)}|"


def works(outcome: str) -> bool:
    """Whether all that was asked for was answered."""
    return not outcome.startswith(("refused", "raises", "status", NO_CREDENTIALS)) and "/" not in outcome


def _cell(client: str, outcome: str, notes: dict[str, int]) -> str:
    if works(outcome):
        return outcome
    number = notes.setdefault(NOTES[client, outcome], len(notes) + 1)
    return f"**no** ({number})"


if __name__ == "__main__":
    sys.stdout.write(render())
