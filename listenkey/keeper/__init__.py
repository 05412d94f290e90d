"""Keeps the account's listen key alive: a thread for the sync client, a task for the async client.

Pure: `_lease` (when to renew, when the key is lost) and `_machine` (what a keeper does, says and logs). `_drivers` has
the twins, which wait and send; `_waking` wakes the twins. Everyone may enter. Streams see more of a keeper, by
`_inside`.
"""

from listenkey.keeper._drivers import AsyncListenKeyKeeper, ListenKeyKeeper
from listenkey.keeper._machine import KeeperStatus

__all__ = ["AsyncListenKeyKeeper", "KeeperStatus", "ListenKeyKeeper"]
