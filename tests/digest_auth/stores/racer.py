"""A worker process that races others for the counts of a nonce: python -m tests.digest_auth.stores.racer.

Reads a Race as JSON from its first line of input, says "ready", starts at the next line of input, and prints each count
that it was given, a line each, as soon as it has it.
"""

import asyncio
import json
import sys
from dataclasses import asdict, dataclass

from tests.digest_auth.stores.kinds import STORES
from tests.digest_auth.stores.uses import LIFETIME_S, NOW_US, Asked, Use, identity


@dataclass(frozen=True)
class Race:
    kind: str
    where: str
    table: str
    capacity: int
    name: str  # of the nonce
    counts: list[int]
    asynchronous: bool

    def as_line(self) -> str:
        return json.dumps(asdict(self)) + "\n"


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def main() -> None:
    race = Race(**json.loads(sys.stdin.readline()))
    kind = next(kind for kind in STORES if kind.name == race.kind)
    store = kind.open(race.where, race.table, capacity=race.capacity, lifetime_s=LIFETIME_S)
    with asyncio.Runner() as runner:
        asked = Asked(store, runner if race.asynchronous else None)
        say("ready")
        sys.stdin.readline()
        for count in race.counts:
            if asked.ask(Use(store.epoch, identity(race.name), NOW_US, count, NOW_US)):
                say(count)
        store.close()


if __name__ == "__main__":
    main()
