from __future__ import annotations

import errno
import gzip
import json
import logging
import os
import re
import socket
import struct
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx  # noqa: TID251  the sandbox shares no code with listenkey, and neither do its tests
import pytest

from listenkey import sandbox as sandbox_package
from listenkey.sandbox import FAULTS, Faults, Request, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["pytester"]

PATH = "/eapi/v1/listenKey"
KEY = {"X-MBX-APIKEY": "test-key"}
NO_LISTEN_KEY = (400, {"code": -1125, "msg": "This listenKey does not exist."})


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def call(sandbox: Sandbox, method: str = "POST", path: str = PATH, **options: Any) -> httpx.Response:
    # verify=False: it is plain http, and to load certificates for each call takes longer than all else
    return httpx.request(method, sandbox.url + path, **{"headers": KEY, "trust_env": False, "verify": False, **options})


def listen_key(sandbox: Sandbox, api_key: str = "test-key") -> str:
    response = call(sandbox, headers={"X-MBX-APIKEY": api_key})
    assert response.status_code == 200
    return str(response.json()["listenKey"])


def outcome(response: httpx.Response) -> tuple[int, object]:
    return response.status_code, response.json()


def steer(
    sandbox: Sandbox, method: str, path: str, *, headers: dict[str, str] | None = None, **options: Any
) -> httpx.Response:
    return call(sandbox, method, path, headers=headers or {}, **options)


@contextmanager
def connected(sandbox: Sandbox) -> Iterator[socket.socket]:
    url = httpx.URL(sandbox.url)
    with socket.create_connection((url.host, url.port or 0), timeout=10) as connection:
        yield connection


def request_bytes(method: str = "POST", headers: str = "X-MBX-APIKEY: test-key\r\n", body: str = "") -> bytes:
    return f"{method} {PATH} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}".encode()


def rest(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as file:
        return file.read()


def raw(sandbox: Sandbox, request: bytes) -> bytes:
    """All that comes back on a connection of its own until the sandbox ends it."""
    with connected(sandbox) as connection:
        connection.sendall(request)
        return rest(connection)


# Listen keys


def test_post_makes_a_key_of_64_letters_and_digits_and_says_when_it_ends(sandbox: Sandbox) -> None:
    before = time.time()
    answer = call(sandbox).json()
    assert answer.keys() == {"listenKey", "expiration"}
    assert re.fullmatch("[A-Za-z0-9]{64}", answer["listenKey"])
    assert type(answer["expiration"]) is int
    assert before + 3600 - 0.001 <= answer["expiration"] / 1000 <= time.time() + 3600


def test_post_returns_the_live_key_and_extends_it(sandbox: Sandbox) -> None:
    first = call(sandbox).json()
    time.sleep(0.01)
    second = call(sandbox).json()
    assert second["listenKey"] == first["listenKey"]
    assert second["expiration"] > first["expiration"]


def test_expiration_can_be_left_out() -> None:
    with Sandbox(expiration=False) as sandbox:
        assert call(sandbox).json().keys() == {"listenKey"}


def test_put_and_delete_without_a_key_say_1125(sandbox: Sandbox) -> None:
    assert outcome(call(sandbox, "PUT")) == NO_LISTEN_KEY
    assert outcome(call(sandbox, "DELETE")) == NO_LISTEN_KEY


def test_delete_ends_the_key_and_post_makes_another(sandbox: Sandbox) -> None:
    first = listen_key(sandbox)
    assert outcome(call(sandbox, "DELETE")) == (200, {})
    assert outcome(call(sandbox, "DELETE")) == NO_LISTEN_KEY
    assert outcome(call(sandbox, "PUT")) == NO_LISTEN_KEY
    assert listen_key(sandbox) != first


def test_a_key_ends_after_its_life_unless_put_or_post_extends_it() -> None:
    life = 4.0  # so that a busy machine is in time, too
    with Sandbox(life=life) as sandbox:
        first = listen_key(sandbox)
        for method in ("PUT", "POST", "PUT"):
            time.sleep(1.4)
            assert call(sandbox, method).status_code == 200
        assert listen_key(sandbox) == first
        time.sleep(life + 0.1)
        assert outcome(call(sandbox, "PUT")) == NO_LISTEN_KEY
        assert outcome(call(sandbox, "DELETE")) == NO_LISTEN_KEY
        assert listen_key(sandbox) != first


def test_expire_ends_every_key(sandbox: Sandbox) -> None:
    first, other = listen_key(sandbox), listen_key(sandbox, "other")
    sandbox.expire()
    assert outcome(call(sandbox, "PUT")) == NO_LISTEN_KEY
    assert {listen_key(sandbox), listen_key(sandbox, "other")}.isdisjoint({first, other})
    assert steer(sandbox, "POST", "/expire").status_code == 204
    assert outcome(call(sandbox, "PUT")) == NO_LISTEN_KEY


def test_many_threads_of_one_account_get_one_key(sandbox: Sandbox) -> None:
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: listen_key(sandbox), range(64)))
    assert len(keys) == 1
    assert len(sandbox.requests) == 64


# Accounts


def test_every_well_formed_api_key_is_an_account(sandbox: Sandbox) -> None:
    assert listen_key(sandbox, "a") != listen_key(sandbox, "b" * 64)


