"""A replay table that many hosts share, in Redis or Valkey. Needs the distribution `redis` (8 or later).

One script call a check, one round trip: it finds out which table Redis holds now, and only if that is the claim's own
does it set the bit of the count and answer whether it was clear.

What makes it exact is the identity of the table. Redis may lose writes and go on: flushed, restarted from an old
snapshot or a cut log, failed over to a replica that lagged, split in two. Its replication ID ("master_replid" in INFO
replication) names one history of its data: a server takes a new one whenever it starts, when it is promoted, when it
follows another, and at times when nothing was lost. The key PREFIX:epoch holds the epoch together with the replication
ID that it was drawn under, and the script compares that with the server's in the very call that sets the bit. Another
ID, or no such key, is another table: the script draws a new epoch, and all nonces of the old one are stale. An ID that
a client had learnt when it connected would not do: a server that is demoted and promoted again keeps its connections.

Records expire after twice the lifetime of a nonce and the 5 s by which one may be younger than now. Let D be how far
the clock of any host is from Redis' clock. A nonce issued at t is first used no earlier than t - 5 s - D by Redis'
clock, for a host thought it no younger than that, and last accepted by t + lifetime + D. So a record that lives for
lifetime + 5 s + 2 D outlives its nonce on every host; with D up to half a lifetime that is the time given. The clocks
are compared when a connection is made and in `check`; a host that is further out gets no answer.

Eviction would forget single records, which no identity can show: a Redis with a maxmemory and any policy but noeviction
is refused. One that is full then answers with an error, and nobody comes in until records have expired.

Not for Redis Cluster, nor behind a proxy that sends one connection's commands to several servers. What nothing in Redis
can show is that its memory was set back under it, as by a restored virtual machine: flush the database then.
"""

import asyncio
import hashlib
import os
import re
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final

from redis import exceptions

from digest_auth._redis_server import FAILURES, AsyncWire, Server, Wire, bulk
from digest_auth._replay import COUNT_LIMIT, EPOCH_LENGTH, CountedUse, StoreUnavailableError
from digest_auth._server import CLOCK_SKEW_S

CONNECTIONS: Final = 16
"""At most so many are open for the threads of a process, and so many for each event loop; a call waits for a free one.
Each serves thousands of checks a second."""

_SCRIPT: Final = b"""\
local history = string.match(redis.call('INFO', 'replication'), 'role:master.-master_replid:(%x+)')
if not history then return redis.error_reply('READONLY not a primary with a replication ID') end
local held = redis.call('GET', KEYS[1])
if not held or string.sub(held, 1, -9) ~= history then
  held = history .. ARGV[3]
  redis.call('SET', KEYS[1], held)
end
local epoch = string.sub(held, -8)
if epoch ~= ARGV[1] then return epoch end
if redis.call('SETBIT', KEYS[2], ARGV[2], 1) == 1 then return 0 end
if redis.call('PTTL', KEYS[2]) < 0 then redis.call('PEXPIRE', KEYS[2], ARGV[4]) end
return 1
"""
# KEYS: the epoch's, the record's. ARGV: the claim's epoch, the bit, the epoch of a table that must be made, ms to live.
# Answers 1 unused, 0 used, or the epoch of the table when it is not the claim's.


