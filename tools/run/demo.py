"""What the package does, in a few seconds: a listen key, an event, a gap. `make run`.

Asks Binance if BINANCE_API_KEY is set, and does not wait for an event there. Else asks a sandbox on this machine.
"""

import contextlib
import json
import os
import sys
import time

from listenkey import ListenKeyClient, ListenKeyError
from listenkey.client import BASE_URL
from listenkey.sandbox import Sandbox
from listenkey.stream import Gap, Item, OrderTradeUpdate, UserDataStream

# An order that was filled. What the keys say: docs/stream.md, and asyncapi.yaml.
FILL = json.loads("""
{"e": "ORDER_TRADE_UPDATE", "E": 1774602003118, "T": 1774602003114,
 "o": {"s": "BTC-260626-90000-C", "c": "my-first-order", "S": "BUY", "o": "LIMIT", "f": "GTC", "q": "0.4", "p": "1755",
       "ap": "1755", "x": "TRADE", "X": "FILLED", "i": 4612088731905527811, "l": "0.4", "z": "0.4", "L": "1755",
       "N": "USDT", "n": "-1.2", "T": 1774602003114, "t": 219, "b": "0", "a": "0", "rp": "0"}}
""")
READ_ON = """
read on     README.md               a program that follows your account's events
            docs/stream.md          every event, every gap, and what to do
            docs/command-line.md    `listenkey check`: the way to Binance, step by step, with your API key"""


def show(what: str, text: str) -> None:
    """Print a line of the table."""
    print(f"{what:12}{text}", flush=True)


def show_item(item: Item) -> None:
    """Print what the stream brought."""
    match item:
        case Gap(reason="started"):
            show("gap", "started: from here on no event is missed. A bot takes its snapshot over REST now")
        case Gap(reason=reason, since=since):
            show("gap", f"{reason}: events since {since:%H:%M:%S} UTC may be missing. A bot takes a new snapshot now")
        case OrderTradeUpdate(order=order):
            show("event", f"order {order.client_order_id} is {order.status} at {order.average_price}")
        case event:
            show("event", repr(event))


def lose_connection(sandbox: Sandbox) -> None:
    """Cut the connection, and wait for the next."""
    show("", "… now the connection is cut")
    before = len(sandbox.requests)
    sandbox.faults.add("stream-drop")
    while len(sandbox.requests) == before or not sandbox.stream.connections:
        time.sleep(0.01)
    sandbox.emit(FILL)


def main() -> int:
    """Get a key, follow the stream, lose the connection."""
    api_key = os.environ.get("BINANCE_API_KEY")
    with contextlib.ExitStack() as stack:
        sandbox = None if api_key else stack.enter_context(Sandbox())
        base_url = sandbox.url if sandbox else os.environ.get("LISTENKEY_BASE_URL") or BASE_URL
        show("exchange", f"a sandbox on {base_url}, because BINANCE_API_KEY is not set" if sandbox else base_url)
        try:
            client = stack.enter_context(ListenKeyClient(api_key or "SandboxTakesAnyKey0123456789", base_url=base_url))
            key = client.start()
            name = f"{key.value[:6]}…, " if sandbox else ""  # a listen key of Binance's is a secret, all of it
            show("listen key", f"{name}valid until {key.expires_at:%H:%M:%S} UTC, kept alive from now on")
            stream = stack.enter_context(UserDataStream(client))
            show_item(next(stream))
            if sandbox:
                sandbox.emit(FILL)
                show_item(next(stream))
                lose_connection(sandbox)
                show_item(next(stream))
            else:
                show("event", "an account without orders brings none: `listenkey events` waits for them")
        except ListenKeyError as error:
            print(error, file=sys.stderr)
            return 1
    print(READ_ON)
    return 0


if __name__ == "__main__":
    sys.exit(main())
