"""Few busy clients."""

from locust import task

from bench._users import DeviceUser


class KeepAliveUser(DeviceUser):
    """A client that keeps its connection and its nonce: monitoring that polls, an application with a session.

    One connection, one challenge, then request after request, each as soon as the last was answered.
    """

    def on_start(self) -> None:
        """Connect and be challenged before anything is counted."""
        self.request = self.system_state("system-state")
        self.client.warm_up(self.request)

    @task
    def poll(self) -> None:
        """Read the system's state, again and again."""
        self.repeat(self.client.perform, self.request)
