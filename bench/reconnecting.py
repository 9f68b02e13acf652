"""Clients that make some requests on each connection."""

from locust import task

from bench._users import DeviceUser


class ReconnectingUser(DeviceUser):
    """A client that opens a new connection, with a full handshake, after each so many requests; the nonce is kept.

    How many: --requests-per-connection. With 1 it is what FullHandshakeUser does.
    """

    def on_start(self) -> None:
        """Be challenged before anything is counted."""
        self.request = self.system_state("system-state, reconnecting")
        self.client.warm_up(self.request)

    @task
    def poll(self) -> None:
        """Read the system's state, again and again."""
        self.repeat(self.client.perform_reconnecting, self.request)
