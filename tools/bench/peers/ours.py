"""The package `listenkey` of this project."""

from listenkey import ListenKeyClient


def make(url: str) -> ListenKeyClient:
    """Make a client, as a program would."""
    return ListenKeyClient("bench", base_url=url)


def call(client: ListenKeyClient) -> str:
    """Get the listen key."""
    return client.start().value
