"""The check against the sandbox, both twins: each step fails in its turn, and says so word for word."""

import asyncio
import contextlib
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import trustme

from listenkey import AsyncListenKeyClient, ConfigurationError, ListenKeyClient, ListenKeyKeeper, RateLimited
from listenkey.check import STEPS, Finding, async_check, check
from listenkey.sandbox import Sandbox

from ..conftest import API_KEY

USUAL = "a1" * 32
EVENT = {"e": "RISK_LEVEL_CHANGE", "E": 1, "mb": "1", "mm": "1"}
NO_KEY: dict[str, Any] = {"status": 400, "body": {"code": -1125, "msg": "This listenKey does not exist."}}
REFUSED: dict[str, Any] = {
    "status": 401,
    "body": {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."},
}
SAID = (
    "Invalid API-key, IP, or permissions for action. Check the API key, its permissions and the addresses it may be "
    "used from. (HTTP 401, code -2015) "
)
QUIET = "no event in 0.3 s: an account without orders looks the same"
Checked = Callable[..., dict[str, Finding]]


@pytest.fixture(params=["sync", "async"])
def checked(request: pytest.FixtureRequest) -> Checked:
    """Check by one of the twins. Gives the findings by their steps."""

    def run(
        url: str, api_key: str = API_KEY, *, wait: float = 0.3, stream_url: str | None = None, **settings: Any
    ) -> Any:
        settings = {"base_url": url, "attempts": 1, **settings}
        options: dict[str, Any] = {"stream_url": stream_url, "wait": wait}
        if request.param == "sync":
            with ListenKeyClient(api_key, **settings) as client:
                return {finding.step: finding for finding in check(client, **options)}

        async def run() -> Any:
            async with AsyncListenKeyClient(api_key, **settings) as client:
                return {finding.step: finding async for finding in async_check(client, **options)}

        return asyncio.run(run())

    return run


@contextlib.contextmanager
def events(sandbox: Sandbox, connections: int) -> Iterator[None]:
    """Send an event as soon as so many connections are open, and each 50 ms from then on."""
    ended = threading.Event()

    def send() -> None:
        while not ended.wait(0.05):
            if sandbox.stream.connections >= connections:
                sandbox.emit(EVENT)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def failed(found: dict[str, Finding]) -> str:
    """Name the first step that failed; every step has a finding, in the documented order."""
    assert tuple(found) == STEPS
    return next((step for step, finding in found.items() if finding.verdict == "failed"), "")


def test_all_is_well(checked: Checked, listenkey_sandbox: Sandbox) -> None:
    with events(listenkey_sandbox, 4):
        found = checked(listenkey_sandbox.url, wait=20.0)
    assert failed(found) == ""
    assert [finding.verdict for finding in found.values()].count("ok") == len(STEPS) - 1  # no TLS to look at
    assert found["listen key"].facts["new"] is True
    assert found["listen key"].facts["keepalive_without_key"] == {"status": 400, "code": -1125}
    assert found["form subscribe"].facts["wrapped"] is True
    assert found["form path"].facts["event"] == "RISK_LEVEL_CHANGE"
    assert found["two at once"].text == "both connections received"
    methods = [request.method for request in listenkey_sandbox.requests]
    assert methods == ["PUT", "POST", "PUT", "GET", "GET", "GET", "GET"]  # no DELETE


def test_a_key_that_lived_before_is_told(checked: Checked, listenkey_sandbox: Sandbox) -> None:
    with ListenKeyClient(API_KEY, base_url=listenkey_sandbox.url) as client:
        client.start()
    found = checked(listenkey_sandbox.url)
    assert found["listen key"].text == (
        "live before this check, expiration in 3600 s, weight used by this address: 3 in this minute"
    )


def test_a_quiet_account_is_neither_success_nor_failure(checked: Checked, listenkey_sandbox: Sandbox) -> None:
    found = checked(listenkey_sandbox.url)
    assert failed(found) == ""
    for step in ("form path", "form query", "form subscribe"):
        assert found[step].verdict == "note"
        assert found[step].text.endswith(f", ping answered, {QUIET}")
    assert (found["two at once"].verdict, found["two at once"].text) == ("note", QUIET)
    assert found["closing"].verdict == "ok"


# Each step fails


def test_settings(checked: Checked, listenkey_sandbox: Sandbox) -> None:
    found = checked(listenkey_sandbox.url, stream_url="http://a.test")
    assert failed(found) == "settings"
    assert found["settings"].text == "stream_url must start with wss://, like wss://fstream.binance.com/private."
    assert {finding.text for finding in found.values()} - {found["settings"].text} == {"not reached: settings failed"}


def test_connection(checked: Checked, closed_port: str) -> None:
    found = checked(closed_port)
    assert failed(found) == "connection"
    where = closed_port.removeprefix("http://")
    assert found["connection"].text == (
        f"No answer from {closed_port} (ConnectError: [Errno 111] Connection refused). Repeating the call is safe. "
        f"{where}: a firewall, or a network that needs a proxy, may be in the way."
    )
    assert found["TLS"].text == "not reached: connection failed"


def test_a_name_that_is_not_found(checked: Checked) -> None:
    found = checked("https://a.invalid", stream_url="wss://a.invalid")
    assert failed(found) == "connection"
    assert found["connection"].text.endswith(" The name was not found: check the name, and the DNS of this machine.")


def test_tls_and_its_certificate(checked: Checked, tls_url: str, authority: Any) -> None:
    found = checked(tls_url)
    assert failed(found) == "TLS"
    assert found["connection"].verdict == "ok"
    assert found["TLS"].text.startswith(f"No answer from {tls_url} (ConnectError: ")
    assert found["TLS"].text.endswith("The certificate is not trusted: check SSL_CERT_FILE, or pass ssl_context.")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    found = checked(tls_url, ssl_context=context)
    assert found["TLS"].text.startswith("TLSv1.3; certificate by trustme v")
    assert found["settings"].facts["certificates"] == "those of the program"
    assert (found["clock"].verdict, found["clock"].text) == ("note", "the answer has no Date, so nobody can compare")


def test_no_tls_at_all(checked: Checked, listenkey_sandbox: Sandbox) -> None:
    found = checked(listenkey_sandbox.url.replace("http", "https"))
    assert failed(found) == "TLS"
    assert found["TLS"].text.endswith(" Something in between may speak no TLS, or end it.")


def test_answer(checked: Checked, listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("status", body=b"<html>Welcome to our hotel</html>")
    found = checked(listenkey_sandbox.url)
    assert failed(found) == "answer"
    assert found["answer"].text == (
        "Not an answer that Binance documents: its body is not a JSON object. Check base_url and any proxy. (HTTP 200)"
    )
    assert found["clock"].verdict == "ok"  # the answer has told
    assert found["API key"].text == "not reached: answer failed"


def test_no_answer(checked: Checked, listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("silent")
    found = checked(listenkey_sandbox.url, timeout=0.5)
    assert failed(found) == "answer"
    url = listenkey_sandbox.url
    assert found["answer"].text == f"No answer from {url} within 0.5 s. Repeating the call is safe."
    assert found["clock"].text == "no answer came, so nobody can compare"


def test_too_many_requests(checked: Checked, listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("status", status=429, headers={"Retry-After": "7"})
    found = checked(listenkey_sandbox.url)
    assert failed(found) == "answer"
    assert found["answer"].text == "Too many requests. Send nothing for 7 s. (HTTP 429)"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (
            -42.5,
            r"this machine's clock is 4[123] s ahead of the server's Date: set it right, because signed calls need it",
        ),
        (
            42.5,
            r"this machine's clock is 4[123] s behind the server's Date: set it right, because signed calls need it",
        ),
    ],
)
def test_clock(checked: Checked, listenkey_sandbox: Sandbox, seconds: float, text: str) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
    listenkey_sandbox.faults.add("status", **NO_KEY, headers={"Date": date})
    found = checked(listenkey_sandbox.url)
    assert failed(found) == "clock"
    assert re.fullmatch(text, found["clock"].text)
    assert found["closing"].verdict == "ok"  # a wrong clock ends nothing


CUT = (
    "Binance's API keys have 64 letters and digits, and this one has not: copy it again. Permission and address are "
    "not ruled out."
)
UNKNOWN = (
    "Ruled out: an API key that was cut. Left: the permission 'Enable European Options', the list of addresses that "
    "may use it, and an unknown API key. Real and demo API keys are separate: is it of the other kind, or was it "
    "deleted?"
)
KNOWN = (
    "Ruled out: an unknown API key, because one that was made up is refused otherwise (code -2008). Left: the "
    "permission 'Enable European Options', and the list of addresses that may use it."
)
NO_SUCH_KEY = {"status": 401, "body": {"code": -2008, "msg": "Invalid Api-Key ID."}}


@pytest.mark.parametrize(
    ("api_key", "answers", "causes"),
    [
        (API_KEY, [REFUSED], CUT),
        (USUAL, [REFUSED, REFUSED], UNKNOWN),
        (USUAL, [REFUSED, NO_SUCH_KEY], KNOWN),
        (USUAL, [REFUSED, {"status": 429}], UNKNOWN),  # which tells nothing of the API key
        (USUAL, [REFUSED, {"status": 503}], UNKNOWN),
    ],
    ids=["cut", "unknown", "known", "rate limit", "fault"],
)
def test_api_key(
    checked: Checked, listenkey_sandbox: Sandbox, api_key: str, answers: list[dict[str, Any]], causes: str
) -> None:
    for answer in answers:
        listenkey_sandbox.faults.add("status", **answer)
    found = checked(listenkey_sandbox.url, api_key)
    assert failed(found) == "API key"
    assert found["API key"].text == SAID + causes
    assert len(listenkey_sandbox.requests) == len(answers)


def test_a_429_to_the_made_up_api_key_counts_for_the_address(checked: Checked, listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("status", **REFUSED)
    listenkey_sandbox.faults.add("status", status=429, headers={"Retry-After": "600"})
    checked(listenkey_sandbox.url, USUAL)
    with (
        ListenKeyClient(USUAL, base_url=listenkey_sandbox.url) as client,
        pytest.raises(RateLimited, match="Send nothing for"),
        ListenKeyKeeper(client),
    ):
        pass


def test_a_code_that_is_about_the_api_key_alone(checked: Checked, listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("status", status=401, body={"code": -2014, "msg": "API-key format invalid."})
    found = checked(listenkey_sandbox.url, USUAL)
    assert found["API key"].text.endswith(
        "(HTTP 401, code -2014) Ruled out: permission and address, because this code is about the API key alone. Real "
        "and demo API keys are separate: is it of the other kind, or was it deleted?"
    )


def test_listen_key(checked: Checked, listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("status", **NO_KEY)
    listenkey_sandbox.faults.add("status", status=403)
    found = checked(listenkey_sandbox.url)
    assert failed(found) == "listen key"
    assert found["listen key"].text == (
        "Binance refused the call. A firewall refused it: stop, and wait long before the next call. (HTTP 403)"
    )


def test_keepalive(checked: Checked, listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("status", **NO_KEY)
    listenkey_sandbox.faults.add("status", body={"listenKey": "k" * 64})
    found = checked(listenkey_sandbox.url)
    assert failed(found) == "keepalive"
    assert found["listen key"].text.startswith("new (keepalive without a key: HTTP 400, code -1125), no expiration, ")
    assert (
        found["keepalive"].text == "This listenKey does not exist. Call start() for a new one. (HTTP 400, code -1125)"
    )
    assert found["form path"].text == "not reached: keepalive failed"


def test_a_form_that_is_refused(checked: Checked, listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("stream-refuse", status=404)
    with events(listenkey_sandbox, 3):
        found = checked(listenkey_sandbox.url, wait=20.0)
    where = listenkey_sandbox.stream_url
    text = f"{where} refused the stream; check stream_url and form. (HTTP 404)"
    assert failed(found) == "form path"
    assert found["form path"].text == text
    assert found["form query"].verdict == found["form subscribe"].verdict == "ok"
    assert found["two at once"].text == "one of the two could not be opened"


def test_a_fault_of_the_server_says_nothing_of_a_stream_that_goes_on(
    checked: Checked, listenkey_sandbox: Sandbox
) -> None:
    listenkey_sandbox.faults.add("stream-refuse", status=503, times=None)
    found = checked(listenkey_sandbox.url)
    assert found["form path"].text == f"{listenkey_sandbox.stream_url} refused the stream. (HTTP 503)"


def test_how_far_a_connection_of_the_stream_came(
    checked: Checked, listenkey_sandbox: Sandbox, closed_port: str, scripted: Callable[..., str], tls_url: str
) -> None:
    """The stream has another host than the calls: its name, its port and its certificate may fail alone."""
    nobody, silent = (url.replace("http", "ws") for url in (closed_port, scripted(lambda _: None)))
    ends = {
        "wss://a.invalid": " The name was not found: check the name, and the DNS of this machine.",
        nobody: f" {nobody[5:]}: a firewall, or a network that needs a proxy, may be in the way.",
        nobody.replace("ws", "wss"): f" {nobody[5:]}: a firewall, or a network that needs a proxy, may be in the way.",
        listenkey_sandbox.stream_url.replace("ws", "wss"): " Something in between may speak no TLS, or end it.",
        tls_url.replace("https", "wss"): " The certificate is not trusted: check SSL_CERT_FILE, or pass ssl_context.",
        silent: " Something in between may let no WebSocket through.",
    }
    for url, end in ends.items():
        found = checked(listenkey_sandbox.url, stream_url=url)
        assert failed(found) == "form path"
        assert found["form path"].text.startswith(f"No answer from {url} ")
        assert found["form path"].text.endswith(end)
        assert "goes on" not in found["form path"].text


def test_nothing_more_is_sent_after_a_429(checked: Checked, listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("stream-refuse", status=429, headers={"Retry-After": "7"})
    found = checked(listenkey_sandbox.url)
    assert failed(found) == "form path"
    text = f"{listenkey_sandbox.stream_url} refused the stream. Send nothing for 7 s. (HTTP 429)"
    assert [found[step].text for step in ("form path", "form query", "form subscribe")] == [text] * 3
    assert [request.method for request in listenkey_sandbox.requests] == ["PUT", "POST", "PUT", "GET"]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ('{"error":{"code":2,"msg":"Invalid request"}}', "Invalid request, code 2"),
        ('{"e":"serverShutdown"}', "serverShutdown"),
        ("<html>", "not JSON"),
        ("[1]", "not a JSON object"),
        ("{}", "without an event's name"),
    ],
)
def test_a_message_that_is_no_event_is_no_proof(
    checked: Checked, listenkey_sandbox: Sandbox, message: str, said: str
) -> None:
    listenkey_sandbox.faults.add("stream-frame", text=message, times=None)
    found = checked(listenkey_sandbox.url)
    assert failed(found) == ""
    assert found["form path"].verdict == "note"
    assert found["form path"].text.endswith(f", ping answered, a message that is no event ({said}), {QUIET}")


@pytest.mark.parametrize(
    ("frame", "is_wrapped"),
    [
        ({"e": "MADE_UP", "E": 1, "c": "stream"}, False),
        ({"stream": "key", "data": {"e": "MADE_UP", "E": 1}}, True),
        ({"subscriptionId": 0, "event": {"e": "MADE_UP", "E": 1}}, True),  # as Binance's WebSocket API wraps events
        ({"e": "MADE_UP", "E": 1, "data": {"e": 1}}, False),
    ],
)
def test_an_event_is_named_however_it_is_wrapped(
    checked: Checked, listenkey_sandbox: Sandbox, frame: dict[str, Any], *, is_wrapped: bool
) -> None:
    listenkey_sandbox.faults.add("stream-frame", text=json.dumps(frame), times=None)
    facts = checked(listenkey_sandbox.url)["form path"].facts
    assert (facts["event"], facts["wrapped"]) == ("MADE_UP", is_wrapped)


def test_a_form_that_brings_nothing_while_others_do(checked: Checked, listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("stream-mute")
    with events(listenkey_sandbox, 4):
        found = checked(listenkey_sandbox.url, wait=4.0)
    assert failed(found) == "form path"
    assert found["form path"].text.endswith(
        ", ping answered, no event in 4 s, while form path and query and subscribe brought events: use that form"
    )


def test_a_connection_that_is_dead(checked: Checked, listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("stream-half-open", times=None)
    found = checked(listenkey_sandbox.url)
    assert failed(found) == "form path"
    assert found["form path"].text.endswith(", no ping answered, no event in 0.3 s: the connection is dead")
    assert found["closing"].text == "no close frame was answered in 0.3 s"


def test_a_connection_that_is_lost(checked: Checked, listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("stream-close", code=1001, times=None)
    found = checked(listenkey_sandbox.url)
    assert failed(found) == "form path"
    assert found["form path"].text.startswith("alone: opened in ")
    assert found["form path"].text.endswith(", and lost: the server closed it with code 1001")
    assert found["two at once"].text == "both were ended: the server closed it with code 1001"
    assert found["closing"].text == "no connection was open"


def test_a_subscription_that_is_refused(checked: Checked, listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("stream-frame", text='{"error":{"code":2,"msg":"no"},"id":1}', times=3)
    found = checked(listenkey_sandbox.url)
    assert failed(found) == "form subscribe"
    assert found["form subscribe"].text.endswith(", and SUBSCRIBE was refused (no, code 2)")


def test_two_at_once_and_the_older_is_closed(checked: Checked, listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.stream.receivers = "newest, and the others are closed"
    with events(listenkey_sandbox, 1):
        found = checked(listenkey_sandbox.url, wait=4.0)
    assert failed(found) == "two at once"
    assert found["two at once"].text == (
        "the older one was ended: the server closed it with code 1008. At a planned change of connections a Gap will "
        "say so"
    )
    for step in ("form path", "form query", "form subscribe"):
        assert found[step].verdict == "ok"


def test_two_at_once_and_the_newer_alone_receives(checked: Checked, listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.stream.receivers = "newest"
    with events(listenkey_sandbox, 1):
        found = checked(listenkey_sandbox.url, wait=4.0)
    assert failed(found) == ""
    assert (found["two at once"].verdict, found["two at once"].text) == (
        "note",
        "the newer one alone received. At a planned change of connections a Gap may say so",
    )
    forms = [found[step] for step in ("form path", "form query", "form subscribe")]
    assert [each.verdict for each in forms] == ["ok"] * 3
    assert any(each.text.startswith("alone: opened in ") for each in forms)  # all but the one that was opened last


# Misuse, and secrets


def test_what_cannot_be_checked(listenkey_sandbox: Sandbox) -> None:
    with ListenKeyClient(API_KEY, base_url=listenkey_sandbox.url) as client:
        for wait in (0, -1, 1801, float("nan"), "30", None):
            with pytest.raises(ConfigurationError) as caught:
                check(client, wait=wait)  # type: ignore[arg-type]
            assert str(caught.value) == "wait must be a number of seconds, above 0 and at most 1800."

        async def within() -> None:
            check(client)

        with pytest.raises(ConfigurationError) as caught:
            asyncio.run(within())
        assert str(caught.value) == "An event loop runs in this thread: use async_check there."
    with pytest.raises(ConfigurationError) as caught:
        list(check(client))
    assert str(caught.value) == "This client is closed: make a new one."


def test_no_secret_is_in_any_finding(checked: Checked, listenkey_sandbox: Sandbox) -> None:
    with ListenKeyClient(USUAL, base_url=listenkey_sandbox.url) as client:
        key = client.start().value
    listenkey_sandbox.faults.add("stream-frame", text=f'{{"e":"{key}","listenKey":"{key}"}}', times=None)
    found = checked(listenkey_sandbox.url, USUAL)
    written = repr(found)
    assert key not in written
    assert USUAL not in written
    assert found["form path"].facts["event"] == "***"


CROWDED = """
import os, resource, sys
from listenkey import ListenKeyClient
from listenkey.check import check
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
with ListenKeyClient(sys.argv[1], base_url=sys.argv[2]) as client:
    for finding in check(client):
        if finding.step == "keepalive":
            spare = os.open(os.devnull, os.O_RDONLY)
            os.close(spare)
            resource.setrlimit(resource.RLIMIT_NOFILE, (spare, limits[1]))
        if finding.verdict == "failed":
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            sys.exit(finding.text)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a limit of POSIX")
def test_no_descriptor_is_left_for_an_event_loop(listenkey_sandbox: Sandbox) -> None:
    command = [sys.executable, "-c", CROWDED, API_KEY, listenkey_sandbox.url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 1
    assert "No event loop could be made ([Errno 24] Too many open files)." in done.stderr.splitlines()


def test_nothing_is_left(listenkey_sandbox: Sandbox) -> None:
    """The rest of a check that is not read to its end is not done."""
    with ListenKeyClient(API_KEY, base_url=listenkey_sandbox.url) as client:
        for finding in check(client):
            if finding.step == "keepalive":
                break
    assert len(listenkey_sandbox.requests) == 3
    until = time.monotonic() + 20
    while listenkey_sandbox.stream.connections and time.monotonic() < until:
        time.sleep(0.01)
    assert listenkey_sandbox.stream.connections == 0


# Through a proxy


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Let HTTPS_PROXY name a proxy. Gives its host and port."""

    def name(url: str, scheme: str = "http") -> str:
        for variable in ("NO_PROXY", "no_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(variable, raising=False)
        where = url.removeprefix("http://")
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://user:{PASSWORD}@{where}")
        return where

    return name


PASSWORD = "a-password-that-nobody-sees"
BEYOND = {"url": "https://exchange.test", "stream_url": "wss://exchange.test"}


def test_the_steps_behind_a_proxy_are_told_apart(
    checked: Checked, scripted: Callable[..., str], proxy: Callable[[str], str], authority: Any
) -> None:
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("exchange.test").configure_cert(server)
    authority.configure_trust(client)

    def tunnel(connection: Any) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n")
        with server.wrap_socket(connection, server_side=True) as secured:
            secured.recv(65536)
            date = format_datetime(datetime.now(UTC), usegmt=True).encode()
            secured.sendall(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\nDate: " + date + b"\r\n\r\n")

    where = proxy(scripted(tunnel))
    found = checked(**BEYOND, ssl_context=client)
    assert failed(found) == "API key"
    assert f"proxy http://{where} (HTTPS_PROXY)" in found["settings"].text
    assert found["connection"].text.startswith(f"the proxy {where}; connected in ")
    assert found["TLS"].text.startswith("TLSv1.3; certificate by trustme")
    assert found["answer"].facts["status"] == 401
    assert found["clock"].verdict == "ok"  # by the exchange's Date, not the proxy's
    assert PASSWORD not in repr(found)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            "(407): check HTTPS_PROXY. The proxy does not accept the user and the password, or wants them. (HTTP 407)",
        ),
        (b"", " The proxy takes the connection, and opens no way to the exchange."),
    ],
)
def test_a_proxy_that_opens_no_way(
    checked: Checked, scripted: Callable[..., str], proxy: Callable[[str], str], answer: bytes, text: str
) -> None:
    proxy(scripted(lambda connection: connection.sendall(answer)))
    found = checked(**BEYOND)
    assert failed(found) == "connection"
    assert found["connection"].text.endswith(text)
    assert PASSWORD not in repr(found)


@pytest.mark.parametrize("is_known", [True, False])
def test_the_two_certificates_behind_a_proxy_that_speaks_tls_are_told_apart(
    checked: Checked, scripted: Callable[..., str], proxy: Callable[..., str], tls_url: str, is_known: bool
) -> None:
    """`is_known`: the proxy's certificate is trusted, and the exchange's is not."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    of_proxy = trustme.CA()
    of_proxy.issue_cert("127.0.0.1").configure_cert(server)
    if is_known:
        of_proxy.configure_trust(client)

    def tunnel(connection: Any) -> None:
        exchange = socket.create_connection(("127.0.0.1", int(tls_url.rpartition(":")[2])))
        with exchange, server.wrap_socket(connection, server_side=True) as secured:
            secured.recv(65536)
            secured.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            exchange.sendall(secured.recv(65536))  # the ClientHello
            secured.sendall(exchange.recv(65536))  # the certificate is in here
            secured.recv(65536)  # the client's alert

    proxy(scripted(tunnel, reads_head=False), "https")
    found = checked(**BEYOND, ssl_context=client)
    assert failed(found) == ("TLS" if is_known else "connection")
    text = found[failed(found)].text
    assert "certificate verify failed" in text
    assert text.endswith(" This is the certificate of the proxy.") is not is_known
    assert found["answer"].verdict == "skipped"


def test_a_proxy_that_speaks_tls_and_refuses(
    checked: Checked, scripted: Callable[..., str], proxy: Callable[..., str], authority: Any
) -> None:
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)

    def refuse(connection: Any) -> None:
        with server.wrap_socket(connection, server_side=True) as secured:
            secured.recv(65536)
            secured.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    proxy(scripted(refuse, reads_head=False), "https")
    found = checked(**BEYOND, ssl_context=client)
    assert failed(found) == "connection"
    assert found["TLS"].text == "not reached: connection failed"


def test_tls_with_a_proxy_is_no_tls_with_the_exchange(
    checked: Checked, scripted: Callable[..., str], proxy: Callable[..., str], authority: Any
) -> None:
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)

    def opens_no_way(connection: Any) -> None:
        with server.wrap_socket(connection, server_side=True) as secured:
            secured.recv(65536)

    proxy(scripted(opens_no_way, reads_head=False), "https")
    found = checked(**BEYOND, ssl_context=client)
    assert failed(found) == "connection"
    assert found["connection"].text.endswith(" The proxy takes the connection, and opens no way to the exchange.")
    assert found["TLS"].verdict == "skipped"
