"""Few busy clients that read the datastore."""

from locust import task

from bench._users import DeviceUser


class OneInterfaceUser(DeviceUser):
    """A client that keeps its connection and its nonce and reads one interface, which stands in the datastore.

    Beside KeepAliveUser, whose answer needs no datastore, this shows what the datastore costs.
    """

    def on_start(self) -> None:
        """Connect, be challenged and learn an interface's name before anything is counted."""
        self.request = self.one_interface("interface")

    @task
    def poll(self) -> None:
        """Read the interface, again and again."""
        self.repeat(self.client.perform, self.request)
