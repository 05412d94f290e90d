"""What the log tells of a link that brings nothing: a loss that lasts, and a silence that may be a loss. Pure."""

import logging
import math
from datetime import datetime

from listenkey.errors import ListenKeyError
from listenkey.stream._pace import Pace

log = logging.getLogger("listenkey.stream")


class Blindness:
    """How long nothing can come. The log warns after 10 seconds, and then after ever longer times.

    Args:
        now: since when nothing can come.
        pace: every duration.
    """

    def __init__(self, now: float, pace: Pace) -> None:
        self._pace = pace
        self.begin(now)

    def begin(self, now: float) -> None:
        """Note that nothing can come from now on."""
        self.began_at: float | None = now
        self.warnings = 0
        self.warn_at = now + self._pace.blind

    def end(self, now: float) -> None:
        """Note that events come again."""
        if self.warnings and self.began_at is not None:
            text = "events come again, after %.0f s; a Gap tells what may be missing"
            log.warning(text, now - self.began_at, extra={"listenkey_event": "sees_again"})
        self.began_at, self.warn_at = None, math.inf

    def warn(self, now: float, state: str, since: datetime | None, error: ListenKeyError | None) -> None:
        """Warn. The next warning is due after three times as long, up to half an hour.

        Args:
            now: the time.
            state: what keeps events away.
            since: since when events may be missing. None: there is no loss.
            error: the cause. None: nobody knows.
        """
        seconds = 0.0 if self.began_at is None else now - self.began_at
        extra = {
            "listenkey_event": "blind",
            "listenkey_since": since and since.isoformat(),
            "listenkey_seconds": seconds,
            "listenkey_reason": str(error or state),
        }
        log.warning("no events for %.0f s: %s%s", seconds, state, "" if error is None else f": {error}", extra=extra)
        self.warnings += 1
        self.warn_at = now + min(self._pace.longest_blind, self._pace.blind * 3.0 ** min(self.warnings, 10))


class Silence:
    """How long events could have come, and none came. The log warns once an hour.

    Args:
        now: since when.
        pace: every duration.
    """

    def __init__(self, now: float, pace: Pace) -> None:
        self._pace, self._warned_at = pace, -math.inf
        self.look_at = now + pace.remind  # when to look for a connection that has brought nothing

    def look(self, now: float, *, is_silent: bool) -> None:
        """Look. `is_silent`: whether the connection is open, and has brought no event yet."""
        self.look_at = now + self._pace.remind
        if is_silent:
            self.warn(now, "the connection is open, and has brought no event yet")

    def warn(self, now: float, text: str) -> None:
        """Warn, unless the last warning is less than an hour old."""
        if now >= self._warned_at + self._pace.remind:
            log.warning("%s", text, extra={"listenkey_event": "silent"})
            self._warned_at = now
