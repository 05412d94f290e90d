"""What a crash reporter prints: every error that a call can raise, with all frames, variables and chained errors."""

import asyncio
import copy
import logging
import pickle
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpcore  # noqa: TID251  where the interrupt arrives
import pytest

from listenkey import AsyncListenKeyClient, ListenKeyClient, ListenKeyError
from listenkey._http.attempt import Attempt, attempt_under_way
from listenkey._http.masking import Secret
from listenkey._http.route import Account
from listenkey.sandbox import Sandbox
from tests.conftest import Script, Twin

API_KEY = "Yt7cAqWz3rXk9vLbNm2pQs6dFg8hJk4lZx5cVb1nMa0sDf7gHj3kLq9wEr2tYu6i"
LISTEN_KEY = "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1"
PASSWORD = "hunter2"
SECRETS = (API_KEY, LISTEN_KEY, PASSWORD, "dXNlcjpodW50ZXIy")  # the last: user and password in a header
EXCHANGE = "https://eapi.binance.com"


def printed(error: BaseException) -> str:
    """Print an error as a crash reporter does: chained errors, and each frame's variables but the caller's own."""
    reports = [traceback.TracebackException.from_exception(error, capture_locals=True)]
    text = repr(error) + str(error) + repr(vars(error))
    while reports:
        report = reports.pop()
        text += "".join(report.format_exception_only())
        for frame in report.stack:
            if "/tests/" not in frame.filename:
                text += f"{frame.filename}:{frame.name} {frame.locals}\n"
        reports += [link for link in (report.__cause__, report.__context__) if link is not None]
        reports += getattr(report, "exceptions", None) or []
    return text


def raised_or_none(call: Callable[[], object]) -> ListenKeyError | None:
    try:
        call()
    except ListenKeyError as error:
        return error
    return None


def raised(call: Callable[[], object]) -> ListenKeyError:
    error = raised_or_none(call)
    assert error is not None
    return error


BODY = b'{"listenKey":"' + LISTEN_KEY.encode() + b'"}'
ECHO = b"HTTP/1.1 %s %s\r\nX-Echo: %s\r\nContent-Length: %d\r\n\r\n%s"
MALFORMED: dict[str, bytes] = {
    "body without a head": BODY + b"\r\n\r\n",
    "long body without a head": BODY * 1400 + b"\r\n\r\n",
    "chunked without chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + BODY + b"\r\n",
    "header that is none": b"HTTP/1.1 200 OK\r\nX: a\x00" + API_KEY.encode() + b"\r\n\r\n",
    "header without a colon": b"HTTP/1.1 200 OK\r\n" + BODY + b"\r\n\r\n",
    "odd version": b"HTTP/9.9 200 " + API_KEY.encode() + b"\r\n\r\n",
    "odd status": b"HTTP/1.1 " + API_KEY.encode() + b" OK\r\n\r\n",
    "odd length": b"HTTP/1.1 200 OK\r\nContent-Length: " + LISTEN_KEY.encode() + b"\r\n\r\n",
    "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + BODY,
    "listen key with a space": ECHO % (b"200", b"OK", API_KEY.encode(), len(BODY) + 1, BODY.replace(b'":"', b'":" ')),
    "listen key and odd expiration": ECHO
    % (b"200", b"OK", API_KEY.encode(), len(BODY) + 15, BODY[:-1] + b',"expiration":1}'),
    "list": ECHO % (b"200", b"OK", API_KEY.encode(), len(BODY) + 2, b"[" + BODY + b"]"),
    "error that echoes": ECHO
    % (b"400", API_KEY.encode(), API_KEY.encode(), 170, b'{"code":-1102,"msg":"%s"}' % (API_KEY + LISTEN_KEY).encode()),
    "error that names the listen key": ECHO
    % (b"400", b"No", b"", 121, b'{"code":-1125,"msg":"This listenKey %s does not exist."}' % LISTEN_KEY.encode()),
    "redirect": b"HTTP/1.1 307 Moved\r\nLocation: https://127.0.0.1/?"
    + API_KEY.encode()
    + b"\r\nContent-Length: 0\r\n\r\n",
    "server fault": ECHO % (b"503", API_KEY.encode(), API_KEY.encode(), len(BODY), BODY),
    "ban": ECHO % (b"418", API_KEY.encode(), API_KEY.encode(), len(BODY), BODY),
    "refusal": ECHO % (b"401", API_KEY.encode(), API_KEY.encode(), len(BODY), BODY),
    "firewall": ECHO % (b"403", API_KEY.encode(), API_KEY.encode(), len(BODY), BODY),
    "nothing": b"",
}


