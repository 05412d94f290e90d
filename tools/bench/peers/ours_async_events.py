"""Events as `listenkey.stream` reads them, for asyncio."""

from collections.abc import Callable

from listenkey import AsyncListenKeyClient
from listenkey.stream import AsyncUserDataStream, Gap


async def follow(url: str, enough: Callable[[], bool]) -> None:
    """Take events until they are enough."""
    async with AsyncListenKeyClient("bench", base_url=url) as client, AsyncUserDataStream(client) as stream:
        async for event in stream:
            if isinstance(event, Gap):
                if event.reason != "started":
                    raise SystemExit(f"events were lost: {event}")
            elif enough():
                return
