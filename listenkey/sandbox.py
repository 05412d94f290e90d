"""A stand-in for the exchange, on loopback: listen keys with real life and limits, and faults on demand.

The sandbox shares no code with the client: a shared mistake would agree with itself. For example:

    with Sandbox(life=2.0) as sandbox:
        client = ListenKeyClient("test-key", base_url=sandbox.url)
        sandbox.faults.add("status", status=503, headers={"Retry-After": "3"})

Programs in other languages start ``listenkey sandbox`` and steer the sandbox over HTTP, at the same address:

- ``POST /faults``: a JSON object, ``{"fault": "status", "times": 2, "status": 503}``; 204, or 400 and why
- ``DELETE /faults``: takes back every fault that is still waiting; 204
- ``POST /expire``: ends every live listen key; 204
- ``POST /events``: sends an event to an account's streams, ``{"event": {"e": …}, "account": "key"}``; 204 or 400

Programs may use and steer the sandbox. Web pages may not, even if a page sends the browser of this machine there.
A request gets 403 and changes nothing if its ``Host`` is not this machine (DNS rebinding), or if its ``Origin`` or
``Sec-Fetch-Site`` is another site's.

The facts of Binance are from pages of the options documentation: "Start User Data Stream", "User Data Streams"
(life, renewal), "General Info" (statuses, weights, the ban of 2 minutes to 3 days), "Error Code" (-1008, -1020, -1125,
-2014, -2015). ``Retry-After`` is on the spot pages only. Not documented, and so chosen here: HTML for an unknown path,
-1020 with 405, and how many answers of 429 lead to a ban.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import logging
import math
import os
import re
import secrets
import socket
import socketserver
import string
import struct
import threading
import time
import zlib
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from types import MappingProxyType
from typing import TYPE_CHECKING

from listenkey import _sandbox_stream

if TYPE_CHECKING:
    from email.message import Message
    from typing import Any, Self

__all__ = ["FAULTS", "Faults", "Request", "Sandbox"]

_ENDPOINT = "/eapi/v1/listenKey"
_REDIRECTED = "/redirected"
_WELL_FORMED = re.compile(r"[!-~]+")
_MINUTE, _FIRST_BAN, _LONGEST_BAN = 60.0, 120.0, 3 * 86400.0  # seconds
_BAN_AFTER = 5  # answers of 429 in one minute; the next is 418
_KEPT = 10_000  # records in Sandbox.requests
_FRAMING = {"connection", "content-length", "transfer-encoding"}
_NO_KEY = "X" * 64  # stands where a listen key would, in faulty answers
_PRIVATE = {"internal", "local", "test"}  # names that end so are never public (RFC 6761, RFC 6762, ICANN 2024)
_RESET = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)  # SO_LINGER: on, 0 seconds; closing then sends RST
_log = logging.getLogger("listenkey.sandbox")


FAULTS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "status": {"status": 200, "body": b"", "headers": {}},
        "redirect": {"status": 302},
        "echo": {"status": 400},
        "cut": {"status": 200},
        "not-utf8": {"status": 200},
        "bad-gzip": {"status": 200},
        "gzip-bomb": {"status": 200},
        "nested": {"status": 200},
        "huge": {"status": 200},
        "drip": {"status": 200, "interval": 1.0},
        "drip-headers": {"status": 200, "interval": 1.0},
        "silent": {},
        "reset": {},
        "lost": {},
    }
)
"""Every fault by name, with its options and their defaults. `Faults` says what each does."""


@dataclass(frozen=True)
class Request:
    """A request that the sandbox saw. Neither the API key nor the query string is kept: either may hold a secret."""

    method: str
    path: str
    status: int | None
    """HTTP status of the answer; None when none was to be sent (faults silent, reset and lost)."""
    with_key: bool
    """Whether the request carried X-MBX-APIKEY, well-formed or not."""
    time: float
    """When it was read, in seconds of `time.monotonic()`."""
    user_agent: str | None = None
    """Its User-Agent; None without one."""


@dataclass(frozen=True)
class _Answer:
    status: int
    body: bytes = b""
    headers: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class _Fault:
    name: str
    answer: _Answer
    interval: float  # seconds


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _error(status: int, code: int, msg: str, headers: Mapping[str, str | None] = MappingProxyType({})) -> _Answer:
    return _Answer(status, _json({"code": code, "msg": msg}), headers)


def _retry_after(seconds: float) -> dict[str, str | None]:
    return {"Retry-After": str(max(1, math.ceil(round(seconds, 3))))}  # rounded: a sum of floats may be a hair too long


@functools.cache
def _bomb() -> bytes:
    """64 MiB of zeros as one gzip member (several would stop some decoders after the first)."""
    squeeze = zlib.compressobj(wbits=31)
    mebibyte = bytes(1 << 20)
    return b"".join([*(squeeze.compress(mebibyte) for _ in range(64)), squeeze.flush()])


class Faults:
    """The faults to come: a queue, of which each request to the endpoint takes the first, before all else.

    A faulty answer replaces the real one: no listen key changes, no limit is checked (the weight is counted). The one
    exception is ``lost``. `status` is the HTTP status of the answer, 200 to 999; `interval` is in seconds.
    What the client gets, and in parentheses the options with their defaults:

    - ``status`` (``status=200, body=b"", headers={}``): this answer: bytes and text as they are, anything else (None
      too) as JSON; a header given replaces the usual one in any case, None leaves it out
    - ``redirect`` (``status=302``): Location: /redirected of the sandbox; `Request.with_key` of a request for that path
      tells whether the API key was carried along
    - ``echo`` (``status=400``): an error whose msg holds the API key
    - ``cut`` (``status=200``): fewer bytes than Content-Length says, then the end of the connection
    - ``not-utf8`` (``status=200``): JSON with bytes that are not UTF-8
    - ``bad-gzip`` (``status=200``): Content-Encoding: gzip, and a body that is not
    - ``gzip-bomb`` (``status=200``): 64 KiB of gzip that become 64 MiB
    - ``nested`` (``status=200``): 50,000 opening brackets
    - ``huge`` (``status=200``): 50 MB without Content-Length, for as long as the client takes them
    - ``drip`` (``status=200, interval=1.0``): the body, byte by byte
    - ``drip-headers`` (``status=200, interval=1.0``): status line and headers, byte by byte, then the body
    - ``silent``: nothing, until the client leaves or the sandbox stops
    - ``reset``: a connection reset (RST) instead of an answer
    - ``lost``: the same, after the call has taken effect
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[tuple[_Fault, int | None]] = deque()

    def add(self, name: str, /, *, times: int | None = 1, **options: object) -> None:
        """Queue the fault `name` for the next `times` requests. None: for all, until `clear()`.

        Raises:
            ValueError: there is no fault or option of that name, or the value cannot be used. The text says which can.
        """
        if not isinstance(name, str) or name not in FAULTS:
            raise ValueError(f"There is no fault {name!r}; there are: {', '.join(FAULTS)}.")
        for option in options.keys() - FAULTS[name].keys():
            raise ValueError(f"Fault {name} has no option {option!r}; it has: {', '.join(FAULTS[name]) or 'none'}.")
        if times is not None and (type(times) is not int or times < 1):
            raise ValueError(f"times must be a whole number from 1, or None for every request, not {times!r}.")
        given = {"status": 200, "body": b"", "headers": {}, "interval": 1.0, **FAULTS[name], **options}
        status, body, headers, interval = given["status"], given["body"], given["headers"], given["interval"]
        if type(status) is not int or not 200 <= status <= 999:
            raise ValueError(f"status must be a whole number from 200 to 999, not {status!r}.")
        if not isinstance(interval, int | float) or not 0 < interval < math.inf:
            raise ValueError(f"interval must be a number of seconds above 0, not {interval!r}.")
        if not isinstance(headers, Mapping) or not all(map(_sendable, headers.items())):
            raise ValueError("headers must map names to texts of one line each, or to None, in Latin-1.")
        try:
            content = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else _json(body)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"body must be bytes, text or something JSON can hold: {error}") from None
        if name == "gzip-bomb":
            _bomb()  # made here, once per process: in a connection's thread it would hold up Sandbox.close()
        with self._lock:
            self._queue.append((_Fault(name, _Answer(status, content, dict(headers)), interval), times))

    def clear(self) -> None:
        """Take back every fault that is still waiting."""
        with self._lock:
            self._queue.clear()

    def _take(self) -> _Fault | None:
        with self._lock:
            if not self._queue:
                return None
            fault, times = self._queue[0]
            if times == 1:
                self._queue.popleft()
            elif times is not None:
                self._queue[0] = fault, times - 1
            return fault


