"""From answer to error: every fault gives one typed error, sync and async alike."""

import asyncio
import contextlib
import json
import logging
import os
import resource
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx  # noqa: TID251  names the causes
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from listenkey import (
    ApiError,
    AsyncListenKeyClient,
    Banned,
    ConfigurationError,
    KeyNotFound,
    ListenKeyClient,
    ListenKeyError,
    RateLimited,
    ServerError,
    TransportError,
    Unauthorized,
    UnexpectedResponse,
)
from listenkey._http.answer import http_date, wait_in
from listenkey.sandbox import Sandbox
from tests.conftest import API_KEY, Script, Twin

KEY = "k" * 64


def caught(call: Callable[[], object]) -> ListenKeyError:
    with pytest.raises(ListenKeyError) as caught:
        call()
    return caught.value


# What the sandbox is told to do, and the one error that it gives. Each runs against both twins.
FAULTS: list[tuple[dict[str, Any], type[ListenKeyError]]] = [
    # the answers that break the generated client when it is driven bare
    ({"body": "<html>maintenance</html>"}, UnexpectedResponse),
    ({"body": b""}, UnexpectedResponse),
    ({"status": 520, "body": "<html>"}, ServerError),
    ({"body": {}}, UnexpectedResponse),
    ({"body": None}, UnexpectedResponse),
    ({"body": []}, UnexpectedResponse),
    ({"body": [["listenKey", KEY]]}, UnexpectedResponse),
    ({"body": "12"}, UnexpectedResponse),
    ({"status": 400, "body": {"msg": "no code"}}, ApiError),
    ({"body": {"listenKey": None}}, UnexpectedResponse),
    ({"body": {"listenKey": 7}}, UnexpectedResponse),
    ({"body": {"listenKey": ""}}, UnexpectedResponse),
    ({"body": {"listenKey": "a\nb"}}, UnexpectedResponse),
    ({"body": {"listenKey": "a b"}}, UnexpectedResponse),
    ({"body": {"listenKey": "ключ"}}, UnexpectedResponse),
    ({"body": {"listenKey": KEY, "expiration": "1762855900452"}}, UnexpectedResponse),
    ({"body": {"listenKey": KEY, "expiration": None}}, UnexpectedResponse),
    ({"body": {"listenKey": KEY, "expiration": 1.5}}, UnexpectedResponse),
    ({"body": {"listenKey": KEY, "expiration": True}}, UnexpectedResponse),
    ({"body": {"listenKey": KEY, "expiration": 10**30}}, UnexpectedResponse),
    ({"body": {"listenKey": KEY, "expiration": 10**15}}, UnexpectedResponse),
    ({"body": json.dumps({"listenKey": KEY, "expiration": 0})[:-2] + "9" * 5000 + "}"}, UnexpectedResponse),
    ({"body": {"listenKey": KEY, "expiration": float("inf")}}, UnexpectedResponse),
    # statuses that are not an answer
    ({"status": 201, "body": {"listenKey": KEY}}, UnexpectedResponse),
    ({"status": 204, "body": b""}, UnexpectedResponse),
    ({"status": 302, "body": b""}, UnexpectedResponse),
    ({"status": 304, "body": b""}, UnexpectedResponse),
    ({"status": 600, "body": b""}, UnexpectedResponse),
    ({"status": 999, "body": b""}, UnexpectedResponse),
    # by status
    ({"status": 401, "body": {"code": -1125, "msg": "status goes first"}}, Unauthorized),
    ({"status": 403, "body": "<html>WAF</html>"}, ApiError),
    ({"status": 404, "body": "<html>"}, ApiError),
    ({"status": 408, "body": b""}, ServerError),
    ({"status": 410, "body": b""}, ApiError),
    ({"status": 418, "body": b""}, Banned),
    ({"status": 429, "body": b""}, RateLimited),
    ({"status": 500, "body": {"code": -1125, "msg": "status goes first"}}, ServerError),
    ({"status": 502, "body": "<html>"}, ServerError),
    ({"status": 503, "body": b""}, ServerError),
    ({"status": 599, "body": b""}, ServerError),
    # by code
    ({"status": 400, "body": {"code": -1125, "msg": "x"}}, KeyNotFound),
    *[
        ({"status": 400, "body": {"code": code, "msg": "x"}}, Unauthorized)
        for code in (-1002, -2008, -2014, -2015, -5002, -5005, -5009)
    ],
    *[({"status": 403, "body": {"code": code, "msg": "x"}}, RateLimited) for code in (-1003, -1008)],
    *[
        ({"status": 400, "body": {"code": code, "msg": "x"}}, ServerError)
        for code in (-1000, -1001, -1006, -1007, -4078)
    ],
    ({"status": 400, "body": {"code": -1102, "msg": "x"}}, ApiError),
    ({"status": 400, "body": {"code": "-1125", "msg": "x"}}, ApiError),
    ({"status": 400, "body": {"code": True, "msg": "x"}}, ApiError),
    ({"status": 400, "body": {"code": -(10**40), "msg": "x"}}, ApiError),
    ({"status": 400, "body": "[" * 50_000}, ApiError),
]


