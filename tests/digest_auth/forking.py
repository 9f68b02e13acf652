"""A server that opens its replay store and then forks two workers: python -m tests.digest_auth.forking URL.

All three ask for the same 1,000 counts at once and print each that they got, a line each.
"""

import os
import sys

from digest_auth.redis import RedisReplayStore
from tests.digest_auth.stores.uses import NOW_US, Use, identity


def main() -> None:
    store = RedisReplayStore(sys.argv[1])
    workers: list[int] = []
    for _ in range(2):
        worker = os.fork()
        if worker == 0:
            workers = []
            break
        workers.append(worker)
    won = [count for count in range(1, 1001) if store.use(Use(store.epoch, identity("n"), NOW_US, count, NOW_US))]
    os.write(1, "".join(f"{count}\n" for count in won).encode("ascii"))  # at once, so that no lines mingle
    for worker in workers:
        if os.waitpid(worker, 0)[1] != 0:
            raise SystemExit("a worker failed")


if __name__ == "__main__":
    main()
