"""Events as ccxt reads them: unified words for names, float."""

import json

from ccxt.pro import binance

exchange = binance()
STATUS = {"closed": "FILLED"}


def decode(frame: str) -> str:
    """Read an event; give its order's status."""
    return STATUS[exchange.parse_ws_order(json.loads(frame)["o"])["status"]]
