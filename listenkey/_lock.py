"""The lock of keepers and streams. With a single lock, there is no order in which two locks could be taken wrongly.

A signal handler may call whatever a user may call. So may a finalizer that a garbage collection runs. Both may come at
any place, also in a thread that holds the lock. So a thread may take the lock again, and these rules hold:

- Under the lock nothing waits, nothing is sent, nothing is logged, and no function of a user is called. No thread is
  started: Python waits until the new thread runs, and a finalizer in the new thread may wait for the lock.
- A part under the lock is right even if another part runs in the middle of the first part, in the same thread.
- Code that waits for another thread asks `is_held_here` first: the other thread may be waiting for the lock.
- The lock is Python's own, taken by `with`. A lock with an `__exit__` of ours would stay taken for ever when Ctrl-C, or
  a signal handler that raises, comes at a line of that `__exit__`.

Queues and events of `threading` have locks of their own. Where a thread has to be woken, we use `queue.SimpleQueue`,
whose `put` may be called in the middle of a `put` or `get`, or a bare lock for each who waits.
"""

import os
import threading
from collections import deque
from itertools import starmap
from typing import Any, TypeVar

T = TypeVar("T")
lock: Any = threading.RLock()


def is_held_here() -> bool:
    """Whether this thread holds the lock."""
    held: bool = lock._is_owned()  # as threading.Condition asks
    return held


def move_first(row: deque[T], hand: list[T]) -> bool:
    """Move the first of a row to the empty list `hand`. False: the row is empty.

    No lock is needed: the move is a single step for Python. No other thread and no interrupt comes in between.
    """
    try:
        hand.extend(starmap(row.popleft, ((),)))  # calls `popleft` once
    except IndexError:
        return False
    return True


def after_fork() -> None:
    if not is_held_here():  # another thread may have held the lock, and does not exist in the child
        lock._at_fork_reinit()  # as threading resets the locks of Python


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=after_fork)
