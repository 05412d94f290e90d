"""Binance's own SDK for European Options."""

from binance_common.configuration import ConfigurationRestAPI
from binance_sdk_derivatives_trading_options.derivatives_trading_options import DerivativesTradingOptions


def make(url: str) -> DerivativesTradingOptions:
    """Make a client, as a program would."""
    return DerivativesTradingOptions(config_rest_api=ConfigurationRestAPI(api_key="bench", base_path=url))


def call(client: DerivativesTradingOptions) -> str:
    """Get the listen key."""
    return client.rest_api.start_user_data_stream().data().listen_key