@pytest.mark.parametrize(("fault", "kind"), FAULTS, ids=lambda value: str(value)[:60])
def test_answer(twin: Twin, listenkey_sandbox: Sandbox, fault: dict[str, Any], kind: type[ListenKeyError]) -> None:
    listenkey_sandbox.faults.add("status", **fault)
    error = caught(twin(listenkey_sandbox.url, attempts=1).start)
    assert type(error) is kind
    assert f"(HTTP {fault.get('status', 200)}" in str(error)
    if isinstance(error, ApiError):
        given = fault["body"].get("code") if isinstance(fault.get("body"), dict) else None
        assert error.code == (given if type(given) is int and given > -(2**31) else None)
    assert len(listenkey_sandbox.requests) == 1


@pytest.mark.parametrize("call", ["keepalive", "delete"])
@pytest.mark.parametrize(
    "body", ["<html>", [], None, {"code": -1125, "msg": "This listenKey does not exist."}], ids=repr
)
def test_a_200_that_is_no_success(twin: Twin, listenkey_sandbox: Sandbox, call: str, body: object) -> None:
    listenkey_sandbox.faults.add("status", body=body)
    assert type(caught(getattr(twin(listenkey_sandbox.url), call))) is UnexpectedResponse


@pytest.mark.parametrize("call", ["keepalive", "delete"])
@pytest.mark.parametrize("body", [b"", b"\n", b"{}", b'{"tomorrow": 1}'], ids=repr)
def test_success_may_have_no_body(twin: Twin, listenkey_sandbox: Sandbox, call: str, body: bytes) -> None:
    listenkey_sandbox.faults.add("status", body=body, headers={"Content-Type": None})
    assert getattr(twin(listenkey_sandbox.url), call)() in (None, True)