class RedisReplayStore:
    """A ReplayStore in Redis (6.2 or later) or Valkey, for the workers of many hosts.

    url: redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], rediss:// for TLS (?ssl_ca_certs=FILE, &ssl_certfile=FILE,
    &ssl_keyfile=FILE), or unix:///PATH[?db=DATABASE&password=PASSWORD]. lifetime_s: after it the check refuses a nonce
    anyway. prefix: begins the names of its keys; tables of different prefixes know nothing of each other. timeout_s:
    no call takes longer, but for the look-up of the host's name, or where that has several addresses and none answers.

    It connects at once. Raises StoreUnavailableError when Redis cannot be used, ValueError when the url is none; no
    message holds the password. A process that was forked makes connections of its own.
    """

    epoch: bytes

    def __init__(self, url: str, *, lifetime_s: float = 300.0, prefix: str = "digest", timeout_s: float = 1.0) -> None:
        if lifetime_s <= 0 or timeout_s <= 0:
            raise ValueError("the lifetime of nonces and the time that Redis may take must be more than 0 s")
        if re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", prefix) is None:
            raise ValueError("the prefix of the keys in Redis must be 1 to 64 letters, digits, or any of _ . : -")
        self._server = Server.at(url, prefix, lifetime_s)
        self._timeout_s = timeout_s
        self._questions = _Questions(prefix, lifetime_s)
        self._closed = False
        self._begin()
        self._take_epoch(self._threads.ask(self._questions.about_epoch, examine=True))

    def use(self, claim: CountedUse) -> bool:
        """See ReplayStore."""
        if not 0 < claim.count <= COUNT_LIMIT:
            return False
        if self._process != os.getpid():
            self._begin()
        return self._settle(claim, self._threads.ask(lambda: self._questions.about(claim)))

    async def use_async(self, claim: CountedUse) -> bool:
        """See ReplayStore."""
        if not 0 < claim.count <= COUNT_LIMIT:
            return False
        connections = self._loops.get(asyncio.get_running_loop())
        if connections is None or self._process != os.getpid():
            connections = await self._of_new_loop()
        return self._settle(claim, await connections.ask(lambda: self._questions.about(claim)))

    def check(self) -> None:
        """See ReplayStore. It also looks again at what may be set while Redis runs: its eviction, role and clock.

        When it fails, connections begin anew, so that `use` meets the same refusal.
        """
        if self._process != os.getpid():
            self._begin()
        try:
            answer = self._threads.ask(lambda: self._questions.about_health(self.epoch), examine=True)
            if not isinstance(answer, int):
                self._take_epoch(answer)
        except StoreUnavailableError:
            self._threads.forget()
            for connections in tuple(self._loops.values()):
                connections.forget()
            raise

    def close(self) -> None:
        """See ReplayStore. Connections of an event loop close in that loop, at the latest when it ends."""
        self._closed = True
        self._threads.close()
        for connections in tuple(self._loops.values()):
            connections.close()

    def _begin(self) -> None:
        # Also in a process that was forked: two that read from one connection would get each other's answers.
        self._threads = _ThreadsConnections(self._server, self._timeout_s)
        self._loops: dict[asyncio.AbstractEventLoop, _LoopsConnections] = {}
        if self._closed:
            self._threads.close()
        self._process = os.getpid()  # last, or another thread would take the old connections for new ones

    async def _of_new_loop(self) -> "_LoopsConnections":
        if self._process != os.getpid():
            self._begin()
        if self._closed:
            raise StoreUnavailableError(_CLOSED)
        connections = self._loops[asyncio.get_running_loop()] = _LoopsConnections(self._server, self._timeout_s)
        await connections.until_loop_ends(self._loops)
        return connections

    def _settle(self, claim: CountedUse, answer: object) -> bool:
        if isinstance(answer, int):
            self.epoch = claim.epoch
            return answer == 1
        self._take_epoch(answer)
        return False

    def _take_epoch(self, answer: object) -> None:
        # Whatever comes last is the table's epoch. An older answer that overtakes costs a client one stale=true.
        if not isinstance(answer, bytes) or len(answer) != EPOCH_LENGTH:
            raise StoreUnavailableError(self._server.nonsense())
        self.epoch = answer


class _Questions:
    """The script's calls, as octets on the wire without the command's name and the script's."""

    def __init__(self, prefix: str, lifetime_s: float) -> None:
        # Braces put all keys into one slot, which servers that split keys by slot want of one script's keys.
        self._record = f"{{{prefix}}}:".encode("ascii")
        epoch_key = self._record + b"epoch"
        self._begin = b"$1\r\n2\r\n" + bulk(epoch_key)
        self._end = bulk(b"%d" % int((2 * lifetime_s + CLOCK_SKEW_S) * 1000))
        self._epoch_s = bulk(epoch_key) + bulk(b"") + bulk(b"0")
        self._health_s = bulk(self._record + b"health")

    def about(self, claim: CountedUse) -> bytes:
        record = self._record + (claim.epoch + claim.identity).hex().encode("ascii")
        bit = b"%d" % (claim.count - 1)
        # The octets of a new epoch are drawn for each call: drawn once, they might begin a second table.
        return b"%b$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n%b" % (
            self._begin,
            len(record),
            record,
            len(claim.epoch),
            claim.epoch,
            len(bit),
            bit,
            EPOCH_LENGTH,
            os.urandom(EPOCH_LENGTH),
            self._end,
        )

    def about_epoch(self) -> bytes:
        """No table has an empty epoch, so the answer is the table's and nothing is marked."""
        return self._begin + self._epoch_s + bulk(os.urandom(EPOCH_LENGTH)) + self._end

    def about_health(self, epoch: bytes) -> bytes:
        """As about a claim, of a record that no nonce has: it is written, so a full Redis is found out."""
        return self._begin + self._health_s + bulk(epoch) + bulk(b"0") + bulk(os.urandom(EPOCH_LENGTH)) + self._end


