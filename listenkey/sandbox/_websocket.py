"""The sandbox's stream: WebSockets at the address of the REST calls. See `Streams`.

No code is shared with the client's stream. The library websockets knows the protocol; the sockets are our own.

Locks, in this order: the lock of `Streams`, the lock of a `Connection`, the lock of `Accounts`. Whoever holds a lock
never waits for a client: what a client does not take at once waits in the connection's buffer.
"""

from __future__ import annotations

import json
import logging
import os
import re
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from listenkey.sandbox._accounts import SNAPSHOTS, Answer
from listenkey.sandbox._faults import CONNECTIONS, EVENTS, FAULTS, HANDSHAKES, Fault, Queue, make_fault
from listenkey.sandbox._ledger import Ledgers, beat

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from websockets.server import ServerProtocol

    from listenkey.sandbox._ledger import Ledger, Make

MISSING = "The sandbox's stream needs the package websockets: pip install 'binance-options-listenkey[stream]'"
PATH = re.compile(r"/(private|public|market)/(ws|stream)|(?P<bare>/(private|public|market)/ws)/.+")  # the last: a key
_RESET = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)  # SO_LINGER: on, 0 seconds; closing then sends RST
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)  # these need no file of their own
_silent = logging.Logger("listenkey.sandbox.websockets", logging.CRITICAL + 1)  # noqa: LOG001  frames hold keys

# In seconds. The life of a connection (User Data Streams page), between the updates of a position (the same page),
# between pings, and from a ping to its pong at the latest (both: Connect page).
_DAY, _BEAT, _PING, _PONG = 86_400.0, 10.0, 300.0, 900.0
_SHORTEST_PING, _SHORTEST_PONG = 1.0, 5.0  # at any scale: a busy machine is no dead client
_CLOSING = 10.0  # seconds that a client has to answer a close frame
_MESSAGES = 10  # a second (Connect page)
_UNREAD = 16 * 2**20  # bytes that may wait for a client
_NO_REQUEST = {"code": 2, "msg": "Invalid request: request ID must be an unsigned integer"}
_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS")


