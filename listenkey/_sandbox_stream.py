"""The sandbox's stream: WebSockets at the address of the REST calls, and faults on demand. See `Streams`.

No code is shared with the client's stream. The library websockets knows the protocol; the sockets are our own.
"""

from __future__ import annotations

import json
import logging
import re
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

    from websockets.server import ServerProtocol  # noqa: TID251  this is the module that may

MISSING = "The sandbox's stream needs the package websockets: pip install 'binance-options-listenkey[stream]'"
PREFIXES = ("/private/", "/public/", "/market/")  # Binance's SDK opens all three; the last two bring nothing here
FAULTS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "stream-drop": {},
        "stream-half-open": {},
        "stream-mute": {},
        "stream-close": {"code": 1001},
        "stream-frame": {"text": "{"},
        "stream-huge": {"bytes": 2_000_000},
        "stream-refuse": {"status": 503, "headers": {}, "times": 1},
        "stream-redirect": {"status": 302, "location": "/elsewhere", "times": 1},
        "stream-accept-close": {"times": 1},
    }
)
_silent = logging.Logger("listenkey.sandbox.websockets", logging.CRITICAL + 1)  # noqa: LOG001  frames hold keys
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 seconds; closing then sends RST
_DAY, _BEAT = (
    86_400.0,
    10.0,
)  # seconds: the life of a connection, and between a position's updates (User Data Streams page)


class _Connection:
    """A WebSocket. A thread of the socket reads, any thread may write."""

    def __init__(self, sock: socket.socket, protocol: ServerProtocol, keys: list[str], *, wrapped: bool) -> None:
        self.sock, self.protocol, self.keys, self.wrapped = sock, protocol, keys, wrapped
        self.since = time.monotonic()
        self.lived: set[str] = set()  # keys that exist; the end of a key is told
        self.dead = self.mute = False
        self.lock = threading.Lock()

    def flush(self) -> None:
        """Send what the protocol has; under the lock."""
        for data in self.protocol.data_to_send():
            if not self.dead:
                with suppress(OSError):  # the reader notices
                    self.sock.sendall(data) if data else self.sock.shutdown(socket.SHUT_WR)

    def text(self, content: str) -> None:
        with self.lock:
            if self.protocol.state.name == "OPEN":
                self.protocol.send_text(content.encode())
                self.flush()

    def close(self, code: int) -> None:
        with self.lock:
            if self.protocol.state.name == "OPEN":
                self.protocol.send_close(code)
                self.flush()

    def reset(self) -> None:
        with suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.sock.shutdown(socket.SHUT_RDWR)

    def read(self, exists: Callable[[str], object]) -> None:
        """Read until the end, and answer pings and requests."""
        while data := self.sock.recv(65_536):
            if self.dead:
                continue
            with self.lock:
                self.protocol.receive_data(data)
                for event in self.protocol.events_received():
                    if getattr(event, "opcode", None) == 1:
                        self.protocol.send_text(self.subscribe(bytes(event.data)))  # type: ignore[union-attr]
                self.lived.update(filter(exists, self.keys))
                self.flush()
                if self.protocol.close_expected():
                    return

    def subscribe(self, message: bytes) -> bytes:
        """Read ``{"method": "SUBSCRIBE", "params": [key], "id": 1}``, and return the answer."""
        try:
            asked = json.loads(message)
            if asked["method"] == "SUBSCRIBE" and type(asked["id"]) is int:
                self.keys.extend(map(str, asked["params"]))
                return json.dumps({"result": None, "id": asked["id"]}).encode()
        except (ValueError, TypeError, LookupError):
            pass
        return b'{"error":{"code":2,"msg":"Invalid request"},"id":null}'


