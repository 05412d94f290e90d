"""The keepers, real loops against the sandbox. A life is seconds here instead of an hour; all waits shrink with it."""

import asyncio
import contextlib
import copy
import inspect
import itertools
import logging
import math
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, Self

import pytest

from listenkey import (
    ApiError,
    AsyncListenKeyClient,
    AsyncListenKeyKeeper,
    Banned,
    ConfigurationError,
    KeeperStatus,
    LeaseLost,
    ListenKey,
    ListenKeyClient,
    ListenKeyError,
    ListenKeyKeeper,
    RateLimited,
    ServerError,
    TransportError,
    Unauthorized,
)
from listenkey._clock import WitnessedClock, clock
from listenkey._http import transport as _transport
from listenkey._inside import inside
from listenkey.client import Started
from listenkey.sandbox import Sandbox
from tests.conftest import API_KEY
from tests.inside import as_in_a_child, give_request

LIFE = 4.0
BAD = b'{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}'


class Keeping(Protocol):
    """A keeper of either kind, used without await."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    @property
    def key(self) -> ListenKey: ...
    def wait(self) -> None: ...
    def changes(self) -> Iterator[ListenKey]: ...
    def renew_now(self) -> ListenKey: ...
    def status(self) -> KeeperStatus: ...


class Awaited:
    """An async keeper, in an event loop of another thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, keeper: AsyncListenKeyKeeper) -> None:
        self._loop, self.keeper = loop, keeper

    def _call(self, function: Callable[..., Any], *args: object) -> Any:
        async def call() -> Any:
            found = function(*args)
            return await found if inspect.isawaitable(found) else found

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(30)

    def __enter__(self) -> Self:
        self._call(self.keeper.__aenter__)
        return self

    def __exit__(self, *error: object) -> None:
        self._call(self.keeper.__aexit__, *error)

    @property
    def key(self) -> ListenKey:
        found: ListenKey = self._call(lambda: self.keeper.key)
        return found

    def wait(self) -> None:
        self._call(self.keeper.wait)

    def changes(self) -> Iterator[ListenKey]:
        iterator = self.keeper.changes()
        with contextlib.suppress(StopAsyncIteration):
            while True:
                yield self._call(iterator.__anext__)

    def renew_now(self) -> ListenKey:
        found: ListenKey = self._call(self.keeper.renew_now)
        return found

    def status(self) -> KeeperStatus:
        found: KeeperStatus = self._call(self.keeper.status)
        return found


