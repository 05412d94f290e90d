"""The floor for events: JSON alone, letters for names, text for numbers."""

import json


def decode(frame: str) -> str:
    """Read an event, and give the status of the order."""
    return json.loads(frame)["o"]["X"]
