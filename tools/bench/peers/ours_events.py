"""Events as `listenkey.stream` reads them: words for names, Decimal, datetime."""

from listenkey.stream._events import Decoder

decoder = Decoder()


def decode(frame: str) -> str:
    """Read an event; give its order's status."""
    return decoder.read(frame, ()).order.status
