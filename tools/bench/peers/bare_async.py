"""The generated client, driven by hand, for asyncio."""

from binance_options_client import AuthenticatedClient  # noqa: TID251  measured, not used
from binance_options_client.api.user_data_stream import start_user_data_stream  # noqa: TID251  measured, not used

from .bare import make  # noqa: F401  for the bench


async def call(client: AuthenticatedClient) -> str:
    """Get the listen key."""
    return (await start_user_data_stream.asyncio(client=client)).listen_key
