"""Load balancers that ask whether the device is up."""

from locust import task

from bench._users import DeviceUser


class HealthUser(DeviceUser):
    """A load balancer on a kept connection: no credentials, no datastore, the least that a server can do.

    Beside KeepAliveUser, this shows what is the framework's and the server's own.
    """

    def on_start(self) -> None:
        """Connect before anything is counted."""
        self.request = self.client.prepare("health", "GET", "/health")
        self.client.warm_up(self.request)

    @task
    def check(self) -> None:
        """Ask, again and again."""
        self.repeat(self.client.perform, self.request)