_CLOSED: Final = "the replay store in Redis was closed: it answers nothing any more"

_BY_HASH: Final = b"*9\r\n" + bulk(b"EVALSHA") + bulk(hashlib.sha1(_SCRIPT, usedforsecurity=False).hexdigest().encode())
_BY_TEXT: Final = b"*9\r\n" + bulk(b"EVAL") + bulk(_SCRIPT)


class _ThreadsConnections:
    """Those that the threads of this process share. A connection is one thread's while it asks."""

    def __init__(self, server: Server, timeout_s: float) -> None:
        self._server = server
        self._timeout_s = timeout_s
        self._wire_timeout_s = 0.9 * timeout_s
        self._free: SimpleQueue[None] = SimpleQueue()  # an item for each connection that is not in use
        for _ in range(CONNECTIONS):
            self._free.put(None)
        self._idle: list[Wire] = []  # another list when they begin anew: those of the old one are not put back
        self._closed = False

    def ask(self, question: Callable[[], bytes], *, examine: bool = False) -> object:
        """The script's answer to a question. It may be asked twice, and so is made anew."""
        deadline_s = time.monotonic() + self._timeout_s
        try:
            self._free.get(timeout=self._timeout_s)
        except Empty:
            raise StoreUnavailableError(
                f"{self._server.where} is slow: {CONNECTIONS} wait for its answer, and one more did not get its turn"
            ) from None
        try:
            return self._ask(question, deadline_s, examine=examine)
        except FAILURES as error:
            raise StoreUnavailableError(self._server.trouble(error, self._timeout_s)) from None
        finally:
            self._free.put(None)

    def forget(self) -> None:
        """Close those not in use; those in use close after it."""
        idle, self._idle = self._idle, []
        while idle:
            with suppress(IndexError):  # another thread took the last one
                idle.pop().disconnect()

    def close(self) -> None:
        self._closed = True
        self.forget()

    def _ask(self, question: Callable[[], bytes], deadline_s: float, *, examine: bool) -> object:
        if self._closed:
            raise StoreUnavailableError(_CLOSED)
        idle = self._idle
        try:
            wire = idle.pop()
        except IndexError:
            pass
        else:
            try:
                return self._exchange(idle, wire, question(), deadline_s, examine=examine)
            except exceptions.ConnectionError as error:
                if not _hung_up(error):
                    raise
                # Redis was restarted, or had closed what was long idle. If the question was answered all the same, the
                # count is now used: asking again refuses it, needlessly, but never accepts it twice.
        wire = self._server.wire(_left_s(deadline_s), self._wire_timeout_s)
        wire.connect()
        return self._exchange(idle, wire, question(), deadline_s, examine=True)

    def _exchange(self, idle: list[Wire], wire: Wire, question: bytes, deadline_s: float, *, examine: bool) -> object:
        kept = False
        try:
            if examine:
                self._examine(wire, deadline_s)
            try:
                wire.send_packed_command((_BY_HASH + question,), check_health=False)
                answer = self._reply(wire, deadline_s)
            except exceptions.NoScriptError:
                wire.send_packed_command((_BY_TEXT + question,), check_health=False)
                answer = self._reply(wire, deadline_s)
            kept = True
        except exceptions.OutOfMemoryError:
            kept = True
            raise
        finally:
            # After any other trouble not: whose answer comes next is not known, or another server is asked for.
            if kept and idle is self._idle:
                idle.append(wire)
            else:
                wire.disconnect()
        return answer

    def _examine(self, wire: Wire, deadline_s: float) -> None:
        asked_s = time.time()
        wire.send_packed_command((self._server.greeting,), check_health=False)
        replies = [self._reply(wire, deadline_s) for _ in self._server.greetings]
        self._server.examine(replies, asked_s, time.time())

    def _reply(self, wire: Wire, deadline_s: float) -> object:
        left_s = _left_s(deadline_s)
        if left_s > self._wire_timeout_s:  # the wire's own timeout will do, and saves two system calls
            return wire.read_response(disable_decoding=True)
        return wire.read_response(disable_decoding=True, timeout=left_s)


