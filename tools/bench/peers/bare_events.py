"""The floor for events: JSON alone, letters for names, text for numbers."""

import json


def decode(frame: str) -> str:
    """Read an event; give its order's status."""
    return json.loads(frame)["o"]["X"]
