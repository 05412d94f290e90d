"""Events as `listenkey.stream` reads them: words for names, Decimal, datetime."""

from listenkey.stream._events import Decoder

decoder = Decoder()


def decode(frame: str) -> str:
    """Read an event, and give the status of the order."""
    return decoder.read(frame, ()).order.status
