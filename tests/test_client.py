"""What the clients do with answers: expiry, retries, and twins that are twins."""

import inspect
import logging
import pickle
import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenkey import (
    ApiError,
    AsyncListenKeyClient,
    Banned,
    KeyNotFound,
    ListenKey,
    ListenKeyClient,
    ListenKeyError,
    ListenKeyKeeper,
    RateLimited,
    ServerError,
    TransportError,
    Unauthorized,
    UnexpectedResponse,
    client,
)
from listenkey.sandbox import Sandbox
from tests.conftest import API_KEY, Twin

KEY = "k" * 64


def test_a_day_in_the_life_of_a_key(twin: Twin) -> None:
    with Sandbox(life=60.0) as sandbox:
        client = twin(sandbox.url)
        assert client.used_weight is None
        asked = datetime.now(UTC)
        first = client.start()
        assert len(first.value) == 64
        assert not first.estimated
        assert first.expires_at.tzinfo is UTC
        assert asked + timedelta(seconds=59) <= first.expires_at <= datetime.now(UTC) + timedelta(seconds=61)
        time.sleep(0.2)
        second = client.start()
        assert second.value == first.value
        assert second.expires_at > first.expires_at
        client.keepalive()
        assert client.delete() is True
        assert client.delete() is False
        with pytest.raises(KeyNotFound, match=r"Call start\(\) for a new one"):
            client.keepalive()
        third = client.start()
        assert third.value != first.value
        assert client.used_weight == 7
        sandbox.expire()
        with pytest.raises(KeyNotFound):
            client.keepalive()
        assert [request.method for request in sandbox.requests][-1] == "PUT"


def test_an_api_key_that_is_refused(twin: Twin) -> None:
    with Sandbox(accounts={"another": "account"}) as sandbox, pytest.raises(Unauthorized) as caught:
        twin(sandbox.url).start()
    assert (caught.value.status, caught.value.code) == (401, -2015)
    assert len(sandbox.requests) == 1


# Expiry.

DATE = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)  # a clock that differs from this machine's


def start(twin: Twin, sandbox: Sandbox, body: dict[str, Any], date: str | None) -> ListenKey:
    sandbox.faults.add("status", body={"listenKey": KEY, **body}, headers={"Date": date})
    return twin(sandbox.url).start()


def test_expires_at_is_the_expiration(twin: Twin, listenkey_sandbox: Sandbox) -> None:
    date = format_datetime(DATE, usegmt=True)
    key = start(twin, listenkey_sandbox, {"expiration": 1762855900452, "newField": [1]}, date)
    assert key == ListenKey(KEY, datetime(2025, 11, 11, 10, 11, 40, 452000, UTC), estimated=False)


def test_without_expiration_it_is_60_minutes_by_the_servers_date(twin: Twin, listenkey_sandbox: Sandbox) -> None:
    key = start(twin, listenkey_sandbox, {}, format_datetime(DATE, usegmt=True))
    assert key == ListenKey(KEY, DATE + timedelta(minutes=60), estimated=True)