def test_api_keys_of_one_account_share_a_listen_key_and_others_are_refused() -> None:
    accounts = {"key-1": "alice", "key-2": "alice", "key-3": "bob"}
    with Sandbox(accounts=accounts) as sandbox:
        accounts["test-key"] = "eve"  # too late
        assert listen_key(sandbox, "key-1") == listen_key(sandbox, "key-2") != listen_key(sandbox, "key-3")
        assert outcome(call(sandbox)) == (
            401,
            {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."},
        )


@pytest.mark.parametrize("headers", ["", "X-MBX-APIKEY:\r\n", "X-MBX-APIKEY: a b\r\n", "X-MBX-APIKEY: \xe9\r\n"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_missing_or_malformed_api_key_is_refused(sandbox: Sandbox, method: str, headers: str) -> None:
    answer = raw(sandbox, request_bytes(method, headers + "Connection: close\r\n"))
    assert answer.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert answer.endswith(b'{"code":-2014,"msg":"API-key format invalid."}')


# Other paths, other methods, headers


@pytest.mark.parametrize("method", ["GET", "PATCH", "OPTIONS", "BREW"])
def test_another_method_is_refused_with_those_allowed(sandbox: Sandbox, method: str) -> None:
    response = call(sandbox, method)
    assert outcome(response) == (405, {"code": -1020, "msg": "This operation is not supported."})
    assert response.headers["Allow"] == "POST, PUT, DELETE"


def test_the_answer_to_head_has_no_body_and_the_connection_stays_in_step(sandbox: Sandbox) -> None:
    answer = raw(sandbox, request_bytes("HEAD") + request_bytes("PUT", "Connection: close\r\n"))
    assert answer.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
    assert b"\r\nContent-Length: 55\r\n" in answer
    assert answer.split(b"\r\n\r\n")[1].startswith(b"HTTP/1.1 401 ")


def test_another_path_is_html_404(sandbox: Sandbox) -> None:
    response = call(sandbox, path="/eapi/v1/other")
    assert (response.status_code, response.headers["Content-Type"]) == (404, "text/html")
    assert "404 Not Found" in response.text


def test_every_answer_has_date_type_and_used_weight(sandbox: Sandbox) -> None:
    for weight, method in enumerate(["POST", "PUT", "DELETE", "PUT", "GET"], 1):
        before = int(time.time())
        response = call(sandbox, method)
        assert response.headers["Content-Type"] == "application/json"
        assert response.headers["X-MBX-USED-WEIGHT-1M"] == str(weight)
        assert before <= parsedate_to_datetime(response.headers["Date"]).timestamp() <= time.time()
    sandbox.faults.add("status")
    assert call(sandbox).headers["X-MBX-USED-WEIGHT-1M"] == "6"
    assert call(sandbox, path="/other").headers["X-MBX-USED-WEIGHT-1M"] == "7"


def test_a_connection_carries_many_calls_and_their_bodies_are_ignored(sandbox: Sandbox) -> None:
    with connected(sandbox) as connection:
        connection.sendall(request_bytes(headers=f"X-MBX-APIKEY: k\r\nContent-Length: {10_000}\r\n", body="x" * 10_000))
        connection.sendall(request_bytes("PUT", "X-MBX-APIKEY: k\r\n"))
        connection.sendall(request_bytes("DELETE", "X-MBX-APIKEY: k\r\nConnection: close\r\n"))
        answer = rest(connection)
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"200"] * 3


@pytest.mark.parametrize("header", ["Content-Length: 100000", "Content-Length: -1", "Transfer-Encoding: chunked"])
def test_a_body_of_unknown_or_excessive_length_is_refused(sandbox: Sandbox, header: str) -> None:
    assert raw(sandbox, request_bytes(headers=header + "\r\n")).startswith(b"HTTP/1.1 413 ")


def test_a_client_that_leaves_within_its_request_hurts_nobody(sandbox: Sandbox) -> None:
    with connected(sandbox) as connection:
        connection.sendall(request_bytes(headers="Content-Length: 10\r\n", body="x"))
        connection.shutdown(socket.SHUT_WR)
        assert rest(connection) == b""
    assert sandbox.requests == []
    assert listen_key(sandbox)


def test_what_is_not_http_is_a_bad_request(sandbox: Sandbox) -> None:
    assert b"400" in raw(sandbox, b"complete nonsense\r\n\r\n")


# Limits


def later(sandbox: Sandbox, seconds: float) -> None:
    """Make the sandbox remember the client's calls and bans as `seconds` older than they are."""
    for usage in sandbox._accounts._usages.values():
        usage.since -= seconds
        usage.banned_until -= seconds


def test_over_the_limit_come_429s_then_a_ban() -> None:
    with Sandbox(limit=2) as sandbox:
        first = listen_key(sandbox)
        assert call(sandbox, "PUT").status_code == 200
        for weight in range(3, 8):
            response = call(sandbox)
            assert outcome(response) == (
                429,
                {"code": -1008, "msg": "Too many requests; the limit is 2 weight a minute."},
            )
            assert 50 <= int(response.headers["Retry-After"]) <= 60
            assert response.headers["X-MBX-USED-WEIGHT-1M"] == str(weight)
        for _ in range(2):
            response = call(sandbox, "DELETE")
            assert response.status_code == 418
            assert response.json()["code"] == -1008
            until = re.fullmatch(r"Way too many requests; IP banned until (\d{13})\.", response.json()["msg"])
            assert until
            assert abs(int(until[1]) / 1000 - time.time() - 120) < 50
            assert 110 <= int(response.headers["Retry-After"]) <= 120
        later(sandbox, 60)  # a new minute does not lift a ban
        response = call(sandbox)
        assert (response.status_code, response.headers["X-MBX-USED-WEIGHT-1M"]) == (418, "1")
        assert 50 <= int(response.headers["Retry-After"]) <= 60
        later(sandbox, 60)
        assert listen_key(sandbox) == first  # refused calls had no effect


def test_a_new_minute_lifts_the_limit() -> None:
    with Sandbox(limit=1) as sandbox:
        assert [call(sandbox).status_code for _ in range(3)] == [200, 429, 429]
        later(sandbox, 30)
        response = call(sandbox)
        assert response.status_code == 429
        assert 20 <= int(response.headers["Retry-After"]) <= 30
        later(sandbox, 30)
        response = call(sandbox)
        assert (response.status_code, response.headers["X-MBX-USED-WEIGHT-1M"]) == (200, "1")


def test_each_ban_is_twice_as_long_up_to_three_days() -> None:
    with Sandbox(limit=1) as sandbox, httpx.Client(headers=KEY, trust_env=False) as client:
        bans = []
        for _ in range(14):
            responses = [client.post(sandbox.url + PATH) for _ in range(7)]
            assert [response.status_code for response in responses] == [200] + [429] * 5 + [418]
            bans.append(int(responses[-1].headers["Retry-After"]))
            later(sandbox, bans[-1])
    assert bans == [*(120 * 2**n for n in range(12)), 259_200, 259_200]


def test_the_limit_can_be_off() -> None:
    with Sandbox(limit=None) as sandbox, httpx.Client(headers=KEY, trust_env=False) as client:
        assert {client.post(sandbox.url + PATH).status_code for _ in range(3)} == {200}
        assert client.post(sandbox.url + PATH).headers["X-MBX-USED-WEIGHT-1M"] == "4"


# Faults


@pytest.mark.parametrize(
    ("options", "status", "body"),
    [
        ({}, 200, b""),
        ({"status": 503, "body": b""}, 503, b""),
        ({"status": 520, "body": "<html>"}, 520, b"<html>"),
        ({"status": 599, "body": b"\xff"}, 599, b"\xff"),
        ({"status": 600, "body": None}, 600, b"null"),
        ({"status": 999, "body": []}, 999, b"[]"),
        ({"body": {"listenKey": "k", "expiration": 10**30}}, 200, b'{"listenKey":"k","expiration":%d}' % 10**30),
        ({"status": 204, "body": "never sent"}, 204, b""),
        ({"status": 304, "body": "never sent"}, 304, b""),
    ],
)
def test_fault_status_is_any_answer(sandbox: Sandbox, options: dict[str, Any], status: int, body: bytes) -> None:
    sandbox.faults.add("status", **options)
    response = call(sandbox)
    assert (response.status_code, response.content) == (status, body)
    assert ("Content-Length" in response.headers) == (status not in (204, 304))
    assert [request.status for request in sandbox.requests] == [status]
    assert outcome(call(sandbox, "PUT")) == NO_LISTEN_KEY  # once, and it changed nothing


def test_fault_status_replaces_adds_and_removes_headers(sandbox: Sandbox) -> None:
    headers = {
        "dAtE": "Thu, 01 Jan 1970 00:00:00 GMT",
        "content-TYPE": "text/html",
        "x-mbx-used-weight-1m": None,
        "A": "1",
    }
    sandbox.faults.add("status", status=403, body="<html>", headers=headers)
    answer = raw(sandbox, request_bytes(headers="Connection: close\r\n"))
    assert answer == (
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\nConnection: close\r\n"
        b"dAtE: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-TYPE: text/html\r\nA: 1\r\n\r\n<html>"
    )


@pytest.mark.parametrize("headers", [{"content-length": None}, {"Content-Length": "3"}, {"Connection": None}])
def test_an_answer_of_another_framing_ends_the_connection(sandbox: Sandbox, headers: dict[str, str | None]) -> None:
    sandbox.faults.add("status", body="abc", headers=headers)
    assert raw(sandbox, request_bytes()).endswith(b"\r\n\r\nabc")


def test_a_normal_answer_keeps_the_connection_open(sandbox: Sandbox) -> None:
    sandbox.faults.add("status", status=500)
    answer = raw(sandbox, request_bytes() + request_bytes(headers="Connection: close\r\n"))
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"500", b"401"]


def test_fault_redirect_shows_whether_the_key_was_carried_along(sandbox: Sandbox) -> None:
    sandbox.faults.add("redirect")
    response = call(sandbox)
    assert (response.status_code, response.headers["Location"]) == (302, sandbox.url + "/redirected")
    sandbox.faults.add("redirect", status=307)
    assert call(sandbox, follow_redirects=True).status_code == 404
    call(sandbox, path="/redirected", headers={})
    assert [(seen.path, seen.status, seen.with_key) for seen in sandbox.requests] == [
        (PATH, 302, True),
        (PATH, 307, True),
        ("/redirected", 404, True),
        ("/redirected", 404, False),
    ]


def test_fault_echo_quotes_the_api_key(sandbox: Sandbox) -> None:
    sandbox.faults.add("echo")
    secret = 'se"cr\\et'
    assert outcome(call(sandbox, headers={"X-MBX-APIKEY": secret})) == (
        400,
        {"code": -1102, "msg": f"The API key {secret} was refused."},
    )


def test_fault_cut_ends_before_content_length(sandbox: Sandbox) -> None:
    sandbox.faults.add("cut", times=2)
    with pytest.raises(httpx.RemoteProtocolError, match=r"without sending complete message body"):
        call(sandbox)
    head, _, body = raw(sandbox, request_bytes()).partition(b"\r\n\r\n")
    assert (b"\r\nContent-Length: 80" in head, body) == (True, b'{"listenKey":"XXXXXX')


def test_fault_not_utf8(sandbox: Sandbox) -> None:
    sandbox.faults.add("not-utf8")
    with pytest.raises(UnicodeDecodeError):
        call(sandbox).content.decode()


def test_fault_bad_gzip(sandbox: Sandbox) -> None:
    sandbox.faults.add("bad-gzip")
    with pytest.raises(httpx.DecodingError):
        call(sandbox)


def test_fault_gzip_bomb_is_small_until_opened(sandbox: Sandbox) -> None:
    sandbox.faults.add("gzip-bomb")
    head, _, body = raw(sandbox, request_bytes(headers="Connection: close\r\n")).partition(b"\r\n\r\n")
    assert b"\r\nContent-Encoding: gzip" in head
    assert len(body) < 70_000
    assert len(gzip.decompress(body)) == 64 * 2**20


def test_fault_nested_is_too_deep_for_a_parser(sandbox: Sandbox) -> None:
    sandbox.faults.add("nested")
    with pytest.raises((RecursionError, ValueError)):  # Python 3.14's parser is deep enough to find the end missing
        json.loads(call(sandbox).content)


def test_fault_huge_is_50_mb_of_unknown_length(sandbox: Sandbox) -> None:
    sandbox.faults.add("huge", status=500)
    with httpx.stream("POST", sandbox.url + PATH, trust_env=False) as response:
        assert response.status_code == 500
        assert "Content-Length" not in response.headers
        assert sum(map(len, response.iter_raw())) == 50_000_016


def test_fault_huge_stops_when_the_client_leaves(sandbox: Sandbox) -> None:
    sandbox.faults.add("huge")
    with connected(sandbox) as connection:
        connection.sendall(request_bytes())
        assert connection.recv(10)
    wait_for_no_connection()


def test_fault_drip_sends_the_body_byte_by_byte(sandbox: Sandbox) -> None:
    sandbox.faults.add("drip", interval=60)
    with connected(sandbox) as connection:
        connection.sendall(request_bytes())
        got = b""
        while not got.endswith(b"\r\n\r\n{"):  # the head at once, and the first byte; the second is a minute away
            got += connection.recv(1)
    sandbox.faults.add("drip", interval=0.002)
    started = time.monotonic()
    assert call(sandbox).content == b'{"listenKey":"%s"}' % (b"X" * 64)
    assert time.monotonic() - started >= 79 * 0.002


def test_fault_drip_headers_sends_the_headers_byte_by_byte(sandbox: Sandbox) -> None:
    sandbox.faults.add("drip-headers", interval=60)
    with connected(sandbox) as connection:
        connection.sendall(request_bytes())
        assert connection.recv(99) == b"H"
    sandbox.faults.add("drip-headers", interval=0.002)
    started = time.monotonic()
    head, _, body = raw(sandbox, request_bytes(headers="Connection: close\r\n")).partition(b"\r\n\r\n")
    assert time.monotonic() - started >= len(head) * 0.002
    assert body == b'{"listenKey":"%s"}' % (b"X" * 64)


def test_fault_silent_never_answers_whatever_the_client_says(sandbox: Sandbox) -> None:
    sandbox.faults.add("silent")
    with connected(sandbox) as connection:
        connection.settimeout(0.2)
        for _ in range(2):
            connection.sendall(request_bytes())
            with pytest.raises(TimeoutError):
                connection.recv(1)
    wait_for_no_connection()  # the client has left
    assert [request.status for request in sandbox.requests] == [None]


def test_fault_reset_has_no_effect(sandbox: Sandbox) -> None:
    sandbox.faults.add("reset")
    with pytest.raises(ConnectionResetError):
        raw(sandbox, request_bytes())
    assert outcome(call(sandbox, "PUT")) == NO_LISTEN_KEY
    assert [request.status for request in sandbox.requests] == [None, 400]


def test_fault_lost_takes_effect_without_an_answer(sandbox: Sandbox) -> None:
    sandbox.faults.add("lost")
    with pytest.raises(httpx.ReadError):
        call(sandbox)
    assert outcome(call(sandbox, "PUT")) == (200, {})
    sandbox.faults.add("lost")
    with pytest.raises(httpx.ReadError):
        call(sandbox, "DELETE")
    assert outcome(call(sandbox, "PUT")) == NO_LISTEN_KEY
    assert [request.status for request in sandbox.requests] == [None, 200, None, 400]


@pytest.mark.parametrize(
    "name", [name for name in FAULTS if "status" in FAULTS[name] and not name.startswith("stream-")]
)
def test_every_faulty_answer_can_have_another_status(sandbox: Sandbox, name: str) -> None:
    options: dict[str, Any] = {"interval": 0.0001} if "interval" in FAULTS[name] else {}
    sandbox.faults.add(name, status=555, **options)
    assert raw(sandbox, request_bytes(headers="Connection: close\r\n")).startswith(b"HTTP/1.1 555 \r\n")


def test_faults_are_taken_in_order_each_as_often_as_asked(sandbox: Sandbox) -> None:
    sandbox.faults.add("status", times=2, status=500)
    sandbox.faults.add("status", status=501)
    assert call(sandbox, path="/other").status_code == 404  # faults are for the endpoint
    assert [call(sandbox).status_code for _ in range(4)] == [500, 500, 501, 200]


def test_a_fault_without_end_lasts_until_clear(sandbox: Sandbox) -> None:
    sandbox.faults.add("status", times=None, status=502)
    sandbox.faults.add("status", status=503)
    assert [call(sandbox).status_code for _ in range(5)] == [502] * 5
    sandbox.faults.clear()
    assert call(sandbox).status_code == 200


def test_a_faulty_answer_comes_before_the_limit() -> None:
    with Sandbox(limit=1) as sandbox:
        sandbox.faults.add("status", times=9, status=500)
        assert [call(sandbox).status_code for _ in range(9)] == [500] * 9
        assert call(sandbox).status_code == 429


NAMES = (
    "status, redirect, echo, cut, not-utf8, bad-gzip, gzip-bomb, nested, huge, drip, drip-headers, silent, reset, "
    "lost, stream-drop, stream-half-open, stream-mute, stream-close, stream-frame, stream-huge, "
    "stream-refuse, stream-redirect, stream-accept-close, stream-lose"
)
PATHS = "/eapi/v1/listenKey, /eapi/v1/openOrders, /eapi/v1/position, /eapi/v1/marginAccount"


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("oops", {}, f"There is no fault 'oops'; there are: {NAMES}."),
        ([], {}, f"There is no fault []; there are: {NAMES}."),
        ("status", {"code": 1}, "Fault status has no option 'code'; it has: status, body, headers, path."),
        ("reset", {"status": 500}, "Fault reset has no option 'status'; it has: path."),
        ("reset", {"times": 0}, "times must be a whole number from 1, or None for every request, not 0."),
        ("reset", {"times": True}, "times must be a whole number from 1, or None for every request, not True."),
        ("reset", {"times": "2"}, "times must be a whole number from 1, or None for every request, not '2'."),
        ("cut", {"status": 199}, "status must be a whole number from 200 to 999, not 199."),
        ("cut", {"status": 1000}, "status must be a whole number from 200 to 999, not 1000."),
        ("cut", {"status": "200"}, "status must be a whole number from 200 to 999, not '200'."),
        ("drip", {"interval": 0}, "interval must be a number of seconds above 0, not 0."),
        ("drip", {"interval": float("inf")}, "interval must be a number of seconds above 0, not inf."),
        ("drip", {"interval": "1"}, "interval must be a number of seconds above 0, not '1'."),
        ("stream-drop", {"code": 1}, "Fault stream-drop has no option 'code'; it has: only."),
        ("stream-accept-close", {"only": 1}, "Fault stream-accept-close has no option 'only'; it has: none."),
        ("stream-refuse", {"status": 1}, "status must be a whole number from 200 to 999, not 1."),
        ("stream-drop", {"only": 0}, "only must be a whole number from 1, or None for every connection, not 0."),
        (
            "stream-close",
            {"code": 1006},
            "code must be a close code that may be sent: 1000 to 1003, 1007 to 1014 or 3000 to 4999, not 1006.",
        ),
        ("stream-frame", {"text": b"x"}, "text must be a text that UTF-8 can hold, not b'x'."),
        ("stream-huge", {"bytes": -1}, "bytes must be a whole number from 8 to 1073741824, not -1."),
        ("stream-redirect", {"location": "a\nb"}, "location must be a text of one line, not 'a\\nb'."),
        (
            "reset",
            {"path": "/eapi/v1/order"},
            f"path must be one of {PATHS}, not '/eapi/v1/order'.",
        ),
        ("stream-lose", {"event": 1}, "event must be the name of an event, or None for any, not 1."),
        ("stream-refuse", {"times": 0}, "times must be a whole number from 1, or None for every request, not 0."),
    ],
)
def test_what_cannot_be_a_fault_is_refused(name: str, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(text) + "$"):
        Sandbox().faults.add(name, **options)


