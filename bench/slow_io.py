"""Many requests that wait."""

import json

from locust import task

from bench._users import DeviceUser

_ONE_ECHO = {"network-device:input": {"destination": "192.0.2.1", "count": 1, "interval-ms": 100}}


class SlowIoUser(DeviceUser):
    """A client whose requests make the device wait: each ping takes a tenth of a second, in which nobody computes.

    What counts here is how many a server can keep waiting at once.
    """

    def on_start(self) -> None:
        """Connect and be challenged before anything is counted."""
        self.request = self.client.prepare(
            "ping", "POST", "/restconf/operations/network-device:ping", json.dumps(_ONE_ECHO).encode("ascii")
        )
        self.client.warm_up(self.system_state("system-state"))

    @task
    def ping(self) -> None:
        """Ping once."""
        self.repeat(self.client.perform, self.request)
