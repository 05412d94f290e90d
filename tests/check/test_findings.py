"""What is said of a step: by table, without a server. The sandbox's part: test_check.py."""

import contextlib
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx import URL  # noqa: TID251  a proxy's address

from listenkey._http.addresses import Proxy
from listenkey._http.route import Certificates, Route
from listenkey._http.tracing import Trace
from listenkey._limits.shared import Orders
from listenkey._limits.wait import RateLimitWait
from listenkey.check import _findings
from listenkey.check._course import Call, Connect, course, is_enough, is_worth_alone
from listenkey.check._findings import STEPS, Called, Finding, Probe
from listenkey.errors import ApiError, KeyNotFound, ListenKeyError, RateLimited, TransportError, Unauthorized
from listenkey.keeper._lease import Lease

NOW = datetime(2026, 11, 29, 14, 0, 0, tzinfo=UTC)
DIRECT = Route("https://a.test", None, Certificates())
PROXY = Proxy("HTTPS_PROXY", URL("http://user:secret@proxy.test:3128"))
PROXIED = DIRECT._replace(proxy=PROXY)
AWAY = TransportError("No answer from https://a.test (why).")
WAY: dict[str, Any] = {"host": "a.test", "port": 443}
REACHED: dict[str, Any] = {**WAY, "addresses": ["10.0.0.1", "10.0.0.2"], "connected": 0.25}


def called(error: ListenKeyError | None = None, **trace: Any) -> Called:
    return Called(error, Trace(**trace), 0.5)


# The way


@pytest.mark.parametrize(
    ("call", "route", "verdict", "text"),
    [
        (called(**REACHED), DIRECT, "ok", "a.test:443 is 10.0.0.1 and 1 more; connected in 0.25 s"),
        (called(), DIRECT, "ok", "a connection that was open already"),
        (
            called(AWAY, **WAY),
            DIRECT,
            "failed",
            f"{AWAY} The name was not found: check the name, and the DNS of this machine.",
        ),
        (
            called(AWAY, **WAY, addresses=["10.0.0.1"]),
            DIRECT,
            "failed",
            f"{AWAY} A.test:443 is 10.0.0.1: a firewall, or a network that needs a proxy, may be in the way.",
        ),
        (
            called(AWAY, **WAY, addresses=["10.0.0.1"]),
            PROXIED,
            "failed",
            f"{AWAY} The proxy a.test:443 is 10.0.0.1: a firewall, or a network that needs a proxy, may be in the way.",
        ),
        (
            called(AWAY, **REACHED),
            PROXIED,
            "failed",
            f"{AWAY} The proxy takes the connection, and opens no way to the exchange.",
        ),
        (
            called(ApiError(407, reason="No way to https://a.test (407): check HTTPS_PROXY", advice=""), **REACHED),
            PROXIED,
            "failed",
            "No way to https://a.test (407): check HTTPS_PROXY. (HTTP 407)",
        ),
    ],
)
def test_connection(call: Called, route: Route, verdict: str, text: str) -> None:
    finding = _findings.connection(call, route)
    assert (finding.verdict, finding.text) == (verdict, text)


def certificate_fault(said: str) -> TransportError:
    import ssl

    error = TransportError(f"No answer from https://a.test (ConnectError: {said}).")
    error.__cause__ = ssl.SSLCertVerificationError(1, said)
    return error


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (certificate_fault("certificate has expired"), " Or this machine's clock is wrong."),
        (certificate_fault("certificate is not yet valid"), " Or this machine's clock is wrong."),
        (certificate_fault("self-signed certificate"), ""),
        (AWAY, " Something in between may speak no TLS, or end it."),
    ],
)
def test_tls_that_fails(error: ListenKeyError, advice: str) -> None:
    finding = _findings.tls(called(error, **REACHED, is_tls_begun=True), DIRECT)
    assert (finding.verdict, finding.text) == ("failed", f"{error}{advice}")


def test_tls_names_who_signed_and_until_when() -> None:
    call = called(**REACHED, is_tls_begun=True, tls="TLSv1.3", issuer="A Company's Proxy", valid_until=NOW)
    assert _findings.tls(call, DIRECT).text == "TLSv1.3; certificate by A Company's Proxy until 2026-11-29"


@pytest.mark.parametrize(
    ("sent", "received", "verdict"),
    [
        (0.0, 0.3, "ok"),
        (1.99, 2.3, "ok"),  # the Date may be a second old
        (2.01, 2.3, "failed"),  # over a second ahead: signed calls are refused
        (-4.9, -4.9, "ok"),  # recvWindow is 5 seconds
        (-5.1, -5.1, "failed"),
        (-60.0, 1.0, "ok"),  # a slow answer: the server may have made it at any time in between
    ],
)
def test_clock(sent: float, received: float, verdict: str) -> None:
    trace = Trace(date=NOW, sent=NOW + timedelta(seconds=sent), received=NOW + timedelta(seconds=received))
    assert _findings.clock(trace).verdict == verdict


def test_the_proxys_password_is_not_shown() -> None:
    finding = _findings.settings(PROXIED, DIRECT, {"version": "1"})
    assert "secret" not in repr(finding)
    assert "proxy http://proxy.test:3128 (HTTPS_PROXY)" in finding.text


@pytest.mark.parametrize("code", [-5002, -5005, -5009])
def test_a_code_that_is_about_the_account(code: int) -> None:
    finding = _findings.api_key(Unauthorized(400, code), None, is_usual=True)
    assert finding.text.endswith(
        "Ruled out: all three causes that an API key can have, because this code is about the account."
    )


