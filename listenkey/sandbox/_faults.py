"""What can go wrong, as tables: with a request, with an open connection of the stream, with a handshake, with an event.

A row of a table has the fault's options with their defaults, and the function that does the fault.
"""

from __future__ import annotations

import functools
import math
import re
import threading
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from listenkey.sandbox._accounts import ENDPOINT, SNAPSHOTS, Answer, as_json, error

if TYPE_CHECKING:
    from listenkey.sandbox._http import Handler
    from listenkey.sandbox._websocket import Connection, Streams

REDIRECTED = "/redirected"
_A_KEY = as_json({"listenKey": "X" * 64})
_CLOSE_CODES = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}  # that may be sent (RFC 6455)


@dataclass(frozen=True)
class Fault:
    """A fault, with all the options of this kind of fault."""

    name: str
    options: Mapping[str, Any]

    def __getitem__(self, option: str) -> Any:  # noqa: ANN401  each option has a type of its own
        return self.options[option]


# With a request. The handler of the connection can send, write, drip, wait and reset.


@functools.cache
def _bomb() -> bytes:
    """64 MiB of zeros as one gzip member (several would stop some decoders after the first)."""
    squeeze = zlib.compressobj(wbits=31)
    mebibyte = bytes(1 << 20)
    return b"".join([*(squeeze.compress(mebibyte) for _ in range(64)), squeeze.flush()])


def _answer(body: bytes, **headers: str) -> Callable[[Handler, Fault], None]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda to, fault: to.send(Answer(fault["status"], body, named))


def _huge(to: Handler, fault: Fault) -> None:
    to.wfile.write(to.head(Answer(fault["status"], b"", {"Content-Length": None})) + b'{"listenKey":"')
    for _ in range(1000):
        to.wfile.write(b"X" * 50_000)
    to.wfile.write(b'"}')


def _drip(to: Handler, fault: Fault) -> None:
    to.wfile.write(to.head(Answer(fault["status"], _A_KEY)))
    to.drip(_A_KEY, fault["interval"])


def _drip_headers(to: Handler, fault: Fault) -> None:
    to.drip(to.head(Answer(fault["status"], _A_KEY)), fault["interval"])
    to.wfile.write(_A_KEY)


_Requests = Mapping[str, tuple[Mapping[str, object], "Callable[[Handler, Fault], None]"]]
_ROWS: _Requests = {
    "status": (
        {"status": 200, "body": b"", "headers": {}},
        lambda to, fault: to.send(Answer(fault["status"], fault["body"], fault["headers"])),
    ),
    "redirect": (
        {"status": 302},
        lambda to, fault: to.send(Answer(fault["status"], b"", {"Location": to.server.sandbox.url + REDIRECTED})),
    ),
    "echo": (
        {"status": 400},
        lambda to, fault: to.send(error(fault["status"], -1102, f"The API key {to.api_key} was refused.")),
    ),
    "cut": ({"status": 200}, _answer(_A_KEY[:20], Content_Length=str(len(_A_KEY)))),
    "not-utf8": ({"status": 200}, _answer(b'{"listenKey":"\xff\xfe"}')),
    "bad-gzip": ({"status": 200}, _answer(_A_KEY, Content_Encoding="gzip")),
    "gzip-bomb": ({"status": 200}, lambda to, fault: _answer(_bomb(), Content_Encoding="gzip")(to, fault)),
    "nested": ({"status": 200}, _answer(b"[" * 50_000)),
    "huge": ({"status": 200}, _huge),
    "drip": ({"status": 200, "interval": 1.0}, _drip),
    "drip-headers": ({"status": 200, "interval": 1.0}, _drip_headers),
    "silent": ({}, lambda to, _: to.wait_for_the_end()),
    "reset": ({}, lambda to, _: to.reset()),
    "lost": ({}, lambda to, _: to.reset()),  # the handler has answered the call before
}

REQUESTS: _Requests = {name: ({**options, "path": ENDPOINT}, do) for name, (options, do) in _ROWS.items()}

# With an open connection of the stream, and with a handshake: an answer, or None for a connection that ends at once.

