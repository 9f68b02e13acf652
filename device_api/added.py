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
_TRIES: Final = 500
_TRY_NS: Final = 6_000


@dataclass(frozen=True, slots=True)
class Added:
    """What every request takes more, whatever comes of it: also one that is answered 401 or 404."""

    cpu_us: float = 0.0
    delay_s: float = 0.0
    _spin_ns: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Measure once, in 4 ms, what burning takes beside what it is to burn; it is taken off each time."""
        object.__setattr__(self, "_spin_ns", round(self.cpu_us * 1000) - _excess_ns() if self.cpu_us else 0)

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
        if self.cpu_us:
            _spin(self._spin_ns)


def _spin(cpu_ns: int) -> None:
    """Use up so much CPU time, and then up to a reading of the clock more.

    By the thread's own clock, because it stands still while another thread or process has the processor: by a clock of
    real time, a request that is interrupted would burn less. What that costs, a system call each time (0.8 µs, seen),
    is CPU time as well, and part of what is burnt.
    """
    until_ns = time.thread_time_ns() + cpu_ns
    while time.thread_time_ns() < until_ns:
        pass


def _excess_ns() -> int:
    """Return what a spin takes more than it was asked for, on average: two half readings and half a turn."""
    began_ns = time.thread_time_ns()
    for _ in range(_TRIES):
        _spin(_TRY_NS)
    return (time.thread_time_ns() - began_ns) // _TRIES - _TRY_NS
