"""The processes of a deployment: the application's server and, where there is one, the proxy in front of it.

Where the server has no workers itself, the proxy may choose among several of its processes.
"""

import contextlib
import select
import signal
import time

from deployments._process import ServerProcess
from device_api.ready import ServerProcess as Role


class Together:
    """As one `ServerProcess`: whichever ends first ends it. The proxy is stopped first, so that nobody is refused."""

    def __init__(
        self,
        app: ServerProcess,
        proxy: ServerProcess | None = None,
        *,
        more_apps: tuple[ServerProcess, ...] = (),
        app_stop: signal.Signals = signal.SIGTERM,
        proxy_stop: signal.Signals = signal.SIGTERM,
    ) -> None:
        self._app = app
        self._more_apps = more_apps
        self._proxy = proxy
        self._app_stop = app_stop
        self._proxy_stop = proxy_stop

    def behind(self, proxy: ServerProcess, proxy_stop: signal.Signals) -> "Together":
        """Return them with a proxy in front."""
        return Together(self._app, proxy, more_apps=self._more_apps, app_stop=self._app_stop, proxy_stop=proxy_stop)

    def beside(self, app: ServerProcess) -> "Together":
        """Return them with one more process of the application; before a proxy comes."""
        return Together(self._app, more_apps=(*self._more_apps, app), app_stop=self._app_stop)

    @property
    def pid(self) -> int:
        """The root of the application server's process tree; of several, the first one's."""
        return self._app.pid

    @property
    def roles(self) -> tuple[Role, ...]:
        """The root of each process tree, with its part in the deployment."""
        apps = tuple(Role("app", app.pid) for app in self._apps)
        return apps if self._proxy is None else (*apps, Role("proxy", self._proxy.pid))

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
        meet = self._apps if self._proxy is None else (self._proxy,)
        return any(process.listens_on(port) for process in meet)

    def stop(self, grace_s: float) -> int:
        """End them in good order, the proxy first; return the exit status of the one that clients meet."""
        until_s = time.monotonic() + grace_s
        with contextlib.ExitStack() as stack:
            for app in reversed(self._apps):
                stack.callback(self._stop_app, app, until_s)
            if self._proxy is not None:
                return self._proxy.stop(grace_s, self._proxy_stop)
        return self._app.stop(0.0)  # it has ended: this says how

    def _stop_app(self, app: ServerProcess, until_s: float) -> None:
        app.stop(max(0.0, until_s - time.monotonic()), self._app_stop)

    @property
    def _apps(self) -> tuple[ServerProcess, ...]:
        return (self._app, *self._more_apps)

    @property
    def _all(self) -> tuple[ServerProcess, ...]:
        return self._apps if self._proxy is None else (*self._apps, self._proxy)
