"""The floor for events: a loop of websockets and JSON alone, letters for names, text for numbers."""

import json
from collections.abc import Callable

from websockets.sync.client import connect  # noqa: TID251  it is the peer


def decode(frame: str) -> str:
    """Read an event, and give the status of the order."""
    return json.loads(frame)["o"]["X"]


def follow(url: str, enough: Callable[[], bool]) -> None:
    """Take events until they are enough."""
    with connect(url.replace("http", "ws") + "/private/ws/" + "k" * 64, close_timeout=0) as connection:
        for frame in connection:
            json.loads(frame)
            if enough():
                return
