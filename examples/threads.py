"""Threads that share one client and one keeper.

BINANCE_API_KEY=… python threads.py
"""

import os
import threading

from listenkey import ListenKeyClient, ListenKeyError, ListenKeyKeeper

API_KEY = os.environ.get("BINANCE_API_KEY", "")
BASE_URL = os.environ.get("LISTENKEY_BASE_URL", "https://eapi.binance.com")


def say(line: str) -> None:
    """Print a line as a whole: print() writes the line's end by itself, and another thread's text could come before."""
    print(f"{line}\n", end="", flush=True)


def work(name: str, keeper: ListenKeyKeeper) -> None:
    """Your part: use each key until the next one comes."""
    try:
        for key in keeper.changes():
            say(f"{name} uses {key.value[:6]}…, valid until {key.expires_at:%H:%M} UTC")
    except ListenKeyError as error:
        say(f"{name} ends: {error}")


def main() -> None:
    """Run two threads until Ctrl-C. The main thread waits: Python starts no thread after the main thread has ended."""
    with ListenKeyClient(API_KEY, base_url=BASE_URL) as client:
        with ListenKeyKeeper(client) as keeper:
            threads = [threading.Thread(target=work, args=(name, keeper)) for name in ("orders", "positions")]
            try:
                for thread in threads:
                    thread.start()
                keeper.wait()  # raises LeaseLost when the key is lost
            except KeyboardInterrupt:
                print("stopping", flush=True)
        # Leaving the keeper's block has ended each changes().
        for thread in threads:
            if thread.is_alive():
                thread.join()


if __name__ == "__main__":
    try:
        main()
    except ListenKeyError as error:
        raise SystemExit(f"no listen key: {error}") from None
