"""Clients that never reuse a nonce."""

from locust import task

from bench._users import DeviceUser


class ChallengeUser(DeviceUser):
    """A client that keeps its connection but is challenged each time: curl --digest, requests without a session.

    Each request is sent without credentials, answered 401, and sent again with them: both are one request here, timed
    from the first byte sent to the last received.
    """

    def on_start(self) -> None:
        """Connect before anything is counted."""
        self.request = self.system_state("system-state, challenged")
        self.client.warm_up(self.request)

    @task
    def poll(self) -> None:
        """Read the system's state, in two rounds."""
        self.repeat(self.client.perform_challenged, self.request)
