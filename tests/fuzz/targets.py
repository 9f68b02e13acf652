"""What is fuzzed, and what must hold for every input. Imports the standard library and digest_auth alone.

Each target takes octets and returns, or raises: AssertionError where a property does not hold, and anything but the
typed refusals (HeaderError, Refused, UsersFileError) is a defect as well.
"""

import re
from collections.abc import Callable

from digest_auth import (
    Algorithm,
    Authenticator,
    AwaitingBody,
    Claim,
    DigestClient,
    DigestRequest,
    Granted,
    HeaderError,
    MemoryReplayStore,
    Nonces,
    Qop,
    Refused,
    Throttle,
    UsersFileError,
    UserTable,
    hash_a1,
    htdigest_line,
)
from digest_auth._header import Credentials, challenges, credentials, quote
from digest_auth._response import hash_a1_of_session, hash_a2, response

REALM, USER, PASSWORD, TARGET = "realm", "user", "password", "/a"
NOW_S = 1_800_000_000.0
NONCE = b"@nonce@"
"""Stands for a genuine nonce in the inputs of `check` and `signed`: no fuzzer would come upon one."""

_STORE = MemoryReplayStore()
_NONCES = Nonces(bytes(range(32)), _STORE, REALM)
_NONCE = _NONCES.issue(NOW_S)
_AUTHENTICATOR = Authenticator(
    realm=REALM,
    users=UserTable.parse(
        "\n".join(
            htdigest_line(USER, REALM, PASSWORD, algorithm) for algorithm in Algorithm if not algorithm.is_session
        )
    ),
    nonces=_NONCES,
    algorithms=tuple(Algorithm),
    qops=tuple(Qop),
    userhash=True,
    throttle=Throttle(burst=1_000_000, per_minute=1_000_000.0, capacity=16),
)


def fuzz_credentials(data: bytes) -> None:
    """Reading an `Authorization` value: what was read can be written, and reads the same."""
    value = data.decode("latin-1")
    try:
        found = credentials(value)
    except HeaderError:
        _refuse(value)
        return
    common = Credentials.parse(value)
    assert (common is None) == (found is None)
    if common is not None and found is not None:
        assert [common.username, common.nc, common.uri] == [found.get(name) for name in ("username", "nc", "uri")]
    if found is not None:
        assert credentials("Digest " + ", ".join(f"{name}={quote(text)}" for name, text in found.items())) == found


def _refuse(value: str) -> None:
    try:
        Credentials.parse(value)
    except HeaderError:
        return
    raise AssertionError("one way of reading refuses what the other takes")


def fuzz_challenges(data: bytes) -> None:
    """Reading `WWW-Authenticate` lines, and answering them: what a client sends can be read."""
    lines = data.decode("latin-1").split("\n")
    for challenge in challenges(lines):
        assert all(re.fullmatch(r"[^\s\",=]*", name) for name in challenge)
    client = DigestClient(USER, PASSWORD)
    if client.accept(lines):
        value = client.authorization("GET", TARGET)
        assert value is not None
        assert not set(value) & {"\r", "\n", "\0"}, "a header that its client could not send"
        assert credentials(value) is not None


def fuzz_check(data: bytes) -> None:
    """The check over a whole header, by somebody who does not know the password but has a genuine nonce."""
    value = data.replace(NONCE, _NONCE.encode()).decode("latin-1")
    verdict = _AUTHENTICATOR.check(DigestRequest("GET", TARGET, [value], "192.0.2.1"), now_s=NOW_S)
    if isinstance(verdict, AwaitingBody):
        verdict.update(b"body")
        verdict = verdict.decide(now_s=NOW_S)
    assert isinstance(verdict, Refused), "nobody knows the password"
    assert verdict.status in {400, 401, 429}
    assert not verdict.stale
    assert bool(verdict.www_authenticate) == (verdict.status == 401)
    assert len(_STORE) == 0


def fuzz_signed(data: bytes) -> None:
    """The same by somebody who knows the password: whatever the header says is put under a right response."""
    value = data.replace(NONCE, _NONCE.encode()).decode("latin-1")
    try:
        sent = credentials(value)
    except HeaderError:
        return
    if sent is None or not {"nonce", "nc", "cnonce", "uri"} <= sent.keys():
        return
    try:
        algorithm, qop = Algorithm(sent.get("algorithm", "MD5")), Qop(sent.get("qop", ""))
    except ValueError:
        return
    sent["response"] = _response(algorithm, qop, sent)
    signed = "Digest " + ", ".join(f"{name}={quote(text)}" for name, text in sent.items())
    verdict = _AUTHENTICATOR.check(DigestRequest("GET", TARGET, [signed], "192.0.2.1"), now_s=NOW_S)
    if isinstance(verdict, AwaitingBody):
        verdict.update(b"body")
        verdict = verdict.decide(now_s=NOW_S)
    if isinstance(verdict, Claim):
        granted = verdict.settle(unused=True)
        assert isinstance(granted, Granted)
        assert granted.user == USER
        information = granted.authentication_info(b"answer").encode("latin-1")
        assert not set(information) & {10, 13, 0}, "a header that its server could not send"
    else:
        assert verdict.status in {400, 401, 429}


def _response(algorithm: Algorithm, qop: Qop, sent: dict[str, str]) -> str:
    octets = {name: text.encode("latin-1") for name, text in sent.items()}
    ha1 = hash_a1(algorithm, USER, REALM, PASSWORD)
    if algorithm.is_session:
        ha1 = hash_a1_of_session(algorithm, ha1, octets["nonce"], octets["cnonce"])
    body = algorithm.new(b"body").hexdigest().encode() if qop is Qop.AUTH_INT else None
    ha2 = hash_a2(algorithm, b"GET", octets["uri"], body)
    parts = (octets["nonce"], octets["nc"], octets["cnonce"], octets["qop"])
    return response(algorithm, ha1, *parts, ha2).decode()


def fuzz_users(data: bytes) -> None:
    """Reading a users file: refused by one line of advice, or every line is a hash that somebody can come in with."""
    text = data.decode("utf-8", "replace")
    advice = _advice(text)
    assert advice is None or len(advice.splitlines()) == 1
    if advice is None:
        assert len(UserTable.parse(text)) <= text.count(":") // 2


def _advice(text: str) -> str | None:
    try:
        UserTable.parse(text)
    except UsersFileError as error:
        return str(error)
    return None


TARGETS: dict[str, Callable[[bytes], None]] = {
    "credentials": fuzz_credentials,
    "challenges": fuzz_challenges,
    "check": fuzz_check,
    "signed": fuzz_signed,
    "users": fuzz_users,
}
