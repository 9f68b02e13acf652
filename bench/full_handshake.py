"""Many short connections, each from nothing."""

from locust import task

from bench._users import DeviceUser


class FullHandshakeUser(DeviceUser):
    """A client that opens a connection for each request: a script run by cron, `curl` in a loop, `requests.get`.

    A full TLS handshake each time (to an http:// host: just a new connection); the Digest nonce is kept.
    """

    def on_start(self) -> None:
        """Be challenged before anything is counted."""
        self.request = self.system_state("system-state, new connection")
        self.client.warm_up(self.request)

    @task
    def poll(self) -> None:
        """Connect, read the system's state, close."""
        self.repeat(self.client.perform_anew, self.request)
