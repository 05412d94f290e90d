"""The sandbox's HTTP: calls of clients, requests that steer the sandbox, a page that says how, and odd requests.

Every request is answered, or its connection ends. Nothing is printed.
"""

from __future__ import annotations

import inspect
import ipaddress
import json
import logging
import re
import socket
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs

from listenkey.sandbox._accounts import SNAPSHOTS, Answer, as_json, error
from listenkey.sandbox._faults import FAULTS, REQUESTS, Faults
from listenkey.sandbox._websocket import PATH, reset_when_closed, resets_when_closed

if TYPE_CHECKING:
    from collections.abc import Callable
    from email.message import Message
    from io import BufferedReader

    from listenkey.sandbox._server import Sandbox, Server

_FRAMING = {"connection", "content-length", "transfer-encoding"}
_PRIVATE = {"internal", "local", "test"}  # names that end so are never public (RFC 6761, RFC 6762, ICANN 2024)
_REQUEST_LINE = re.compile(rb"[\w!#$%&'*+.^`|~-]+ [!-~]+ HTTP/[0-9]\.[0-9]\r?\n", re.ASCII)
_BREAKS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # what no value of a header may hold (RFC 9110)
_LINGER, _UNREAD = 1.0, 16 * 2**20  # seconds and bytes that a refused client may go on sending
_log = logging.getLogger("listenkey.sandbox")

_CONTROLS = {  # the part of the body that must be there
    "/faults": "fault",
    "/expire": "",
    "/events": "event",
    "/order": "symbol",
    "/fill": "order_id",
    "/cancel": "order_id",
    "/position": "symbol",
    "/balance": "asset",
}

_PAGE = """\
This is the sandbox of binance-options-listenkey, not Binance: a stand-in for the user data stream of Binance European
Options on this machine, for tests. No account and no money is behind it.

  a listen key   curl -X POST -H 'X-MBX-APIKEY: any-key' {url}/eapi/v1/listenKey
                 PUT extends the life of the key, DELETE ends it. A key lives {life:g} seconds.
  a snapshot     {url}/eapi/v1/openOrders, {url}/eapi/v1/position,
                 {url}/eapi/v1/marginAccount, with timestamp and signature: any signature is taken
  the stream     {stream_url}/ws/<listen key>
                 or {stream_url}/ws?listenKey=<listen key>
                 or {stream_url}/stream, and a message {{"method": "SUBSCRIBE", "params": ["<listen key>"], "id": 1}}
  Python         ListenKeyClient("any-key", base_url="{url}")
  the command    LISTENKEY_BASE_URL={url} BINANCE_API_KEY=any-key listenkey start

Steer the sandbox:

  curl -X POST {url}/faults -d '{{"fault": "status", "status": 503, "times": 2}}'   # the next two calls fail
  curl -X POST {url}/faults -d '{{"fault": "stream-drop"}}'   # cut every connection of the stream
  curl -X DELETE {url}/faults   # take back the faults that still wait
  curl -X POST {url}/expire   # end every listen key
  curl -X POST {url}/events -d '{{"event": {{"e": "RISK_LEVEL_CHANGE", "E": 1, "mb": "1", "mm": "1"}}}}'
                 with "account": "<API key>" for one account alone; the answer tells to how many connections it went

The account: events and snapshots agree. Each takes "account", too. An order_id is a text, because it is beyond 2^53.

  curl -X POST {url}/order -d '{{"symbol": "BTC-260626-90000-C", "side": "BUY", "quantity": "2", "price": "100"}}'
                 the answer has the order_id; "client_order_id" names the order
  curl -X POST {url}/fill -d '{{"order_id": "4611875134427365377", "quantity": "1", "price": "99"}}'
                 without quantity: all that is open; without price: the order's
  curl -X POST {url}/cancel -d '{{"order_id": "4611875134427365377"}}'   # or "status": "EXPIRED"
  curl -X POST {url}/position -d '{{"symbol": "BTC-260626-90000-C", "quantity": "-1", "average_price": "100"}}'
  curl -X POST {url}/balance -d '{{"asset": "USDT", "balance": "500"}}'

Faults: {names}.

{faults}
"""


def _weight(path: str, asked: dict[str, str]) -> int:
    """Weigh a call: 1, but for the three of a snapshot, whose pages say the weight."""
    weights = dict(zip(SNAPSHOTS, (1 if "symbol" in asked else 40, 5, 3), strict=True))
    return weights.get(path, 1)


