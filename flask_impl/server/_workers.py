"""The threads that run the application, and the queue of clients whose request is whole."""

import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

from flask_impl.server._client import Client


class Workers:
    """A fixed number of threads. They are daemons: an application that never returns must not keep a process alive."""

    def __init__(self, serve: Callable[[Client], None], count: int) -> None:
        """serve: takes a client, and raises nothing."""
        self._serve = serve
        self._queue: SimpleQueue[Client | None] = SimpleQueue()
        self._idle: deque[None] = deque()  # one entry a thread that waits; appending and popping are atomic
        self._threads = [
            threading.Thread(target=self._work, name=f"flask_impl.server worker {number}", daemon=True)
            for number in range(1, count + 1)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def put(self, client: Client) -> None:
        """Let the next free thread serve a client; it holds the client from now on."""
        self._queue.put(client)

    @property
    def waited_for(self) -> bool:
        """Whether a client waits for a thread."""
        return not self._queue.empty()

    @property
    def spare(self) -> bool:
        """Whether a thread waits for a client. True may be wrong a moment later; use it for hints alone."""
        return bool(self._idle) and self._queue.empty()

    def stop(self, timeout_s: float) -> int:
        """End the threads once the queue is served. Returns how many are still in the application after the timeout."""
        for _ in self._threads:
            self._queue.put(None)
        deadline_s = time.monotonic() + timeout_s
        started = [thread for thread in self._threads if thread.ident is not None]  # the system may have refused some
        for thread in started:
            thread.join(max(0.0, deadline_s - time.monotonic()))
        return sum(thread.is_alive() for thread in started)

    def _work(self) -> None:
        while True:
            self._idle.append(None)
            client = self._queue.get()
            self._idle.pop()
            if client is None:
                return
            self._serve(client)