@pytest.mark.parametrize("answer", MALFORMED.values(), ids=MALFORMED.keys())
def test_no_secret_in_the_error_of_an_answer(
    twin: Twin, scripted: Callable[[Script], str], answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    def script(connection: socket.socket) -> None:
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)

    caplog.set_level(logging.DEBUG)
    client = twin(scripted(script), api_key=API_KEY, attempts=2)
    for call in (client.start, client.keepalive, client.delete):
        error = raised_or_none(call)  # no body at all is success for PUT and DELETE
        text = "" if error is None else printed(error)
        assert not [secret for secret in SECRETS if secret in text]
        assert len(str(error)) < 600
    logged = [record.getMessage() + repr(record.args) for record in caplog.records]
    assert not [line for line in logged for secret in SECRETS if secret in line]
    assert not [line for line in logged if line.startswith("attempt") and len(line) > 700]


@pytest.mark.parametrize("fault", ["echo", "reset", "cut", "redirect", "bad-gzip", "nested", "huge", "silent", "drip"])
def test_no_secret_in_the_error_of_a_fault(twin: Twin, listenkey_sandbox: Sandbox, fault: str) -> None:
    listenkey_sandbox.faults.add(fault, times=None)
    client = twin(listenkey_sandbox.url, api_key=API_KEY, attempts=1, timeout=0.5)
    for call in (client.start, client.keepalive, client.delete):
        text = printed(raised(call))
        assert not [secret for secret in SECRETS if secret in text]


def bytes_of(api_key: str) -> Any:
    return api_key.encode()


@pytest.mark.parametrize("kind", [ListenKeyClient, AsyncListenKeyClient])
@pytest.mark.parametrize(
    "settings",
    [
        {"api_key": API_KEY + "\n"},
        {"api_key": f" {API_KEY}"},
        {"api_key": f"'{API_KEY}'"},
        {"api_key": API_KEY + "ключ"},
        {"api_key": bytes_of(API_KEY)},
        {"api_key": [API_KEY]},
        {"timeout": 0},
        {"timeout": "1"},
        {"attempts": 0},
        {"ssl_context": "ca.pem"},
        {"base_url": f"https://user:{PASSWORD}@eapi.binance.com"},
        {"base_url": f"https://user:{PASSWORD}/x@eapi.binance.com"},
        {"base_url": f"https://user:{PASSWORD}#x@eapi.binance.com:y"},
        {"base_url": "http://eapi.binance.com"},
        {"proxy": f"http://user:{PASSWORD}/x@127.0.0.1:1"},
        {"proxy": f"gopher://user:{PASSWORD}@127.0.0.1:1"},
        {"proxy": f"http://user:{PASSWORD}@127.0.0.1:1".encode()},
        {"proxy": f"http://user:{PASSWORD}@127.0.0.1:1", "timeout": 0},
    ],
    ids=lambda value: " ".join(value),
)
def test_no_secret_in_the_error_of_a_setting(kind: Callable[..., object], settings: dict[str, Any]) -> None:
    text = printed(raised(lambda: kind(**{"api_key": API_KEY, **settings})))
    assert not [secret for secret in SECRETS if secret in text]


