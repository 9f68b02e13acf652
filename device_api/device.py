"""A running device: what both implementations hold, opened once.

Everything that a request needs is made here, when the device is opened: no request reads a file or builds what
could have been built before.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import certs
from device_api import datastore as stored
from device_api.datastore import Datastore
from device_api.errors import UnavailableError
from device_api.settings import Settings, SettingsError, problem
from device_api.state import DeviceState, StateError, open_state
from device_api.system import date_and_time, system_state
from digest_auth import Authenticator, MemoryReplayStore, Nonces, ReplayStore, UsersFileError, UserTable

_log = logging.getLogger(__name__)

OPEN_ERRORS: Final = (SettingsError, StateError, UsersFileError, certs.CertificateError)
"""What `Device.open` raises; each one's text is one whole line."""

RETRY_S: Final = 1.0
"""After a device could not be opened, requests are answered 503 for this long before the next try."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a load balancer is told."""

    status: int
    document: dict[str, str]


class Device:
    """State, datastore and authentication of one server process. Safe to share between threads."""

    def __init__(
        self,
        *,
        settings: Settings,
        state: DeviceState,
        datastore: Datastore,
        authenticator: Authenticator | None,
        replay_store: ReplayStore,
    ) -> None:
        """authenticator: None when everybody may come in (auth=none)."""
        self.settings = settings
        self.state = state
        self.datastore = datastore
        self.authenticator = authenticator
        self.replay_store = replay_store
        self._boot_datetime = date_and_time(datetime.now(UTC))
        self._draining = False

    @classmethod
    def open(cls, settings: Settings) -> "Device":
        """Open the state folder and the datastore, and make in them what is missing. Raises OPEN_ERRORS."""
        state = open_state(settings.state, realm=settings.realm)
        replay_store = MemoryReplayStore(lifetime_s=settings.nonce_lifetime_s)
        authenticator = None
        if settings.auth == "digest":
            authenticator = Authenticator(
                realm=settings.realm,
                users=_users(settings, state),
                nonces=Nonces(state.nonce_key, replay_store, settings.realm),
                algorithms=settings.algorithms,
                nonce_lifetime_s=settings.nonce_lifetime_s,
            )
        datastore = Datastore.open(
            settings.datastore, default=state.database, lock=state.lock_file, threads=settings.threads
        )
        return cls(
            settings=settings,
            state=state,
            datastore=datastore,
            authenticator=authenticator,
            replay_store=replay_store,
        )

    def system_state(self) -> dict[str, object]:
        """Return the system-state container as of now."""
        return system_state(self._boot_datetime, datetime.now(UTC))

    def health(self) -> Health:
        """Say whether requests should be sent here. It asks the datastore, so it may block."""
        if self._draining:
            return Health(503, {"status": "draining"})
        try:
            self.datastore.run(stored.check)
        except UnavailableError as error:
            return Health(503, {"status": "unavailable", "reason": error.message})
        return Health(200, {"status": "ok"})

    def drain(self) -> None:
        """Tell load balancers to send nothing more; called when a stop begins. Requests are still served."""
        self._draining = True

    def close(self) -> None:
        """Let go of the datastore's connections."""
        self.datastore.close()


class LazyDevice:
    """A device that is opened when first asked for, so that importing an application touches no file.

    settings: what to open it with; None reads `DEVICE_*` variables at that time.
    """

    def __init__(self, settings: Settings | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._failed_at_s: float | None = None
        self.opened: Device | None = None  # set once; reading it needs no lock

    def open(self) -> Device:
        """Return the device, opened unless it is. Any number of threads may ask. Raises OPEN_ERRORS."""
        with self._lock:
            if self.opened is None:
                self.opened = Device.open(self._settings or Settings.from_environ())
            return self.opened

    def get(self) -> Device:
        """Return the device for a request. Raises UnavailableError, having logged why, while it cannot be opened."""
        if self.opened is not None:
            return self.opened
        if self._failed_at_s is not None and self._clock() - self._failed_at_s < RETRY_S:
            raise UnavailableError("the device could not be opened")
        try:
            return self.open()
        except OPEN_ERRORS as error:
            self._failed_at_s = self._clock()
            _log.error("the device cannot be opened: %s", error)
            raise UnavailableError("the device could not be opened") from error

    def health(self) -> Health:
        """Say whether requests should be sent here, opening the device if need be. It may block."""
        try:
            return self.get().health()
        except UnavailableError as error:
            return Health(503, {"status": "unavailable", "reason": error.message})

    def close(self) -> None:
        """Close the device if it was opened; asked for again, another one is opened."""
        with self._lock:
            if self.opened is not None:
                self.opened.close()
                self.opened = None


def _users(settings: Settings, state: DeviceState) -> UserTable:
    path = settings.users or state.users_file
    users = UserTable.read(path)
    if not users.knows_anybody(settings.realm, settings.algorithms):
        offered = " or ".join(settings.algorithms)
        raise problem(
            "users",
            f"{path} names nobody in the realm {settings.realm!r} with a hash of {offered}, so nobody could come in;"
            " add such a line, or remove the file and the first user gets one anew",
        )
    return users
