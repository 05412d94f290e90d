"""The package `listenkey` of this project, for asyncio."""

from listenkey import AsyncListenKeyClient


def make(url: str) -> AsyncListenKeyClient:
    """Make a client, as a program would."""
    return AsyncListenKeyClient("bench", base_url=url)


async def call(client: AsyncListenKeyClient) -> str:
    """Get the listen key."""
    return (await client.start()).value
