"""Many short connections that remember each other."""

from locust import task

from bench._users import DeviceUser


class ResumedHandshakeUser(DeviceUser):
    """A client that opens a connection for each request and resumes its TLS session: a browser, an SDK with a cache.

    A handshake that turns out to be full is counted as a full one, and its request as the failure "TLS session not
    resumed". To an http:// host: just a new connection. The Digest nonce is kept.
    """

    def on_start(self) -> None:
        """Be challenged, and get the first session, before anything is counted."""
        self.request = self.system_state("system-state, resumed connection")
        self.client.warm_up(self.request)
        self.client.keep_session()

    @task
    def poll(self) -> None:
        """Connect with the last session, read the system's state, close."""
        self.repeat(self.client.perform_resumed, self.request)
