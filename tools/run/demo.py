"""Get a listen key, and an event of its stream: `make run`.

Asks Binance if BINANCE_API_KEY is set, and does not wait for an event there; else a sandbox on this machine.
"""

import contextlib
import os
import sys
import time

from listenkey import ListenKey, ListenKeyClient, ListenKeyError
from listenkey.client import BASE_URL
from listenkey.sandbox import Sandbox
from listenkey.stream import UserDataStream


def show(what: str, key: ListenKey) -> None:
    """Print a key, shortened: a live key is a secret."""
    print(f"{what}: {key.value[:6]}… until {key.expires_at:%Y-%m-%d %H:%M:%S} UTC{' (estimated)' * key.estimated}")


def main() -> int:
    """Start, wait a moment, start again; then read the stream's first items."""
    sandbox = None
    with contextlib.ExitStack() as stack:
        api_key = os.environ.get("BINANCE_API_KEY")
        if api_key:
            where = base_url = os.environ.get("LISTENKEY_BASE_URL") or BASE_URL
        else:
            api_key = "demo"
            sandbox = stack.enter_context(Sandbox())
            base_url = sandbox.url
            where = f"the sandbox on {base_url}, not Binance: BINANCE_API_KEY is not set"
        print(f"asking {where}")
        try:
            client = stack.enter_context(ListenKeyClient(api_key, base_url=base_url))
            first = client.start()
            show("listen key", first)
            time.sleep(2)
            second = client.start()
            show("the same, renewed" if second.value == first.value else "replaced by", second)
            stream = stack.enter_context(UserDataStream(client))
            print(f"the stream: {next(stream)}")
            if sandbox:
                sandbox.emit({"e": "RISK_LEVEL_CHANGE", "E": int(time.time() * 1000), "mb": "1531.2", "mm": "1498.7"})
                print(f"an event that the sandbox pushed: {next(stream)}")
        except ListenKeyError as error:
            print(error, file=sys.stderr)
            return 1
        return 0


if __name__ == "__main__":
    sys.exit(main())
