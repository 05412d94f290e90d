"""Events as the models of Binance's own SDK read them."""

from binance_sdk_derivatives_trading_options.websocket_streams.models.order_trade_update import OrderTradeUpdate


def decode(frame: str) -> str:
    """Read an event, and give the status of the order."""
    return OrderTradeUpdate.from_json(frame).o.X