def _sendable(header: tuple[object, object]) -> bool:
    name, value = header
    return (
        isinstance(name, str)
        and re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name, re.ASCII) is not None
        and (value is None or (isinstance(value, str) and re.fullmatch(r"[\t -~\xa0-\xff]*", value) is not None))
    )


@dataclass
class _Usage:
    """The past of a client address. Times are seconds of the monotonic clock."""

    since: float
    weight: int = 0
    refused: int = 0  # answers of 429 since then
    banned_until: float = 0.0
    bans: int = 0


class _Exchange:
    """The state: one listen key per account, one usage per client address. Nothing here knows of connections."""

    def __init__(self, life: float, accounts: Mapping[str, str] | None, *, expiration: bool, limit: int | None) -> None:
        self._life, self._accounts, self._expiration, self._limit = life, accounts, expiration, limit
        self._lock = threading.Lock()
        self._keys: dict[str, tuple[str, float]] = {}  # by account: the listen key, when it ends (monotonic)
        self._usages: dict[str, _Usage] = {}

    def count(self, address: str) -> int:
        """Count a call of weight 1, and give the weight that the address has used in the running minute."""
        with self._lock:
            now = time.monotonic()
            usage = self._usages.setdefault(address, _Usage(now))
            if now >= usage.since + _MINUTE:
                usage.since, usage.weight, usage.refused = now, 0, 0
            usage.weight += 1
            return usage.weight

    def account_of(self, key: str) -> str | None:
        """Name the account that a live listen key is of."""
        with self._lock:
            now = time.monotonic()
            return next((name for name, (value, end) in self._keys.items() if value == key and now < end), None)

    def expire(self) -> None:
        with self._lock:
            self._keys.clear()

    def answer(self, method: str, path: str, api_key: str | None, address: str) -> _Answer:
        with self._lock:
            now = time.monotonic()
            if refusal := self._over_limit(self._usages[address], now):
                return refusal
            if path != _ENDPOINT:
                return _Answer(404, b"<html><body><h1>404 Not Found</h1></body></html>", {"Content-Type": "text/html"})
            if method not in ("POST", "PUT", "DELETE"):
                return _error(405, -1020, "This operation is not supported.", {"Allow": "POST, PUT, DELETE"})
            if api_key is None or not _WELL_FORMED.fullmatch(api_key):
                return _error(401, -2014, "API-key format invalid.")
            account = api_key if self._accounts is None else self._accounts.get(api_key)
            if account is None:
                return _error(401, -2015, "Invalid API-key, IP, or permissions for action.")
            return self._act(method, account, now)

    def _over_limit(self, usage: _Usage, now: float) -> _Answer | None:
        if now >= usage.banned_until:
            if self._limit is None or usage.weight <= self._limit:
                return None
            usage.refused += 1
            if usage.refused <= _BAN_AFTER:
                msg = f"Too many requests; the limit is {self._limit} weight a minute."
                return _error(429, -1008, msg, _retry_after(usage.since + _MINUTE - now))
            usage.banned_until = now + min(_FIRST_BAN * 2**usage.bans, _LONGEST_BAN)
            usage.bans += 1
        left = usage.banned_until - now
        until = round((time.time() + left) * 1000)
        return _error(418, -1008, f"Way too many requests; IP banned until {until}.", _retry_after(left))

    def _act(self, method: str, account: str, now: float) -> _Answer:
        key, ends = self._keys.get(account, ("", now))
        alive = now < ends
        if not alive and method != "POST":
            return _error(400, -1125, "This listenKey does not exist.")
        if method == "DELETE":
            del self._keys[account]
            return _Answer(200, b"{}")
        if not alive:
            key = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(64))
        self._keys[account] = key, now + self._life
        if method == "PUT":
            return _Answer(200, b"{}")
        expiration = {"expiration": int((time.time() + self._life) * 1000)} if self._expiration else {}
        return _Answer(200, _json({"listenKey": key, **expiration}))


