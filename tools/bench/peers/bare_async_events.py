"""The floor for events, for asyncio: a loop of websockets and JSON alone."""

import json
from collections.abc import Callable

from websockets.asyncio.client import connect  # noqa: TID251  it is the peer


async def follow(url: str, enough: Callable[[], bool]) -> None:
    """Take events until they are enough."""
    async with connect(url.replace("http", "ws") + "/private/ws/" + "k" * 64, close_timeout=0) as connection:
        async for frame in connection:
            json.loads(frame)
            if enough():
                return
