"""Failed tries, counted by user and address, so that a password cannot be guessed at the speed of the network.

A token bucket: a few tries at once, then so many a minute. It slows and never locks: a right password costs nothing,
and who has used up the tries gets in again by waiting. Counted by both, so that nobody can spend another's tries from
elsewhere. The name is folded first: Tomcat's lockout counted each spelling apart (CVE-2026-43513). A name sent as a
userhash is counted apart from the name itself: were they one, a hash whose tries another's name had used up would tell
that the user exists. So with userhash on there are a few times as many tries for a name, one lot for each algorithm.
"""

import hashlib
import ipaddress
import math
import unicodedata
from collections import OrderedDict
from threading import Lock
from typing import Final

from digest_auth._users import MAX_NAME_OCTETS

_LEAST_PER_MINUTE: Final = 0.001


class Throttle:
    """The failed tries of one process. Safe to share between threads.

    burst: tries at once. per_minute: tries that come back in a minute. capacity: users and addresses remembered at
    most, about 300 bytes each; the one charged longest ago is forgotten first, so tries for `capacity` other names buy
    back `burst` tries for one.
    """

    def __init__(self, burst: int = 10, per_minute: float = 10.0, capacity: int = 65_536) -> None:
        if burst < 1 or per_minute < _LEAST_PER_MINUTE or capacity < 1:
            raise ValueError("a throttle grants one try or more, gets some back each minute and remembers somebody")
        self._burst = burst
        self._per_s = per_minute / 60
        self._capacity = capacity
        self._lock = Lock()
        # Tries used up, and when that was computed, by user and address; charged longest ago first.
        self._used: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """How many users and addresses it remembers."""
        return len(self._used)

    def wait_s(self, user: str, address: str, now_s: float) -> int:
        """Whole seconds until the next try is granted; 0 when one is left."""
        if not self._used:
            return 0
        key = _key(user, address)
        with self._lock:
            lacking = self._used_up(key, now_s) - (self._burst - 1)
        # A billionth of a try is an error of rounding.
        return math.ceil(lacking / self._per_s) if lacking > 1e-9 else 0

    def charge(self, user: str, address: str, now_s: float) -> None:
        """Count a failed try."""
        key = _key(user, address)
        with self._lock:
            # Capped: tries that were under way together must not add up to a longer wait than one more would.
            used = min(self._used_up(key, now_s) + 1, self._burst)
            self._used[key] = used, now_s
            self._used.move_to_end(key)
            if len(self._used) > self._capacity:
                self._used.popitem(last=False)

    def _used_up(self, key: bytes, now_s: float) -> float:
        used, at_s = self._used.get(key, (0.0, now_s))
        return max(0.0, used - max(0.0, now_s - at_s) * self._per_s)


def _key(user: str, address: str) -> bytes:
    """Of a fixed size, whatever was sent. NUL stands in no address, so the parts cannot be taken for each other."""
    octets = user.encode("utf-8", "surrogatepass")
    # Nobody has a longer name, and folding takes time by the square of a name's length.
    folded = user if len(octets) > MAX_NAME_OCTETS else unicodedata.normalize("NFKC", user).casefold().strip()
    text = f"{_network(address)}\0{folded}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _network(address: str) -> str:
    """What one client has of addresses: in IPv6 a whole /64."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped
    return str(mapped) if mapped is not None else parsed.packed[:8].hex()
