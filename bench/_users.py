"""What all kinds of client have in common: a lean client of the device, and tasks that are many requests long."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from urllib.parse import quote

from locust import User
from locust.env import Environment
from locust.exception import StopTest

from bench._client import Request
from bench._options import DEFAULT_HOST
from bench._session import SYSTEM_STATE, session_of

INTERFACES = "/restconf/data/ietf-interfaces:interfaces"

# Locust's own work for a task is a third of a request's; a tenth of a second of requests shares it.
# No longer, because --stop-timeout waits for the task.
_TASK_NS = 100_000_000


class DeviceUser(User):
    """Base of all users. `host` is that of a device started with its defaults; --host replaces it."""

    abstract = True
    host = DEFAULT_HOST

    def __init__(self, environment: Environment) -> None:
        """Raise StopTest where no client can be made (no credentials, no CA)."""
        super().__init__(environment)
        try:
            self.client = session_of(environment).client(self.host or DEFAULT_HOST)
        except ValueError as error:  # StateError, CertificateError and TargetError: one whole line each
            raise StopTest(str(error)) from error

    def on_stop(self) -> None:
        """Locust calls this when the user ends, wherever it was."""
        self.client.close()

    def system_state(self, name: str) -> Request:
        """Make the request that most kinds of client repeat: tiny, and without the datastore."""
        return self.client.prepare(name, "GET", SYSTEM_STATE)

    def one_interface(self, name: str) -> Request:
        """Make the request that reads one interface; connects, is challenged and learns which ones there are."""
        listing = self.client.prepare(f"{name}s", "GET", INTERFACES)
        while (answer := self.client.warm_up(listing)) is None:
            pass  # a failure that was counted, and waited after
        first = json.loads(answer.content)["ietf-interfaces:interfaces"]["interface"][0]["name"]
        return self.client.prepare(name, "GET", f"{INTERFACES}/interface={quote(first, safe='')}")

    @staticmethod
    def repeat(perform: Callable[[Request], int], request: Request) -> None:
        """Perform one request after the other for a tenth of a second, and at least once."""
        until_ns = time.monotonic_ns() + _TASK_NS
        while perform(request) < until_ns:
            pass