@pytest.mark.parametrize(
    "headers", [[], {"A": 3}, {"A": "1\r\nB: 2"}, {"A": "\N{EURO SIGN}"}, {"A B": "1"}, {"": "1"}, {1: "1"}]
)
def test_headers_that_cannot_be_sent_are_refused(headers: object) -> None:
    with pytest.raises(
        ValueError, match=r"^headers must map names to texts of one line each, or to None, in Latin-1\.$"
    ):
        Sandbox().faults.add("status", headers=headers)


@pytest.mark.parametrize("body", [object(), "\ud800", {"a": object()}])
def test_a_body_that_cannot_be_sent_is_refused(body: object) -> None:
    with pytest.raises(ValueError, match=r"^body must be bytes, text or something JSON can hold: "):
        Sandbox().faults.add("status", body=body)


# Steering over HTTP


def test_other_programs_add_and_clear_faults_over_http(sandbox: Sandbox) -> None:
    fault = {"fault": "status", "times": 2, "status": 503, "body": "", "headers": {"Retry-After": "3"}}
    response = steer(sandbox, "POST", "/faults", json=fault)
    assert (response.status_code, response.content) == (204, b"")
    answered = call(sandbox)
    assert (answered.status_code, answered.headers["Retry-After"], answered.content) == (503, "3", b"")
    assert steer(sandbox, "DELETE", "/faults").status_code == 204
    answered = call(sandbox)
    assert (answered.status_code, answered.headers["X-MBX-USED-WEIGHT-1M"]) == (200, "2")  # steering costs nothing
    assert len(sandbox.requests) == 2


