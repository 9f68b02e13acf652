"""The processes that a test has started, as the system knows them."""

import contextlib

import psutil


def children(words: str = "", *, recursive: bool = False) -> list[psutil.Process]:
    """Return the children of this process that are running, the oldest first, with these words in their command lines.

    One that has ended and was not waited for yet, perhaps another test's, is none. The oldest was started first: psutil
    lists grandchildren after all children, and by numbers, which begin again at some limit.
    """
    found: list[psutil.Process] = []
    for child in psutil.Process().children(recursive=recursive):
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie too
            if words in " ".join(child.cmdline()):
                child.create_time()  # which is kept, for the order
                found.append(child)
    return sorted(found, key=lambda child: (child.create_time(), child.pid))
