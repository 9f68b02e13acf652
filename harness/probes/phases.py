"""Where one request's time goes, by httpx's own trace: connect, TLS, send, wait, receive."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from certs import client_context
from digest_auth import DigestClient
from harness.errors import UserError
from harness.probes.target import TIMEOUT_S, Target, no_answer, unreachable

# httpcore's names for what it does (its documentation, "Extensions", trace), and ours.
_PHASES = {
    "connection.connect_tcp": "connect",
    "connection.start_tls": "tls",
    "http11.send_request_headers": "send",
    "http11.send_request_body": "send",
    "http11.receive_response_headers": "wait",
    "http11.receive_response_body": "receive",
}
PHASE_NAMES = ("connect", "tls", "send", "wait", "receive")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPhases:
    """One request. A phase that did not happen (connecting, on a kept connection) is absent."""

    what: str
    status: int
    phases_us: Mapping[str, float]
    body_bytes: int

    @property
    def total_us(self) -> float:
        """All phases together."""
        return sum(self.phases_us.values())


class _Stopwatch:
    """An httpcore trace: notes when each step starts and ends."""

    def __init__(self) -> None:
        self.phases_us: dict[str, float] = {}
        self._started_ns: dict[str, int] = {}

    def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        del info
        now_ns = time.perf_counter_ns()
        step, _, state = event.rpartition(".")
        phase = _PHASES.get(step)
        if phase is None:
            return
        if state == "started":
            self._started_ns[step] = now_ns
        elif step in self._started_ns:
            spent_us = (now_ns - self._started_ns.pop(step)) / 1000
            self.phases_us[phase] = self.phases_us.get(phase, 0.0) + spent_us


def probe_phases(
    target: Target, ca_file: Path | None, credentials: tuple[str, str] | None
) -> tuple[RequestPhases, ...]:
    """Send a request; when it is challenged and there are credentials, send it again with Digest.

    Returns one or two requests, in the order sent, the second on the same connection if the server kept it.
    Raises UserError.
    """
    verify = (client_context(ca_file) if ca_file else ssl.create_default_context()) if _is_https(target) else False
    try:
        _ask_all(verify, target, credentials)  # not counted: the client's own first steps, the server's first answer
        return _ask_all(verify, target, credentials)
    except httpx.ConnectError as error:
        raise _not_connected(target, error) from error
    except httpx.TimeoutException as error:
        raise no_answer(target, f"did not answer within {TIMEOUT_S:g} s") from error
    except httpx.HTTPError as error:
        raise no_answer(target, f"answered what is not HTTP ({error})") from error


def _ask_all(
    verify: ssl.SSLContext | bool,  # noqa: FBT001 - httpx's own type: False where there is no TLS
    target: Target,
    credentials: tuple[str, str] | None,
) -> tuple[RequestPhases, ...]:
    with httpx.Client(verify=verify, timeout=TIMEOUT_S, trust_env=False) as client:
        first, response = _ask(client, target, None, "first request")
        authorization = _authorization(target, response, credentials)
        if authorization is None:
            return (first,)
        again, _ = _ask(client, target, authorization, "again, with Digest")
        return first, again


def _ask(
    client: httpx.Client, target: Target, authorization: bytes | None, what: str
) -> tuple[RequestPhases, httpx.Response]:
    stopwatch = _Stopwatch()
    headers = {b"Authorization": authorization} if authorization else {}
    # The path is sent as it was given: raw_path is what httpcore puts into the request line.
    url = httpx.URL(target.url).copy_with(raw_path=target.path.encode())
    response = client.get(url, headers=headers, extensions={"trace": stopwatch})
    return (
        RequestPhases(
            what=what,
            status=response.status_code,
            phases_us=stopwatch.phases_us,
            body_bytes=len(response.content),
        ),
        response,
    )


def _authorization(target: Target, response: httpx.Response, credentials: tuple[str, str] | None) -> bytes | None:
    if response.status_code != httpx.codes.UNAUTHORIZED or credentials is None:
        return None
    try:
        digest = DigestClient(*credentials)
    except ValueError as error:
        raise UserError(f"the credentials cannot be used: {error}", hint="correct the line user:password") from error
    # Octets there and back: httpx would guess an encoding.
    lines = [value.decode("latin-1") for name, value in response.headers.raw if name.lower() == b"www-authenticate"]
    if not digest.accept(lines):
        raise UserError(
            f"{target.url} asks for authentication, but offers no Digest that can be used here",
            hint="probe a URL without authentication",
        )
    return digest.prepare("GET", target.path).authorization()


def _is_https(target: Target) -> bool:
    return target.scheme == "https"


def _not_connected(target: Target, error: httpx.ConnectError) -> UserError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return UserError(
                f"the certificate of {target.authority} is not trusted: {cause.verify_message}",
                hint="give its CA with --ca-file",
            )
        cause = cause.__cause__ or cause.__context__
    return unreachable(target, str(error))