def test_times_null_over_http_is_without_end(sandbox: Sandbox) -> None:
    assert steer(sandbox, "POST", "/faults", json={"fault": "status", "status": 500, "times": None}).status_code == 204
    assert [call(sandbox).status_code for _ in range(3)] == [500] * 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "Expecting value"),
        ("[]", 'The body must be a JSON object with "fault" in it.'),
        ('{"times": 2}', 'The body must be a JSON object with "fault" in it.'),
        ('{"fault": "oops"}', "There is no fault 'oops'"),
        ('{"fault": {}}', "There is no fault {}"),
        ('{"fault": "cut", "name": 1}', "Fault cut has no option 'name'"),
        ("[" * 90_000, ""),  # the reason is the parser's own, and differs from Python to Python
        ("\xff", "Expecting value"),
    ],
)
def test_a_bad_fault_over_http_is_refused_with_a_reason(sandbox: Sandbox, content: str, reason: str) -> None:
    response = steer(sandbox, "POST", "/faults", content=content)
    assert response.status_code == 400
    assert response.json()["error"]
    assert reason in response.json()["error"]
    assert call(sandbox).status_code == 200


@pytest.mark.parametrize(("path", "allow"), [("/faults", "POST, DELETE"), ("/expire", "POST")])
def test_other_methods_do_not_steer(sandbox: Sandbox, path: str, allow: str) -> None:
    response = steer(sandbox, "GET", path)
    assert (response.status_code, response.headers["Allow"]) == (405, allow)


