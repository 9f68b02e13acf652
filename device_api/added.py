"""A known addition to every request: CPU time that is burnt, and time that is waited.

For checking a measuring tool, which has to find what is known to be there, and for simulating a slow device. Both are
nothing by default, and then nothing of this is in a request's path: each implementation wraps its application only when
there is an addition. The waiting is each framework's own, as that of a ping is.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from device_api.settings import PREFIX, Settings, SettingsError

_VARIABLES: Final = (f"{PREFIX}ADDED_CPU_US", f"{PREFIX}ADDED_DELAY_MS")
_TRIES: Final = 200
_TRY_NS: Final = 20_000  # at most: what is found out does not depend on it, and whoever starts a server waits for it
_LATE_NS: Final = 10_000  # a look takes a hundredth of it; who gets the processor keeps it for longer


@dataclass(frozen=True, slots=True)
class Added:
    """What every request takes more, whatever comes of it: also one that is answered 401 or 404."""

    cpu_us: float = 0.0
    delay_s: float = 0.0
    _burner: "_Burner | None" = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Make what burns; it tries itself out 200 times, in some ms."""
        object.__setattr__(self, "_burner", _Burner(round(self.cpu_us * 1000)) if self.cpu_us else None)

    @classmethod
    def of(cls, settings: Settings | None, environ: Mapping[str, str] = os.environ) -> "Added | None":
        """Return the addition of an application's settings; None: there is none.

        settings: None reads the two variables, now: whoever opens the device later reads the same ones. One that cannot
        be used adds nothing here, because no request is served then: the device cannot be opened, which says why.
        """
        if settings is None:
            try:
                settings = Settings.from_environ({name: environ[name] for name in _VARIABLES if name in environ})
            except SettingsError:
                return None
        cpu_us, delay_ms = settings.added_cpu_us, settings.added_delay_ms
        return cls(cpu_us, delay_ms / 1000) if cpu_us or delay_ms else None

    def burn(self) -> None:
        """Use up the CPU time, on this thread."""
        if self._burner is not None:
            self._burner.burn()


class _Burner:
    """Uses up a CPU time again and again.

    By the clock of real time, which can be read without a system call: those make what comes after them dearer too (by
    1.2 to 1.5 µs a request for one or two readings of the thread's own clock, seen), which nobody asked for. While
    another thread or process has the processor that clock goes on: where a look at it comes late, what passed
    in between is not counted.
    """

    def __init__(self, wanted_ns: int) -> None:
        tried_ns = self._spin_ns = min(wanted_ns, _TRY_NS)
        began_ns = time.thread_time_ns()
        for _ in range(_TRIES):
            self.burn()
        beside_ns = (time.thread_time_ns() - began_ns) // _TRIES - tried_ns
        self._spin_ns = wanted_ns - beside_ns

    def burn(self) -> None:
        now_ns = time.perf_counter_ns
        last_ns = now_ns()
        until_ns = last_ns + self._spin_ns
        while last_ns < until_ns:
            seen_ns = now_ns()
            if seen_ns - last_ns > _LATE_NS:
                until_ns += seen_ns - last_ns
            last_ns = seen_ns
