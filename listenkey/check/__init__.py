"""A check of the whole way to the account's events, whose findings can be pasted: the twins `check` and `async_check`.

Pure: `_course` (the order of the steps) and `_findings` (the text of a step). `_twins` makes the calls and opens the
connections. Everyone may enter. Importing this package needs the package websockets: the extra `stream`.
"""

from listenkey.check._findings import STEPS, Finding
from listenkey.check._twins import async_check, check

__all__ = ["STEPS", "Finding", "async_check", "check"]