REBOUND, ELSEWHERE = {"Host": "evil.example"}, {"Origin": "https://evil.example"}
FOREIGN: list[dict[str, str]] = [
    REBOUND,
    {"Host": "evil.example:80", "Origin": "http://evil.example:80"},  # the page's own origin, led here by DNS
    {"Host": "127.0.0.1.evil.example"},
    {"Host": "localhost.evil.example:80"},
    {"Host": "192.0.2.1"},
    {"Host": "[2001:db8::1]:80"},
    {"Host": ""},
    ELSEWHERE,
    {"Origin": "null"},
    {"Origin": "http://localhost:1"},  # another program's pages on this machine
    {"Origin": ""},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/faults"), ("DELETE", "/faults"), ("POST", "/expire"), ("POST", "/events")]
)
def test_a_web_page_cannot_steer_it(sandbox: Sandbox, method: str, path: str, headers: dict[str, str]) -> None:
    key = listen_key(sandbox)
    sandbox.faults.add("status", status=503)
    content = b'{"fault": "status", "status": 401}' if path == "/faults" and method == "POST" else b""
    response = call(sandbox, method, path, headers=headers, content=content)
    assert (response.status_code, list(response.json())) == (403, ["error"])
    assert "access-control-allow-origin" not in response.headers
    assert [call(sandbox).status_code for _ in range(2)] == [503, 200], "the fault that waited, and no other"
    assert listen_key(sandbox) == key


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
def test_a_web_page_cannot_use_it(sandbox: Sandbox, method: str, headers: dict[str, str]) -> None:
    sandbox.faults.add("status", status=503)
    assert call(sandbox, method, headers=KEY | headers).status_code == 403
    assert sandbox.requests == []
    answered = call(sandbox)
    assert (answered.status_code, answered.headers["X-MBX-USED-WEIGHT-1M"]) == (503, "1"), "the first that counts"


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_web_page_cannot_read_the_stream(sandbox: Sandbox, headers: dict[str, str]) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "a" * 22 + "==",
    }
    path = f"/private/ws/{listen_key(sandbox)}"
    assert call(sandbox, "GET", path, headers=upgrade | headers).status_code == 403