def _page(sandbox: Sandbox) -> Answer:
    text = _PAGE.format(
        url=sandbox.url,
        stream_url=sandbox.stream_url,
        life=sandbox.life,
        names=", ".join(FAULTS),
        faults=inspect.cleandoc(Faults.__doc__ or "").replace("``", "").replace("`", ""),
    )
    return Answer(
        200, text.encode(), {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    )


def _foreign(hosts: list[str], headers: Message, bound: str) -> str | None:
    """Say by which header a request shows that a web page sent the request. None: a program sent the request.

    Pages cannot set any of the three. Most programs send `Host` alone, with the name or address they connected to.
    `bound` is where the sandbox listens.
    """
    for host in hosts:
        if not _is_ours(re.sub(r":[0-9]*$", "", host).strip("[]").lower(), bound):
            return (
                f"The sandbox is not called {host!r}: the Host of a request must be localhost or a loopback address"
                f"{'' if is_loopback(bound) else ', another address or a name without a dot'}."
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
    if name == "localhost" or is_loopback(name):
        return True
    if is_loopback(bound):
        return False
    return name == bound or _is_address(name) or bool(name and ("." not in name or name.rpartition(".")[2] in _PRIVATE))


def _is_address(host: str) -> bool:
    with suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False


def is_loopback(host: str) -> bool:
    """Whether a host is an address of this machine that no other machine reaches."""
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


class Handler(BaseHTTPRequestHandler):
    """One connection: HTTP/1.1, kept open between requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    rbufsize = 65_536
    server: Server
    raw_requestline: bytes
    method = ""
    api_key: str | None = None
    used: int | None = None  # weight for the answer's header; None: no header

    # Reading a request. The base class reads. Here we refuse what the base class takes and Binance refuses.

    def handle_one_request(self) -> None:
        """Answer at once what cannot become a request, such as the begin of TLS, whose line may never end."""
        self.method, self.used = "", None
        reader = cast("BufferedReader", self.rfile)
        while (first := reader.peek(1)[:1]) in (b"\r", b"\n"):
            reader.readline(2)  # empty lines before a request are passed over (RFC 9112)
        if re.match(rb"[^\w!#$%&'*+.^`|~-]", first, re.ASCII):
            return self.send_error(400)
        return super().handle_one_request()

    def parse_request(self) -> bool:
        """Lead every method to `do_any`: the exchange judges the method, not the base class."""
        self.close_connection = True
        if not _REQUEST_LINE.fullmatch(self.raw_requestline):
            self.send_error(400)
            return False
        if not super().parse_request():
            return False
        self.method, self.command = self.command, "any"
        self.close_connection = self.close_connection or "Upgrade" in self.headers  # a refused connection ends
        broken = any(_BREAKS.search(value) for value in self.headers.values())
        if broken or self.headers.defects or self.headers.get_payload():
            self.close_connection = True
            self.send_error(400)
            return False
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a request that cannot be read, as the base class asks, and end the connection."""
        self.close_connection = True
        text = f"{code} {self.responses.get(code, ('',))[0]}"
        self.send(Answer(code, f"<html><body><h1>{text}</h1></body></html>".encode(), {"Content-Type": "text/html"}))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class calls it so
        """Print nothing: `do_any` logs, and knows what is secret."""

    def finish(self) -> None:
        """Let a client that is still sending read the answer: closing now would reset the connection."""
        super().finish()
        with suppress(OSError):
            if self.server.stopping.is_set() or resets_when_closed(self.connection):
                return
            self.connection.shutdown(socket.SHUT_WR)
            until, taken = time.monotonic() + _LINGER, 0
            while taken < _UNREAD and (left := until - time.monotonic()) > 0:
                self.connection.settimeout(left)
                if not (data := self.connection.recv(65_536)):
                    break
                taken += len(data)

    # Answering.

    def do_any(self) -> None:
        """Answer one request."""
        lengths = set(self.headers.get_all("Content-Length", ["0"]))
        length = lengths.pop()
        if lengths or "Transfer-Encoding" in self.headers or not re.fullmatch("[0-9]{1,5}", length):
            self.close_connection = True
            return self.send(error(413, -1100, "The sandbox takes bodies of a known length, up to 99999 bytes."))
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionAbortedError("the client left within its request")
        hosts = self.headers.get_all("Host", [])
        if absolute := re.match(r"http://([^/?#]*)", self.path, re.IGNORECASE):  # as a client of a proxy writes
            hosts.append(absolute[1])
            self.path = self.path[absolute.end() :] or "/"
        if foreign := _foreign(hosts, self.headers, self.server.sandbox._host):
            return self.send(Answer(403, as_json({"error": foreign})))
        path = self.path.partition("?")[0]
        if path in _CONTROLS:
            return self.send(self.control(path, body))
        if path == "/" and self.method in ("GET", "HEAD"):
            return self.send(_page(self.server.sandbox))
        if PATH.fullmatch(path) and "websocket" in self.headers.get("Upgrade", "").lower():
            return self.stream()
        return self.call(path)

    def call(self, path: str) -> None:
        """Answer a call, well or badly."""
        sandbox = self.server.sandbox
        self.api_key, address = self.headers.get("X-MBX-APIKEY"), str(self.client_address[0])
        asked = {name: values[0] for name, values in parse_qs(self.path.partition("?")[2]).items()}
        self.used = sandbox._accounts.count(address, _weight(path, asked))
        fault = sandbox.faults._take(path)
        if fault is None or fault.name == "lost":
            answer = sandbox._accounts.answer(self.method, path, self.api_key, address)
            if isinstance(answer, str):
                answer = self.snapshot(path, answer, asked)
            if fault is None:
                self.record(answer.status)
                return self.send(answer)
        self.record(fault.options.get("status"), fault.name)
        return REQUESTS[fault.name][1](self, fault)

    def snapshot(self, path: str, account: str, asked: dict[str, str]) -> Answer:
        """Answer what an account holds. A signature is taken as it is: the sandbox knows no secret key."""
        for name in ("timestamp", "signature"):
            if not asked.get(name):
                return error(400, -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        return Answer(200, as_json(self.server.sandbox.stream._snapshot(account, path, asked.get("symbol"))))

    def stream(self) -> None:
        """Become a WebSocket, until its end."""
        lines = [f"{self.method} {self.path} {self.request_version}", *(f"{k}: {v}" for k, v in self.headers.items())]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        answer = self.server.sandbox.stream._serve(head, self.path, self.connection, self.early, self.record)
        self.close_connection = True
        if answer:
            self.record(answer.status)
            self.send(answer)

    def early(self) -> bytes:
        """Give what came together with the request. The socket does not block."""
        return cast("BufferedReader", self.rfile).read1(self.rbufsize) or b""

    def record(self, status: int | None, fault: str | None = None) -> None:
        """Keep and log that a request came. The path is kept without a listen key."""
        path = self.path.partition("?")[0]
        if (named := PATH.fullmatch(path)) and named["bare"]:
            path = named["bare"]
        self.server.sandbox._record(
            self.method, path, status, "X-MBX-APIKEY" in self.headers, self.headers.get("User-Agent")
        )
        _log.debug("%s %s: %s, fault %s", self.method, path, status, fault)

    def control(self, path: str, body: bytes) -> Answer:
        """Do what a request that steers the sandbox asks."""
        sandbox = self.server.sandbox
        match self.method, path:
            case "POST", "/expire":
                sandbox.expire()
            case "DELETE", "/faults":
                sandbox.faults.clear()
            case "POST", _:
                needed = _CONTROLS[path]
                try:
                    options = json.loads(body)
                    if not isinstance(options, dict) or needed not in options:
                        raise ValueError(f'The body must be a JSON object with "{needed}" in it.')
                    return self.change(path, options.pop(needed), options)
                except (ValueError, TypeError, RecursionError) as error:
                    return Answer(400, as_json({"error": str(error)}))
            case _:
                return Answer(405, b"", {"Allow": "POST, DELETE" if path == "/faults" else "POST"})
        return Answer(204)

    def change(self, path: str, what: Any, options: dict[str, Any]) -> Answer:  # noqa: ANN401  as JSON brings it
        """Do what the body of a request asks."""
        sandbox = self.server.sandbox
        if path == "/events":
            return Answer(200, as_json({"sent": sandbox.emit(what, **options)}))
        if path == "/order":
            return Answer(200, as_json({"order_id": str(sandbox.order(what, **options))}))
        if path in ("/fill", "/cancel") and isinstance(what, str) and re.fullmatch("[0-9]{1,19}", what):
            what = int(what)
        verbs: dict[str, Callable[..., None]] = {
            "/fill": sandbox.fill,
            "/cancel": sandbox.cancel,
            "/position": sandbox.position,
            "/balance": sandbox.balance,
            "/faults": sandbox.faults.add,
        }
        verbs[path](what, **options)
        return Answer(204)

    def send(self, answer: Answer) -> None:
        """Send an answer."""
        bare = self.method == "HEAD" or answer.status in (204, 304)  # by HTTP, these never carry a body
        self.wfile.write(self.head(answer) + (b"" if bare else answer.body))

    def head(self, answer: Answer) -> bytes:
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

    # For faults.

    def drip(self, data: bytes, interval: float) -> None:
        """Send byte by byte."""
        for byte in data:
            self.wfile.write(bytes([byte]))
            if self.server.stopping.wait(interval):
                raise ConnectionAbortedError("the sandbox stops")

    def wait_for_the_end(self) -> None:
        """Wait until the client leaves or the sandbox stops."""
        self.close_connection = True
        while self.connection.recv(65_536):
            pass

    def reset(self) -> None:
        """End the connection with a reset instead of an answer."""
        self.close_connection = True
        reset_when_closed(self.connection)
