"""A loss, from the moment at which events may be missing until its Gap. Pure."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from listenkey.stream._events import Gap

log = logging.getLogger("listenkey.stream")
Reason = Literal["reconnected", "mute", "key_replaced", "key_expired", "started"]
RANKS: dict[Reason, int] = {"reconnected": 0, "mute": 1, "key_replaced": 2, "key_expired": 3, "started": 4}


@dataclass(frozen=True)
class Loss:
    """Events may be missing, for a reason, since a moment. None: since the start."""

    reason: Reason
    began_at: float | None

    def gap(self, at: Callable[[float], datetime], until: float) -> Gap:
        """Make the Gap, and log it. `at` gives a moment in UTC; `until`: events are complete again from then on."""
        gap = Gap(self.reason, None if self.began_at is None else at(self.began_at), at(until))
        extra = {
            "listenkey_event": "gap",
            "listenkey_reason": gap.reason,
            "listenkey_since": gap.since and gap.since.isoformat(),
            "listenkey_until": gap.until.isoformat(),
        }
        log.info("events may be missing: %s", gap.reason, extra=extra)
        return gap


class Gaps:
    """The losses that no Gap has told yet.

    A loss first waits for a new main socket (`lost`), then for a proof of the key (`unproven`). A single Gap tells all
    losses that came together.
    """

    def __init__(self) -> None:
        self.lost: Loss | None = Loss("started", None)  # no main socket is there yet to make it good
        self.unproven: Loss | None = None  # the main socket is there, and its events wait for a proof of the key
        self.unseen_at = math.inf  # since when events may have been sent to a socket that brought nothing

    def lose(self, loss: Loss) -> bool:
        """Note a loss. True: a Gap that waited for a proof is part of the loss now, and the events behind it too."""
        was_unproven = self.unproven is not None
        losses = [each for each in (loss, self.unproven, self.lost) if each is not None]
        begun = [each.began_at for each in losses]
        earliest = None if None in begun else min(each for each in begun if each is not None)
        reason = max((each.reason for each in losses), key=lambda each: RANKS[each])
        self.lost, self.unproven = Loss(reason, earliest), None
        return was_unproven

    def await_proof(self, loss: Loss) -> None:
        """Let a loss wait for a proof of the main socket's key."""
        self.unproven = loss

    def take_lost(self) -> Loss | None:
        """Return the loss that waited for a main socket."""
        lost, self.lost = self.lost, None
        return lost

    def take_unproven(self) -> Loss | None:
        """Return the loss that waited for a proof."""
        unproven, self.unproven = self.unproven, None
        return unproven

    def note_unseen(self, moment: float) -> None:
        """Note that since a moment the server may have sent events to a socket alone, and they never came."""
        self.unseen_at = min(self.unseen_at, moment)

    def take_unseen(self) -> float:
        """Return since when a socket may have brought nothing of what was sent. Infinite: no socket."""
        moment, self.unseen_at = self.unseen_at, math.inf
        return moment

    @property
    def has_unseen(self) -> bool:
        """Whether events may have been sent that no socket brought."""
        return self.unseen_at < math.inf

    @property
    def current(self) -> Loss | None:
        """The loss that the next Gap will tell of."""
        return self.lost or self.unproven
