"""Requests that no client should send. Each gets an answer over HTTP or a clean end, and nothing is printed."""

import socket
from collections.abc import Iterator
from itertools import starmap

import pytest

from listenkey.sandbox import Sandbox

CALL = "POST /eapi/v1/listenKey HTTP/1.1\r\nHost: localhost\r\nX-MBX-APIKEY: k\r\nConnection: close\r\n"
PAGE = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
UPGRADE = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def upgrade(line: str = "GET /private/ws/k HTTP/1.1", **changed: str | None) -> str:
    """Write a handshake. A changed header has `_` for `-`; None leaves the header out."""
    headers = {**UPGRADE, **{name.replace("_", "-"): value for name, value in changed.items()}}
    lines = starmap("{}: {}".format, ((name, value) for name, value in headers.items() if value is not None))
    return "\r\n".join([line, *lines, "", ""])


# The bytes, and the status of the last answer. None: an end without an answer is right, too.
ODD: list[tuple[str | bytes, int | None]] = [
    # Request lines.
    ("complete nonsense\r\n\r\n", 400),
    ("HELLO\r\n\r\n", 400),
    ("GET / x HTTP/1.1\r\n\r\n", 400),
    ("GET  / HTTP/1.1\r\n\r\n", 400),
    (" GET / HTTP/1.1\r\n\r\n", 400),
    ("G(T / HTTP/1.1\r\n\r\n", 400),
    ("GET /\r\n", 400),  # HTTP/0.9, which has no blank line at its end
    ("POST /\r\n", 400),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("GET / HTTP/3.0\r\n\r\n", 505),
    ("GET / HTTP/1.x\r\n\r\n", 400),
    ("GET / HTTP/1.10\r\n\r\n", 400),
    ("GET / http/1.1\r\n\r\n", 400),
    (b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03" + b"x" * 60, 400),  # the begin of TLS
    (bytes(64), 400),
    (f"\r\n\r\n{PAGE}\r\n", 200),  # empty lines are passed over
    ("\r\n", None),
    ("", None),
    ("POST /eapi/v1/lis", None),
    # Targets.
    ("GET /\x01\x1b[31m HTTP/1.1\r\n\r\n", 400),
    ("GET /\0 HTTP/1.1\r\n\r\n", 400),
    ("GET /\xe9 HTTP/1.1\r\n\r\n", 400),
    (f"GET /{'x' * 200_000} HTTP/1.1\r\n\r\n", 414),
    (PAGE.replace("/", "/%zz%00", 1) + "\r\n", 404),
    (PAGE.replace("/", "//evil.example/", 1) + "\r\n", 404),
    (PAGE.replace("/", "/#x", 1) + "\r\n", 404),
    (PAGE.replace("/", "no-slash", 1) + "\r\n", 404),
    (PAGE.replace("GET /", "OPTIONS *", 1) + "\r\n", 404),
    (PAGE.replace("GET /", "CONNECT eapi.binance.com:443", 1) + "\r\n", 404),
    (CALL.replace("/eapi", "HTTP://LOCALHOST:1/eapi") + "\r\n", 200),  # as to a proxy
    (CALL.replace("/eapi", "http://127.0.0.1/eapi").replace("Host: localhost\r\n", "") + "\r\n", 200),
    (PAGE.replace("/", "http://localhost", 1) + "\r\n", 200),
    (CALL.replace("/eapi", "http://eapi.binance.com/eapi") + "\r\n", 403),
    # Headers.
    ("GET / HTTP/1.1\r\nno colon\r\nHost: localhost\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\n: no name\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\n X: continued\r\n\r\n", 400),
    (f"{PAGE}X: a\r\n folded\r\n\r\n", 400),
    (f"{PAGE}X: a\0b\r\n\r\n", 400),
    (f"{PAGE}X: a\rb\r\n\r\n", 400),
    (f"{PAGE}X: \x1b[31m\r\n\r\n", 400),
    (f"{PAGE}X: \xe9\ta\r\n\r\n", 200),
    (f"{PAGE}X: {'x' * 200_000}\r\n\r\n", 431),
    (PAGE + "X: y\r\n" * 200 + "\r\n", 431),
    (CALL.replace("Host: localhost\r\n", "") + "\r\n", 200),
    (f"{CALL}Host: evil.example\r\n\r\n", 403),
    (CALL.replace("\r\n", "\n") + "\n", 200),
    (CALL.replace("POST", "M-SEARCH") + "\r\n", 405),
    # Bodies.
    (f"{CALL}Content-Length: -1\r\n\r\n", 413),
    (f"{CALL}Content-Length: +1\r\n\r\na", 413),
    (f"{CALL}Content-Length: five\r\n\r\n", 413),
    (f"{CALL}Content-Length:\r\n\r\n", 413),
    (f"{CALL}Content-Length: 1, 1\r\n\r\na", 413),
    (f"{CALL}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 413),
    (f"{CALL}Content-Length: 2\r\nContent-Length: 2\r\n\r\nab", 200),
    (f"{CALL}Content-Length: 99999999\r\n\r\n{'x' * 300_000}", 413),
    (f"{CALL}Content-Length: 5\r\n\r\nab", None),
    (f"{CALL}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 413),
    (f"{CALL}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 413),
    (f"{CALL}Transfer-Encoding: gzip\r\n\r\n", 413),
    (f"{CALL}Expect: 100-continue\r\nContent-Length: 2\r\n\r\nab", 200),
    (f"{CALL}Expect: a miracle\r\n\r\n", 200),
    # Handshakes.
    (upgrade(Upgrade="h2c"), 404),
    (upgrade(Upgrade="websocket, h2c"), 426),
    (upgrade(Upgrade="websocket;;;="), 400),
    (upgrade(Connection=None), 426),
    (upgrade(Connection="close"), 426),
    (upgrade(Sec_WebSocket_Version="12"), 400),
    (upgrade(Sec_WebSocket_Version=None), 400),
    (upgrade(Sec_WebSocket_Key="!!!"), 400),
    (upgrade(Sec_WebSocket_Key="YWJj"), 400),
    (upgrade(Sec_WebSocket_Key=None), 400),
    (upgrade(Sec_WebSocket_Key="YWJj\r\nSec-WebSocket-Key: YWJj"), 400),
    (upgrade("POST /private/ws/k HTTP/1.1"), None),  # 400 or 405, from one version of websockets to the next
    (upgrade("GET /private/ws/k HTTP/1.0"), None),
    (upgrade("GET /private/elsewhere HTTP/1.1"), 404),
    (upgrade("GET /private/ws/ HTTP/1.1"), 404),
    (upgrade("GET /ws/k HTTP/1.1"), 404),
    (upgrade(f"GET /private/ws/{'k' * 20_000} HTTP/1.1"), 400),
    (upgrade(X="x" * 20_000), 400),
    (upgrade(X="a\0"), 400),
    (upgrade(Content_Length="3") + "abc", None),
    # What follows a handshake.
    (upgrade().encode() + b"\xff" * 40, 101),
    (upgrade() + "GET / HTTP/1.1\r\n\r\n", 101),
    (upgrade() + "\x81\x02hi", 101),  # a text without a mask
    (upgrade().encode() + b"\x88\x80abcd", 101),  # a close frame
]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with Sandbox(limit=None) as sandbox:
        yield int(sandbox.url.rpartition(":")[2])


@pytest.mark.parametrize(("sent", "status"), ODD, ids=lambda value: repr(value)[:60])
def test_an_odd_request_is_answered_or_its_connection_ends(
    port: int, capfd: pytest.CaptureFixture[str], sent: str | bytes, status: int | None
) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(sent if isinstance(sent, bytes) else sent.encode("latin-1"))
        if status is None:
            connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as file:
            answer = file.read()  # up to the end of the connection, in good order: a reset would raise
    statuses = [line.split()[1] for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    assert statuses[-1:] == [b"%d" % status] if status else (not answer or statuses)
    assert capfd.readouterr() == ("", "")