class _LoopsConnections:
    """Those of one event loop."""

    def __init__(self, server: Server, timeout_s: float) -> None:
        self._server = server
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._free = asyncio.Semaphore(CONNECTIONS)
        self._idle: list[AsyncWire] = []  # another list when they begin anew, as above
        self._ending: list[AsyncWire] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._guard: AsyncGenerator[None, None] | None = None

    async def until_loop_ends(self, loops: "dict[asyncio.AbstractEventLoop, _LoopsConnections]") -> None:
        """See to it that the connections close, and leave the dictionary, when the loop ends its generators."""

        async def guard() -> AsyncGenerator[None, None]:
            try:
                yield
            finally:
                loops.pop(self._loop, None)
                self._closed = True
                self._ending += self._idle
                self._idle = []
                await self._end()
                await asyncio.gather(*self._tasks)

        self._guard = guard()
        await anext(self._guard)

    async def ask(self, question: Callable[[], bytes]) -> object:
        """As _ThreadsConnections.ask."""
        try:
            async with asyncio.timeout(self._timeout_s), self._free:
                return await self._ask(question)
        except FAILURES as error:
            raise StoreUnavailableError(self._server.trouble(error, self._timeout_s)) from None

    def forget(self) -> None:
        """From any thread: close those not in use; those in use close after it."""
        idle, self._idle = self._idle, []
        self._ending += idle
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._start_to_end)

    def close(self) -> None:
        """From any thread."""
        self._closed = True
        self.forget()

    def _start_to_end(self) -> None:
        task = self._loop.create_task(self._end())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end(self) -> None:
        while self._ending:
            await self._ending.pop().disconnect(nowait=True)

    async def _ask(self, question: Callable[[], bytes]) -> object:
        if self._closed:
            raise StoreUnavailableError(_CLOSED)
        idle = self._idle
        if idle:
            try:
                return await self._exchange(idle, idle.pop(), question(), examine=False)
            except exceptions.ConnectionError as error:
                if not _hung_up(error):
                    raise
        wire = self._server.async_wire()
        await wire.connect()
        return await self._exchange(idle, wire, question(), examine=True)

    async def _exchange(self, idle: list[AsyncWire], wire: AsyncWire, question: bytes, *, examine: bool) -> object:
        kept = False
        try:
            if examine:
                await self._examine(wire)
            try:
                await wire.send_packed_command(_BY_HASH + question, check_health=False)
                answer = await wire.read_response(disable_decoding=True)
            except exceptions.NoScriptError:
                await wire.send_packed_command(_BY_TEXT + question, check_health=False)
                answer = await wire.read_response(disable_decoding=True)
            kept = True
        except exceptions.OutOfMemoryError:
            kept = True
            raise
        finally:
            if kept and idle is self._idle:
                idle.append(wire)
            else:
                await wire.disconnect(nowait=True)
        return answer

    async def _examine(self, wire: AsyncWire) -> None:
        asked_s = time.time()
        await wire.send_packed_command(self._server.greeting, check_health=False)
        replies = [await wire.read_response(disable_decoding=True) for _ in self._server.greetings]
        self._server.examine(replies, asked_s, time.time())


def _left_s(deadline_s: float) -> float:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise exceptions.TimeoutError
    return left_s


def _hung_up(error: exceptions.ConnectionError) -> bool:
    """Whether the connection is at its end; redis-py derives what a server says of itself from the same class."""
    return type(error) is exceptions.ConnectionError
