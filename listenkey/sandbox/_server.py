"""`Sandbox`, and the server that owns the sockets and threads of the sandbox."""

from __future__ import annotations

import logging
import math
import socket
import socketserver
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from listenkey.sandbox import _ledger
from listenkey.sandbox._accounts import WELL_FORMED, Accounts
from listenkey.sandbox._faults import Faults
from listenkey.sandbox._http import Handler, is_loopback
from listenkey.sandbox._play import lines
from listenkey.sandbox._websocket import Streams

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from decimal import Decimal
    from typing import Any, Self

    Amount = str | int | float | Decimal

_KEPT = 10_000  # records in Sandbox.requests
_STOPPING = 5.0  # seconds that close() waits for threads, which end at once unless the machine stands still
_log = logging.getLogger("listenkey.sandbox")


@dataclass(frozen=True)
class Request:
    """A request that the sandbox saw. Neither the API key nor a listen key nor the query string is kept."""

    method: str
    path: str
    """Without the query string, and without the listen key of a stream: ``/private/ws``."""
    status: int | None
    """HTTP status of the answer; None when none was to be sent (faults silent, reset and lost)."""
    with_key: bool
    """Whether the request carried X-MBX-APIKEY, well-formed or not."""
    time: float
    """When the request was read, in seconds of `time.monotonic()`."""
    user_agent: str | None = None
    """The request's User-Agent. None: the request had none."""


class Server(socketserver.TCPServer):
    """Accepts connections, and gives each a thread that `stop` can end."""

    allow_reuse_address = True
    request_queue_size = 128

    sandbox: Sandbox

    def __init__(self, sandbox: Sandbox, host: str, port: int) -> None:
        self.sandbox = sandbox
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []  # for the acceptor's thread; for `stop` when that thread has ended
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), Handler)
        self._acceptor = threading.Thread(
            target=self.serve_forever, args=(0.02,), name="listenkey-sandbox", daemon=True
        )
        self._acceptor.start()

    def process_request(self, request: Any, client_address: object) -> None:  # noqa: ANN401  as in the base class
        """Start the connection's thread."""
        thread = threading.Thread(
            target=self._serve, args=(request, client_address), name="listenkey-sandbox-connection", daemon=True
        )
        with self._lock:
            self._open.add(request)
        try:
            thread.start()
        except RuntimeError as error:  # too many threads run: the client sees the end of the connection
            _log.error("a connection could not be served: %s", error)
            with self._lock:
                self._open.remove(request)
            return self.shutdown_request(request)
        self._threads = [*(each for each in self._threads if each.is_alive()), thread]
        return None

    def _serve(self, request: socket.socket, client_address: object) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError as error:  # the client left, or the sandbox stops
            _log.debug("connection ended: %s", error)
        except Exception as bug:  # noqa: BLE001  a bug of the sandbox costs one connection, and is told in one line
            _log.error("a connection ended by a bug of the sandbox: %s", type(bug).__name__)
            _log.debug("the bug", exc_info=True)
        finally:
            with self._lock:
                self._open.remove(request)
            request.close()

    def stop(self, until: float) -> None:
        """Accept no more, wake every connection's thread, wait for all to end, up to a time of the monotonic clock."""
        self.stopping.set()
        self.shutdown()
        self._acceptor.join()
        self.server_close()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):  # the client has closed the connection already
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))