class Twins:
    """Makes clients and keepers of one kind."""

    def __init__(self, kind: str, stack: contextlib.ExitStack) -> None:
        self.kind, self._stack = kind, stack
        self.loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self.loop.run_forever, name="test-loop", daemon=True)
        thread.start()
        stack.callback(self.loop.close)
        stack.callback(thread.join, 5)
        stack.callback(self.loop.call_soon_threadsafe, self.loop.stop)

    def client(self, url: str, **settings: Any) -> Any:
        settings = {"timeout": LIFE / 4, "base_url": url, "api_key": API_KEY, **settings}
        if self.kind == "sync":
            return self._stack.enter_context(ListenKeyClient(**settings))
        client = AsyncListenKeyClient(**settings)
        self._stack.callback(self.run, client.aclose)
        return client

    def keeper(self, client: Any, **settings: Any) -> Keeping:
        settings = {"_assumed_life": LIFE, **settings}
        if self.kind == "sync":
            return ListenKeyKeeper(client, **settings)
        return Awaited(self.loop, AsyncListenKeyKeeper(client, **settings))

    def run(self, function: Callable[[], Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(function(), self.loop).result(30)


@pytest.fixture(params=["sync", "async"])
def twins(request: pytest.FixtureRequest) -> Iterator[Twins]:
    with contextlib.ExitStack() as stack:
        yield Twins(request.param, stack)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(life=LIFE, limit=None) as running:
        yield running


def until(condition: Callable[[], object], seconds: float = 50.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def keeper_threads() -> int:
    return sum(thread.name == "listenkey-keeper" for thread in threading.enumerate())


# Keeping a key.


def test_keeps_the_key_for_three_lives(twins: Twins, sandbox: Sandbox) -> None:
    with twins.keeper(twins.client(sandbox.url)) as keeper:
        first = keeper.key
        began = time.monotonic()
        while time.monotonic() < began + 3 * LIFE:
            assert keeper.key.value == first.value
            time.sleep(0.05)
        assert keeper.key.expires_at > first.expires_at
        status = keeper.status()
    assert {request.method for request in sandbox.requests} == {"POST"}
    assert status.renewals == len(sandbox.requests) <= 1 + 3 * 2.3
    assert (status.state, status.failures, status.replacements, status.last_error) == ("running", 0, 0, None)
    assert not status.at_risk


def test_an_answer_without_expiration_is_kept_too(twins: Twins) -> None:
    with (
        Sandbox(life=LIFE, expiration=False) as sandbox,
        twins.keeper(twins.client(sandbox.url)) as keeper,
    ):
        first = keeper.key.value
        time.sleep(1.2 * LIFE)
        assert keeper.key.value == first


def test_the_server_shortens_the_life(twins: Twins, sandbox: Sandbox) -> None:
    with twins.keeper(twins.client(sandbox.url), _assumed_life=10 * LIFE) as keeper:
        first = keeper.key.value
        assert 0 < (keeper.status().time_left or 0) <= LIFE + 1  # Date has whole seconds
        time.sleep(1.5 * LIFE)
        assert keeper.key.value == first


def test_a_life_in_the_past_is_not_believed(twins: Twins, sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    body = {"listenKey": "k" * 64, "expiration": 1_000_000_000_000}
    sandbox.faults.add("status", times=None, body=body)
    with twins.keeper(twins.client(sandbox.url)) as keeper:
        assert 0 < (keeper.status().time_left or 0) <= LIFE
        keeper.renew_now()
    assert [record.message for record in caplog.records if "not believed" in record.message] != []
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1


def test_an_outage_shorter_than_half_a_life_loses_no_key(twins: Twins, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "listenkey")
    fault = itertools.cycle(["reset", "silent", "cut"])
    life = 8.0  # a timeout of 0.4 seconds is long enough on a busy machine, and a twentieth of it
    with (
        Sandbox(life=life) as sandbox,
        twins.keeper(twins.client(sandbox.url, timeout=0.4), _assumed_life=life) as keeper,
    ):
        first = keeper.key.value
        until(lambda: (keeper.status().next_renewal or 1) < 0.1)
        over = time.monotonic() + 0.36 * life
        while time.monotonic() < over:
            sandbox.faults.clear()
            sandbox.faults.add(next(fault), times=None)
            time.sleep(0.1)
        assert keeper.status().at_risk
        assert isinstance(keeper.status().last_error, Exception)
        sandbox.faults.clear()
        until(lambda: keeper.status().last_error is None)
        assert keeper.key.value == first
        assert not keeper.status().at_risk
    levels = [(record.levelname, record.listenkey_event) for record in caplog.records if record.name == "listenkey"]  # type: ignore[attr-defined]
    assert levels[-3:] == [("INFO", "failed"), ("WARNING", "at_risk"), ("INFO", "renewed")]


# Entering.


def test_entering_tries_as_often_as_the_client(twins: Twins, sandbox: Sandbox) -> None:
    sandbox.faults.add("reset", times=2)
    with twins.keeper(twins.client(sandbox.url)) as keeper:
        assert keeper.status().failures == 2
    assert len(sandbox.requests) == 3


def test_entering_fails_with_the_error_itself(twins: Twins, sandbox: Sandbox) -> None:
    sandbox.faults.add("status", status=401, body=BAD)
    keeper = twins.keeper(twins.client(sandbox.url))
    with pytest.raises(Unauthorized), keeper:
        pass
    with pytest.raises(ConfigurationError, match="entered once"), keeper:
        pass
    sandbox.faults.add("reset", times=None)
    with pytest.raises(TransportError), twins.keeper(twins.client(sandbox.url, attempts=2)):
        pass
    assert len(sandbox.requests) == 4, "one over the kept connection, and an attempt each over a new connection"
    assert keeper_threads() == 0


def test_misuse_is_refused(twins: Twins, sandbox: Sandbox) -> None:
    client = twins.client(sandbox.url)
    keeper = twins.keeper(client)
    hint = "with Listen" if twins.kind == "sync" else "async with AsyncListen"
    uses = [lambda: keeper.key, keeper.wait, lambda: next(keeper.changes()), keeper.renew_now, keeper.status]
    for use in (*uses, keeper.__exit__):
        with pytest.raises(
            ConfigurationError, match=rf"^This keeper is not running: enter it, as in `{hint}KeyKeeper\("
        ):
            use()
    with keeper:
        with pytest.raises(ConfigurationError, match=r"^A keeper is entered once: make a new one\.$"), keeper:
            pass
        assert keeper.key.value
    for use in (lambda: keeper.key, keeper.renew_now):
        with pytest.raises(ConfigurationError, match=r"^This keeper is closed: nobody renews its key any more\.$"):
            use()
    keeper.wait()
    assert list(keeper.changes()) == []
    assert (keeper.status().state, keeper.status().next_renewal, keeper.status().time_left) == ("closed", None, None)
    with pytest.raises(ConfigurationError, match="needs a client with a timeout of at most 15 seconds"):
        twins.keeper(twins.client(sandbox.url, timeout=15.1))
    twins.keeper(twins.client(sandbox.url, timeout=15))


def test_a_keeper_is_not_copied_or_pickled(twins: Twins, sandbox: Sandbox) -> None:
    with twins.keeper(twins.client(sandbox.url)) as running:
        keeper = getattr(running, "keeper", running)
        for use in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(ConfigurationError, match=r"^A keeper cannot be copied or pickled: make a new one"):
                use(keeper)


def test_the_repr_says_what_it_is_and_how_it_is(twins: Twins, sandbox: Sandbox) -> None:
    running = twins.keeper(twins.client(sandbox.url))
    keeper = getattr(running, "keeper", running)
    name = "" if twins.kind == "sync" else "Async"
    client = f"{name}ListenKeyClient(base_url='{sandbox.url}')"
    assert repr(keeper) == f"{name}ListenKeyKeeper({client}, state='new')"
    with running:
        assert repr(keeper) == f"{name}ListenKeyKeeper({client}, state='running')"
    assert repr(keeper) == f"{name}ListenKeyKeeper({client}, state='closed')"


def test_another_event_loop_or_none_is_refused(sandbox: Sandbox) -> None:
    client = AsyncListenKeyClient(API_KEY, base_url=sandbox.url, timeout=LIFE / 4)
    keeper = AsyncListenKeyKeeper(client, _assumed_life=LIFE)
    uses: list[Callable[[], Any]] = [keeper.wait, keeper.changes().__anext__, keeper.renew_now, keeper.__aexit__]

    def without_a_loop(*uses: Callable[[], Any]) -> None:
        for use in uses:
            with pytest.raises(ConfigurationError, match=r"needs asyncio: use it inside `asyncio\.run\(\.\.\.\)`\.$"):
                use().send(None)  # as trio would

    async def in_another_loop() -> None:
        for use in uses:
            with pytest.raises(
                ConfigurationError, match=r"^This keeper belongs to another event loop: use and leave it"
            ):
                await use()

    async def main() -> None:
        async with keeper:
            await asyncio.to_thread(without_a_loop, *uses)
            await asyncio.to_thread(asyncio.run, in_another_loop())
            assert keeper.status().state == "running"
        await client.aclose()

    without_a_loop(keeper.__aenter__)
    asyncio.run(main())
    assert {request.method for request in sandbox.requests} == {"POST"}


@pytest.mark.parametrize("attempts", [1, 2])
def test_a_thread_that_cannot_start_is_a_transport_error(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, attempts: int
) -> None:
    started = threading.Thread.start
    free = iter([False, attempts == 2])

    def start(thread: threading.Thread) -> None:
        if thread.name == "listenkey-keeper" and not next(free):
            raise RuntimeError("can't start new thread")  # as with RLIMIT_NPROC reached
        started(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    with ListenKeyClient(API_KEY, base_url=sandbox.url, attempts=attempts) as client:
        if attempts == 2:
            with ListenKeyKeeper(client) as keeper:
                assert keeper.key.value
        else:
            with pytest.raises(TransportError, match=r"^No thread could be started") as raised, ListenKeyKeeper(client):
                pass
            assert isinstance(raised.value.__cause__, RuntimeError)
    assert [request.method for request in sandbox.requests] == ["POST"]


def test_the_other_kind_of_client_is_refused(sandbox: Sandbox) -> None:
    with ListenKeyClient(API_KEY, base_url=sandbox.url) as client:
        with pytest.raises(ConfigurationError, match="AsyncListenKeyKeeper needs a client of type AsyncListenKeyCli"):
            AsyncListenKeyKeeper(client)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="ListenKeyKeeper needs a client of type ListenKeyClient"):
            ListenKeyKeeper(object())  # type: ignore[arg-type]


def test_the_twins_are_twins() -> None:
    def public(kind: type) -> dict[str, inspect.Signature | None]:
        members = {name: getattr(kind, name) for name in dir(kind) if not name.startswith("_")}
        return {
            name: inspect.signature(member, eval_str=True).replace(return_annotation=None) if callable(member) else None
            for name, member in members.items()
        }

    assert public(ListenKeyKeeper) == public(AsyncListenKeyKeeper)
    assert sorted(public(ListenKeyKeeper)) == ["changes", "key", "renew_now", "renew_soon", "status", "wait"]


# Another key.


def test_changes_gives_the_first_key_then_each_replacement(twins: Twins, sandbox: Sandbox) -> None:
    with twins.keeper(twins.client(sandbox.url)) as keeper:
        changes, slow = keeper.changes(), keeper.changes()
        seen = [next(changes).value, next(slow) and ""]
        for _ in range(2):
            sandbox.expire()
            asked = keeper.renew_now()
            seen.append(next(changes).value)
            assert seen[-1] == asked.value == keeper.key.value
        assert len(set(seen)) == 4
        assert next(slow).value == seen[-1], "a slow reader gets the newest"
        assert next(keeper.changes()).value == seen[-1], "a new iterator sees what is"
        assert keeper.status().replacements == 2
        with ThreadPoolExecutor() as pool:
            ending = pool.submit(lambda: list(changes))
            waiting = pool.submit(keeper.wait)
            time.sleep(0.1)
            assert not ending.done()
            assert not waiting.done()
            keeper.__exit__()
            assert ending.result(30) == []
            waiting.result(30)


def test_many_readers_lose_nothing_when_one_is_slow(twins: Twins, sandbox: Sandbox) -> None:
    with ThreadPoolExecutor(8) as pool, twins.keeper(twins.client(sandbox.url)) as keeper:
        slow = keeper.changes()
        next(slow)
        reading = [pool.submit(lambda: [key.value for key in keeper.changes()]) for _ in range(6)]
        values = [keeper.key.value]
        for _ in range(20):  # more than etcd's buffer of 16
            sandbox.expire()
            values.append(keeper.renew_now().value)
        assert next(slow).value == values[-1]
        time.sleep(0.2)  # closing ends an iterator, even one that has yet to read
        keeper.__exit__()
        for reader in reading:
            read = reader.result(30)
            assert read[-1] == values[-1]
            assert [value for value in values if value in read] == read, "in order, none twice"


def test_renew_now_is_one_request_for_all_who_ask(twins: Twins, sandbox: Sandbox) -> None:
    with ThreadPoolExecutor(20) as pool, twins.keeper(twins.client(sandbox.url), _assumed_life=60.0) as keeper:
        began = time.monotonic()
        keys = list(pool.map(lambda _: keeper.renew_now(), range(20)))
        assert time.monotonic() - began >= 60 / 180 - 0.1, "the floor"
        assert len({id(key) for key in keys}) == 1
    assert len(sandbox.requests) == 2


def test_renew_now_raises_the_error_of_its_request_and_the_keeper_goes_on(twins: Twins, sandbox: Sandbox) -> None:
    with twins.keeper(twins.client(sandbox.url), _assumed_life=60.0) as keeper:
        first = keeper.key
        sandbox.faults.add("reset", times=2)  # the kept connection's request, and the new connection's
        with pytest.raises(TransportError):
            keeper.renew_now()
        assert keeper.key == first
        assert keeper.renew_now().value == first.value
        assert keeper.status().last_error is None


def test_renew_now_joins_the_request_under_way(twins: Twins, sandbox: Sandbox) -> None:
    with ThreadPoolExecutor(1) as pool, twins.keeper(twins.client(sandbox.url), _assumed_life=60.0) as keeper:
        sandbox.faults.add("silent")
        first = pool.submit(keeper.renew_now)
        until(lambda: keeper.status().next_renewal == 0.0 and len(sandbox.requests) == 2)
        with pytest.raises(TransportError):
            keeper.renew_now()
        assert isinstance(first.exception(), TransportError)
    assert len(sandbox.requests) <= 3


# Losing it.


def assert_lost(keeper: Keeping, cause: type[BaseException], text: str) -> None:
    for use in (lambda: keeper.key, keeper.wait, lambda: list(keeper.changes()), keeper.renew_now):
        with pytest.raises(LeaseLost, match=text) as raised:
            use()
        assert isinstance(raised.value.__cause__, cause)
    assert keeper.status().state == "lost"
    assert keeper.status().next_renewal is None


def test_lost_at_the_deadline_and_for_good(twins: Twins, sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    began = time.monotonic()
    with twins.keeper(twins.client(sandbox.url, timeout=0.1)) as keeper:
        sandbox.faults.add("reset", times=None)
        with pytest.raises(
            LeaseLost, match=r"^The listen key was not renewed in time: No answer from .* Start anew"
        ) as e:
            keeper.wait()
        assert time.monotonic() - began >= LIFE
        assert e.value.retry_after is None
        time.sleep(0.1)  # a request may have been under way
        sandbox.faults.clear()
        sent = len(sandbox.requests)
        assert_lost(keeper, TransportError, "not renewed in time")
        time.sleep(0.1)
        assert len(sandbox.requests) == sent, "a lost keeper sends nothing"
    assert keeper.status().state == "lost", "left, and still lost"
    levels = [record.levelname for record in caplog.records if record.name == "listenkey"]
    assert levels.count("WARNING") == levels.count("ERROR") == 1


REFUSALS = [(401, BAD), (403, b"<html>Forbidden</html>"), (407, b"")]


@pytest.mark.parametrize(("status", "body"), REFUSALS)
def test_a_key_that_has_worked_is_kept_through_refusals(
    twins: Twins, sandbox: Sandbox, caplog: pytest.LogCaptureFixture, status: int, body: bytes
) -> None:
    with twins.keeper(twins.client(sandbox.url)) as keeper:
        first = keeper.key.value
        sandbox.faults.add("status", status=status, body=body, times=2)
        with pytest.raises(ApiError):
            keeper.renew_now()
        assert keeper.key.value == first
        refused = keeper.status()
        assert (refused.state, refused.at_risk) == ("running", True)
        assert isinstance(refused.last_error, ApiError)
        assert refused.last_error.status == status
        until(lambda: keeper.status().last_error is None)
        assert keeper.key.value == first
        assert not keeper.status().at_risk
    levels = [vars(record)["listenkey_event"] for record in caplog.records if record.levelno == logging.WARNING]
    assert levels == ["at_risk"]


@pytest.mark.parametrize(("status", "body"), REFUSALS)
def test_refused_for_ever_it_is_lost_at_the_deadline_after_few_requests(
    twins: Twins, sandbox: Sandbox, status: int, body: bytes
) -> None:
    began = time.monotonic()
    with twins.keeper(twins.client(sandbox.url)) as keeper:
        sandbox.faults.add("status", status=status, body=body, times=None)
        with pytest.raises(LeaseLost, match=r"^The listen key cannot be renewed: .* Start anew, with a new keeper\.$"):
            keeper.wait()
        assert time.monotonic() - began >= LIFE
        assert_lost(keeper, ApiError, "cannot be renewed")
    assert len(sandbox.requests) <= 1 + 6


@pytest.mark.parametrize(("status", "body"), REFUSALS)
def test_a_key_that_never_worked_is_refused_at_once(twins: Twins, sandbox: Sandbox, status: int, body: bytes) -> None:
    client = twins.client(sandbox.url)
    for requests in (1, 2):  # the client remembers nothing
        sandbox.faults.add("status", status=status, body=body)
        with pytest.raises(ApiError), twins.keeper(client):
            pass
        assert len(sandbox.requests) == requests
    with twins.keeper(client):
        pass
    sandbox.faults.add("status", status=status, body=body)
    with pytest.raises(ApiError), twins.keeper(client):
        pass
    assert len(sandbox.requests) == 4, "that an earlier keeper worked is no matter"


def test_a_bug_in_the_loop_is_lost_with_its_cause(
    twins: Twins, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = twins.client(sandbox.url)
    with twins.keeper(client) as keeper:
        twin: Any = getattr(keeper, "keeper", keeper)
        give_request(twin, lambda: 1 / 0)
        with pytest.raises(LeaseLost, match=r"^The keeper broke down \(ZeroDivisionError\)\. Start anew"):
            keeper.wait()
        assert_lost(keeper, ZeroDivisionError, "broke down")


def test_a_log_that_breaks_is_lost_with_its_cause(
    twins: Twins, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "listenkey")
    with twins.keeper(twins.client(sandbox.url)) as keeper:
        broken = logging.Filter()
        broken.filter = lambda _: 1 / 0  # type: ignore[assignment,method-assign,return-value]
        logging.getLogger("listenkey").addFilter(broken)
        try:
            with pytest.raises(LeaseLost):
                keeper.wait()
        finally:
            logging.getLogger("listenkey").removeFilter(broken)
        assert_lost(keeper, ZeroDivisionError, "broke down")


def test_a_client_closed_under_the_keeper_is_lost_with_its_cause(twins: Twins, sandbox: Sandbox) -> None:
    client = twins.client(sandbox.url)
    with twins.keeper(client) as keeper:
        client.close() if twins.kind == "sync" else twins.run(client.aclose)
        assert keeper.key.value
        with pytest.raises(LeaseLost):
            keeper.wait()
        assert_lost(
            keeper, ConfigurationError, r"broke down \(ConfigurationError: This client is closed: make a new one"
        )


def test_a_keeper_that_hangs_does_not_look_alive(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    hang = threading.Event()
    with (
        ListenKeyClient(API_KEY, base_url=sandbox.url) as client,
        ListenKeyKeeper(client, _assumed_life=LIFE) as keeper,
    ):

        def hangs() -> Started:
            hang.wait(30)  # as a name that takes for ever to resolve
            raise TransportError("too late")

        give_request(keeper, hangs)
        with pytest.raises(LeaseLost, match="no request was answered"):
            keeper.wait()
        with pytest.raises(LeaseLost):
            _ = keeper.key
        hang.set()


@pytest.mark.parametrize("started", [False, True])
def test_a_cancelled_task_is_lost_with_its_cause(sandbox: Sandbox, started: bool) -> None:
    async def main() -> None:
        async with (
            AsyncListenKeyClient(API_KEY, base_url=sandbox.url) as client,
            AsyncListenKeyKeeper(client, _assumed_life=LIFE) as keeper,
        ):
            if started:
                await asyncio.sleep(0.05)
            (task,) = asyncio.all_tasks() - {asyncio.current_task()}
            task.cancel()
            with pytest.raises(LeaseLost, match="broke down") as raised:
                await keeper.wait()
            assert isinstance(raised.value.__cause__, asyncio.CancelledError)

    asyncio.run(main())


# Being told to wait.


def test_a_ban_is_waited_out_by_every_keeper_of_the_client(twins: Twins, sandbox: Sandbox) -> None:
    client = twins.client(sandbox.url)
    with twins.keeper(client) as one, twins.keeper(client) as other:
        sandbox.faults.add("status", status=418, headers={"Retry-After": "1"})
        with pytest.raises(Banned):
            one.renew_now()
        with pytest.raises(Banned, match=r"Send nothing for [12] s") as refused, twins.keeper(client):
            pass
        assert 0 < (refused.value.retry_after or 0) <= 1.1
        assert one.renew_now().value == other.renew_now().value
    banned, after = sandbox.requests[2:4]
    assert after.time - banned.time >= 1.0


def test_a_ban_past_the_deadline_is_warned_of_at_once(
    twins: Twins, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    client = twins.client(sandbox.url)
    with twins.keeper(client) as other, twins.keeper(client) as keeper:
        sandbox.faults.add("status", status=418, headers={"Retry-After": "600"})
        with pytest.raises(Banned):
            keeper.renew_now()
        status = keeper.status()
        assert status.at_risk
        assert (status.next_renewal or 0) > 500 > LIFE > (status.time_left or 99)
        until(lambda: other.status().at_risk)
        assert [record.levelname for record in caplog.records if record.name == "listenkey"] == 2 * ["WARNING"]
        assert keeper.key.value, "usable until the deadline"
        for one in (keeper, other):
            with pytest.raises(LeaseLost, match="in time: This IP address is banned") as raised:
                one.wait()
            assert isinstance(raised.value.__cause__, Banned)
            assert 500 < (raised.value.retry_after or 0) < 601
    assert len(sandbox.requests) == 3


def test_a_rate_limit_at_the_start_holds_for_the_next_keeper(twins: Twins, sandbox: Sandbox) -> None:
    client = twins.client(sandbox.url)
    sandbox.faults.add("status", status=429)
    for _ in range(2):
        with pytest.raises(RateLimited), twins.keeper(client):
            pass
    assert len(sandbox.requests) == 1


def test_ten_requests_a_minute_whatever_happens(twins: Twins, monkeypatch: pytest.MonkeyPatch) -> None:
    life = 72.0  # a minute is 1.2 s
    monkeypatch.setattr(_transport, "KEPT_SECONDS", -1.0)  # a request over a kept connection may be sent anew
    chance = random.Random()
    faults: list[dict[str, Any]] = [
        {"name": "reset"},
        {"name": "lost"},
        {"name": "status", "status": 503, "headers": {"Retry-After": "0"}},
        {"name": "status", "status": 429, "headers": {"Retry-After": "0"}},
        {"name": "status", "body": {"listenKey": "k", "expiration": 1_600_000_000_000}},
        {"name": "status", "body": {"listenKey": "another"}},
    ]
    over = threading.Event()

    def pester() -> None:
        while not over.is_set():
            with contextlib.suppress(ListenKeyError):
                keeper.renew_now()

    with (
        ThreadPoolExecutor(3) as pool,
        Sandbox(limit=None) as sandbox,
        twins.keeper(twins.client(sandbox.url), _assumed_life=life) as keeper,
    ):
        for _ in range(500):
            fault = dict(chance.choice(faults))
            sandbox.faults.add(fault.pop("name"), **fault)
        for _ in range(3):
            pool.submit(pester)
        until(lambda: len(sandbox.requests) > 30)
        over.set()
    times = [request.time for request in sandbox.requests]
    for first, eleventh in zip(times, times[10:], strict=False):
        assert eleventh - first > 1.2, f"more than 10 in a minute: {times}"


# Sleep.


SLEEPER = """
import asyncio, sys, threading, time
from listenkey import *
url, kind, life = sys.argv[1], sys.argv[2], float(sys.argv[3])
def tell(keeper):
    print(keeper.status().renewals, keeper.status().state, flush=True)
def sync():
    with ListenKeyClient("k", base_url=url, timeout=LIFE / 4) as client:
        with ListenKeyKeeper(client, _assumed_life=life) as keeper:
            tell(keeper)
            for line in sys.stdin:
                tell(keeper)
async def twin():
    async with AsyncListenKeyClient("k", base_url=url, timeout=LIFE / 4) as client:
        async with AsyncListenKeyKeeper(client, _assumed_life=life) as keeper:
            tell(keeper)
            while await asyncio.to_thread(sys.stdin.readline):
                tell(keeper)
sync() if kind == "sync" else asyncio.run(twin())
"""


@contextlib.contextmanager
def program(code: str, *args: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def line(running: subprocess.Popen[str], ask: bool = True) -> str:
    assert running.stdin
    assert running.stdout
    if ask:
        running.stdin.write("\n")
        running.stdin.flush()
    return running.stdout.readline().strip()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_paused_process_renews_at_once_on_waking(sandbox: Sandbox, kind: str) -> None:
    with program(SLEEPER, sandbox.url, kind, "60") as running:
        assert line(running, ask=False) == "1 running"
        running.send_signal(signal.SIGSTOP)
        time.sleep(3)  # twice the two slices that a second, the least minute, makes; the key is dead now
        running.send_signal(signal.SIGCONT)
        woke = time.monotonic()
        until(lambda: len(sandbox.requests) > 1)
        assert sandbox.requests[1].time - woke < 20, "long before it was due, in 27 s"
        until(lambda: line(running) == "2 running")
        running.communicate(timeout=50)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_pause_past_the_deadline_is_not_yet_a_loss(sandbox: Sandbox, kind: str) -> None:
    with program(SLEEPER, sandbox.url, kind, str(LIFE)) as running:
        assert line(running, ask=False) == "1 running"
        running.send_signal(signal.SIGSTOP)
        time.sleep(LIFE + 1)
        sent = len(sandbox.requests)
        running.send_signal(signal.SIGCONT)
        until(lambda: len(sandbox.requests) > sent)
        until(lambda: "running" in line(running) and int(line(running).split()[0]) > sent)
        running.communicate(timeout=50)


def test_the_clock_of_the_keepers_asks_the_wall_clock_too(monkeypatch: pytest.MonkeyPatch) -> None:
    before, wall = clock(), time.time
    monkeypatch.setattr(clock, "_wall", lambda: wall() + 7200)  # a virtual machine was paused
    assert 7200 <= clock() - before < 7260


def test_the_witnessedclock() -> None:
    monotonic = wall = 100.0
    clock = WitnessedClock(lambda: monotonic, lambda: wall)
    assert clock() == 0
    monotonic, wall = 110, 110
    assert clock() == 10
    wall += 3600  # asleep: the monotonic clock stood still
    assert clock() == 3610
    wall -= 86400  # the wall clock is put back
    monotonic += 5
    assert clock() == 3615


def test_a_sleep_that_two_callers_find_at_once_counts_once() -> None:
    monotonic = wall = 100.0
    inner: list[float] = []

    class Interrupted(float):
        def __sub__(self, other: float) -> "Interrupted":
            return Interrupted(float(self) - other)

        def __ge__(self, other: float) -> bool:
            if not inner:  # a finalizer asks, too, while its thread is about to note the sleep
                inner.append(0.0)
                inner[0] = clock()
            return float(self) >= other

    clock = WitnessedClock(lambda: monotonic, lambda: Interrupted(wall))
    wall = 3700
    assert clock() == inner[0] == 3600
    assert clock() == 3600


# Leaving.


@pytest.mark.parametrize("moment", ["wait", "request", "ban"])
def test_the_block_is_left_at_once(twins: Twins, sandbox: Sandbox, moment: str) -> None:
    before = keeper_threads()
    with twins.keeper(twins.client(sandbox.url)) as keeper:
        if moment == "ban":
            sandbox.faults.add("status", status=418, headers={"Retry-After": "600"})
            with pytest.raises(Banned):
                keeper.renew_now()
        if moment == "request":
            sandbox.faults.add("silent")
            until(lambda: len(sandbox.requests) == 2 and keeper.status().next_renewal == 0.0)
        sent = len(sandbox.requests)
    assert keeper.status().state == "closed"
    until(lambda: keeper_threads() == before)
    tasks = asyncio.run_coroutine_threadsafe(_tasks(), twins.loop).result()
    assert tasks == []
    time.sleep(0.6 * LIFE)
    assert len(sandbox.requests) == sent, "sent after it was left"


async def _tasks() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]


def test_leaving_does_not_delete(twins: Twins, sandbox: Sandbox) -> None:
    client = twins.client(sandbox.url)
    with twins.keeper(client) as keeper:
        first = keeper.key.value
    with twins.keeper(client) as keeper:
        assert keeper.key.value == first
    assert {request.method for request in sandbox.requests} == {"POST"}


def test_delete_on_exit_deletes_last(twins: Twins, sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "listenkey")
    client = twins.client(sandbox.url)
    with twins.keeper(client, delete_on_exit=True) as keeper:
        sandbox.faults.add("silent")
        until(lambda: len(sandbox.requests) == 2 and keeper.status().next_renewal == 0.0)
    assert [request.method for request in sandbox.requests] == ["POST", "POST", "DELETE"]
    assert caplog.messages[-1] == "deleted the listen key, for every program on the account"
    with twins.keeper(client, delete_on_exit=True):
        sandbox.faults.add("status", status=403)
    assert caplog.messages[-1].startswith("listen key not deleted: Binance refused the call. A firewall")


def test_delete_on_exit_sends_nothing_in_a_ban(
    twins: Twins, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    with twins.keeper(twins.client(sandbox.url), delete_on_exit=True) as keeper:
        sandbox.faults.add("status", status=418, headers={"Retry-After": "600"})
        with pytest.raises(Banned):
            keeper.renew_now()
    assert caplog.messages[-1].startswith("listen key not deleted: This IP address is banned.")
    assert {request.method for request in sandbox.requests} == {"POST"}


def test_delete_on_exit_sends_nothing_once_lost(twins: Twins, sandbox: Sandbox) -> None:
    with twins.keeper(twins.client(sandbox.url), delete_on_exit=True) as keeper:
        sandbox.faults.add("status", status=401, times=None)
        with pytest.raises(LeaseLost):
            keeper.wait()
    assert {request.method for request in sandbox.requests} == {"POST"}


LEAVER = """
import sys
from listenkey import *
with ListenKeyClient("k", base_url=sys.argv[1]) as client, ListenKeyKeeper(client, _assumed_life=2.0) as keeper:
    try:
        print("up", flush=True)
        if sys.argv[2] == "exit":
            sys.exit(5)
        keeper.wait()
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize(("way", "status"), [("exit", 5), ("interrupt", 130)])
def test_interpreter_exit_and_ctrl_c_are_clean(sandbox: Sandbox, way: str, status: int, silent: bool) -> None:
    with program(LEAVER, sandbox.url, way) as running:
        assert line(running, ask=False) == "up"
        if way == "interrupt":
            if silent:
                sandbox.faults.add("silent", times=None)
                until(lambda: len(sandbox.requests) > 1)
            running.send_signal(signal.SIGINT)
        assert running.communicate(timeout=50) == ("", "")
        assert running.returncode == status


FORKER = """
import os, sys
from listenkey import *
client = ListenKeyClient("k", base_url=sys.argv[1])
before = ListenKeyKeeper(client)
with ListenKeyKeeper(client, delete_on_exit=True) as keeper:
    if child := os.fork():
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    uses = [lambda: keeper.key, keeper.wait, lambda: list(keeper.changes()), keeper.renew_now, keeper.status]
    for use in [*uses, before.__enter__]:
        try:
            use()
        except ConfigurationError as error:
            print(error)
sys.exit(9)
"""


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="there, fork with threads warns by itself")
def test_after_a_fork_it_is_refused() -> None:
    with Sandbox() as sandbox:
        command = [sys.executable, "-u", "-c", FORKER, sandbox.url]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    refusal = "This keeper is another process's: after a fork, make a new client and keeper.\n"
    assert (run.stdout, run.stderr, run.returncode) == (6 * refusal, "", 9)
    assert [request.method for request in sandbox.requests] == ["POST", "DELETE"], "the parent's DELETE alone"


def test_a_forked_child_that_leaves_the_block_touches_nothing(twins: Twins, sandbox: Sandbox) -> None:
    with twins.keeper(twins.client(sandbox.url), delete_on_exit=True) as keeper:
        forked: Any = keeper.keeper if isinstance(keeper, Awaited) else keeper
        with as_in_a_child(forked):
            keeper.__exit__()
            with pytest.raises(ConfigurationError, match="another process's"):
                keeper.status()
        assert keeper.status().state == "running"
        assert len(sandbox.requests) == 1


# Secrets.


def test_no_record_and_no_repr_holds_a_secret(twins: Twins, sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with twins.keeper(twins.client(sandbox.url)) as keeper:
        secrets = {API_KEY, keeper.key.value}
        sandbox.faults.add("echo", status=401, times=None)
        with contextlib.suppress(LeaseLost, Unauthorized):
            keeper.renew_now()
        with pytest.raises(LeaseLost) as raised:
            keeper.wait()
        shown = repr(getattr(keeper, "keeper", keeper)) + repr(keeper.status())
    shown += "".join(repr(vars(record)) for record in caplog.records)
    shown += str(raised.value) + repr(raised.value) + repr(raised.value.__cause__)
    assert "started" in shown
    assert not any(secret in shown for secret in secrets)


def frames(error: BaseException | None) -> Iterator[str]:
    """What a crash reporter prints of an error and what it is chained to, in the frames of the keeper."""
    while error is not None:
        printed = traceback.TracebackException.from_exception(error, capture_locals=True)
        yield str(printed)
        for frame in printed.stack:
            if Path(frame.filename).parent.name == "keeper":
                yield f"{frame.filename} {frame.name} {frame.locals}"
        error = error.__cause__ or error.__context__


def test_no_frame_of_an_error_holds_a_secret(twins: Twins, sandbox: Sandbox) -> None:
    caught: list[BaseException] = []

    def catch(use: Callable[[], object]) -> None:
        with pytest.raises(ListenKeyError) as raised:
            use()
        caught.append(raised.value)

    client = twins.client(sandbox.url)
    keeper = twins.keeper(client)
    catch(keeper.renew_now)
    with keeper:
        secrets = {API_KEY, keeper.key.value}
        catch(keeper.__enter__)
        sandbox.faults.add("echo", status=401, times=None)
        catch(keeper.renew_now)
        catch(keeper.wait)
        catch(lambda: keeper.key)
        catch(twins.keeper(client).__enter__)
        sandbox.faults.clear()
        sandbox.faults.add("cut", times=None)
        catch(twins.keeper(client).__enter__)
    shown = "".join(text for error in caught for text in frames(error))
    assert "_drivers.py" in shown
    assert [secret for secret in secrets if secret in shown] == []


def test_log_records_have_an_event(twins: Twins, sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "listenkey")
    with twins.keeper(twins.client(sandbox.url)) as keeper:
        keeper.renew_now()
        sandbox.expire()
        keeper.renew_now()

    def events() -> list[object]:
        return [vars(record).get("listenkey_event") for record in caplog.records if record.name == "listenkey"]

    until(lambda: len(events()) == 3)
    assert events() == ["started", "renewed", "replaced"]


def test_a_log_handler_may_ask_the_keeper(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    # Logged under the keeper's lock, this would wait for ever: handler and keeper would hold each other's lock.
    caplog.set_level(logging.INFO, "listenkey")
    asked: list[object] = []

    class Asking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            thread = threading.Thread(target=lambda: asked.append(keeper.status().state), daemon=True)
            thread.start()
            thread.join(5)

    handler = Asking()
    with (
        ListenKeyClient(API_KEY, base_url=sandbox.url, timeout=LIFE / 4) as client,
        ListenKeyKeeper(client, _assumed_life=LIFE) as keeper,
    ):
        logging.getLogger("listenkey").addHandler(handler)
        try:
            keeper.renew_now()
            until(lambda: len(asked) > 0)
        finally:
            logging.getLogger("listenkey").removeHandler(handler)
    assert asked[0] == "running"


def test_a_ban_met_by_the_delete_counts_for_the_next_keeper(twins: Twins, sandbox: Sandbox) -> None:
    client = twins.client(sandbox.url)
    with twins.keeper(client, delete_on_exit=True):
        sandbox.faults.add("status", status=418, headers={"Retry-After": "600"})
    with pytest.raises(Banned), twins.keeper(client):
        pass
    assert [request.method for request in sandbox.requests] == ["POST", "DELETE"]


def test_leaving_in_a_ban_does_not_lengthen_it(twins: Twins, sandbox: Sandbox) -> None:
    client = twins.client(sandbox.url)
    with twins.keeper(client, delete_on_exit=True) as keeper:
        sandbox.faults.add("status", status=418, headers={"Retry-After": "600"})
        with pytest.raises(Banned):
            keeper.renew_now()
        until = inside(client).address.rate_limit_wait.until
    assert inside(client).address.rate_limit_wait.until == until
    assert [request.method for request in sandbox.requests] == ["POST", "POST"]


def test_each_who_asks_gets_an_error_of_its_own(twins: Twins, sandbox: Sandbox) -> None:
    def ask() -> object:
        with pytest.raises(ServerError) as caught:
            keeper.renew_now()
        return caught.value

    with twins.keeper(twins.client(sandbox.url)) as keeper, ThreadPoolExecutor(4) as pool:
        sandbox.faults.add("status", status=503, times=None)
        errors = [future.result() for future in [pool.submit(ask) for _ in range(4)]]
    assert len({id(error) for error in errors}) == 4


# The pace of a test.


def test_a_test_gives_sandbox_and_client_the_same_life(twins: Twins) -> None:
    with (
        Sandbox(life=20.0, expiration=False) as sandbox,
        twins.keeper(twins.client(sandbox.url, key_life=20.0), _assumed_life=None) as keeper,
    ):
        assert keeper.key.estimated
        assert (keeper.key.expires_at - datetime.now(UTC)) < timedelta(seconds=21)
        left = keeper.status().time_left
        assert left is not None
        assert left <= 20


@pytest.mark.parametrize("kind", [ListenKeyClient, AsyncListenKeyClient])
def test_the_pace_of_a_test_is_refused_where_binance_may_be(kind: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^key_life is for tests: base_url must be a loopback address"):
        kind(API_KEY, key_life=36.0)
    for value in (0, -1, 3601, math.nan, "36"):
        with pytest.raises(
            ConfigurationError, match=r"^key_life must be a number of seconds, above 0 and at most 3600"
        ):
            kind(API_KEY, base_url="http://127.0.0.1:1", key_life=value)
    kind(API_KEY, base_url="http://sandbox:8080", plain_http_host="sandbox", key_life=36.0)
    kind(API_KEY, base_url="https://localhost:8443", key_life=36.0)
