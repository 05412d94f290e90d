"""The package `listenkey` of this project."""

from listenkey import AsyncListenKeyClient, ListenKeyClient


def make(url: str) -> ListenKeyClient:
    """Make a client, as a program would."""
    return ListenKeyClient("bench", base_url=url)


def call(client: ListenKeyClient) -> str:
    """Get the listen key."""
    return client.start().value


def make_async(url: str) -> AsyncListenKeyClient:
    """Make an async client."""
    return AsyncListenKeyClient("bench", base_url=url)


async def call_async(client: AsyncListenKeyClient) -> str:
    """Get the listen key."""
    return (await client.start()).value
