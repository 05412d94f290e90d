"""The library ccxt."""

import ccxt


def make(url: str) -> ccxt.binance:
    """Make a client, as a program would, without ccxt's pause between calls."""
    exchange = ccxt.binance({"apiKey": "bench", "enableRateLimit": False, "requests_trust_env": True})
    exchange.urls["api"]["eapiPrivate"] = f"{url}/eapi/v1"
    return exchange


def call(client: ccxt.binance) -> str:
    """Get the listen key."""
    return client.eapiPrivatePostListenKey()["listenKey"]
