"""A device behind Digest, in memory: what the tests of this folder ask."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from digest_auth import (
    COUNT_LIMIT,
    PLAIN_ALGORITHMS,
    Algorithm,
    Authenticator,
    AwaitingBody,
    Claim,
    DigestClient,
    DigestRequest,
    Granted,
    MemoryReplayStore,
    Nonces,
    Qop,
    Refused,
    Throttle,
    UserTable,
    htdigest_line,
)

REALM = "network-device"
KEY = bytes(range(32))
NOW_S = 1_800_000_000.0
LIFETIME_S = 300.0


def users(*names: str, password: str = "right", algorithms: Sequence[Algorithm] = PLAIN_ALGORITHMS) -> UserTable:
    return UserTable.parse("\n".join(htdigest_line(n, REALM, password, a) for n in names for a in algorithms))


@dataclass
class Device:
    """Checks and settles as an application does, on a clock that the test sets."""

    algorithms: Sequence[Algorithm] = (Algorithm.SHA_256,)
    now_s: float = NOW_S
    store: MemoryReplayStore = field(default_factory=MemoryReplayStore)
    known: UserTable = field(default_factory=lambda: users("admin"))
    key: bytes = KEY
    qops: Sequence[Qop] = (Qop.AUTH,)
    count_limit: int = COUNT_LIMIT
    userhash: bool = False
    domain: Sequence[str] = ()
    opaque: str | None = None
    throttle: Throttle | None = None

    def __post_init__(self) -> None:
        self.nonces = Nonces(self.key, self.store, REALM)
        self.authenticator = Authenticator(
            realm=REALM,
            users=self.known,
            nonces=self.nonces,
            algorithms=self.algorithms,
            nonce_lifetime_s=LIFETIME_S,
            qops=self.qops,
            count_limit=self.count_limit,
            userhash=self.userhash,
            domain=self.domain,
            opaque=self.opaque,
            throttle=self.throttle,
        )

    def ask(
        self,
        *authorization: str,
        method: str = "GET",
        target: str = "/a",
        body: bytes = b"",
        address: str = "192.0.2.1",
    ) -> Granted | Refused:
        request = DigestRequest(method, target, authorization, address)
        verdict: Claim | AwaitingBody | Granted | Refused = self.authenticator.check(request, now_s=self.now_s)
        if isinstance(verdict, AwaitingBody):
            verdict.update(body)
            verdict = verdict.decide(now_s=self.now_s)
        if isinstance(verdict, Claim):
            return verdict.settle(unused=self.store.use(verdict))
        return verdict

    def challenge(self) -> tuple[str, ...]:
        refused = self.ask()
        assert isinstance(refused, Refused)
        return refused.www_authenticate

    def client(self, user: str = "admin", password: str = "right") -> DigestClient:
        client = DigestClient(user, password)
        assert client.accept(self.challenge())
        return client


def header(client: DigestClient, method: str = "GET", target: str = "/a") -> str:
    value = client.authorization(method, target)
    assert value is not None
    return value
