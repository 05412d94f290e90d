"""ccxt's options user stream receives an event from the sandbox. Exit status 0: it did."""

import asyncio
import json
import subprocess
import urllib.request

import ccxt.pro

ORDER = {
    "e": "ORDER_TRADE_UPDATE",
    "E": 1774602003118,
    "T": 1774602003114,
    "o": {
        "s": "BTC-260626-90000-C",
        "c": "mm7-000418",
        "S": "SELL",
        "o": "LIMIT",
        "f": "GTC",
        "q": "0.40",
        "p": "1755",
        "ap": "1756.2",
        "x": "TRADE",
        "X": "FILLED",
        "i": 4612088731905527811,
        "l": "0.15",
        "z": "0.40",
        "L": "1757",
        "N": "USDT",
        "n": "-1.26450000",
        "T": 1774602003114,
        "t": 219,
        "b": "0",
        "a": "0",
        "m": True,
        "R": False,
        "ot": "LIMIT",
        "rp": "0.00000000",
    },
}


async def receive(base: str) -> str:
    exchange = ccxt.pro.binance({"apiKey": "any-key", "secret": "none", "options": {"defaultType": "option"}})
    exchange.load_markets = lambda *_: asyncio.sleep(0, {})  # the sandbox has no markets
    exchange.load_leverage_brackets = lambda *_: asyncio.sleep(0)
    exchange.urls["api"]["eapiPrivate"] = f"{base}/eapi/v1"
    exchange.urls["api"]["ws"]["optionPrivate"] = base.replace("http", "ws") + "/private/ws"
    try:
        waiting = asyncio.ensure_future(exchange.watch_orders(None, None, None, {"type": "option"}))
        for _ in range(50):
            await asyncio.sleep(0.2)
            body = json.dumps({"event": ORDER}).encode()
            request = urllib.request.Request(f"{base}/events", body, method="POST")
            (await asyncio.to_thread(urllib.request.urlopen, request)).close()
            if waiting.done():
                return (await waiting)[0]["clientOrderId"]
        raise SystemExit("no event came")
    finally:
        await exchange.close()


with subprocess.Popen(["listenkey", "sandbox"], stdout=subprocess.PIPE, text=True) as sandbox:
    try:
        base = sandbox.stdout.readline().strip().removeprefix("export LISTENKEY_BASE_URL=")
        seen = asyncio.run(receive(base))
    finally:
        sandbox.terminate()
assert seen == "mm7-000418", seen
print(f"received the order {seen}")
