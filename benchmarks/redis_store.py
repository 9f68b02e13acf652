"""A check of a nonce count in Redis beside a bare SETBIT sent through the same kind of connection.

The check is one script call, which also compares the table's identity, reads the record's life and draws the octets of
an epoch that may be needed; by threads' connections and by an event loop's. SETBIT is packed and sent as the check
is, and has as long to be answered: what remains is the price of being exact. Beside them what redis-py's own client
takes for SETBIT and for a small script. Wall-clock time, as the answer is waited for; this process on one processor,
Redis on another where there is one. Goals: at most 1.6 times a bare SETBIT, threads and event loop alike.

    python -m benchmarks.redis_store [--calls N] [--blocks N] [--json FILE]
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import redis
import redis.asyncio

from benchmarks.blocks import pin_to_one_processor, ratio
from digest_auth import COUNT_LIMIT
from digest_auth._redis_server import Server, command
from digest_auth.redis import RedisReplayStore
from tests.digest_auth.redis_server import RedisServer
from tests.digest_auth.stores.uses import Use

GOAL = 1.6
CHECK, SETBIT = "check", "bare SETBIT"
CLIENT_SETBIT, CLIENT_SCRIPT = "redis-py's SETBIT", "redis-py's EVALSHA of two commands"
LOOP_CHECK, LOOP_SETBIT, LOOP_CLIENT_SETBIT = "check, asyncio", "bare SETBIT, asyncio", "redis-py's SETBIT, asyncio"
TIMEOUT_S = 1.0  # of all of them, and of both directions
# The least that a script must do to count: for what the client alone makes of it.
SCRIPT = "redis.call('PTTL', KEYS[1]) return redis.call('SETBIT', KEYS[1], ARGV[1], 1)"


class Counts:
    """The next count, COUNT_LIMIT of them on each nonce."""

    def __init__(self) -> None:
        self._next = 0

    def take(self) -> tuple[bytes, int]:
        """Identity and count."""
        nonce, count = divmod(self._next, COUNT_LIMIT)
        self._next += 1
        return b"%016d" % nonce, count + 1


def _use(store: RedisReplayStore, counts: Counts) -> Use:
    identity, count = counts.take()
    now_us = time.time_ns() // 1000
    return Use(store.epoch, identity, now_us, count, now_us)


def _setbit(counts: Counts) -> bytes:
    identity, count = counts.take()
    return command(b"SETBIT", b"{bare}:" + identity * 2, b"%d" % (count - 1), b"1")


def by_threads(url: str) -> dict[str, Callable[[], object]]:
    """What one thread does."""
    store = RedisReplayStore(url, timeout_s=TIMEOUT_S)
    counts = {name: Counts() for name in (CHECK, SETBIT, CLIENT_SETBIT, CLIENT_SCRIPT)}
    wire = Server.at(url, "bare", 300.0).wire(TIMEOUT_S, TIMEOUT_S)
    wire.connect()
    client = redis.Redis.from_url(url, protocol=2, socket_timeout=TIMEOUT_S)
    script = client.script_load(SCRIPT)

    def check() -> None:
        if not store.use(_use(store, counts[CHECK])):
            raise RuntimeError("the benchmark is wrong: an unused count was refused")

    def setbit() -> None:
        wire.send_packed_command((_setbit(counts[SETBIT]),), check_health=False)
        if wire.read_response(disable_decoding=True) != 0:
            raise RuntimeError("the benchmark is wrong: a bit was set before")

    def client_setbit() -> None:
        identity, count = counts[CLIENT_SETBIT].take()
        client.setbit("{client}:" + identity.decode(), count, 1)

    def client_script() -> None:
        identity, count = counts[CLIENT_SCRIPT].take()
        client.evalsha(script, 1, "{script}:" + identity.decode(), count)

    return {CHECK: check, SETBIT: setbit, CLIENT_SETBIT: client_setbit, CLIENT_SCRIPT: client_script}


async def by_loop(url: str, calls: int, blocks: int) -> dict[str, list[float]]:
    """µs a call in one event loop, one after the other, a figure a block."""
    store = RedisReplayStore(url, prefix="loop", timeout_s=TIMEOUT_S)
    counts = {name: Counts() for name in (LOOP_CHECK, LOOP_SETBIT, LOOP_CLIENT_SETBIT)}
    client = redis.asyncio.Redis.from_url(url, protocol=2, socket_timeout=TIMEOUT_S)
    wire = Server.at(url, "bare", 300.0).async_wire()
    await wire.connect()

    async def check() -> None:
        if not await store.use_async(_use(store, counts[LOOP_CHECK])):
            raise RuntimeError("the benchmark is wrong: an unused count was refused")

    async def setbit() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await wire.send_packed_command(_setbit(counts[LOOP_SETBIT]).replace(b"bare", b"loop"), check_health=False)
            if await wire.read_response(disable_decoding=True) != 0:
                raise RuntimeError("the benchmark is wrong: a bit was set before")

    async def client_setbit() -> None:
        identity, count = counts[LOOP_CLIENT_SETBIT].take()
        await client.setbit("{loops-client}:" + identity.decode(), count, 1)

    functions: dict[str, Callable[[], Awaitable[None]]] = {
        LOOP_CHECK: check,
        LOOP_SETBIT: setbit,
        LOOP_CLIENT_SETBIT: client_setbit,
    }
    times: dict[str, list[float]] = {name: [] for name in functions}
    for block in range(blocks + 1):
        for name in sorted(functions, reverse=block % 2 == 1):
            start_ns = time.perf_counter_ns()
            for _ in range(calls):
                await functions[name]()
            if block:  # the first warms up
                times[name].append((time.perf_counter_ns() - start_ns) / calls / 1000)
    await wire.disconnect(nowait=True)
    await client.aclose()
    store.close()
    return times


def _interleaved_us(functions: dict[str, Callable[[], object]], calls: int, blocks: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in functions}
    for block in range(blocks + 1):
        for name in sorted(functions, reverse=block % 2 == 1):
            start_ns = time.perf_counter_ns()
            for _ in range(calls):
                functions[name]()
            if block:  # the first warms up
                times[name].append((time.perf_counter_ns() - start_ns) / calls / 1000)
    return times


def measure(calls: int, blocks: int) -> dict[str, list[float]]:
    """µs a call of each, one figure a block. Starts a redis-server. Raises FileNotFoundError where there is none."""
    program = shutil.which("redis-server")
    if program is None:
        raise FileNotFoundError("redis-server is not installed: apt-get install redis-server")
    processors = os.sched_getaffinity(0)
    mine = pin_to_one_processor()
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(program, Path(folder), 0, ())  # port 0: on its UNIX socket alone
        try:
            server.start()
            if server.process is None:
                raise RuntimeError("redis-server was started and is not there")
            os.sched_setaffinity(server.process.pid, processors - {mine} or processors)
            times = _interleaved_us(by_threads(server.unix_url), calls, blocks)
            return times | asyncio.run(by_loop(server.unix_url, calls, blocks))
        finally:
            server.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; 1 when a goal is missed or nothing could be measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=1000, metavar="N", help="calls a block (default: 1000)")
    parser.add_argument("--blocks", type=int, default=15, metavar="N", help="blocks (default: 15)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all times there")
    options = parser.parse_args(arguments)
    try:
        times = measure(options.calls, options.blocks)
    except FileNotFoundError as error:
        print(error)
        return 1
    print(f"Nonce count in Redis, µs, medians of {options.blocks} interleaved blocks of {options.calls:,}")
    for name, block in times.items():
        print(f"  {name:<36} {statistics.median(block):6.1f}")
    ratios = {CHECK: ratio(times, CHECK, SETBIT), LOOP_CHECK: ratio(times, LOOP_CHECK, LOOP_SETBIT)}
    for name, value in ratios.items():
        print(f"  {name} / bare SETBIT {value:.2f}   goal at most {GOAL}: {'met' if value <= GOAL else 'MISSED'}")
    met = all(value <= GOAL for value in ratios.values())
    if options.json:
        kept = {"us": times, "ratios": ratios, "goal": GOAL, "met": met}
        options.json.write_text(json.dumps(kept, indent=1, ensure_ascii=False), encoding="utf-8")
    return int(not met)


if __name__ == "__main__":
    raise SystemExit(main())