def _foreign(headers: Message, bound: str) -> str | None:
    """Say why a request comes from a web page, as far as its headers tell. None: a program sent it.

    Pages cannot set any of the three. Most programs send `Host` alone, with the name or address they connected to.
    `bound` is where the sandbox listens.
    """
    hosts = headers.get_all("Host", [])
    for host in hosts:
        if not _is_ours(re.sub(r":[0-9]*$", "", host).strip("[]").lower(), bound):
            return (
                f"The sandbox is not called {host!r}: the Host of a request must be localhost or a loopback address"
                f"{'' if _is_loopback(bound) else ', another address or a name without a dot'}."
            )
    for origin in headers.get_all("Origin", []):
        if [origin.lower()] != [f"http://{host.lower()}" for host in hosts]:
            return f"The sandbox is for programs: a page of {origin!r} may not use it."
    for site in headers.get_all("Sec-Fetch-Site", []):
        if site.lower() not in ("same-origin", "none"):
            return f"The sandbox is for programs: a {site!r} page may not use it."
    return None


def _is_ours(name: str, bound: str) -> bool:
    """Whether no web page could have this name: pages' names are public, and DNS may lead them to any address."""
    if name == "localhost" or _is_loopback(name):
        return True
    if _is_loopback(bound):
        return False
    return name == bound or _is_address(name) or bool(name and ("." not in name or name.rpartition(".")[2] in _PRIVATE))