@pytest.mark.parametrize("date", [None, "yesterday", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT"])
def test_without_a_date_it_is_60_minutes_after_sending(
    twin: Twin, listenkey_sandbox: Sandbox, date: str | None
) -> None:
    before = datetime.now(UTC)
    key = start(twin, listenkey_sandbox, {}, date)
    assert key.estimated
    assert before <= key.expires_at - timedelta(minutes=60) <= datetime.now(UTC)


def test_the_60_minutes_count_from_the_attempt_that_was_answered(twin: Twin, listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("silent")
    listenkey_sandbox.faults.add("status", body={"listenKey": KEY}, headers={"Date": None})
    before = datetime.now(UTC)
    key = twin(listenkey_sandbox.url, timeout=1.0).start()
    assert key.expires_at - timedelta(minutes=60) - before > timedelta(seconds=0.9)


def test_a_date_in_another_zone_is_read_as_utc(twin: Twin, listenkey_sandbox: Sandbox) -> None:
    key = start(twin, listenkey_sandbox, {}, "Tue, 06 May 2031 09:08:09 +0200")
    assert key.expires_at == DATE + timedelta(minutes=60)
    assert key.expires_at.tzinfo is UTC


def test_a_listen_key_hides_its_value_and_cannot_be_changed() -> None:
    key = ListenKey(KEY, DATE, estimated=True)
    assert KEY not in repr(key)
    with pytest.raises(AttributeError):
        key.value = "another"  # type: ignore[misc]


def test_listen_keys_are_equal_by_all_of_their_attributes() -> None:
    key = ListenKey("k", datetime(2026, 1, 1, tzinfo=UTC), estimated=False)
    same, others = (
        replace(key),
        [
            replace(key, value="l"),
            replace(key, estimated=True),
            replace(key, expires_at=datetime(2026, 1, 2, tzinfo=UTC)),
        ],
    )
    assert key == same == pickle.loads(pickle.dumps(key))
    assert {key, same} == {key}
    for other in others:
        assert key != other
        assert len({key, other}) == 2
    assert key != ("k", key.expires_at, False)


def test_requests_say_who_sends_them(twin: Twin, listenkey_sandbox: Sandbox) -> None:
    twin(listenkey_sandbox.url).start()
    (request,) = listenkey_sandbox.requests
    python = ".".join(map(str, sys.version_info[:3]))
    told = (
        f"binance-options-listenkey/{version('binance-options-listenkey')} (Python/{python}; httpx/{version('httpx')})"
    )
    assert request.user_agent == told


def test_a_listen_key_in_a_text_does_not_pass_for_the_key() -> None:
    key = ListenKey(KEY, DATE, estimated=True)
    with pytest.raises(TypeError, match=r"write key\.value for the key itself"):
        f"wss://fstream.binance.com/private/ws/{key}"
    assert str(key) == "<ListenKey valid until 2031-05-06 07:08:09 UTC; the key itself is .value>"
    assert f"{key!r} {key.value}".endswith(KEY)


def test_the_package_lists_its_names() -> None:
    import listenkey

    assert set(listenkey.__all__) <= set(dir(listenkey))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        listenkey.nothing  # type: ignore[attr-defined]  # noqa: B018


# Retries.


def fail(sandbox: Sandbox, fault: str, times: int, **options: Any) -> None:
    sandbox.faults.add(fault, times=times, **options)


@pytest.mark.parametrize(
    ("fault", "options"),
    [("reset", {}), ("cut", {}), ("lost", {}), ("status", {"status": 503}), ("status", {"status": 408})],
)
def test_no_answer_and_server_faults_are_tried_again(
    twin: Twin, listenkey_sandbox: Sandbox, fault: str, options: dict[str, Any]
) -> None:
    fail(listenkey_sandbox, fault, 2, **options)
    twin(listenkey_sandbox.url).start()
    times = [request.time for request in listenkey_sandbox.requests]
    assert len(times) == 3
    first, second = times[1] - times[0], times[2] - times[1]
    assert first >= 0.25
    assert second >= 0.5


def test_the_last_error_is_raised_when_attempts_run_out(twin: Twin, listenkey_sandbox: Sandbox) -> None:
    fail(listenkey_sandbox, "reset", 1)
    fail(listenkey_sandbox, "status", 5, status=502)
    with pytest.raises(ServerError):
        twin(listenkey_sandbox.url, attempts=2).start()
    assert len(listenkey_sandbox.requests) == 2


def test_every_call_is_tried_again(twin: Twin, listenkey_sandbox: Sandbox) -> None:
    client = twin(listenkey_sandbox.url, attempts=2)
    client.start()
    for call in (client.start, client.keepalive, client.delete):
        fail(listenkey_sandbox, "reset", 1)
        call()
    assert [request.method for request in listenkey_sandbox.requests[1:]] == ["POST"] * 2 + ["PUT"] * 2 + ["DELETE"] * 2


def test_a_delete_whose_answer_was_lost_finds_no_key(twin: Twin, listenkey_sandbox: Sandbox) -> None:
    client = twin(listenkey_sandbox.url)
    client.start()
    fail(listenkey_sandbox, "lost", 1)
    assert client.delete() is False


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (418, b"", Banned),
        (429, b"", RateLimited),
        (400, {"code": -1003, "msg": "x"}, RateLimited),
        (400, {"code": -1125, "msg": "x"}, KeyNotFound),
        (401, b"", Unauthorized),
        (403, b"", ApiError),
        (200, b"", UnexpectedResponse),
        (302, b"", UnexpectedResponse),
    ],
)
def test_nothing_else_is_tried_again(
    twin: Twin, listenkey_sandbox: Sandbox, status: int, body: object, kind: type[ListenKeyError]
) -> None:
    fail(listenkey_sandbox, "status", 3, status=status, body=body)
    with pytest.raises(kind):
        twin(listenkey_sandbox.url).start()
    assert len(listenkey_sandbox.requests) == 1


def test_a_server_fault_is_not_repeated_before_its_retry_after(twin: Twin, listenkey_sandbox: Sandbox) -> None:
    fail(listenkey_sandbox, "status", 1, status=503, headers={"Retry-After": "2"})
    twin(listenkey_sandbox.url).start()
    first, second = (request.time for request in listenkey_sandbox.requests)
    assert second - first >= 2


def test_a_retry_after_beyond_the_longest_backoff_is_raised(twin: Twin, listenkey_sandbox: Sandbox) -> None:
    fail(listenkey_sandbox, "status", 1, status=503, headers={"Retry-After": "9"})
    with pytest.raises(ServerError) as caught:
        twin(listenkey_sandbox.url).start()
    assert caught.value.retry_after == 9
    assert len(listenkey_sandbox.requests) == 1


def test_a_failed_attempt_is_logged(twin: Twin, listenkey_sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "listenkey")
    fail(listenkey_sandbox, "status", 1, status=503)
    twin(listenkey_sandbox.url).start()
    (line,) = (record.getMessage() for record in caplog.records if record.name == "listenkey")
    assert line.startswith("attempt 1 failed, next in 0.")
    assert line.endswith(
        "s: Binance had a fault. The call may or may not have taken effect; it is safe to repeat. (HTTP 503)"
    )


def test_attributes_of_log_records_take_the_place_of_no_name(
    listenkey_sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "listenkey")
    usual = {*vars(logging.makeLogRecord({})), "message", "asctime"}
    table = (Path(__file__).parents[1] / "docs/errors.md").read_text().partition("## The log")[2]
    rows = {row.split("`")[1]: row for row in table.splitlines() if row.startswith("| `")}
    with ListenKeyClient(API_KEY, base_url=listenkey_sandbox.url) as calls:
        fail(listenkey_sandbox, "status", 1, status=503)
        calls.start()
        with ListenKeyKeeper(calls, delete_on_exit=True):
            pass
    records = [record for record in caplog.records if record.name == "listenkey"]
    assert [vars(record)["listenkey_event"] for record in records] == ["retry", "started", "deleted"]
    for record in records:
        extras = {name: value for name, value in vars(record).items() if name not in usual}
        line = {"event": record.getMessage(), "level": record.levelname, **extras}  # as structlog's ExtraAdder does
        assert line["event"] == record.getMessage()
        row = rows[vars(record)["listenkey_event"]]
        assert all(f"`{name}`" in row or name == "listenkey_event" for name in extras), row
    sources = "".join(path.read_text() for path in Path(client.__file__).parent.rglob("*.py"))
    named = r'_record\(\s*[\w.]+, "(\w+)"|"listenkey_event": "(\w+)"'
    events = {name for pair in re.findall(named, sources) for name in pair if name} | {"started", "renewed", "replaced"}
    assert len(events) > 18
    assert events <= rows.keys()


@given(st.integers(1, 10_000), st.none() | st.floats(0, 8))
def test_a_backoff_has_a_floor_and_a_ceiling(attempt: int, retry_after: float | None) -> None:
    error = TransportError("x") if retry_after is None else ServerError(503, retry_after=retry_after)
    wait = client._backoff(error, attempt)
    assert max(0.25, retry_after or 0) <= wait <= 8
    assert attempt < 6 or wait >= 4


# Twins.

PAIRS = [(name, "aclose" if name == "close" else name) for name in ("start", "keepalive", "delete", "close")]


@pytest.mark.parametrize(("name", "twin_name"), PAIRS)
def test_the_twins_have_the_same_methods(name: str, twin_name: str) -> None:
    method: Callable[..., object] = getattr(ListenKeyClient, name)
    twin_method: Callable[..., object] = getattr(AsyncListenKeyClient, twin_name)
    assert inspect.signature(method) == inspect.signature(twin_method)
    assert inspect.iscoroutinefunction(twin_method)


def test_the_twins_are_made_alike_and_offer_the_same() -> None:
    assert inspect.signature(ListenKeyClient) == inspect.signature(AsyncListenKeyClient)
    public = [{name for name in vars(kind) if name[0] != "_"} for kind in (ListenKeyClient, AsyncListenKeyClient)]
    assert public[0] - {"close"} == public[1] - {"aclose"}


def test_close_leaves_the_listen_key_alone(twin: Twin, listenkey_sandbox: Sandbox) -> None:
    with ListenKeyClient(API_KEY, base_url=listenkey_sandbox.url) as client:
        key = client.start()
    assert twin(listenkey_sandbox.url).start().value == key.value