def test_a_page_among_several_headers_is_found(sandbox: Sandbox) -> None:
    for extra in ("Host: evil.example", "Origin: null"):
        assert raw(sandbox, request_bytes(headers=f"Connection: close\r\n{extra}\r\n")).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "127.9.9.9", "[::1]", "[::1]:8080"])
def test_programs_on_this_machine_may_use_it_by_any_of_its_names(sandbox: Sandbox, host: str) -> None:
    own = {"Host": host, "Origin": f"http://{host.lower()}", "Sec-Fetch-Site": "same-origin"}
    assert call(sandbox, "POST", "/expire", headers=own).status_code == 204
    assert call(sandbox, headers=KEY | {"Host": host}).status_code == 200


def test_a_program_need_not_name_a_host(sandbox: Sandbox) -> None:
    assert raw(sandbox, f"POST {PATH} HTTP/1.0\r\nX-MBX-APIKEY: k\r\n\r\n".encode()).startswith(b"HTTP/1.1 200 ")


# What it saw


def test_requests_tell_what_was_asked_and_no_secret(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "listenkey")
    before = time.monotonic()
    key = listen_key(sandbox, "secret-api-key")
    call(sandbox, "PUT", f"{PATH}?listenKey={key}", headers={"X-MBX-APIKEY": "secret-api-key"})
    sandbox.faults.add("echo")
    call(sandbox, headers={"X-MBX-APIKEY": "secret-api-key"})
    first, second, _ = sandbox.requests
    assert first == Request("POST", PATH, 200, True, first.time, f"python-httpx/{httpx.__version__}")
    assert second == Request("PUT", PATH, 200, True, second.time, first.user_agent)
    assert before <= first.time <= second.time <= time.monotonic()
    with pytest.raises(AttributeError):
        first.status = 500  # type: ignore[misc]
    told = [record.getMessage() for record in caplog.records if record.name == "listenkey.sandbox"]
    assert f"PUT {PATH}: 200, fault None" in told
    for secret in (key, "secret-api-key"):
        assert secret not in repr(sandbox.requests) + repr(sandbox) + repr(sandbox.faults) + "".join(told)


def test_it_prints_nothing(sandbox: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    listen_key(sandbox)
    raw(sandbox, b"nonsense\r\n\r\n")
    with connected(sandbox) as connection:  # a client that resets its connection
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(b"POST ")
    wait_for_no_connection()
    assert capfd.readouterr() == ("", "")


# Starting and stopping


def threads(prefix: str = "listenkey-sandbox") -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(prefix)]


def wait_for_no_connection() -> None:
    deadline = time.monotonic() + 45
    while threads("listenkey-sandbox-connection"):
        assert time.monotonic() < deadline, "a connection's thread goes on"
        time.sleep(0.01)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  no need of paths


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files in /proc")
@pytest.mark.parametrize("name", [None, "silent", "drip", "drip-headers", "huge"])
def test_stopping_is_immediate_and_leaves_nothing_behind(name: str | None) -> None:
    files = open_files()
    with Sandbox() as sandbox, connected(sandbox) as connection, connected(sandbox):
        if name:
            sandbox.faults.add(name)
        connection.sendall(request_bytes())
        while not sandbox.requests:
            time.sleep(0.01)
        if name != "silent":
            assert connection.recv(1) == b"H"
        url = sandbox.url
        while len(threads()) < 3:  # the second connection's comes with a moment's delay
            time.sleep(0.01)
        sandbox.close()
    with pytest.raises(httpx.ConnectError):
        httpx.post(url + PATH, trust_env=False)
    assert threads() == []
    assert open_files() <= files