class _Handler(BaseHTTPRequestHandler):
    """One connection: HTTP/1.1, kept open between requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server
    used: int | None = None  # weight for the answer's header; None: no header

    def parse_request(self) -> bool:
        """Lead every method to `do_any`: the exchange judges the method, not the base class."""
        parsed = super().parse_request()
        self.method, self.command = self.command, "any"
        return parsed

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class calls it so
        """Print nothing: `do_any` logs, and knows what is secret."""

    def do_any(self) -> None:
        """Answer one request."""
        sandbox = self.server.sandbox
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not re.fullmatch("[0-9]{1,5}", length):
            self.close_connection = True
            return self.send(_error(413, -1100, "The sandbox takes bodies of a known length, up to 99999 bytes."))
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionAbortedError("the client left within its request")
        path = self.path.partition("?")[0]
        self.used = None
        if foreign := _foreign(self.headers, sandbox._host):
            return self.send(_Answer(403, _json({"error": foreign})))
        if path in ("/faults", "/expire", "/events"):
            return self.send(self.control(path, body))
        if path.startswith(_sandbox_stream.PREFIXES) and self.headers.get("Upgrade", "").lower() == "websocket":
            return self.stream(path)
        api_key, address = self.headers.get("X-MBX-APIKEY"), str(self.client_address[0])
        self.used = sandbox._exchange.count(address)
        fault = sandbox.faults._take() if path == _ENDPOINT else None
        if fault and fault.name != "lost":
            answer = fault.answer
        else:
            answer = sandbox._exchange.answer(self.method, path, api_key, address)
        status = None if fault and fault.name in ("silent", "reset", "lost") else answer.status
        user_agent = self.headers.get("User-Agent")
        sandbox._record(Request(self.method, path, status, api_key is not None, time.monotonic(), user_agent))
        _log.debug("%s %s: %s, fault %s", self.method, path, status, fault and fault.name)
        if fault is None:
            return self.send(answer)
        return self.misbehave(fault, answer, api_key)

    def stream(self, path: str) -> None:
        """Become a WebSocket, until its end."""
        self.close_connection = True
        self.server.sandbox._record(Request(self.method, path.rpartition("/")[0], 101, False, time.monotonic()))
        head = f"{self.method} {self.path} HTTP/1.1\r\n{self.headers}".replace("\r\n", "\n").replace("\n", "\r\n")

        def refuse(status: int, headers: Mapping[str, str]) -> None:
            self.send(_Answer(status, b"", dict(headers)))

        self.server.sandbox.stream.serve(self.connection, self.path, head.encode("latin-1"), refuse)

    def control(self, path: str, body: bytes) -> _Answer:
        sandbox = self.server.sandbox
        match self.method, path:
            case "POST", "/expire":
                sandbox.expire()
            case "DELETE", "/faults":
                sandbox.faults.clear()
            case "POST", "/faults" | "/events":
                needed = "fault" if path == "/faults" else "event"
                try:
                    options = json.loads(body)
                    if not isinstance(options, dict) or needed not in options:
                        raise ValueError(f'The body must be a JSON object with "{needed}" in it.')
                    what = options.pop(needed)
                    if path == "/events":
                        sandbox.emit(what, **options)
                    elif isinstance(what, str) and what in _sandbox_stream.FAULTS:
                        sandbox.stream.fault(what, **options)
                    else:
                        sandbox.faults.add(what, **options)
                except (ValueError, TypeError, RecursionError) as error:
                    return _Answer(400, _json({"error": str(error)}))
            case _:
                return _Answer(405, b"", {"Allow": "POST, DELETE" if path == "/faults" else "POST"})
        return _Answer(204)

    def misbehave(self, fault: _Fault, answer: _Answer, api_key: str | None) -> None:
        status, body = answer.status, _json({"listenKey": _NO_KEY})
        match fault.name:
            case "status":
                self.send(answer)
            case "redirect":
                self.send(_Answer(status, b"", {"Location": self.server.sandbox.url + _REDIRECTED}))
            case "echo":
                self.send(_error(status, -1102, f"The API key {api_key} was refused."))
            case "cut":
                self.send(_Answer(status, body[:20], {"Content-Length": str(len(body))}))
            case "not-utf8":
                self.send(_Answer(status, b'{"listenKey":"\xff\xfe"}'))
            case "bad-gzip":
                self.send(_Answer(status, body, {"Content-Encoding": "gzip"}))
            case "gzip-bomb":
                self.send(_Answer(status, _bomb(), {"Content-Encoding": "gzip"}))
            case "nested":
                self.send(_Answer(status, b"[" * 50_000))
            case "huge":
                self.wfile.write(self.head(_Answer(status, b"", {"Content-Length": None})) + b'{"listenKey":"')
                for _ in range(1000):
                    self.wfile.write(b"X" * 50_000)
                self.wfile.write(b'"}')
            case "drip":
                self.wfile.write(self.head(_Answer(status, body)))
                self.drip(body, fault.interval)
            case "drip-headers":
                self.drip(self.head(_Answer(status, body)), fault.interval)
                self.wfile.write(body)
            case "silent":
                while self.connection.recv(4096):
                    pass
                self.close_connection = True
            case _:  # reset, lost
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                self.close_connection = True

    def drip(self, data: bytes, interval: float) -> None:
        for byte in data:
            self.wfile.write(bytes([byte]))
            if self.server.stopping.wait(interval):
                raise ConnectionAbortedError("the sandbox stops")

    def send(self, answer: _Answer) -> None:
        bare = self.method == "HEAD" or answer.status in (204, 304)  # by HTTP, these never carry a body
        self.wfile.write(self.head(answer) + (b"" if bare else answer.body))

    def head(self, answer: _Answer) -> bytes:
        """Status line and headers; closes the connection afterwards when `answer` meddles with the body's length."""
        overridden = {name.lower() for name in answer.headers}
        self.close_connection = self.close_connection or not overridden.isdisjoint(_FRAMING)
        usual = {"Date": self.date_time_string(), "Content-Type": "application/json"}
        if self.used is not None:
            usual["X-MBX-USED-WEIGHT-1M"] = str(self.used)
        if answer.status not in (204, 304):
            usual["Content-Length"] = str(len(answer.body))
        if self.close_connection:
            usual["Connection"] = "close"
        headers = {name: value for name, value in usual.items() if name.lower() not in overridden} | dict(
            answer.headers
        )
        lines = [f"HTTP/1.1 {answer.status} {self.responses.get(answer.status, ('',))[0]}"]
        lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


