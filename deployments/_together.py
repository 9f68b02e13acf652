"""The processes of a deployment: the application's server and, where there is one, the proxy in front of it."""

import select
import signal
import time

from deployments._process import ServerProcess
from device_api.ready import ServerProcess as Role


class Together:
    """As one `ServerProcess`: whichever ends first ends it. The proxy is stopped first, so that nobody is refused."""

    def __init__(
        self, app: ServerProcess, proxy: ServerProcess | None = None, *, proxy_stop: signal.Signals = signal.SIGTERM
    ) -> None:
        self._app = app
        self._proxy = proxy
        self._proxy_stop = proxy_stop

    @property
    def pid(self) -> int:
        """The root of the application server's process tree."""
        return self._app.pid

    @property
    def roles(self) -> tuple[Role, ...]:
        """The root of each process tree, with its part in the deployment."""
        app = Role("app", self._app.pid)
        return (app,) if self._proxy is None else (app, Role("proxy", self._proxy.pid))

    @property
    def facing(self) -> ServerProcess:
        """The one that clients meet."""
        return self._app if self._proxy is None else self._proxy

    def poll(self) -> int | None:
        """Return the exit status of the first that has ended, else None."""
        found = (process.poll() for process in self._all)
        return next((status for status in found if status is not None), None)

    def wait(self, timeout_s: float | None) -> int | None:
        """Wait until one of them ends, at most so long; then as `poll`."""
        if self.poll() is None:
            waiting = select.poll()
            for process in self._all:
                waiting.register(process.descriptor, select.POLLIN)
            waiting.poll(None if timeout_s is None else max(0.0, timeout_s) * 1000)
        return self.poll()

    def listens_on(self, port: int) -> bool:
        """Say whether the one that clients meet accepts TCP connections on a port."""
        return self.facing.listens_on(port)

    def stop(self, grace_s: float) -> int:
        """End them in good order, the proxy first; return the exit status of the one that clients meet."""
        if self._proxy is None:
            return self._app.stop(grace_s)
        until_s = time.monotonic() + grace_s
        try:
            return self._proxy.stop(grace_s, self._proxy_stop)
        finally:
            self._app.stop(max(0.0, until_s - time.monotonic()))

    @property
    def _all(self) -> tuple[ServerProcess, ...]:
        return (self._app,) if self._proxy is None else (self._app, self._proxy)