def reset_when_closed(sock: socket.socket) -> None:
    """Let the end of this socket be a reset (RST)."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def resets_when_closed(sock: socket.socket) -> bool:
    """Whether the end of this socket will be a reset."""
    return any(sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_RESET)))


class Connection:
    """A WebSocket. A single thread reads. Any thread may write, and no thread waits for the client to read.

    Bytes that the client does not take at once wait here, and a thread sends them as soon as the client reads. If a
    message comes when more than 16 MiB wait already, the connection is reset.
    """

    def __init__(self, sock: socket.socket, protocol: ServerProtocol, keys: tuple[str, ...], *, wrapped: bool) -> None:
        self.sock, self.protocol, self.keys, self.wrapped = sock, protocol, keys, wrapped
        self.opened_at = self.pinged_at = time.monotonic()
        self.lived: set[str] = set()  # keys that exist; the end of a key is told
        self.is_silent = self.is_mute = self.is_reset = False
        self.lock = threading.Lock()
        self._closing_at: float | None = None  # when the close frame was sent
        self._pings: dict[bytes, float] = {}  # that no pong has answered: when each was sent
        self._received: deque[float] = deque(maxlen=_MESSAGES)  # when the last messages came
        self._fragments = b""
        self._unsent = bytearray()
        self._ends = False  # as soon as all is sent
        self._sender: threading.Thread | None = None

    # For everyone.

    def text(self, content: str) -> None:
        """Send a text."""
        with self.lock:
            if self._is_open():
                self.protocol.send_text(content.encode())
                self._flush()

    def close(self, code: int) -> None:
        """Send a close frame."""
        with self.lock:
            self._close(code, "")

    def reset(self) -> None:
        """End the connection at once. The client sees a reset."""
        with self.lock:
            self._reset()

    def fall_silent(self) -> None:
        """Neither send nor answer anything any more."""
        with self.lock:
            self.is_silent = True
            self._unsent.clear()

    def mute(self) -> None:
        """Send no event any more."""
        self.is_mute = True

    def look(self, now: float, ping_every: float, pong_within: float) -> None:
        """Send a ping when a ping is due. End a connection whose client answers neither pings nor a close frame."""
        with self.lock:
            if self._closing_at is not None:
                if now >= self._closing_at + _CLOSING and not self.is_silent:
                    self._reset()
            elif self._is_open() and self._pings and now >= next(iter(self._pings.values())) + pong_within:
                self._close(1008, "Pong timeout")
            elif self._is_open() and now >= self.pinged_at + ping_every:
                self.pinged_at = now
                payload = str(int(time.time() * 1000)).encode()
                self._pings[payload] = now
                self.protocol.send_ping(payload)
                self._flush()

    # For the thread that reads.

    def start(self) -> None:
        """Send the answer to the handshake."""
        with self.lock:
            self._flush()

    def read(self, early: bytes, exists: Callable[[str], object]) -> None:
        """Read until the end, and answer pings and requests. `early` came together with the handshake."""
        with _Selector() as selector:
            selector.register(self.sock, selectors.EVENT_READ)
            data: bytes | None = early or None
            while data != b"" and not self.is_reset:
                if data and not self.is_silent:
                    with self.lock:
                        self._take(data)
                        self.lived.update(filter(exists, self.keys))
                        if self.protocol.close_expected():
                            return
                try:
                    data = self.sock.recv(65_536)
                except BlockingIOError:
                    data = None
                    selector.select()

    def end(self) -> None:
        """Give up what is unsent, and wait for the thread that sends."""
        with self.lock:
            self._unsent.clear()
            sender = self._sender
        if sender is not None:
            sender.join()

    # Under the lock.

    def _is_open(self) -> bool:
        return self.protocol.state.name == "OPEN" and not self.is_silent

    def _close(self, code: int, reason: str) -> None:
        if self._is_open():
            self._closing_at = time.monotonic()
            self.protocol.send_close(code, reason)
            self._flush()

    def _reset(self) -> None:
        self.is_reset = True
        self._unsent.clear()
        reset_when_closed(self.sock)
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RD)  # wakes the thread that reads, which closes the socket

    def _flush(self) -> None:
        """Send what the protocol has, and keep what the client does not take now."""
        too_slow = len(self._unsent) > _UNREAD
        for data in self.protocol.data_to_send():
            self._unsent += data
            self._ends = self._ends or not data
        if too_slow:
            self._reset()
        elif not self._send() and self._sender is None:
            self._sender = threading.Thread(target=self._send_the_rest, name="listenkey-sandbox-sender", daemon=True)
            self._sender.start()

    def _send(self) -> bool:
        """Send what the client takes now. False: something is left."""
        try:
            while self._unsent:
                del self._unsent[: self.sock.send(self._unsent)]
            if self._ends:
                self.sock.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return False
        except OSError:  # the client is gone, which the thread that reads notices
            self._unsent.clear()
        return True

    def _send_the_rest(self) -> None:
        with _Selector() as selector:
            selector.register(self.sock, selectors.EVENT_WRITE)
            while True:
                selector.select(0.1)  # the time limit is for a connection that ends here
                with self.lock:
                    if self._send():
                        self._sender = None
                        return

    def _take(self, data: bytes) -> None:
        """Take bytes from the client, and answer."""
        self.protocol.receive_data(data)
        for frame in self.protocol.events_received():
            opcode = getattr(frame, "opcode", None)  # 0 to 2: continuation, text, binary; 9 and 10: ping, pong
            content = bytes(frame.data)  # type: ignore[union-attr]
            if opcode == 10 and content in self._pings:
                self._pings.clear()
            if opcode in (1, 2, 9) and self._is_over_limit():
                self._close(1008, "Too many requests")
            if opcode in (0, 1):
                self._fragments = content if opcode == 1 else self._fragments + content
                if frame.fin and self._is_open():  # type: ignore[union-attr]
                    self.protocol.send_text(json.dumps(self._reply(self._fragments)).encode())
        self._flush()

    def _is_over_limit(self) -> bool:
        now = time.monotonic()
        is_over = len(self._received) == _MESSAGES and now < self._received[0] + 1
        self._received.append(now)
        return is_over

    def _reply(self, message: bytes) -> dict[str, object]:
        """Do and answer a request such as ``{"method": "SUBSCRIBE", "params": [key], "id": 1}``."""
        try:
            asked = json.loads(message)
        except (ValueError, RecursionError):
            return {"error": {"code": 3, "msg": "Invalid JSON"}, "id": None}
        number = asked.get("id") if isinstance(asked, dict) else None
        if type(number) is not int or number < 0:
            return {"error": _NO_REQUEST, "id": None}
        method, params = asked.get("method"), asked.get("params", [])
        if method not in _METHODS:
            text = f"Invalid request: unknown variant {method}, expected one of {', '.join(_METHODS)}"
            return {"error": {"code": 2, "msg": text}, "id": number}
        if method == "LIST_SUBSCRIPTIONS":
            return {"result": list(self.keys), "id": number}
        if not isinstance(params, list) or not all(isinstance(each, str) for each in params):
            return {"error": {"code": 2, "msg": "Invalid request: params must be a list of strings"}, "id": number}
        others = tuple(key for key in self.keys if key not in params)
        self.keys = others + tuple(dict.fromkeys(params)) if method == "SUBSCRIBE" else others
        self.lived.intersection_update(self.keys)
        return {"result": None, "id": number}


class Streams:
    """Every open WebSocket of a sandbox.

    A connection names the listen key in the path (``/private/ws/<key>``), in the query
    (``/private/ws?listenKey=<key>``, ``/private/stream?streams=<key>``) or in a message on ``/private/stream``:
    SUBSCRIBE, UNSUBSCRIBE and LIST_SUBSCRIPTIONS are answered. As at the exchange, any key is taken, and a key that
    does not exist brings nothing. A position that ``BALANCE_POSITION_UPDATE`` opened brings ACCOUNT_UPDATE every 10
    seconds. `Faults` says what can go wrong. What an account holds follows each event, also one that reaches nobody.

    The sandbox is as strict as Binance's pages say. In parentheses, the page:

    - A connection lives 24 hours. (Connect, User Data Streams)
    - The sandbox pings every 5 minutes. If no pong with the content of a ping comes within 15 minutes of the ping, the
      connection is closed: code 1008, Pong timeout. Other pongs are allowed, and are no answer. (Connect)
    - More than 10 messages in a second close the connection: code 1008, Too many requests. Texts, bytes and pings
      count, pongs do not. (Connect, without the word what counts)
    - The ``id`` of a message is an integer from 0. (Live Subscribing/Unsubscribing to streams, of the USDⓈ-M futures,
      which are on the same host)

    On no page, and so chosen here: the codes 1008. A client that does not answer a close frame within 10 seconds is
    reset. A client that does not read holds up neither other clients nor any call: its messages wait. The client is
    reset as soon as one more message is sent to it while more than 16 MiB wait.

    Times shrink with the sandbox's life of a key: 24 hours, 5 minutes, 15 minutes and 10 seconds are for a life of an
    hour. But pings come at most once a second, a pong has at least 5 seconds, and a second of 10 messages does not
    shrink.
    """

    wrapped: bool | None = None
    """Whether events come as ``{"stream": key, "data": event}``. None: on ``/private/stream`` they do."""
    receivers: Literal["all", "newest", "newest, and the others are closed"] = "all"
    """Which connections of one listen key get its events."""
    connection_life: float
    """How long a connection lives, in seconds."""
    ping_every: float
    """Seconds from one ping of the sandbox to the next."""
    pong_within: float
    """Seconds that a client has to answer a ping."""

    def __init__(self, account_of: Callable[[str], str | None], life: float, names: Collection[str] | None) -> None:
        self._account_of, self._names, self._stopping = account_of, names, threading.Event()
        self._scale = life / 3600
        self.connection_life = _DAY * self._scale
        self.ping_every = max(_PING * self._scale, _SHORTEST_PING)
        self.pong_within = max(_PONG * self._scale, _SHORTEST_PONG)
        self._lock = threading.RLock()
        self._open: list[Connection] = []
        self._handshakes, self._losses = Queue(), Queue()
        self._ledgers = Ledgers()
        self._ticker: threading.Thread | None = None
        self._beaten_at = 0.0

    @property
    def connections(self) -> int:
        """How many WebSockets are open."""
        with self._lock:
            return len(self._open)

    def emit(self, event: Mapping[str, Any], account: str | None = None) -> int:
        """As `Sandbox.emit`."""
        if not isinstance(event, Mapping) or not isinstance(event.get("e"), str):
            raise ValueError('An event must be a mapping with its name in "e".')  # noqa: TRY004  JSON brings it
        try:
            json.dumps(dict(event), allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"An event must be something that JSON can hold: {error}") from None
        return self._play(event, account)

    def fault(self, name: str, only: int | None = None, *, times: int | None = 1, **options: object) -> None:
        """As `Faults.add` for a fault of the stream. But a fault for open connections never waits for a connection.

        Raises:
            ValueError: as `Faults.add`.
        """
        given = options if only is None else {"only": only, **options}
        fault = make_fault(name, given, times)
        if name in CONNECTIONS:
            self._do(fault)
        elif name in HANDSHAKES or name in EVENTS:
            self._meet(fault, times)
        else:
            names = ", ".join(name for name in FAULTS if name.startswith("stream-"))
            raise ValueError(f"Fault {name} is none of the stream, whose faults are: {names}.")

    def look(self) -> None:
        """Send messages that are due: ends of keys, updates of positions, pings, ends of connections."""
        now = time.monotonic()
        with self._lock:
            for connection in self._open:
                for key in connection.keys:
                    if key in connection.lived and self._account_of(key) is None:
                        connection.lived.discard(key)
                        expired = {"e": "listenKeyExpired", "E": str(int(time.time() * 1000)), "listenKey": key}
                        if not connection.is_mute:
                            connection.text(_frame(connection, key, json.dumps(expired)))
                if now >= connection.opened_at + self.connection_life:
                    connection.close(1001)
                connection.look(now, self.ping_every, self.pong_within)
            if now >= self._beaten_at + _BEAT * self._scale:
                self._beaten_at = now
                for account, ledger in list(self._ledgers.concerned(None)):
                    if account is not None and ledger.positions:
                        self._do_events(beat, [(account, ledger)])

    def _meet(self, fault: Fault, times: int | None) -> None:
        """Do the fault to the open connections. Keep the rest of its `times` for connections to come."""
        with self._lock:
            if fault.name in CONNECTIONS and self._do(fault) and times is not None:
                times -= 1
            if times != 0:  # None or what is left
                (self._losses if fault.name in EVENTS else self._handshakes).add(fault, times)

    def _change(self, make: Make, account: str | None, order_id: object = None) -> None:
        """Change what an account holds, and send the events of it. `order_id`: of every account that has this order."""
        with self._lock:
            concerned = self._concerned(account)
            having = [each for each in concerned if type(order_id) is int and order_id in each[1].orders]
            self._do_events(make, having or concerned)

    def _play(self, event: Mapping[str, Any], account: str | None) -> int:
        """Send an event, whatever the event is. Returns to how many connections."""
        with self._lock:
            for _, ledger in self._concerned(account):
                ledger.note(event)
            return self._send(event, account)

    def _listening(self, account: str | None) -> int:
        """Count the connections that get an account's events."""
        with self._lock:
            return len({id(each) for each, _, _ in self._receiving(account) if not each.is_reset})

    def _cut(self, account: str | None) -> None:
        """Cut the connections that get an account's events."""
        with self._lock:
            for connection, _, _ in self._receiving(account):
                connection.reset()

    def _next_order(self) -> tuple[int, int]:
        with self._lock:
            return self._ledgers.next_order()

    def _snapshot(self, account: str, path: str, symbol: str | None) -> object:
        """Answer what an account holds."""
        with self._lock:
            ledger = self._ledgers.of(account)
            if path == SNAPSHOTS[0]:
                return ledger.open_orders(symbol)
            return ledger.position(symbol) if path == SNAPSHOTS[1] else ledger.margin_account(self._ledgers.now())

    def _do(self, fault: Fault) -> int:
        with self._lock:
            met = self._open[: fault["only"]]
            for connection in met:
                CONNECTIONS[fault.name][1](connection, fault)
            return len(met)

    def _serve(
        self, head: bytes, path: str, sock: socket.socket, early: Callable[[], bytes], record: Callable[[int], None]
    ) -> Answer | None:
        """Answer a handshake, and serve the WebSocket to its end. Returns the answer instead, if there is no WebSocket.

        `head` is the request. `early` gives what came after the request; the socket does not block any more by then.
        `record` is told the status before the client is.
        """
        try:
            from websockets.server import ServerProtocol
        except ImportError:
            return Answer(501, MISSING.encode(), {"X-Sandbox": MISSING, "Content-Type": "text/plain"})
        protocol = ServerProtocol(logger=_silent)
        protocol.receive_data(head)
        request = next(iter(protocol.events_received()), None)
        if request is None:
            return Answer(400, b"This is no request for a WebSocket.\n", {"Content-Type": "text/plain"})
        response = protocol.accept(request)  # type: ignore[arg-type]
        if response.status_code != 101:
            return Answer(response.status_code, bytes(response.body or b""), dict(response.headers.raw_items()))
        with self._lock:  # events come from the moment on at which the client knows of the open connection
            fault = self._handshakes.take()
            if fault and fault.name in HANDSHAKES and (answer := HANDSHAKES[fault.name][1](fault)):
                return answer
            sock.setblocking(False)
            by_path = urlsplit(path).path.endswith("/stream")
            wrapped = by_path if self.wrapped is None else self.wrapped
            connection = Connection(sock, protocol, _keys(path), wrapped=wrapped)
            record(101)
            protocol.send_response(response)
            if fault and fault.name in HANDSHAKES:
                connection.start()
                return None
            self._add(connection)  # before the client knows: the client is told if a key ends from now on
            connection.start()
            if fault:
                CONNECTIONS[fault.name][1](connection, fault)
        try:
            connection.read(early(), self._account_of)
        finally:
            with self._lock:
                self._open.remove(connection)
            connection.end()
        return None

    # Under the lock.

    def _add(self, connection: Connection) -> None:
        if self.receivers == "newest, and the others are closed":
            for other in self._open:
                if set(other.keys) & set(connection.keys):
                    other.close(1008)
        connection.lived.update(filter(self._account_of, connection.keys))
        self._open.append(connection)
        if self._ticker is None:
            self._ticker = threading.Thread(target=self._tick, name="listenkey-sandbox-stream", daemon=True)
            self._ticker.start()

    def _concerned(self, account: str | None) -> list[tuple[str | None, Ledger]]:
        for _, _, owner in self._receiving(account):
            self._ledgers.of(owner)
        return list(self._ledgers.concerned(account))

    def _do_events(self, make: Make, concerned: list[tuple[str | None, Ledger]]) -> None:
        at = self._ledgers.now()
        for account, ledger in concerned:
            for event in make(ledger, at):
                ledger.note(event)
                if account is not None:
                    self._send(event, account)

    def _send(self, event: Mapping[str, Any], account: str | None) -> int:
        if self._losses.take(lambda fault: fault["event"] in (None, event.get("e"))):
            return 0
        sent, data = 0, json.dumps(dict(event), separators=(",", ":"))
        for connection, key, _ in self._receiving(account):
            if not connection.is_mute and not connection.is_silent and self._is_receiver(connection, key):
                sent += 1
                connection.text(_frame(connection, key, data))
        return sent

    def _receiving(self, account: str | None) -> Iterator[tuple[Connection, str, str]]:
        if not isinstance(account, str | None):
            raise ValueError(f"account must be the name of an account, or None, not {account!r}.")  # noqa: TRY004
        if account is not None and self._names is not None and account not in self._names:  # perhaps an API key
            raise ValueError(f"There is no account of this name; there are: {', '.join(sorted(set(self._names)))}.")
        for connection in self._open:
            for key in connection.keys:
                owner = self._account_of(key)
                if owner is not None and account in (None, owner):
                    yield connection, key, owner

    def _is_receiver(self, connection: Connection, key: str) -> bool:
        return self.receivers == "all" or connection is [each for each in self._open if key in each.keys][-1]

    def _tick(self) -> None:
        while not self._stopping.wait(min(0.25, max(0.01, self._scale))):
            self.look()

    def _stop(self, until: float) -> None:
        """End the thread that looks. Wait for its end up to a time of the monotonic clock."""
        self._stopping.set()
        with self._lock:  # or a connection that opens now has made the thread, and not started it yet
            ticker = self._ticker
        if ticker is not None:
            ticker.join(max(0.0, until - time.monotonic()))


def _frame(connection: Connection, key: str, data: str) -> str:
    return f'{{"stream":{json.dumps(key)},"data":{data}}}' if connection.wrapped else data


def _keys(path: str) -> tuple[str, ...]:
    parts = urlsplit(path)
    query = parse_qs(parts.query)
    named = re.fullmatch(r"/private/ws/(.+)", parts.path)
    combined = [key for several in query.get("streams", []) for key in several.split("/")]
    return tuple(([unquote(named[1])] if named else []) + query.get("listenKey", []) + combined)
