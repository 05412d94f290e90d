"""Threads that share one client and one keeper.

BINANCE_API_KEY=… python threads.py
"""

import os
import signal
import sys
import threading
import time

from listenkey import (
    ConfigurationError,
    LeaseLost,
    ListenKeyClient,
    ListenKeyError,
    ListenKeyKeeper,
    RateLimited,
    ServerError,
    TransportError,
)

API_KEY = os.environ.get("BINANCE_API_KEY", "")
BASE_URL = os.environ.get("LISTENKEY_BASE_URL", "https://eapi.binance.com")
FIRST_WAIT, LONGEST_WAIT = 5.0, 960.0  # seconds until the next keeper: doubled until a keeper has a key
PASSING = (TransportError, RateLimited, ServerError, LeaseLost)  # trouble that ends by itself; all else is a refusal


def say(line: str) -> None:
    """Print a line as a whole: print() writes the line's end by itself, and another thread's text could come before."""
    print(f"{line}\n", end="", flush=True)


def work(name: str, keeper: ListenKeyKeeper) -> None:
    """Your part: use each key until the next one comes."""
    try:
        for key in keeper.changes():
            say(f"{name} uses {key.value[:6]}…, valid until {key.expires_at:%H:%M} UTC")
    except LeaseLost as error:
        say(f"{name} ends: {error}")


def run(keeper: ListenKeyKeeper) -> None:
    """Run two threads for as long as the keeper has a key."""
    threads = [threading.Thread(target=work, args=(name, keeper)) for name in ("orders", "positions")]
    try:
        with keeper:
            for thread in threads:
                thread.start()
            keeper.wait()  # raises LeaseLost when the key is lost
    finally:  # leaving the keeper's block has ended each changes()
        for thread in threads:
            if thread.is_alive():
                thread.join()


def main() -> None:
    """Run one keeper after another. The main thread waits: Python starts no thread after the main thread has ended."""
    has_worked, wait = False, FIRST_WAIT
    with ListenKeyClient(API_KEY, base_url=BASE_URL) as client:
        while True:
            keeper = ListenKeyKeeper(client)
            try:
                run(keeper)
            except ConfigurationError:
                raise  # waiting would not mend it
            except ListenKeyError as error:
                if isinstance(error, LeaseLost):  # there was a key, and now there is none
                    has_worked, wait = True, FIRST_WAIT
                if not has_worked and not isinstance(error, PASSING):
                    raise
                pause = error.retry_after or wait
                print(f"no listen key: {error} The next try is in {pause:.0f} s.", file=sys.stderr, flush=True)
                time.sleep(pause)
                wait = min(2 * wait, LONGEST_WAIT)


if __name__ == "__main__":
    # SIGTERM ends the program as Ctrl-C does. Without a handler, a container's first process would ignore SIGTERM.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        print("stopping", flush=True)
    except ListenKeyError as error:
        raise SystemExit(f"no listen key: {error}") from None