def test_stopping_waits_for_connections_that_are_just_ending() -> None:
    for _ in range(20):
        with Sandbox() as sandbox:
            sandbox.faults.add("drip", times=None)
            with connected(sandbox) as leaving, connected(sandbox) as dripping:
                dripping.sendall(request_bytes())
                leaving.sendall(request_bytes())
                assert dripping.recv(1) == leaving.recv(1) == b"H"
        assert threads() == []


def test_it_starts_once_and_says_so() -> None:
    sandbox = Sandbox()
    assert repr(sandbox) == "<Sandbox not started>"
    with pytest.raises(RuntimeError, match=r"does not run; use it inside its with block, or call start\(\) first\.$"):
        _ = sandbox.url
    with sandbox:
        assert repr(sandbox) == f"<Sandbox {sandbox.url}>"
        with pytest.raises(RuntimeError, match=r"^A sandbox starts once, and this one is running\.$"):
            sandbox.start()
        assert listen_key(sandbox)
    sandbox.close()
    assert repr(sandbox) == "<Sandbox closed>"
    assert len(sandbox.requests) == 1
    with pytest.raises(RuntimeError, match="does not run"):
        _ = sandbox.url
    with pytest.raises(RuntimeError, match=r"^A sandbox starts once, and this one is closed\.$"):
        sandbox.start()


def test_it_works_without_with() -> None:
    with closing(Sandbox().start()) as sandbox:
        assert listen_key(sandbox)


def test_a_port_in_use_is_named() -> None:
    with Sandbox() as first:
        port = int(first.url.rpartition(":")[2])
        second = Sandbox(port=port)
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1 port {port} .*; give another port") as caught:
            second.start()
        assert caught.value.errno == errno.EADDRINUSE
    with second:  # the port is free again at once, and a failed start may be repeated
        assert second.url == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("host", "shown"),
    [("localhost", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"), ("127.0.0.2", "127.0.0.2"), ("::1", "[::1]")],
)
def test_it_listens_on_loopback(host: str, shown: str) -> None:
    try:
        with Sandbox(host=host) as sandbox:
            assert sandbox.url.startswith(f"http://{shown}:")
            assert listen_key(sandbox)
            response = call(sandbox, "PUT")
            assert response.headers["X-MBX-USED-WEIGHT-1M"] == "2"
    except OSError as error:
        if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise
        pytest.skip(f"this machine has no {host}")


@pytest.mark.parametrize(("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]")])
def test_it_listens_elsewhere_when_asked_and_warns(host: str, shown: str, caplog: pytest.LogCaptureFixture) -> None:
    try:
        with Sandbox(host=host) as sandbox:
            assert sandbox.url.startswith(f"http://{shown}:")
            assert listen_key(sandbox)
            assert [record.levelname for record in caplog.records if record.name == "listenkey.sandbox"] == ["WARNING"]
            assert (
                f"The sandbox is open to all who reach {host}: they may use and steer it, in plain http." in caplog.text
            )
            for name in ("sandbox", "sandbox:8080", "SANDBOX", "10.1.2.3", "[fd00::1]:80", "host.docker.internal"):
                assert steer(sandbox, "POST", "/expire", headers={"Host": name}).status_code == 204
            for headers in [
                {"Host": "evil.example"},
                {"Host": ""},
                {"Host": "sandbox.evil.example"},
                ELSEWHERE,
                {"Origin": "null"},
            ]:
                assert steer(sandbox, "POST", "/expire", headers=headers).status_code == 403
    except OSError as error:
        if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise
        pytest.skip(f"this machine has no {host}")


@pytest.mark.parametrize("host", ["192.0.2.1", "sandbox.invalid"])
def test_an_address_that_is_not_this_machines_is_named(host: str) -> None:
    with pytest.raises(OSError, match=f"cannot listen on {host}"):
        Sandbox(host=host).start()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"life": 0}, "life must be a number of seconds above 0, not 0."),
        ({"life": float("nan")}, "life must be a number of seconds above 0, not nan."),
        ({"life": float("inf")}, "life must be a number of seconds above 0, not inf."),
        ({"life": "2"}, "life must be a number of seconds above 0, not '2'."),
        ({"limit": "5"}, "limit must be at least 1, or None for no limit, not '5'."),
        ({"port": "80"}, "port must be from 0 to 65535, not '80'."),
        ({"accounts": {7: "a"}}, "accounts: an API key must be printable ASCII characters without a space."),
        ({"limit": 0}, "limit must be at least 1, or None for no limit, not 0."),
        ({"host": ""}, "host must be an address or a name of this machine, not ''."),
        ({"port": 65536}, "port must be from 0 to 65535, not 65536."),
        ({"port": -1}, "port must be from 0 to 65535, not -1."),
        ({"accounts": {"se cret": "a"}}, "accounts: an API key must be printable ASCII characters without a space."),
    ],
)
def test_a_setting_that_cannot_work_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(text) + "$"):
        Sandbox(**options)


# The fixture for users of pytest