class Sandbox:
    """A stand-in for Binance's `/eapi/v1/listenKey` on loopback, for as long as its `with` block (or until `close()`).

    Any API key of printable ASCII characters without a space is an account of its own. Request weight is counted per
    client address, in minutes that start with the first request: over `limit` come five answers of 429, then 418 and a
    ban of 2 minutes, twice as long each further time, up to 3 days. The query string and the body of calls are ignored.

    Args:
        life: How long a listen key lives after POST or PUT, in seconds.
        accounts: Account names by API key: any other key is refused with -2015, and keys with the same name share one
            listen key. None: every key is an account.
        expiration: Whether the answer to POST says when the key ends.
        limit: Request weight one client address may use in a minute. None: any.
        host: Where to listen. Anything but ``localhost`` and loopback addresses, such as ``0.0.0.0`` in a container,
            opens the sandbox to others, and logs a warning.
        port: Port to listen on. 0: any free port.

    Raises:
        ValueError: an argument cannot be used.
    """

    faults: Faults
    """What goes wrong next."""
    stream: Streams
    """The WebSockets, and what goes wrong with them. Needs the package websockets."""

    def __init__(
        self,
        *,
        life: float = 3600.0,
        accounts: Mapping[str, str] | None = None,
        expiration: bool = True,
        limit: int | None = 2400,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        if not isinstance(life, int | float) or not 0 < life < math.inf:
            raise ValueError(f"life must be a number of seconds above 0, not {life!r}.")
        if limit is not None and (not isinstance(limit, int) or limit < 1):
            raise ValueError(f"limit must be at least 1, or None for no limit, not {limit!r}.")
        if not isinstance(port, int) or not 0 <= port <= 65535:
            raise ValueError(f"port must be from 0 to 65535, not {port!r}.")
        if not all(isinstance(key, str) and WELL_FORMED.fullmatch(key) for key in accounts or ()):
            raise ValueError("accounts: an API key must be printable ASCII characters without a space.")
        self._host = "127.0.0.1" if host == "localhost" else host
        if not self._host:
            raise ValueError("host must be an address or a name of this machine, not ''.")
        self._port = port
        names = None if accounts is None else dict(accounts)
        self._accounts = Accounts(life, names, expiration=expiration, limit=limit)
        self._life = float(life)
        self.stream = Streams(self._accounts.account_of, life, names and names.values())
        self.faults = Faults(self.stream)
        self._lock = threading.Lock()
        self._requests: deque[Request] = deque(maxlen=_KEPT)
        self._server: Server | None = None
        self._closed = False

    def start(self) -> Self:
        """Listen; `with` does it for you.

        Raises:
            RuntimeError: the sandbox has been started or closed before: make another sandbox.
            OSError: the address cannot be listened on, for example because the port is in use.
        """
        if self._server or self._closed:
            raise RuntimeError(f"A sandbox starts once, and this one is {'closed' if self._closed else 'running'}.")
        try:
            self._server = Server(self, self._host, self._port)
        except OSError as error:
            raise OSError(
                error.errno,
                f"The sandbox cannot listen on {self._host} port {self._port} ({error.strerror}); "
                "give another port, or 0 for any free one",
            ) from None
        if not is_loopback(self._host):
            _log.warning(
                "The sandbox is open to all who reach %s: they may use and steer it, in plain http.", self._host
            )
        return self

    def close(self) -> None:
        """Stop at once, even in the middle of an answer, and wait for every thread and connection. May be repeated.

        A client that does not read, write or leave holds up nothing: its connection is cut. Takes 5 seconds at most.
        """
        self._closed = True
        server, self._server = self._server, None
        until = time.monotonic() + _STOPPING
        self.stream._stop(until)
        if server:
            server.stop(until)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Sandbox {self.url if self._server else 'closed' if self._closed else 'not started'}>"

    @property
    def life(self) -> float:
        """How long a listen key lives after POST or PUT, in seconds."""
        return self._life

    @property
    def url(self) -> str:
        """The base URL to give a client, for example ``http://127.0.0.1:54321``.

        Raises:
            RuntimeError: the sandbox does not run.
        """
        if self._server is None:
            raise RuntimeError("This sandbox does not run; use it inside its with block, or call start() first.")
        host, port = self._server.server_address[:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(str(host), str(host))  # noqa: S104  every address: also here
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def stream_url(self) -> str:
        """Where the stream is, for example ``ws://127.0.0.1:54321/private``; a client of `url` finds it by itself.

        Raises:
            RuntimeError: the sandbox does not run.
        """
        return self.url.replace("http", "ws", 1) + "/private"

    def emit(self, event: Mapping[str, object], account: str | None = None) -> int:
        """Send an event to the streams of an account.

        Args:
            event: The event as the exchange would send it, for example ``{"e": "RISK_LEVEL_CHANGE", "E": 1, ...}``.
            account: The account's name; the API key, where the sandbox was given no `accounts`. None: every account.

        Returns:
            To how many connections it was sent; 0 when no connection is open. Never waits for a client to read.

        Raises:
            ValueError: the event has no name in ``e``, JSON cannot hold the event, or there is no such account.
        """
        return self.stream.emit(event, account)

    # The account: orders, positions and balances. Each change sends its events, and a snapshot shows it from then on.

    def order(
        self,
        symbol: str,
        side: str,
        quantity: Amount,
        price: Amount,
        *,
        client_order_id: str | None = None,
        account: str | None = None,
    ) -> int:
        """Place an order that rests, and send its ORDER_TRADE_UPDATE.

        Args:
            symbol: The option, for example ``BTC-260626-90000-C``.
            side: BUY or SELL.
            quantity: In contracts.
            price: In USDT.
            client_order_id: None: the sandbox makes one.
            account: The account's name; the API key, where the sandbox was given no `accounts`. None: every account,
                those to come included.

        Returns:
            The order's ID, of 63 bits as Binance's are.

        Raises:
            ValueError: an argument cannot be used. The text says which, and why.
        """
        order_id, count = self.stream._next_order()
        client_id = f"sandbox-{count}" if client_order_id is None else client_order_id
        self.stream._change(_ledger.placed(order_id, client_id, symbol, side, quantity, price), account)
        return order_id

    def fill(self, order_id: int, quantity: Amount | None = None, price: Amount | None = None) -> None:
        """Fill an open order, in each account that has the order.

        Sends ORDER_TRADE_UPDATE, BALANCE_POSITION_UPDATE and ACCOUNT_UPDATE. The position grows or shrinks, and the
        balance in USDT pays or gets the price. There is no commission and no margin: no page says how Binance reckons
        them.

        Args:
            order_id: The order.
            quantity: In contracts. None: all that is open.
            price: In USDT. None: the order's price.

        Raises:
            ValueError: no such order is open, or an amount cannot be used.
        """
        self.stream._change(_ledger.filled(order_id, quantity, price), None, order_id)

    def cancel(self, order_id: int, status: str = "CANCELED") -> None:
        """End an open order that is not filled: CANCELED, EXPIRED or EXPIRED_IN_MATCH. Sends ORDER_TRADE_UPDATE.

        Raises:
            ValueError: no such order is open, or there is no such status.
        """
        self.stream._change(_ledger.ended(order_id, status), None, order_id)

    def position(self, symbol: str, quantity: Amount, average_price: Amount = 1, *, account: str | None = None) -> None:
        """Set a position. Sends BALANCE_POSITION_UPDATE and ACCOUNT_UPDATE.

        Args:
            symbol: The option.
            quantity: In contracts; below zero when short. 0: no position.
            average_price: In USDT, also the price that the position's value is reckoned with.
            account: As for `order`.

        Raises:
            ValueError: an argument cannot be used.
        """
        self.stream._change(_ledger.held(symbol, quantity, average_price), account)

    def balance(self, asset: str, balance: Amount, *, account: str | None = None) -> None:
        """Set a balance, as by a deposit or a withdrawal. Sends BALANCE_POSITION_UPDATE and ACCOUNT_UPDATE.

        An account has 1000 USDT at first. `account` is as for `order`.

        Raises:
            ValueError: an argument cannot be used.
        """
        self.stream._change(_ledger.owned(asset, balance), account)

    def play(self, path: str | os.PathLike[str], *, speed: float = 1.0, account: str | None = None) -> int:
        """Send what ``listenkey events --raw`` wrote, with its pauses and gaps. Ends with the file.

        The first event waits until a stream is connected. A recorded gap cuts the streams at its `since`. If its reason
        was ``key_replaced``, the listen key ends, too. If it was ``key_expired``, the streams are told that the key has
        ended, and are not cut. What follows the gap waits until as many streams are connected again, so the length of
        an outage is not played. What the account holds follows the events, so a snapshot agrees with them.

        This blocks until the end of the file. In asyncio: ``await asyncio.to_thread(sandbox.play, path)``.

        Args:
            path: The recording.
            speed: How many seconds of the recording pass in a second.
            account: As for `emit`.

        Returns:
            How many events were sent. `close` ends a play early.

        Raises:
            OSError: the file cannot be read.
            ValueError: `speed` is not above 0, or a line of the file cannot be read: the text names file and line.
        """
        if not isinstance(speed, int | float) or not 0 < speed < math.inf:
            raise ValueError(f"speed must be a number above 0, not {speed!r}.")
        sent, then, due = 0, None, time.monotonic()
        for line in lines(path):
            if then is None:
                self._wait_for_streams(1, account)
                due = time.monotonic()
            at = line.at if line.since is None or then is None else max(then, line.since)
            due += max(0.0, (at - then).total_seconds() / speed) if then else 0.0
            if not self._slept_until(due):
                return sent
            if line.event is not None:
                self.stream._play(line.event, account)
                sent += 1
            elif then is not None:  # the first line is the begin of the recording
                self._play_gap(line.reason, account)
                due = time.monotonic()
            then = line.at
        return sent

    def _play_gap(self, reason: str | None, account: str | None) -> None:
        listening = self.stream._listening(account)
        if reason != "key_expired":
            self.stream._cut(account)
        if reason in ("key_expired", "key_replaced"):
            self._accounts.expire(account)
            self.stream.look()
        self._wait_for_streams(listening, account)

    def _wait_for_streams(self, count: int, account: str | None) -> None:
        while self.stream._listening(account) < count and self._slept_until(time.monotonic() + 0.01):
            pass

    def _slept_until(self, due: float) -> bool:
        """Sleep until a time of the monotonic clock, in short pieces, for Ctrl-C. False: the sandbox was closed."""
        while not self._closed and (left := due - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))
        return not self._closed

    @property
    def requests(self) -> list[Request]:
        """The last 10,000 requests, oldest first, without requests that steer the sandbox."""
        with self._lock:
            return list(self._requests)

    def expire(self) -> None:
        """End every live listen key at once, as if the 60 minutes were over."""
        self._accounts.expire()
        self.stream.look()

    def _record(self, method: str, path: str, status: int | None, with_key: bool, user_agent: str | None) -> None:
        with self._lock:
            self._requests.append(Request(method, path, status, with_key, time.monotonic(), user_agent))