_Connections = Mapping[str, tuple[Mapping[str, object], "Callable[[Connection, Fault], None]"]]
CONNECTIONS: _Connections = {
    "stream-drop": ({"only": None}, lambda to, _: to.reset()),
    "stream-half-open": ({"only": None}, lambda to, _: to.fall_silent()),
    "stream-mute": ({"only": None}, lambda to, _: to.mute()),
    "stream-close": ({"only": None, "code": 1001}, lambda to, fault: to.close(fault["code"])),
    "stream-frame": ({"only": None, "text": "{"}, lambda to, fault: to.text(fault["text"])),
    "stream-huge": (
        {"only": None, "bytes": 2_000_000},
        lambda to, fault: to.text('{"e":"' + "X" * (fault["bytes"] - 8) + '"}'),
    ),
}
HANDSHAKES: Mapping[str, tuple[Mapping[str, object], Callable[[Fault], Answer | None]]] = {
    "stream-refuse": (
        {"status": 503, "headers": {}},
        lambda fault: Answer(fault["status"], b"", fault["headers"]),
    ),
    "stream-redirect": (
        {"status": 302, "location": "/elsewhere"},
        lambda fault: Answer(fault["status"], b"", {"Location": fault["location"]}),
    ),
    "stream-accept-close": ({}, lambda _: None),
}
EVENTS: Mapping[str, Mapping[str, object]] = {"stream-lose": {"event": None}}

FAULTS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        **{
            name: MappingProxyType(row[0]) for rows in (REQUESTS, CONNECTIONS, HANDSHAKES) for name, row in rows.items()
        },
        **EVENTS,
    }
)
"""Every fault by name, with its options and their defaults. `Faults` says what each does."""


# The options: each function returns the value to use, or says why the value cannot be used.


def _need(option: str, value: object, fits: bool, what: str) -> Any:  # noqa: ANN401  the value as it came
    if not fits:
        raise ValueError(f"{option} must be {what}, not {value!r}.")
    return value


def _whole(option: str, first: int, last: int) -> Callable[[object], object]:
    what = f"a whole number from {first} to {last}"
    return lambda value: _need(option, value, type(value) is int and first <= value <= last, what)


def _interval(value: object) -> object:
    fits = type(value) in (int, float) and 0 < value < math.inf  # type: ignore[operator]
    return _need("interval", value, fits, "a number of seconds above 0")


def _body(value: object) -> bytes:
    try:
        return value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else as_json(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"body must be bytes, text or something JSON can hold: {error}") from None


def _headers(value: object) -> dict[str, str | None]:
    if not isinstance(value, Mapping) or not all(map(_sendable, value.items())):
        raise ValueError("headers must map names to texts of one line each, or to None, in Latin-1.")
    return dict(value)


def _sendable(header: tuple[object, object]) -> bool:
    name, value = header
    return (
        isinstance(name, str)
        and re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name, re.ASCII) is not None
        and (value is None or (isinstance(value, str) and re.fullmatch(r"[\t -~\xa0-\xff]*", value) is not None))
    )


def _location(value: object) -> object:
    return _need("location", value, isinstance(value, str) and _sendable(("Location", value)), "a text of one line")


def _text(value: object) -> object:
    fits = isinstance(value, str) and not re.search("[\ud800-\udfff]", value)
    return _need("text", value, fits, "a text that UTF-8 can hold")


def _code(value: object) -> object:
    what = "a close code that may be sent: 1000 to 1003, 1007 to 1014 or 3000 to 4999"
    return _need("code", value, type(value) is int and value in _CLOSE_CODES, what)


def _only(value: object) -> object:
    fits = value is None or (type(value) is int and value >= 1)
    return _need("only", value, fits, "a whole number from 1, or None for every connection")


def _path(value: object) -> object:
    return _need("path", value, value in (ENDPOINT, *SNAPSHOTS), f"one of {', '.join((ENDPOINT, *SNAPSHOTS))}")


def _event(value: object) -> object:
    return _need("event", value, value is None or isinstance(value, str), "the name of an event, or None for any")


_OPTIONS: Mapping[str, Callable[[object], object]] = {
    "status": _whole("status", 200, 999),
    "body": _body,
    "headers": _headers,
    "interval": _interval,
    "only": _only,
    "code": _code,
    "text": _text,
    "bytes": _whole("bytes", 8, 2**30),
    "location": _location,
    "path": _path,
    "event": _event,
}


def make_fault(name: object, options: Mapping[str, object], times: object) -> Fault:
    """Make a fault. Raises ValueError: there is no fault or option of that name, or the value cannot be used."""
    if not isinstance(name, str) or name not in FAULTS:
        raise ValueError(f"There is no fault {name!r}; there are: {', '.join(FAULTS)}.")
    for option in options.keys() - FAULTS[name].keys():
        raise ValueError(f"Fault {name} has no option {option!r}; it has: {', '.join(FAULTS[name]) or 'none'}.")
    if times is not None and (type(times) is not int or times < 1):
        raise ValueError(f"times must be a whole number from 1, or None for every request, not {times!r}.")
    if name == "gzip-bomb":
        _bomb()  # here, once per process: in the thread of a connection, making the bomb would hold up Sandbox.close()
    return Fault(name, {option: _OPTIONS[option](value) for option, value in {**FAULTS[name], **options}.items()})