def test_pytest_users_get_a_running_sandbox_new_for_each_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from urllib.request import Request, urlopen

        seen = []

        def use(sandbox):
            seen.append(sandbox)
            request = Request(sandbox.url + "/eapi/v1/listenKey", method="POST", headers={"X-MBX-APIKEY": "k"})
            with urlopen(request) as response:
                assert response.headers["X-MBX-USED-WEIGHT-1M"] == "1"

        def test_one(listenkey_sandbox):
            use(listenkey_sandbox)

        def test_two(listenkey_sandbox):
            use(listenkey_sandbox)
            assert repr(seen[0]) == "<Sandbox closed>"
        """
    )
    result = pytester.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider", "-p", "no:asyncio")
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("alone", [False, True])
def test_pytest_pays_nothing_for_the_fixture_until_a_test_asks_for_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    broken = pytester.mkdir("broken")
    for name in ("httpx", "httpcore", "attr", "attrs"):
        broken.joinpath(f"{name}.py").write_text("raise SystemError('a broken installation')")
    heavy = {"httpx", "httpcore", "listenkey.client", "listenkey.sandbox"}
    if alone:  # of these, other plugins may load some; since 3.14, pytest itself loads asyncio, by pdb
        heavy |= {"ssl", "http.client", "asyncio"} if sys.version_info < (3, 14) else {"http.client"}
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    pytester.makeconftest(
        f"""
        import sys

        def pytest_sessionfinish():
            print("loaded:", sorted({heavy!r} & sys.modules.keys()))
        """
    )
    # Plugins of the mocks that test_seams.py needs load httpx.
    plugin = ["-p", "listenkey.pytest_plugin"] if alone else ["-p", "no:pytest_httpx", "-p", "no:respx"]
    result = pytester.runpytest_subprocess("-s", *plugin, "-p", "no:cacheprovider")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines(["loaded: []"])
    fixtures = pytester.runpytest_subprocess("--fixtures", *plugin, "-p", "no:cacheprovider")
    fixtures.stdout.fnmatch_lines(["listenkey_sandbox*"])


def test_the_marker_gives_the_fixture_options(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from urllib.request import Request, urlopen

        import pytest

        pytestmark = pytest.mark.listenkey_sandbox(life=5.0, limit=7)

        def test_of_the_module(listenkey_sandbox):
            assert listenkey_sandbox.life == 5.0

        @pytest.mark.listenkey_sandbox(life=2.0, accounts={"key-1": "alice"})
        def test_of_the_test(listenkey_sandbox):
            assert listenkey_sandbox.life == 2.0
            url = listenkey_sandbox.url + "/eapi/v1/listenKey"
            with urlopen(Request(url, method="POST", headers={"X-MBX-APIKEY": "key-1"})) as answer:
                assert answer.status == 200

        @pytest.mark.listenkey_sandbox(lief=2.0)
        def test_unknown(listenkey_sandbox): pass

        @pytest.mark.listenkey_sandbox(2.0)
        def test_without_a_name(listenkey_sandbox): pass

        @pytest.mark.listenkey_sandbox(life=0)
        def test_impossible(listenkey_sandbox): pass

        @pytest.mark.listenkey_sandbox(life="2")
        def test_of_a_wrong_type(listenkey_sandbox): pass
        """
    )
    result = pytester.runpytest_subprocess(
        "-W", "error", "--strict-markers", "-p", "no:cacheprovider", "-p", "no:asyncio"
    )
    result.assert_outcomes(passed=2, errors=4)
    result.stdout.fnmatch_lines(
        [
            "The marker listenkey_sandbox has no option 'lief'; it has: life, accounts, expiration, limit, host, port.",
            "The marker listenkey_sandbox takes options by name alone, such as life=2.0.",
            "The marker listenkey_sandbox: life must be a number of seconds above 0, not 0.",
            "The marker listenkey_sandbox: *",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    markers = pytester.runpytest_subprocess("--markers", "-p", "no:cacheprovider")
    markers.stdout.fnmatch_lines(["@pytest.mark.listenkey_sandbox(**options): the options of the fixture*"])


# A page that teaches, and the room


def test_the_page_teaches(sandbox: Sandbox) -> None:
    answer = call(sandbox, "GET", "/", headers={})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    for text in (sandbox.url, sandbox.stream_url, "/faults", "/expire", "/events", "curl -X POST", *FAULTS):
        assert text in answer.text
    assert "lives 3600 seconds" in answer.text
    assert "eapi.binance.com" not in answer.text
    assert call(sandbox, "HEAD", "/", headers={}).content == b""
    assert call(sandbox, "GET", "/", headers=REBOUND).status_code == 403
    assert sandbox.requests == []
    assert call(sandbox, "POST", "/").status_code == 404


def test_the_commands_of_the_page_work(sandbox: Sandbox) -> None:
    page = call(sandbox, "GET", "/", headers={}).text
    for path, body in re.findall(r"-X POST \S+(/\w+) -d '(.*?)'", page):
        assert steer(sandbox, "POST", path, content=body).status_code in (200, 204)
    assert sandbox.faults.waiting == ["status", "stream-drop"]


def test_the_docstring_names_every_fault_with_its_options() -> None:
    told = re.findall(r"- ``([\w-]+)``(?: \(``(.*?)``\))?", Faults.__doc__ or "")
    assert {name: f"dict({options})" for name, options in told} == {
        name: f"dict({', '.join(f'{option}={_written(value)}' for option, value in options.items())})"
        for name, options in ((name, {**FAULTS[name]}) for name in FAULTS)
        if options.pop("path", True)
    }


def _written(value: object) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value).replace("b''", 'b""')


def test_the_sandbox_shares_no_code_with_the_client() -> None:
    files = list(Path(sandbox_package.__file__).parent.glob("*.py"))
    assert len(files) >= 6
    imported = {name for file in files for name in re.findall(r"(?:from|import) (listenkey[\w.]*)", file.read_text())}
    assert [name for name in imported if not name.startswith("listenkey.sandbox")] == []


def test_a_thread_that_cannot_be_started_costs_one_connection(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    listen_key(sandbox)
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "listenkey-sandbox-connection":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert raw(sandbox, b"") == b""
    assert listen_key(sandbox)
    assert "Traceback" not in capfd.readouterr().err
