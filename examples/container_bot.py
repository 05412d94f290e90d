"""The program that `listenkey keep -- python container_bot.py` runs: the key is in LISTENKEY.

The command starts this program anew with each new key, and sends SIGTERM first.
"""

import os
import signal
import threading

stop = threading.Event()


def on_signal(*_: object) -> None:
    """End in peace: cancel orders, close connections."""
    stop.set()


signal.signal(signal.SIGTERM, on_signal)

key = os.environ["LISTENKEY"]
print(f"listening with {key[:6]}…", flush=True)  # your part: connect to wss://fstream.binance.com/private/ws/ and key
stop.wait()
print("stopped in peace", flush=True)