class Queue:
    """Faults that wait, and how often each fault is still to be done. None: for ever. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Fault, int | None]] = deque()

    def add(self, fault: Fault, times: int | None) -> None:
        """Append a fault."""
        with self._lock:
            self._waiting.append((fault, times))

    def clear(self) -> None:
        """Take back every fault."""
        with self._lock:
            self._waiting.clear()

    def take(self, fits: Callable[[Fault], bool] = lambda _: True) -> Fault | None:
        """Take the first fault that fits, once. None when no such fault waits."""
        with self._lock:
            for index, (fault, times) in enumerate(self._waiting):
                if fits(fault):
                    if times == 1:
                        del self._waiting[index]
                    elif times is not None:
                        self._waiting[index] = fault, times - 1
                    return fault
            return None

    def names(self) -> list[str]:
        """Name the faults in their order."""
        with self._lock:
            return [fault.name for fault, _ in self._waiting]


class Faults:
    """The faults to come: those of requests, and those of the stream, whose names begin with ``stream-``.

    Faults of requests are a queue, of which each request takes the first for its path, before all else. The option
    ``path`` is ``/eapi/v1/listenKey`` by default. The paths of a snapshot are ``/eapi/v1/openOrders``,
    ``/eapi/v1/position`` and ``/eapi/v1/marginAccount``. A faulty answer replaces the real one: no listen key changes,
    no limit is checked (the weight is counted). The one exception is ``lost``. What the client gets, and in parentheses
    the further options with their defaults:

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

    These faults of the stream are done at once, to every open connection; ``only=n`` takes the n oldest alone. If no
    connection is open, the fault waits for the next connection, and is done when that connection has opened:

    - ``stream-drop`` (``only=None``): a connection reset (RST)
    - ``stream-half-open`` (``only=None``): nothing more: no bytes, no pong, no end
    - ``stream-mute`` (``only=None``): pongs, and no event
    - ``stream-close`` (``only=None, code=1001``): a close frame
    - ``stream-frame`` (``only=None, text="{"``): this text as a frame
    - ``stream-huge`` (``only=None, bytes=2000000``): an event of so many bytes, 8 at least

    These faults wait for the next handshakes of the stream, in one queue with the faults that found no connection:

    - ``stream-refuse`` (``status=503, headers={}``): this answer
    - ``stream-redirect`` (``status=302, location="/elsewhere"``): a redirect
    - ``stream-accept-close``: a connection that opens and ends at once, without a close frame

    This fault waits for the next event:

    - ``stream-lose`` (``event=None``): what happened to the account, happened, and the event of it is sent to nobody.
      With a name, such as ``event="ORDER_TRADE_UPDATE"``, the fault waits for the next event of that name

    `status` is an HTTP status, 200 to 999. `interval` is in seconds. `code` is a WebSocket close code.
    """

    def __init__(self, streams: Streams) -> None:
        self._requests = Queue()
        self._streams = streams

    def add(self, name: str, /, *, times: int | None = 1, **options: object) -> None:
        """Queue the fault `name` for the next `times` requests or handshakes. None: for all, until `clear()`.

        If a fault is done at once to the open connections, this counts as once. The rest of `times` waits for the
        connections that open next: ``add("stream-mute", times=None)`` makes every connection mute.

        Raises:
            ValueError: there is no fault or option of that name, or the value cannot be used. The text says which can.
        """
        fault = make_fault(name, options, times)
        if name in REQUESTS:
            self._requests.add(fault, times)
        else:
            self._streams._meet(fault, times)

    def clear(self) -> None:
        """Take back every fault that is still waiting, for requests, handshakes and events."""
        for queue in self._queues():
            queue.clear()

    @property
    def waiting(self) -> list[str]:
        """The names of the faults that still wait, in their order: those of requests, then those of the stream."""
        return [name for queue in self._queues() for name in queue.names()]

    def _queues(self) -> tuple[Queue, Queue, Queue]:
        return self._requests, self._streams._handshakes, self._streams._losses

    def _take(self, path: str) -> Fault | None:
        return self._requests.take(lambda fault: fault["path"] == path)
