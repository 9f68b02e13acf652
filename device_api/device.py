"""A running device: what both implementations hold, opened once.

Everything that a request needs is made here, when the device is opened: no request reads a file or builds what
could have been built before.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import certs
from device_api import datastore as stored
from device_api.authentication import Authentication
from device_api.datastore import Datastore
from device_api.errors import UnavailableError
from device_api.settings import Settings, SettingsError
from device_api.state import DeviceState, StateError, open_state
from device_api.system import date_and_time, system_state
from digest_auth import UsersFileError

_log = logging.getLogger(__name__)

OPEN_ERRORS: Final = (
    SettingsError,
    StateError,
    UsersFileError,
    certs.CertificateError,
)
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
        authentication: Authentication | None,
    ) -> None:
        """authentication: None when everybody may come in (auth=none)."""
        self.settings = settings
        self.state = state
        self.datastore = datastore
        self.authentication = authentication
        self._boot_datetime = date_and_time(datetime.now(UTC))
        self._draining = False

    @classmethod
    def open(cls, settings: Settings) -> "Device":
        """Open the state folder and the datastore, and make in them what is missing. Raises OPEN_ERRORS."""
        state = open_state(settings.state, realm=settings.realm)
        with contextlib.ExitStack() as opened:
            authentication = None
            if settings.auth == "digest":
                authentication = Authentication.open(settings, state)
                opened.callback(authentication.close)
            datastore = Datastore.open(
                settings.datastore, default=state.database, lock=state.lock_file, threads=settings.threads
            )
            opened.pop_all()
        return cls(settings=settings, state=state, datastore=datastore, authentication=authentication)

    def system_state(self) -> dict[str, object]:
        """Return the system-state container as of now."""
        return system_state(self._boot_datetime, datetime.now(UTC))

    def health(self) -> Health:
        """Say whether requests should be sent here. It asks the datastore and the replay store, so it may block."""
        if self._draining:
            return Health(503, {"status": "draining"})
        try:
            self.datastore.run(stored.check)
            if self.authentication is not None:
                self.authentication.check_store()
        except UnavailableError as error:
            return Health(503, {"status": "unavailable", "reason": error.message})
        return Health(200, {"status": "ok"})

    def drain(self) -> None:
        """Tell load balancers to send nothing more; called when a stop begins. Requests are still served."""
        self._draining = True

    def close(self) -> None:
        """Let go of the datastore and the replay store."""
        self.datastore.close()
        if self.authentication is not None:
            self.authentication.close()


class LazyDevice:
    """A device that is opened when first asked for, so that importing an application touches no file.

    settings: what to open it with; None reads `DEVICE_*` variables at that time.
    """

    def __init__(self, settings: Settings | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._trying = threading.Lock()
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
        opened = self.opened
        if opened is not None:
            return opened
        with self._trying:  # one at a time: who waited meanwhile gets the same outcome
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
