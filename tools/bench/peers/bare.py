"""The generated client, driven by hand, as after generating from openapi.yaml."""

from binance_options_client import AuthenticatedClient  # noqa: TID251  measured, not used
from binance_options_client.api.user_data_stream import start_user_data_stream  # noqa: TID251  measured, not used


def make(url: str) -> AuthenticatedClient:
    """Make a client, as a program would."""
    return AuthenticatedClient(base_url=url, token="bench", prefix="", auth_header_name="X-MBX-APIKEY")  # noqa: S106


def call(client: AuthenticatedClient) -> str:
    """Get the listen key."""
    return start_user_data_stream.sync(client=client).listen_key
