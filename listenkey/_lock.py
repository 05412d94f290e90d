"""The lock of this package: there is one, so there is no order in which two could be taken wrongly.

A signal handler, or a finalizer that a garbage collection runs, may call what a user may call, in the middle of
anything, in a thread that holds the lock. So the lock can be taken again by its own thread, and these rules hold:

- Under the lock nothing waits, nothing is sent, nothing is logged, and no function of a user is called.
- Each part under the lock is right even when another part runs in its middle, in the same thread.
- Whoever waits for another thread asks `is_mine` first: the other thread may be waiting for the lock.

Queues and events of `threading` have locks of their own. Where a thread has to be woken, we use `queue.SimpleQueue`,
whose `put` may be called in the middle of a `put` or `get`, or a bare lock for each who waits.
"""

import os
import threading


class PackageLock:
    """A lock that its own thread may take again."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._owner: int | None = None
        self._depth = 0

    def __enter__(self) -> None:
        self._lock.acquire()
        self._owner = threading.get_ident()
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._owner = None
        self._lock.release()

    @property
    def is_mine(self) -> bool:
        """Whether this thread holds the lock."""
        return self._owner == threading.get_ident()


lock = PackageLock()
if hasattr(os, "register_at_fork"):  # another thread may have held the lock, and does not exist in the child
    os.register_at_fork(after_in_child=lock.__init__)  # type: ignore[misc]