class _Server(socketserver.TCPServer):
    """Accepts connections, and gives each a thread that `stop` can end."""

    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, sandbox: Sandbox, host: str, port: int) -> None:
        self.sandbox = sandbox
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []  # the acceptor's alone, after its end stop()'s
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)
        self._acceptor = threading.Thread(
            target=self.serve_forever, args=(0.02,), name="listenkey-sandbox", daemon=True
        )
        self._acceptor.start()

    def process_request(self, request: Any, client_address: object) -> None:  # noqa: ANN401  as in the base class
        """Start the connection's thread."""
        thread = threading.Thread(
            target=self._serve, args=(request, client_address), name="listenkey-sandbox-connection", daemon=True
        )
        self._threads = [*(each for each in self._threads if each.is_alive()), thread]
        with self._lock:
            self._open.add(request)
        thread.start()

    def _serve(self, request: socket.socket, client_address: object) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError as error:  # the client left, or the sandbox stops
            _log.debug("connection ended: %s", error)
        finally:
            with self._lock:
                self._open.remove(request)
            request.close()

    def stop(self) -> None:
        """Accept no more, wake every connection's thread, wait for all to end."""
        self.stopping.set()
        self.shutdown()
        self._acceptor.join()
        self.server_close()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):  # the client has closed the connection already
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()


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
    stream: _sandbox_stream.Streams
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
        if not 0 < life < math.inf:
            raise ValueError(f"life must be a number of seconds above 0, not {life!r}.")
        if limit is not None and limit < 1:
            raise ValueError(f"limit must be at least 1, or None for no limit, not {limit!r}.")
        if not 0 <= port <= 65535:
            raise ValueError(f"port must be from 0 to 65535, not {port!r}.")
        if not all(map(_WELL_FORMED.fullmatch, accounts or ())):
            raise ValueError("accounts: an API key must be printable ASCII characters without a space.")
        self._host = "127.0.0.1" if host == "localhost" else host
        if not self._host:
            raise ValueError("host must be an address or a name of this machine, not ''.")
        self._port = port
        self._exchange = _Exchange(
            life, None if accounts is None else dict(accounts), expiration=expiration, limit=limit
        )
        self.faults = Faults()
        self.stream = _sandbox_stream.Streams(self._exchange.account_of, life)
        self._lock = threading.Lock()
        self._requests: deque[Request] = deque(maxlen=_KEPT)
        self._server: _Server | None = None
        self._closed = False

    def start(self) -> Self:
        """Listen; `with` does it for you.

        Raises:
            RuntimeError: it has been started or closed before; make another one.
            OSError: the address cannot be listened on, for example because the port is in use.
        """
        if self._server or self._closed:
            raise RuntimeError(f"A sandbox starts once, and this one is {'closed' if self._closed else 'running'}.")
        try:
            self._server = _Server(self, self._host, self._port)
        except OSError as error:
            raise OSError(
                error.errno,
                f"The sandbox cannot listen on {self._host} port {self._port} ({error.strerror}); "
                "give another port, or 0 for any free one",
            ) from None
        if not _is_loopback(self._host):
            _log.warning(
                "The sandbox is open to all who reach %s: they may use and steer it, in plain http.", self._host
            )
        return self

    def close(self) -> None:
        """Stop at once, even in the middle of an answer, and wait for every thread and connection. May be repeated."""
        self._closed = True
        server, self._server = self._server, None
        self.stream.stop()
        if server:
            server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Sandbox {self.url if self._server else 'closed' if self._closed else 'not started'}>"

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
            To how many connections it was sent.

        Raises:
            ValueError: the event has no name in ``e``.
        """
        return self.stream.emit(event, account)

    @property
    def requests(self) -> list[Request]:
        """The last 10,000 requests, oldest first, without requests that steer the sandbox."""
        with self._lock:
            return list(self._requests)

    def expire(self) -> None:
        """End every live listen key at once, as if the 60 minutes were over."""
        self._exchange.expire()
        self.stream.look()

    def _record(self, request: Request) -> None:
        with self._lock:
            self._requests.append(request)


def _is_address(host: str) -> bool:
    with suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False


def _is_loopback(host: str) -> bool:
    return _is_address(host) and ipaddress.ip_address(host).is_loopback