@pytest.mark.parametrize(("expires_in", "verdict"), [(-3599.2, "note"), (39.9, "note"), (40.0, "ok"), (None, "ok")])
def test_a_life_that_no_keeper_believes(expires_in: float | None, verdict: str) -> None:
    finding = _findings.listen_key(called(**REACHED), Called(None, Trace(), 0.5, expires_in))
    assert finding.verdict == verdict
    odd = "live before this check, expiration in -3599 s, which is too soon to be believed: is this the exchange?"
    assert (finding.text == odd) is (expires_in == -3599.2)


@pytest.mark.parametrize("key_life", [3600.0, 36.0])
@pytest.mark.parametrize("share", [0.99, 1.01])
def test_the_check_believes_what_a_keeper_believes(key_life: float, share: float) -> None:
    told = share * key_life / 90
    lease = Lease(key_life, 0.1, RateLimitWait(Orders().give, -math.inf, None))
    lease.send(0.0)
    finding = _findings.listen_key(called(**REACHED), Called(None, Trace(), 0.5, told, key_life=key_life))
    assert (finding.verdict == "ok") is lease.renewed(0.0, told) is (share > 1)


# The course


def walked(*answers: object) -> list[object]:
    """Walk with these answers to the orders. Gives steps and orders."""
    steps, waiting = list[object](), list(answers)
    walk = course(DIRECT, 1.0, is_usual_key=True)
    answer: object = None
    while True:
        try:
            step = walk.send(answer)
        except StopIteration:
            return steps
        steps.append(step.step if isinstance(step, Finding) else step)
        answer = None if isinstance(step, Finding) else waiting.pop(0)
    return steps


GONE = KeyNotFound(400, -1125)
FINE = called(**REACHED, tls="TLSv1.3", status=200)
NONE = called(GONE, **REACHED, tls="TLSv1.3", status=400)


@pytest.mark.parametrize("first", [FINE, NONE])
def test_nothing_is_asked_for_twice(first: Called) -> None:
    probes = [Probe(form, 0.0, opened_at=0.1, pong_at=0.2) for form in ("path", "query", "subscribe", "path")]
    steps = walked(first, FINE, FINE, probes)
    orders = [step for step in steps if not isinstance(step, str)]
    forms = ("path", "query", "subscribe", "path")
    assert orders == [Call("keepalive"), Call("start"), Call("keepalive"), Connect(forms)]  # type: ignore[arg-type]
    assert ["settings", *[step for step in steps if isinstance(step, str)]] == list(STEPS)


@pytest.mark.parametrize(("code", "asks"), [(-2015, True), (None, True), (-2014, False), (-5002, False)])
def test_an_api_key_is_made_up_only_where_it_may_tell(code: int | None, asks: bool) -> None:
    refused = called(Unauthorized(401, code), **REACHED, tls="TLSv1.3", status=401)
    assert (Call("control") in walked(refused, refused)) is asks


def probe(opened: float | None = 1.0, received: float | None = None, **more: Any) -> Probe:
    event: dict[str, Any] = {} if received is None else {"event": "A", "event_at": received}
    return Probe("path", 0.5, opened_at=opened, received_at=received, **event, **more)


def test_when_enough_is_seen() -> None:
    quiet, told = probe(pong_at=2.0), probe(pong_at=2.0, received=3.0)
    assert not is_enough([quiet, quiet], 100.0)
    assert is_enough([told, told], 3.0)
    assert not is_enough([told, quiet], 7.9)
    assert is_enough([told, quiet], 8.0)  # five seconds after the first event
    assert is_enough([probe(None), probe(ended="why")], 1.0)
    assert not is_enough([probe(event="A", event_at=2.0), told], 3.1)  # an event of before: it tells nothing of others


def test_who_is_worth_a_look_alone() -> None:
    quiet, told, lost, refused = probe(), probe(received=3.0), probe(ended="why"), probe(None)
    assert not is_worth_alone(quiet, [quiet, quiet, quiet, quiet])  # a quiet account
    assert is_worth_alone(quiet, [quiet, quiet, quiet, told])  # perhaps only one gets events
    assert not is_worth_alone(quiet, [quiet, quiet, told, told])  # several do: this form is deaf
    assert is_worth_alone(lost, [lost, quiet, quiet, quiet])
    assert not is_worth_alone(refused, [refused, quiet, quiet, told])
    assert not is_worth_alone(told, [told, quiet, quiet, quiet])


@pytest.mark.parametrize("where", ["together", "alone"])
def test_no_connection_is_opened_after_a_429(where: str) -> None:
    reached = called(**REACHED, tls="TLSv1.3", status=200)
    lost, banned = probe(ended="why"), probe(None, error=RateLimited(429))
    together = [lost, lost, banned if where == "together" else lost, lost]
    steps, connects = course(DIRECT, 1.0, is_usual_key=True), list[tuple[str, ...]]()
    answer: object = None
    with contextlib.suppress(StopIteration):
        while True:
            step = steps.send(answer)
            answer = reached
            if isinstance(step, Connect):
                answer = [banned] if connects else together
                connects.append(step.forms)
    assert connects[1:] == ([] if where == "together" else [("path",)])


def test_events_of_connections_that_answer_no_ping_are_not_called_none() -> None:
    finding = _findings.two_at_once(probe(event="A", event_at=2.0), probe(event="A", event_at=2.0), 1.0)
    text = "events came, but none after an answer to a ping of both, so nobody can tell"
    assert (finding.verdict, finding.text) == ("note", text)
