"""Events as `listenkey.stream` reads them: words for names, Decimal, datetime, and a Gap where some may be missing."""

from collections.abc import Callable

from listenkey import ListenKeyClient
from listenkey.stream import Gap, UserDataStream
from listenkey.stream._events import Decoder

decoder = Decoder()


def decode(frame: str) -> str:
    """Read an event, and give the status of the order."""
    return decoder.read(frame, ()).order.status


def follow(url: str, enough: Callable[[], bool]) -> None:
    """Take events until they are enough."""
    with ListenKeyClient("bench", base_url=url) as client, UserDataStream(client) as stream:
        for event in stream:
            if isinstance(event, Gap):
                if event.reason != "started":
                    raise SystemExit(f"events were lost: {event}")
            elif enough():
                return