def test_what_is_sent(twin: Twin) -> None:
    # The key in its header, and nothing else that tells who asks: no query, no body, no cookie that an answer set.
    heads: list[bytes] = []
    answer = HEAD + b"Set-Cookie: a=b\r\nContent-Length: 2\r\n\r\n{}"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                for _ in range(2):  # the connection is kept
                    heads.append(connection.recv(65536))
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        client = twin(url + "/prefix/")
        client.keepalive()
        client.delete()
        thread.join(5)
        assert not thread.is_alive()
    for head, method in zip(heads, (b"PUT", b"DELETE"), strict=True):
        line, *headers = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        assert line == method + b" /prefix/eapi/v1/listenKey HTTP/1.1"
        names = {header.split(b":")[0].lower() for header in headers} - {b"content-length"}
        assert names == {
            b"host",
            b"accept",
            b"accept-encoding",
            b"connection",
            b"user-agent",
            b"x-mbx-apikey",
        }
        assert b"Content-Length: 0" in headers or method == b"DELETE"
        assert f"X-MBX-APIKEY: {API_KEY}".encode() in headers
        assert b"Accept-Encoding: identity" in headers


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        ("redirect", UnexpectedResponse, "it is a redirect, not followed because it would carry the API key away"),
        ("cut", TransportError, "RemoteProtocolError"),
        ("not-utf8", UnexpectedResponse, "its body is not a JSON object"),
        ("bad-gzip", UnexpectedResponse, "its body is compressed or over 64 KiB"),
        ("gzip-bomb", UnexpectedResponse, "its body is compressed or over 64 KiB"),
        ("nested", UnexpectedResponse, "its body is not a JSON object"),
        ("huge", UnexpectedResponse, "its body is compressed or over 64 KiB"),
        ("reset", TransportError, "(ReadError: [Errno 104] Connection reset by peer)"),
        ("lost", TransportError, "(ReadError: [Errno 104] Connection reset by peer)"),
        ("silent", TransportError, "within 0.5 s. Repeating the call is safe."),
        ("drip", TransportError, "within 0.5 s. Repeating the call is safe."),
        ("drip-headers", TransportError, "within 0.5 s. Repeating the call is safe."),
    ],
)
def test_misbehaviour(
    twin: Twin, listenkey_sandbox: Sandbox, fault: str, kind: type[ListenKeyError], text: str
) -> None:
    options = {"interval": 0.05} if fault.startswith("drip") else {}
    listenkey_sandbox.faults.add(fault, times=None, **options)
    timeout = 0.5 if "0.5 s" in text else 5
    client = twin(listenkey_sandbox.url, attempts=1, timeout=timeout)
    for call in (client.start, client.keepalive, client.delete):
        error = caught(call)
        assert type(error) is kind
        assert text in str(error)
    assert {request.path for request in listenkey_sandbox.requests} == {"/eapi/v1/listenKey"}  # nothing was followed


@pytest.mark.parametrize("fault", ["huge", "gzip-bomb"])
def test_memory_is_bounded(twin: Twin, listenkey_sandbox: Sandbox, fault: str) -> None:
    # Peak memory of this process, which also holds the sandbox: it builds its bomb before the measurement.
    client = twin(listenkey_sandbox.url, attempts=1)
    for _ in range(2):
        listenkey_sandbox.faults.add(fault)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        caught(client.start)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * 1024  # KiB


@pytest.mark.parametrize("body", ["cut", "drip", "not-utf8", "bad-gzip", "gzip-bomb", "nested", "huge"])
@pytest.mark.parametrize(("status", "kind"), [(418, Banned), (401, Unauthorized), (503, ServerError), (404, ApiError)])
def test_a_body_that_cannot_be_read_does_not_hide_the_status(
    twin: Twin, listenkey_sandbox: Sandbox, body: str, status: int, kind: type[ApiError]
) -> None:
    # Were a 418 with a broken body taken for "no answer", it would be repeated into a longer ban.
    listenkey_sandbox.faults.add(body, status=status)
    error = caught(twin(listenkey_sandbox.url, attempts=1, timeout=0.5 if body == "drip" else 5).start)
    assert type(error) is kind
    assert isinstance(error, ApiError)
    assert (error.status, error.code, error.reason) == (status, None, None)


def test_refused(twin: Twin, closed_port: str) -> None:
    error = caught(twin(closed_port, attempts=1).start)
    assert type(error) is TransportError
    assert isinstance(error.__cause__, httpx.ConnectError)
    assert str(error).startswith(f"No answer from {closed_port} (ConnectError: ")