@pytest.mark.parametrize(
    "proxy",
    [
        f"http://user:{PASSWORD}/x@127.0.0.1:1",
        f"http://user:{PASSWORD}#x@127.0.0.1:1",
        f"http://user:{PASSWORD}?x@127.0.0.1:1",
        f"http://user:{PASSWORD}@127.0.0.1:99999",
        f"http://user:{PASSWORD}@[::1",
        f"socks://user:{PASSWORD}@127.0.0.1:1",
        f"gopher://user:{PASSWORD}@127.0.0.1:1",
        f"http://user:{PASSWORD}@127.0.0.1:1",  # nothing listens there
        f"https://user:{PASSWORD}@127.0.0.1:1",
        f"socks5://user:{PASSWORD}@127.0.0.1:1",
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
def test_no_password_of_a_proxy(twin: Twin, monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str) -> None:
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    monkeypatch.setenv(variable, proxy)
    text = printed(raised(lambda: twin(EXCHANGE, api_key=API_KEY, attempts=1).start()))
    assert not [secret for secret in SECRETS if secret in text]
    assert variable in text or "through the proxy" in text


@pytest.mark.parametrize("status", [b"407", b"502", b"200"])
def test_no_login_that_a_proxy_echoes(
    twin: Twin,
    scripted: Callable[[Script], str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    status: bytes,
) -> None:
    def echo(proxy: socket.socket) -> None:
        proxy.sendall(b"HTTP/1.1 " + status + b" Basic dXNlcjpodW50ZXIy " + API_KEY.encode() + b"\r\n\r\n")

    monkeypatch.setenv("HTTPS_PROXY", scripted(echo).replace("http://", f"http://user:{PASSWORD}@"))
    caplog.set_level(logging.INFO)
    text = printed(raised(twin(EXCHANGE, api_key=API_KEY, attempts=2).start)) + caplog.text
    assert not [secret for secret in SECRETS if secret in text]


@pytest.mark.parametrize("kind", [ListenKeyClient, AsyncListenKeyClient])
def test_no_secret_in_the_error_of_a_misuse(kind: Any, listenkey_sandbox: Sandbox) -> None:
    client = kind(API_KEY, base_url=listenkey_sandbox.url)
    errors = [raised(lambda: pickle.dumps(client)), raised(lambda: copy.copy(client))]
    if kind is AsyncListenKeyClient:
        errors.append(raised(lambda: client.start().send(None)))  # outside of any event loop
        asyncio.run(client.aclose())
        errors.append(raised(lambda: asyncio.run(client.start())))
    else:
        client.close()
        errors.append(raised(client.start))
    for error in errors:
        text = printed(error)
        assert type(error).__name__ == "ConfigurationError"
        assert not [secret for secret in SECRETS if secret in text]


@pytest.mark.parametrize("name", ["httpx", "httpcore.http11", "httpcore.proxy", "httpx2", "httpcore2.http11"])
def test_what_the_libraries_log_is_masked(caplog: pytest.LogCaptureFixture, name: str) -> None:
    # httpx2 takes the place of httpx in a process that calls its alias_httpx(); its loggers have a 2 in their names.
    caplog.set_level(logging.DEBUG)
    token = attempt_under_way.set(Attempt(Account(Secret(API_KEY), 1.0)))
    try:
        logging.getLogger(name).debug("%s and %s", API_KEY, LISTEN_KEY)
    finally:
        attempt_under_way.reset(token)
    assert caplog.messages == ["*** and ***"]


COMPARED = """
import dataclasses
from datetime import UTC, datetime
import pytest
from binance_options_client.models import ListenKeyResponse
from listenkey import ListenKey
from listenkey._http.answer import RawAnswer
from listenkey._http.masking import Secret
from listenkey._limits.shared import Address
from listenkey._http.outcome import Success
from listenkey._http.route import Account
from listenkey.client import Started

NOW = datetime(2026, 1, 1, tzinfo=UTC)

@dataclasses.dataclass
class Mine:
    key: ListenKey

def each(secret):
    key = ListenKey(secret, NOW, False)
    return {
        "key": key, "list": [key], "tuple": (key, 1), "dict": {"k": key}, "set": {key}, "Mine": Mine(key),
        "Started": Started(key, 1.0), "Success": Success(ListenKeyResponse(secret), NOW, NOW),
        "RawAnswer": RawAnswer(200, {}, secret.encode()), "Account": Account(Secret(secret), 1.0),
    }

ADDRESS = Address()
OLD, NEW = each("SECRET" + "o" * 58), each("SECRET" + "n" * 58)

@pytest.mark.parametrize("name", OLD)
def test_equal(name):
    assert OLD[name] == NEW[name]

def test_in():
    assert OLD["key"] in [NEW["key"]]
"""


def test_a_comparison_that_fails_shows_no_key(tmp_path: Path) -> None:
    (tmp_path / "test_compared.py").write_text(COMPARED)
    command = [sys.executable, "-m", "pytest", "-vv", "--showlocals", "-p", "no:cacheprovider", "test_compared.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)
    assert "11 failed" in done.stdout
    report = done.stdout[done.stdout.index("= FAILURES =") :]
    assert "AssertionError" in report
    shown = {line for line in report.splitlines() if "SECRET" in line}
    assert not {line for line in shown if 'each("SECRET" +' not in line}


def test_an_interrupt_shows_no_frame_that_holds_a_key(
    listenkey_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> Any:
        raise KeyboardInterrupt

    with ListenKeyClient(API_KEY, base_url=listenkey_sandbox.url) as client:
        monkeypatch.setattr(httpcore.HTTP11Connection, "_receive_event", interrupt)
        with pytest.raises(KeyboardInterrupt) as caught:
            client.start()
    assert API_KEY not in printed(caught.value)
