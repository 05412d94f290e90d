"""A recorded day: the lines that `listenkey events --raw` wrote. Has no connections."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

_log = logging.getLogger("listenkey.sandbox")


@dataclass(frozen=True)
class Line:
    """A line: an event, or a gap.

    Attributes:
        at: when the line's event or gap reached the program that recorded the day.
        event: the event. None: a gap.
        reason: the gap's reason. None: an event.
        since: when the gap began. None: nobody knew, or an event.
    """

    at: datetime
    event: dict[str, Any] | None
    reason: str | None
    since: datetime | None


def lines(path: str | os.PathLike[str]) -> Iterator[Line]:
    """Read a recording. The last line may be cut: the machine that recorded it went down.

    Raises:
        OSError: the file cannot be read.
        ValueError: a line is none that `listenkey events --raw` writes. The text names file and line.
    """
    with open(path, "rb") as file:  # noqa: PTH123  any path; a line that is no UTF-8 is named as any other
        for number, text in enumerate(file, 1):
            if not text.strip():
                continue
            try:
                yield _line(json.loads(text))
            except (ValueError, KeyError, TypeError, RecursionError):
                if not text.endswith(b"\n"):
                    _log.warning("%s ends in the middle of line %d, which is left out.", path, number)
                    return
                why = "is none that `listenkey events --raw` writes."
                raise ValueError(f"{path}, line {number} {why}") from None


def _line(content: dict[str, Any]) -> Line:
    at = _instant(content["at"])
    if "gap" in content:
        gap = content["gap"]
        return Line(at, None, str(gap["reason"]), None if gap["since"] is None else _instant(gap["since"]))
    if not isinstance(content["raw"], dict):
        raise TypeError
    return Line(at, content["raw"], None, None)


def _instant(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError
    return found