def test_timeout_names_its_cause(twin: Twin, listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("silent")
    error = caught(twin(listenkey_sandbox.url, attempts=1, timeout=0.1).start)
    assert isinstance(error.__cause__, TimeoutError | httpx.TimeoutException)
    assert str(error) == f"No answer from {listenkey_sandbox.url} within 0.1 s. Repeating the call is safe."


HEAD = b"HTTP/1.1 200 OK\r\n"


def later(*pieces: bytes) -> Script:
    """Send pieces half a second apart, then nothing."""

    def script(connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(0.5)
        connection.recv(1)

    return script


@pytest.mark.parametrize(
    "script",
    [
        later(HEAD, b"Content-Length: 90\r\n\r\n", b'{"listenKey":'),
        later(HEAD + b"\r\n", b'{"listenKey":"a"}'),  # no length: the body ends with the connection
        later(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"11\r\n", b'{"listenKey":"a"}\r\n'),
        later(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_timeout_is_for_the_whole_attempt(twin: Twin, scripted: Callable[[Script], str], script: Script) -> None:
    # Each read alone stays below the timeout; together they do not.
    client = twin(scripted(script), attempts=1, timeout=0.8)
    began = time.monotonic()
    error = caught(client.start)
    assert time.monotonic() - began > 0.75
    assert type(error) is TransportError
    assert "within 0.8 s" in str(error)


def test_timeout_bounds_the_tls_handshake(twin: Twin) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # accepts, and never says a word of TLS
        client = twin(f"https://127.0.0.1:{deaf.getsockname()[1]}", attempts=1, timeout=0.4)
        began = time.monotonic()
        error = caught(client.start)
    assert time.monotonic() - began > 0.35
    assert "within 0.4 s" in str(error)


@contextlib.contextmanager
def full() -> Iterator[str]:
    """Name an address whose queue of connections is full, so that connecting hangs."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_timeout_bounds_connecting(twin: Twin) -> None:
    with full() as url:
        began = time.monotonic()
        error = caught(twin(url, attempts=1, timeout=0.4).start)
    assert time.monotonic() - began > 0.35
    assert "within 0.4 s" in str(error)


def test_timeout_bounds_a_proxy_that_drips(
    twin: Twin, scripted: Callable[[Script], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def drip(proxy: socket.socket) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100:
            proxy.sendall(bytes([byte]))
            time.sleep(0.1)

    monkeypatch.setenv("HTTPS_PROXY", scripted(drip))
    client = twin("https://eapi.binance.com", attempts=1, timeout=0.5)
    began = time.monotonic()
    error = caught(client.start)
    assert time.monotonic() - began > 0.45
    assert "within 0.5 s" in str(error)


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_only_the_async_twin_bounds_name_resolution(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def slow(*_: object, **__: object) -> None:
        answered.wait(50 if kind == "async" else 1.5)
        raise socket.gaierror("no such host")

    async def start() -> float:
        async with AsyncListenKeyClient(API_KEY, timeout=0.4, attempts=1) as client:
            began = time.monotonic()
            with pytest.raises(TransportError):
                await client.start()
            answered.set()  # not before
            return time.monotonic() - began

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    if kind == "async":
        assert 0.35 < asyncio.run(start()) < 50, "the look-up itself takes 50 seconds"
    else:
        with ListenKeyClient(API_KEY, timeout=0.4, attempts=1) as client:
            began = time.monotonic()
            assert type(caught(client.start)) is TransportError
            assert time.monotonic() - began >= 1.5  # as README says


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 099 Odd\r\n\r\n",
        b"HTTP/1.1 2000 Odd\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
        HEAD + b"X: " + b"x" * 200_000 + b"\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=repr,
)
def test_not_http(twin: Twin, scripted: Callable[[Script], str], answer: bytes) -> None:
    def script(connection: socket.socket) -> None:
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)

    assert type(caught(twin(scripted(script), attempts=1).start)) is TransportError


def test_a_bad_certificate(twin: Twin, tls_url: str) -> None:
    error = caught(twin(tls_url, attempts=1).start)
    assert type(error) is TransportError
    assert "CERTIFICATE_VERIFY_FAILED" in str(error)


def test_a_good_certificate(
    twin: Twin, tls_url: str, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert twin(tls_url, attempts=1).start().value == KEY


NOW = datetime(2026, 1, 15, 12, 0, 0, tzinfo=UTC)
BAN = f"Way too many requests; IP banned until {int(NOW.timestamp() * 1000) + 90_500}."


@pytest.mark.parametrize(
    ("status", "retry_after", "message", "expected"),
    [
        (429, "30", "", 30.0),
        (429, "0", "", 0.0),
        (429, "0" * 30 + "30", "", 30.0),
        (429, format_datetime(NOW + timedelta(seconds=45), usegmt=True), "", 45.0),
        (429, format_datetime(NOW - timedelta(seconds=45), usegmt=True), "", 0.0),
        (429, None, "", None),
        (429, "soon", "", None),
        (429, "-5", "", None),
        (429, "1e3", "", None),
        (429, "1.5", "", 1.5),
        (429, "7, 30", "", 30.0),
        (429, "7, soon", "", None),
        (429, "nan", "", None),
        (429, "9" * 400, "", 1e9),
        (429, "Thu, 99 Jan 2026 12:00:00 GMT", "", None),
        (418, None, BAN, 90.5),
        (418, "120", BAN, 120.0),
        (429, "soon", BAN, 90.5),
        (418, None, "IP banned until 1000000000000.", 0.0),
        (418, None, "IP banned until tomorrow.", None),
        (503, "3", "", 3.0),
        (503, None, BAN, None),
        (400, "7", "", 7.0),
    ],
)
def test_retry_after(
    twin: Twin, listenkey_sandbox: Sandbox, status: int, retry_after: str | None, message: str, expected: float | None
) -> None:
    # By the answer's own Date, so a wrong clock on this machine changes nothing.
    headers = {"Date": format_datetime(NOW, usegmt=True), "Retry-After": retry_after}
    body = {"code": -1008, "msg": message} if message else b""
    listenkey_sandbox.faults.add("status", status=status, headers=headers, body=body)
    error = caught(twin(listenkey_sandbox.url, attempts=1).start)
    assert isinstance(error, ApiError)
    assert (error.status, error.retry_after) == (status, expected)


def test_retry_after_as_a_date_in_an_answer_without_date(twin: Twin, listenkey_sandbox: Sandbox) -> None:
    end = datetime.now(UTC) + timedelta(seconds=50)
    headers = {"Date": None, "Retry-After": format_datetime(end, usegmt=True)}
    listenkey_sandbox.faults.add("status", status=429, headers=headers)
    error = caught(twin(listenkey_sandbox.url).start)
    assert isinstance(error, RateLimited)
    assert error.retry_after is not None
    assert 45 < error.retry_after <= 50


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ \d+:\d+:\d+ ([+-]\d+|GMT)", fullmatch=True))
def test_no_header_breaks_the_parsers(value: str) -> None:
    date = http_date(value)
    assert date is None or date.tzinfo is UTC
    seconds = wait_in(value, date, NOW)
    assert seconds is None or seconds >= 0


def test_reason_is_cleaned(twin: Twin, listenkey_sandbox: Sandbox) -> None:
    message = f"a\n\x1b[31mb\ud800 {API_KEY} " + "x" * 300
    listenkey_sandbox.faults.add("status", status=400, body=json.dumps({"code": -1102, "msg": message}))
    error = caught(twin(listenkey_sandbox.url).start)
    assert isinstance(error, ApiError)
    assert error.reason == ("a [31mb *** " + "x" * 300)[:200]


@pytest.mark.parametrize("weight", ["", "-1", "many", "9" * 400, "1.5", "٣"])
def test_a_used_weight_that_is_no_number_is_passed_over(twin: Twin, listenkey_sandbox: Sandbox, weight: str) -> None:
    client = twin(listenkey_sandbox.url)
    assert client.used_weight is None
    client.start()
    assert client.used_weight == 1
    headers = {"X-MBX-USED-WEIGHT-1M": weight.encode().decode("latin-1")}
    listenkey_sandbox.faults.add("status", body={"listenKey": KEY}, headers=headers)
    client.start()
    assert client.used_weight == 1


# What cannot work is refused before anything is sent.

EMPTY = "api_key is empty: pass the API key of your Binance account."
ONE_LINE = (
    "api_key has a space, a line break, a quote, a backslash or a character outside ASCII: pass it alone, as Binance "
    "shows it."
)
SECONDS = "timeout must be a number of seconds, above 0 and at most a day."
NOT_A_URL = "base_url is not a URL: it must be like https://eapi.binance.com."
PARTS = "base_url must be a scheme, a host and at most a port and a path."
HTTPS = (
    "base_url must start with https: plain http is for loopback addresses, and for the host that plain_http_host names."
)
USER = "base_url must not carry a user or a password."


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"api_key": ""}, EMPTY),
        ({"api_key": " \n"}, EMPTY),
        ({"api_key": None}, EMPTY),
        ({"api_key": "abc\n"}, ONE_LINE),
        ({"api_key": "abc\r\nX: y"}, ONE_LINE),
        ({"api_key": "a b"}, ONE_LINE),
        ({"api_key": "ключ"}, ONE_LINE),
        ({"api_key": "abc\x00"}, ONE_LINE),
        ({"api_key": "a'b"}, ONE_LINE),
        ({"api_key": 'a"b'}, ONE_LINE),
        ({"api_key": "a\\b"}, ONE_LINE),
        ({"api_key": b"abc"}, "api_key must be a str, not bytes."),
        ({"base_url": "https://[::1"}, NOT_A_URL),
        ({"base_url": "https://eapi..binance.com"}, NOT_A_URL),
        ({"base_url": f"https://{'a' * 64}.com"}, NOT_A_URL),
        ({"base_url": "https://eapi.binance.com\n"}, NOT_A_URL),
        ({"base_url": None}, NOT_A_URL),
        ({"base_url": "https://"}, PARTS),
        ({"base_url": ""}, PARTS),
        ({"base_url": "eapi.binance.com"}, PARTS),
        ({"base_url": "https://eapi.binance.com:99999"}, PARTS),
        ({"base_url": "https://eapi.binance.com:0"}, PARTS),
        ({"base_url": "https://eapi.binance.com?a=b"}, PARTS),
        ({"base_url": "https://eapi.binance.com/?"}, PARTS),
        ({"base_url": "https://eapi.binance.com/#"}, PARTS),
        ({"base_url": "https://eapi binance.com"}, PARTS),
        ({"base_url": "https://*.binance.com"}, PARTS),
        ({"base_url": "https://user:secret@eapi.binance.com"}, USER),
        ({"base_url": "http://127.0.0.1@eapi.binance.com"}, USER),
        ({"base_url": "https://user:12345/x@eapi.binance.com"}, USER),
        ({"base_url": "https://user:12345?x@eapi.binance.com"}, USER),
        ({"base_url": "https://user:12345#x@eapi.binance.com"}, USER),
        ({"base_url": r"https://user:12345\x@eapi.binance.com"}, USER),
        ({"base_url": "https://user:1@x@eapi.binance.com"}, USER),
        ({"base_url": "http://eapi.binance.com"}, HTTPS),
        ({"base_url": "http://localhost.example"}, HTTPS),
        ({"base_url": "http://127.0.0.1.example"}, HTTPS),
        ({"base_url": "http://10.0.0.1"}, HTTPS),
        ({"base_url": "ftp://127.0.0.1"}, HTTPS),
        ({"timeout": 0}, SECONDS),
        ({"timeout": -1.0}, SECONDS),
        ({"timeout": float("nan")}, SECONDS),
        ({"timeout": float("inf")}, SECONDS),
        ({"timeout": None}, SECONDS),
        ({"attempts": 0}, "attempts must be a whole number, 1 or more."),
        ({"attempts": 1.5}, "attempts must be a whole number, 1 or more."),
    ],
    ids=str,
)
def test_a_setting_that_cannot_work(twin: Twin, settings: dict[str, Any], text: str) -> None:
    error = caught(lambda: twin(**{"base_url": "https://eapi.binance.com", **settings}))
    assert (type(error), str(error)) == (ConfigurationError, text)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "[::1]"])
def test_plain_http_may_go_to_loopback(twin: Twin, host: str) -> None:
    twin(f"http://{host}:1/prefix/")


def test_a_loopback_base_url_ignores_proxies(
    twin: Twin, listenkey_sandbox: Sandbox, closed_port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, closed_port)
    assert twin(listenkey_sandbox.url, attempts=1).start().value


def test_another_base_url_uses_the_proxy(
    twin: Twin, scripted: Callable[[Script], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", scripted(lambda proxy: proxy.sendall(b"HTTP/1.1 407 No\r\n\r\n")))
    error = caught(twin("https://eapi.binance.com", attempts=1).start)
    assert isinstance(error.__cause__, httpx.ProxyError)


def test_a_closed_client_says_so(listenkey_sandbox: Sandbox) -> None:
    async def closed() -> AsyncListenKeyClient:
        client = AsyncListenKeyClient(API_KEY, base_url=listenkey_sandbox.url)
        await client.start()
        await client.aclose()
        return client

    async def start_closed() -> None:
        await (await closed()).start()

    client = ListenKeyClient(API_KEY, base_url=listenkey_sandbox.url)
    client.start()  # works without `with`
    client.close()
    for call in (client.start, lambda: asyncio.run(start_closed())):
        assert str(caught(call)) == "This client is closed: make a new one."


# Secrets.


def echo(connection: socket.socket) -> None:
    """Answer with headers that httpcore logs."""
    connection.sendall(HEAD + b"X-Echo: " + API_KEY.encode() + b"\r\nContent-Length: 0\r\n\r\n")


def echo_reason(connection: socket.socket) -> None:
    """Answer with a reason phrase that httpx logs."""
    connection.sendall(b"HTTP/1.1 200 " + API_KEY.encode() + b"\r\nContent-Length: 0\r\n\r\n")


def echo_malformed(connection: socket.socket) -> None:
    """Answer with a header line that httpx refuses, and so quotes in its error."""
    connection.sendall(HEAD + b"X-Echo: a\x00" + API_KEY.encode() + b"\r\n\r\n")


def test_the_api_key_is_nowhere(
    twin: Twin,
    listenkey_sandbox: Sandbox,
    scripted: Callable[[Script], str],
    closed_port: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    errors: list[ListenKeyError] = []
    for fault in ("echo", "reset", "cut", "redirect", "bad-gzip", "nested", "huge"):
        listenkey_sandbox.faults.add(fault, times=None)
        errors.append(caught(twin(listenkey_sandbox.url, attempts=2).start))
        listenkey_sandbox.faults.clear()
    errors.append(caught(twin(closed_port, attempts=2).start))
    # Crash reporters print the variables of frames: ours, the generated client's; not of an answer that echoes the key.
    frames = [frame for error in errors[1:] for frame in own_frames(error)]
    errors.append(caught(twin(scripted(echo)).start))
    errors.append(caught(twin(scripted(echo_reason)).start))
    errors.append(caught(twin(scripted(echo_malformed), attempts=2).start))
    assert "***" in str(errors[0])  # it was there to be found
    client = twin(listenkey_sandbox.url)
    key = client.start()

    texts = ["".join(traceback.TracebackException.from_exception(error).format()) for error in errors]
    texts += [repr(value) for frame in frames for name, value in frame.items()]
    texts += [str(error) + repr(error) + repr(vars(error)) for error in errors]
    texts += [repr(link) for error in errors for link in (error.__cause__, error.__context__)]
    texts += [repr(client), repr(key)]
    texts += [record.getMessage() + repr(record.args) for record in caplog.records]
    assert {"httpx", "httpcore.http11", "listenkey"} <= {record.name for record in caplog.records}
    assert not [text for text in texts if API_KEY in text]
    assert not [text for text in [repr(client), repr(key), caplog.text] if key.value in text]


def own_frames(error: BaseException) -> list[dict[str, Any]]:
    """List the variables of every frame of listenkey and the generated client that an error passed through."""
    modules = ("listenkey.", "binance_options_client.")
    found = []
    trace = error.__traceback__
    while trace:
        if trace.tb_frame.f_globals.get("__name__", "").startswith(modules):
            found.append(dict(trace.tb_frame.f_locals))
        trace = trace.tb_next
    return found


@pytest.mark.parametrize("kind", [ListenKeyClient, AsyncListenKeyClient])
def test_a_client_that_could_not_be_made_can_be_shown(kind: Callable[..., object]) -> None:
    with pytest.raises(ConfigurationError) as error:
        kind(API_KEY, base_url="http://eapi.binance.com")
    frames = own_frames(error.value)
    assert any("base_url=None" in repr(value) for frame in frames for value in frame.values())
    assert not any(API_KEY in repr(value) for frame in frames for value in frame.values())


def test_the_repr_of_a_client_names_its_base_url() -> None:
    with ListenKeyClient(API_KEY) as client:
        assert repr(client) == "ListenKeyClient(base_url='https://eapi.binance.com')"
    assert repr(AsyncListenKeyClient(API_KEY)) == "AsyncListenKeyClient(base_url='https://eapi.binance.com')"


# Threads, sockets and tasks.


def test_one_sync_client_serves_many_threads() -> None:
    with Sandbox(limit=None) as sandbox, ListenKeyClient(API_KEY, base_url=sandbox.url) as client:
        with ThreadPoolExecutor(16) as pool:
            keys = {key.value for key in pool.map(lambda _: client.start(), range(200))}
        assert len(keys) == 1
        assert len(sandbox.requests) == 200


def test_an_attempt_leaves_no_thread_and_no_socket(twin: Twin, listenkey_sandbox: Sandbox) -> None:
    def held() -> tuple[int, int]:
        return threading.active_count(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    clients = patient, hasty = [twin(listenkey_sandbox.url, attempts=1, timeout=timeout) for timeout in (60, 0.3)]
    before = held()
    for fault in ("reset", "huge", "status", "cut", "redirect", "silent", "drip"):
        listenkey_sandbox.faults.add(fault)
        caught((hasty if fault in ("silent", "drip") else patient).start)
        patient.start()
    for client in clients:
        client.close()  # a connection is kept for a burst of calls
    deadline = time.monotonic() + 45
    while held() > before and time.monotonic() < deadline:  # the sandbox's own threads end when they notice
        time.sleep(0.02)
    assert held() <= before


def test_closing_while_threads_call(listenkey_sandbox: Sandbox) -> None:
    def call(client: ListenKeyClient) -> None:
        with contextlib.suppress(TransportError):  # a call under way may be cut off, or run to its end
            while True:
                client.start()

    for pause in range(20):
        client = ListenKeyClient(API_KEY, base_url=listenkey_sandbox.url, attempts=1, timeout=1)
        with ThreadPoolExecutor(3) as pool:
            calls = [pool.submit(call, client) for _ in range(3)]
            time.sleep(pause / 1000)
            client.close()
            for done in calls:
                error = done.exception(45)
                assert error is None or str(error) == "This client is closed: make a new one.", repr(error)


def test_a_cancelled_call_stops_at_once_and_is_not_swallowed(listenkey_sandbox: Sandbox) -> None:
    async def cancelled() -> None:
        async with AsyncListenKeyClient(API_KEY, base_url=listenkey_sandbox.url, timeout=600) as client:
            listenkey_sandbox.faults.add("silent")
            call = asyncio.create_task(client.start())
            await asyncio.sleep(0.1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(cancelled())
