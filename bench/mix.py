"""A bit of everything."""

import json

from locust import task

from bench._users import INTERFACES, DeviceUser

_ONE_ECHO = {"network-device:input": {"destination": "192.0.2.1", "count": 1, "interval-ms": 100}}


class MixUser(DeviceUser):
    """A network management station: reads state often, interfaces at times, pings now and then, reconnects rarely.

    The weights are a guess at such a station, not a measurement of one. Each task is one request.
    """

    def on_start(self) -> None:
        """Connect, be challenged and learn an interface's name before anything is counted."""
        self.state = self.system_state("system-state")
        self.interfaces = self.client.prepare("interfaces", "GET", INTERFACES)
        self.ping = self.client.prepare(
            "ping", "POST", "/restconf/operations/network-device:ping", json.dumps(_ONE_ECHO).encode("ascii")
        )
        self.interface = self.one_interface("interface")

    @task(60)
    def read_state(self) -> None:
        """Read the system's state."""
        self.client.perform(self.state)

    @task(15)
    def read_interfaces(self) -> None:
        """Read all interfaces."""
        self.client.perform(self.interfaces)

    @task(20)
    def read_interface(self) -> None:
        """Read one interface."""
        self.client.perform(self.interface)

    @task(3)
    def ping_once(self) -> None:
        """Ping once."""
        self.client.perform(self.ping)

    @task(2)
    def reconnect(self) -> None:
        """Read the system's state on a new connection, and keep that."""
        self.client.close()
        self.client.perform(self.state)
