"""Who may come in: what a running device needs of Digest, opened once and shared by all requests.

Each framework's hook asks `check`, hands the body to what awaits it, and settles a claim with `use` or `use_async`.
What both would have to know of files, stores and clocks stands here.
"""

import contextlib
import logging
import time
from typing import Final

from device_api.errors import UnavailableError
from device_api.settings import Settings, problem
from device_api.siblings import claim_memory_store
from device_api.state import DeviceState
from digest_auth import (
    Authenticator,
    AwaitingBody,
    Claim,
    DigestRequest,
    MemoryReplayStore,
    Nonces,
    Refused,
    ReplayStore,
    ShmReplayStore,
    StoreUnavailableError,
    Throttle,
    WatchedUsers,
)

_log: Final = logging.getLogger(__name__)


class Authentication:
    """Digest authentication of one server process. Safe to share between threads."""

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        users: WatchedUsers,
        store: ReplayStore,
        resources: contextlib.ExitStack,
        informs: bool,
    ) -> None:
        """informs: whether answers carry Authentication-Info. resources: closed with it."""
        self.store = store
        self.informs = informs
        self._authenticator = authenticator
        self._users = users
        self._resources = resources
        self._store_is_down = False

    @classmethod
    def open(cls, settings: Settings, state: DeviceState) -> "Authentication":
        """Read the users and open the replay store.

        Raises UsersFileError, SettingsError or StateError.
        """
        users = WatchedUsers(settings.users or state.users_file)
        _check_users(settings, state, users)
        with contextlib.ExitStack() as resources:
            store = _open_store(settings, state, resources)
            throttle = None
            if settings.failed_tries:
                throttle = Throttle(settings.failed_tries, settings.failed_tries_per_minute)
            authenticator = Authenticator(
                realm=settings.realm,
                users=users.current(),
                nonces=Nonces(state.nonce_key, store, settings.realm),
                algorithms=settings.algorithms,
                qops=settings.qop,
                nonce_lifetime_s=settings.nonce_lifetime_s,
                count_limit=settings.nonce_count_limit,
                userhash=settings.userhash,
                domain=settings.domain,
                opaque=settings.opaque,
                throttle=throttle,
            )
            return cls(
                authenticator=authenticator,
                users=users,
                store=store,
                resources=resources.pop_all(),
                informs=settings.authentication_info,
            )

    def check(self, request: DigestRequest) -> Claim | AwaitingBody | Refused:
        """Decide on a request with the users of now, but for whether its nonce count was used before."""
        self._authenticator.users = self._users.current()
        return self._authenticator.check(request, now_s=time.time())

    def decide(self, awaiting: AwaitingBody, body: bytes) -> Claim | Refused:
        """Go on with a request whose body had to be read first."""
        awaiting.update(body)
        return awaiting.decide(now_s=time.time())

    def use(self, claim: Claim) -> bool:
        """Mark a claim's nonce count as used, for `claim.settle`. Raises UnavailableError."""
        try:
            unused = self.store.use(claim)
        except StoreUnavailableError as error:
            raise self._unavailable(error) from error
        self._store_is_down = False
        return unused

    async def use_async(self, claim: Claim) -> bool:
        """As `use`, in an event loop."""
        try:
            unused = await self.store.use_async(claim)
        except StoreUnavailableError as error:
            raise self._unavailable(error) from error
        self._store_is_down = False
        return unused

    def check_store(self) -> None:
        """For health checks. Raises UnavailableError. It may block."""
        try:
            self.store.check()
        except StoreUnavailableError as error:
            raise self._unavailable(error) from error

    def close(self) -> None:
        """Let go of the replay store."""
        self._resources.close()

    def _unavailable(self, error: StoreUnavailableError) -> UnavailableError:
        if not self._store_is_down:  # one line when it goes down, not one for each request
            self._store_is_down = True
            _log.warning("nobody is let in until the replay store answers again: %s", error)
        return UnavailableError("the store of used nonces cannot be asked")


def _open_store(settings: Settings, state: DeviceState, resources: contextlib.ExitStack) -> ReplayStore:
    kind, _, name = settings.replay_store.partition(":")
    store: ReplayStore
    if kind == "memory":
        resources.enter_context(claim_memory_store(state.folder))
        store = MemoryReplayStore(lifetime_s=settings.nonce_lifetime_s)
    else:
        try:
            store = _shared_store(settings, kind, name)
        except (ValueError, StoreUnavailableError) as error:
            raise problem("replay_store", str(error)) from error
    resources.callback(store.close)
    return store


def _shared_store(settings: Settings, kind: str, name: str) -> ReplayStore:
    if kind == "shm":
        return ShmReplayStore(name)
    from digest_auth.redis import RedisReplayStore  # noqa: PLC0415 (a quarter of a second that only its users pay)

    return RedisReplayStore(settings.replay_store, lifetime_s=settings.nonce_lifetime_s)


def _check_users(settings: Settings, state: DeviceState, watched: WatchedUsers) -> None:
    path, users = settings.users or state.users_file, watched.current()
    if not users.knows_anybody(settings.realm, settings.algorithms):
        offered = " or ".join(dict.fromkeys(algorithm.plain for algorithm in settings.algorithms))
        raise problem(
            "users",
            f"{path} names nobody in the realm {settings.realm!r} with a hash of {offered}, so nobody could come in;"
            " add somebody with `python -m digest_auth add`, or remove the file and the first user gets one anew",
        )
    for name, algorithms in users.lacking(settings.realm, settings.algorithms).items():
        _log.warning(
            "%s: %r has no hash of %s, which is offered: clients that choose it are refused;"
            " set the password again with `python -m digest_auth password`",
            path,
            name,
            " or ".join(algorithms),
        )
