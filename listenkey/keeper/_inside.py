"""What streams may see of a keeper: their only door. Users see the keeper's public methods alone."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from listenkey._inside import Inside
    from listenkey.client import ListenKey
    from listenkey.keeper._drivers import AsyncListenKeyKeeper, ListenKeyKeeper


class InsideKeeper:
    """A keeper from inside."""

    def __init__(self, keeper: ListenKeyKeeper | AsyncListenKeyKeeper) -> None:
        self._keeper = keeper

    @property
    def client(self) -> Inside:
        """The keeper's client."""
        return self._keeper._inside

    @property
    def is_new(self) -> bool:
        """Whether the block has never been entered."""
        return self._keeper._keeping.state == "new"

    @property
    def is_endless(self) -> bool:
        """Whether the keeper starts anew when it has lost its key."""
        return self._keeper._keeping.is_endless

    @property
    def is_key_lost(self) -> bool:
        """Whether the keeper has lost its key, and starts anew."""
        return self._keeper._keeping.is_key_lost

    def proof(self) -> tuple[ListenKey, float]:
        """Give the key, and when the request was sent that last proved the key. Raises as `keeper.key`."""
        return self._keeper._call(self._keeper._keeping.proof)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call a function at each change, in any thread, under the lock."""
        self._keeper._waker.listeners.append(listener)

    def stop_listening(self, listener: Callable[[], None]) -> None:
        """Call the function no more."""
        with contextlib.suppress(ValueError):  # the listener is off already
            self._keeper._waker.listeners.remove(listener)
