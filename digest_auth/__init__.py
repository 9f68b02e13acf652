"""HTTP Digest access authentication (RFC 7616) by itself, without I/O.

What it is: the server's check, a pure decision whose order of steps is a security property (`_server.py`), the
replay stores that make each (nonce, nc) good for one request, and the client side. What it must not do: read a
socket, a clock or a framework's request; callers pass in what it decides on. It knows nothing of the rest of this
project and imports the standard library alone; anyone may import it. Two modules are imported by name, for the one
distribution that each needs: `digest_auth.httpx` (httpx.Auth) and `digest_auth.redis` (a replay store for many hosts).
`python -m digest_auth` manages users files.

    verdict = authenticator.check(DigestRequest(method, target, authorization, address), now_s=time.time())
    if isinstance(verdict, AwaitingBody):  # qop=auth-int, where it is offered
        verdict.update(body)
        verdict = verdict.decide(now_s=time.time())
    if isinstance(verdict, Claim):
        verdict = verdict.settle(unused=store.use(verdict))
    if isinstance(verdict, Refused):
        ...  # answer verdict.status with a header line for each of verdict.www_authenticate, and Retry-After if it says
    verdict.user  # only Granted has it; the answer carries verdict.authentication_info() as Authentication-Info
"""

from digest_auth._algorithms import PLAIN_ALGORITHMS, Algorithm, AlgorithmUnavailableError
from digest_auth._client import DigestClient, Prepared, RspauthError
from digest_auth._header import HeaderError
from digest_auth._nonces import Nonces
from digest_auth._replay import (
    COUNT_LIMIT,
    CountedUse,
    ReplayStore,
    ReplayTable,
    StoreUnavailableError,
)
from digest_auth._replay_memory import MemoryReplayStore
from digest_auth._replay_shm import ShmReplayStore
from digest_auth._response import Qop, hash_a1
from digest_auth._server import Authenticator, AwaitingBody, Claim, DigestRequest, Granted, Refused
from digest_auth._throttle import Throttle
from digest_auth._users import UsersFileError, UserTable, htdigest_line, htdigest_lines
from digest_auth._users_watched import WatchedUsers

__all__ = [
    "COUNT_LIMIT",
    "PLAIN_ALGORITHMS",
    "Algorithm",
    "AlgorithmUnavailableError",
    "Authenticator",
    "AwaitingBody",
    "Claim",
    "CountedUse",
    "DigestClient",
    "DigestRequest",
    "Granted",
    "HeaderError",
    "MemoryReplayStore",
    "Nonces",
    "Prepared",
    "Qop",
    "Refused",
    "ReplayStore",
    "ReplayTable",
    "RspauthError",
    "ShmReplayStore",
    "StoreUnavailableError",
    "Throttle",
    "UserTable",
    "UsersFileError",
    "WatchedUsers",
    "hash_a1",
    "htdigest_line",
    "htdigest_lines",
]