class Streams:
    """Every open WebSocket of a sandbox.

    A connection names the listen key in the path (``/private/ws/<key>``), in the query
    (``/private/ws?listenKey=<key>``, ``/private/stream?streams=<key>``) or in a SUBSCRIBE message on
    ``/private/stream``. As at the exchange, any key is taken, and a key that does not exist brings nothing. A position
    that ``BALANCE_POSITION_UPDATE`` opened brings ACCOUNT_UPDATE every 10 seconds. Times shrink with the sandbox's life
    of a key: 10 seconds are for an hour.

    Faults, each with what the clients get, and in parentheses the options with their defaults:

    - ``stream-drop``: a connection reset, at once
    - ``stream-half-open``: nothing more: no bytes, no pong, no end
    - ``stream-mute``: pongs, and no event
    - ``stream-close`` (``code=1001``): a close frame
    - ``stream-frame`` (``text="{"``): this text as a frame
    - ``stream-huge`` (``bytes=2000000``): a frame of so many bytes
    - ``stream-refuse`` (``status=503, headers={}, times=1``): this answer to the next handshakes
    - ``stream-redirect`` (``status=302, times=1, location="/elsewhere"``): a redirect for the next handshakes
    - ``stream-accept-close`` (``times=1``): an end right after the next handshakes

    The first six are done at once, to every open connection; `only` = n takes the n oldest alone.
    """

    wrapped: bool | None = None
    """Whether events come as ``{"stream": key, "data": event}``. None: on ``/private/stream`` they do."""
    receivers: Literal["all", "newest", "newest, and the others are closed"] = "all"
    """Which connections of one listen key get its events."""

    def __init__(self, account_of: Callable[[str], str | None], life: float) -> None:
        self._account_of, self._stopping = account_of, threading.Event()
        self._scale = life / 3600
        self.connection_life: float = _DAY * self._scale
        self._lock = threading.RLock()
        self._open: list[_Connection] = []
        self._handshakes: deque[tuple[str, dict[str, Any]]] = deque()
        self._positions: dict[str, dict[str, bool]] = {}  # by account and symbol: whether a position is held
        self._ticker: threading.Thread | None = None
        self._beaten = 0.0

    @property
    def connections(self) -> int:
        """How many WebSockets are open."""
        with self._lock:
            return len(self._open)

    def emit(self, event: Mapping[str, Any], account: str | None = None) -> int:
        """Send an event to the streams of an account (None: of every account). Returns to how many connections."""
        if not isinstance(event, Mapping) or not isinstance(event.get("e"), str):
            raise ValueError('An event must be a mapping with its name in "e".')  # noqa: TRY004  JSON brings it
        sent = 0
        with self._lock:
            for connection in list(self._open):
                for key in connection.keys:
                    owner = self._account_of(key)
                    if owner is None or account not in (None, owner):
                        continue
                    self._note_positions(owner, event)
                    if not connection.mute and not connection.dead and self._receives(connection, key):
                        sent += 1
                        content = {"stream": key, "data": event} if connection.wrapped else event
                        connection.text(json.dumps(content, separators=(",", ":")))
        return sent

    def fault(self, name: str, only: int | None = None, **options: Any) -> None:  # noqa: ANN401  as JSON brings them
        """Do or queue a fault."""
        if name not in FAULTS:
            raise ValueError(f"There is no fault {name!r} of the stream; there are: {', '.join(FAULTS)}.")
        for option in options.keys() - FAULTS[name].keys():
            raise ValueError(f"Fault {name} has no option {option!r}; it has: {', '.join(FAULTS[name]) or 'none'}.")
        given = {**FAULTS[name], **options}
        with self._lock:
            if "times" in given:
                self._handshakes.extend([(name, given)] * given["times"])
                return
            for connection in list(self._open)[:only]:
                match name:
                    case "stream-drop":
                        connection.reset()
                    case "stream-half-open":
                        connection.dead = True
                    case "stream-mute":
                        connection.mute = True
                    case "stream-close":
                        connection.close(given["code"])
                    case "stream-frame":
                        connection.text(given["text"])
                    case _:
                        connection.text('{"e":"' + "X" * given["bytes"] + '"}')

    def look(self) -> None:
        """Send messages that are due: ends of keys, updates of positions, ends of connections."""
        now = time.monotonic()
        with self._lock:
            for connection in self._open:
                for key in connection.keys:
                    if key in connection.lived and self._account_of(key) is None:
                        connection.lived.remove(key)
                        expired = {"e": "listenKeyExpired", "E": str(int(time.time() * 1000)), "listenKey": key}
                        content = {"stream": key, "data": expired} if connection.wrapped else expired
                        if not connection.mute:
                            connection.text(json.dumps(content))
                if now >= connection.since + self.connection_life:
                    connection.close(1001)
            if now >= self._beaten + _BEAT * self._scale:
                self._beaten = now
                for account in [name for name, held in self._positions.items() if any(held.values())]:
                    self.emit(_account_update(), account)

    def serve(
        self, sock: socket.socket, path: str, head: bytes, send: Callable[[int, Mapping[str, str]], None]
    ) -> None:
        """Serve a connection to the end. `send` answers with a status instead."""
        try:
            from websockets.server import ServerProtocol  # noqa: TID251  this is the module that may
        except ImportError:
            return send(501, {"X-Sandbox": MISSING})
        with self._lock:
            name, options = self._handshakes.popleft() if self._handshakes else ("", {})
        if name in ("stream-refuse", "stream-redirect"):
            location = {"Location": options["location"]} if name == "stream-redirect" else options["headers"]
            return send(options["status"], location)
        protocol = ServerProtocol(logger=_silent)
        protocol.receive_data(head)
        (request,) = protocol.events_received()
        protocol.send_response(protocol.accept(request))  # type: ignore[arg-type]
        keys = _keys(path)
        by_path = urlsplit(path).path == "/private/stream"
        connection = _Connection(sock, protocol, keys, wrapped=by_path if self.wrapped is None else self.wrapped)
        with self._lock:  # events come from the moment on at which the client knows of the open connection
            if name != "stream-accept-close":
                self._add(connection)
            connection.flush()
        if name == "stream-accept-close":
            return None
        try:
            connection.read(self._account_of)
        finally:
            with self._lock:
                self._open.remove(connection)
        return None

    # Under the lock.

    def _add(self, connection: _Connection) -> None:
        if self.receivers == "newest, and the others are closed":
            for other in self._open:
                if set(other.keys) & set(connection.keys):
                    other.close(1008)
        connection.lived.update(filter(self._account_of, connection.keys))
        self._open.append(connection)
        if self._ticker is None:
            self._ticker = threading.Thread(target=self._tick, name="listenkey-sandbox-stream", daemon=True)
            self._ticker.start()

    def _receives(self, connection: _Connection, key: str) -> bool:
        return self.receivers == "all" or connection is [each for each in self._open if key in each.keys][-1]

    def _note_positions(self, account: str, event: Mapping[str, Any]) -> None:
        if event["e"] == "BALANCE_POSITION_UPDATE":
            for each in event.get("P", ()):
                with suppress(InvalidOperation, LookupError, TypeError):
                    self._positions.setdefault(account, {})[each["s"]] = Decimal(each["c"]) != 0

    def _tick(self) -> None:
        while not self._stopping.wait(min(0.25, max(0.01, self._scale))):
            self.look()

    def stop(self) -> None:
        """End the thread that looks."""
        self._stopping.set()
        with self._lock:  # or a connection that opens now has made the thread, and not started it yet
            ticker = self._ticker
        if ticker is not None:
            ticker.join()


def _keys(path: str) -> list[str]:
    parts = urlsplit(path)
    query = parse_qs(parts.query)
    named = re.fullmatch(r"/private/ws/(.+)", parts.path)
    return ([unquote(named[1])] if named else []) + query.get("listenKey", []) + query.get("streams", [])


def _account_update() -> dict[str, object]:
    now = int(time.time() * 1000)
    amounts = {"eq": "1000", "aeq": "1000", "b": "900", "m": "100", "u": "0", "i": "50", "M": "20"}
    return {"e": "ACCOUNT_UPDATE", "E": now, "T": now, **amounts}
