"""What clients and keepers share when they talk to one address."""

import asyncio
import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from functools import partial
from random import Random
from typing import Any
from weakref import WeakValueDictionary

import pytest

from listenkey import (
    AsyncListenKeyClient,
    AsyncListenKeyKeeper,
    Banned,
    ListenKeyClient,
    ListenKeyKeeper,
    RateLimited,
)
from listenkey._clock import clock
from listenkey._inside import inside
from listenkey._limits import shared as _address
from listenkey._limits.shared import Address, Orders, address_of
from listenkey.keeper._lease import Lease
from listenkey.sandbox import Sandbox
from tests.conftest import API_KEY
from tests.inside import calls_in, give_address, turns_of, waiting_in

URL = "https://eapi.example"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(limit=None) as running:
        yield running


def test_the_origin_and_the_proxy_make_the_address() -> None:
    one = address_of(f"{URL}/a", None)
    assert one is address_of(f"{URL}/b", None)
    others = [address_of(URL, "http://proxy"), address_of(f"{URL}:444"), address_of("https://other.example")]
    assert len({one, *others}) == 4


def test_an_address_is_kept_until_its_minute_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    address = address_of(URL)
    gone = weakref.ref(address)
    address.count(clock())
    del address
    gc.collect()
    assert gone() is address_of(URL)
    later = clock() + 61
    monkeypatch.setattr(_address, "clock", lambda: later)
    address_of("https://other.example")
    gc.collect()
    assert gone() is None


def test_an_address_is_kept_until_its_wait_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    address, now = address_of(URL), clock()
    gone = weakref.ref(address)
    address.count(now)
    address.rate_limit_wait.refused(Banned(418, retry_after=600.0), now, now)
    del address
    for after, kept in ((61, True), (590, True), (616, False)):
        monkeypatch.setattr(_address, "clock", lambda after=after: now + after)
        address_of("https://other.example")
        gc.collect()
        assert (gone() is not None) is kept


def test_an_answer_tells_the_weight() -> None:
    address = Address()
    assert address.used_weight is None
    address.learn(address.count(0.0), 1234, 0.0)
    assert address.used_weight == 1234


def test_after_a_wait_one_request_asks_whether_it_was_long_enough() -> None:
    address = Address()
    leases = [Lease(3600.0, 10.0, address.rate_limit_wait) for _ in range(3)]

    def turns(now: float) -> list[bool]:
        return [address.turn(lease, lambda: None, now) == 0.0 for lease in leases]

    leases[0].send(0.0)
    address.rate_limit_wait.refused(Banned(418, retry_after=10.0), 0.0, 1.0)
    over = address.rate_limit_wait.until
    assert turns(over - 0.1) == [False, False, False]
    assert turns(over) == [True, False, False]
    leases[0].renewed(over, None)  # the request had been sent before the ban
    address.done(leases[0], over)
    assert turns(over) == [False, True, False]
    leases[1].send(over)
    leases[1].renewed(over + 1, None)
    address.done(leases[1], over + 1)
    assert turns(over + 1) == [True, True, True]


def test_a_ban_holds_for_both_twins_of_all_clients(sandbox: Sandbox) -> None:
    async def enter() -> None:
        async with AsyncListenKeyClient("other", base_url=sandbox.url) as client, AsyncListenKeyKeeper(client):
            pass

    with ListenKeyClient(API_KEY, base_url=sandbox.url) as client:
        sandbox.faults.add("status", status=418, headers={"Retry-After": "600"})
        with pytest.raises(Banned), ListenKeyKeeper(client):
            pass
    with pytest.raises(Banned) as raised:
        asyncio.run(enter())
    assert 500 < (raised.value.retry_after or 0) < 616
    assert len(sandbox.requests) == 1, "the ban outlives its client"


FORKER = """
import os, sys
from listenkey import *
from listenkey._limits.shared import address_of
client = ListenKeyClient("k", base_url=sys.argv[1], key_life=20.0)
with ListenKeyKeeper(client) as keeper:
    try:
        keeper.renew_now()
    except Banned:
        pass
    address = address_of(sys.argv[1])
    address._give.__self__._token.clear()  # as if another thread were at work
    if child := os.fork():
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    try:
        with ListenKeyClient("k", base_url=sys.argv[1]) as anew, ListenKeyKeeper(anew):
            pass
    except Banned as error:
        os._exit(7 if 500 < error.retry_after < 620 else 8)
"""


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="there, fork with threads warns by itself")
def test_a_fork_copies_the_wait_and_waits_for_no_thread_of_the_parents() -> None:
    with Sandbox(life=60.0) as sandbox:
        sandbox.faults.add("status", body={"listenKey": "k"})
        sandbox.faults.add("status", status=418, headers={"Retry-After": "600"})
        command = [sys.executable, "-W", "error", "-c", FORKER, sandbox.url]
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert (run.returncode, run.stderr[:19]) == (7, "listen key at risk:")


# Nobody waits: finalizers, signal handlers, interrupts.


def test_an_order_that_comes_meanwhile_is_carried_out_later_and_nobody_waits() -> None:
    orders, done = Orders(), list[str]()

    def first() -> None:
        orders.give(lambda: done.append("a finalizer's"))
        other = threading.Thread(target=orders.give, args=[lambda: done.append("another thread's")])
        other.start()
        other.join()  # as a finalizer may, or wait for a lock that the other thread holds
        done.append("first")

    orders.give(first)
    assert done == ["first", "a finalizer's", "another thread's"]


def test_orders_of_many_threads_are_carried_out_once_each_and_one_at_a_time() -> None:
    orders, done, at_work = Orders(), list[int](), list[None]()

    def order(number: int) -> None:
        at_work.append(None)
        done.append(number * len(at_work))
        at_work.pop()

    def give(first: int) -> None:
        for number in range(first, first + 2000):
            orders.give(partial(order, number))

    threads = [threading.Thread(target=give, args=[first]) for first in range(1, 16000, 2000)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns as often as can be
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert sorted(done) == list(range(1, 16001))


INTERRUPTED = """
import signal
from random import Random
from listenkey._limits.shared import Orders

orders, done, interrupts, chance = Orders(), [], [], Random(1)

def interrupt(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
for _ in range(5000):
    try:
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(2e-6, 6e-5))
        while True:
            orders.give(lambda: None)
    except KeyboardInterrupt as error:
        interrupts.append(error)  # kept, as a debugger keeps an error, with all frames
    orders.give(lambda: done.append(1))
    assert len(done) == len(interrupts)
print(len(done))
"""


def test_an_interrupt_at_any_place_holds_up_nobody() -> None:
    # Without coverage, whose own lock an interrupt may leave taken.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    command = [sys.executable, "-c", INTERRUPTED]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("5000\n", "")


def test_who_comes_while_an_address_is_made_gets_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    inner, signals = list[Address](), iter(range(3))

    class Interrupted(WeakValueDictionary[Any, Any]):
        def get(self, key: Any, default: Any = None) -> Any:
            found = super().get(key)
            if next(signals, None) is not None:  # a signal comes here
                inner.append(address_of(URL))
            return found

    monkeypatch.setattr(_address, "addresses", Interrupted())
    assert {address_of(URL)} == set(inner) == {address_of(URL)}
    assert not _address.making


def test_a_finalizer_may_make_and_close_clients_while_its_thread_does() -> None:
    class Bot:
        def __init__(self, number: int) -> None:
            self.client = ListenKeyClient(API_KEY, base_url=f"http://127.0.0.1:{9 + number % 3}")
            self.me = self  # a cycle, as any callback makes

        def __del__(self) -> None:
            with ListenKeyClient(API_KEY, base_url="http://127.0.0.1:9"):
                self.client.close()

    def come_and_go() -> None:
        chance = Random(1)
        for number in range(2000):
            gc.set_threshold(chance.randrange(1, 700), 100_000, 100_000)  # a collection may start anywhere
            Bot(number)

    threshold = gc.get_threshold()
    thread = threading.Thread(target=come_and_go, daemon=True)
    try:
        thread.start()
        thread.join(50)
    finally:
        gc.set_threshold(*threshold)
    assert not thread.is_alive(), "the thread waits for itself"


def test_a_signal_handler_may_make_and_close_clients_while_its_thread_does() -> None:
    calls = []

    def handle(*_: object) -> None:
        with ListenKeyClient("of-the-handler", base_url="http://127.0.0.1:9") as client:
            calls.append(inside(client).address)

    before = signal.signal(signal.SIGALRM, handle)
    watch = threading.Timer(40, os._exit, (70,))  # the main thread would wait for ever
    watch.start()
    try:
        with ListenKeyClient("k", base_url="http://127.0.0.1:9") as kept:
            for round_ in range(3000):
                signal.setitimer(signal.ITIMER_REAL, 1e-5 + round_ % 50 * 1e-5)
                with ListenKeyClient("k", base_url="http://127.0.0.1:9"):
                    pass
            assert set(calls) == {inside(kept).address}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        watch.cancel()
    assert len(calls) > 100


def test_calls_without_a_keeper_are_remembered_for_a_minute() -> None:
    address = Address()
    for number in range(100_000):
        address.count(10.0 * number)
        assert calls_in(turns_of(address)) <= 6
    for _ in range(10_000):
        address.count(1e6)
    assert calls_in(turns_of(address)) <= 2400, "no more can matter"


# Entering waits for a turn.


def full(client: ListenKeyClient | AsyncListenKeyClient, minute: float) -> None:
    """Let the client's address have used up its weight now."""
    address = Address(minute)
    give_address(client, address)
    for _ in range(2400):
        address.count(clock())


def test_entering_waits_for_a_turn_and_says_so(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "listenkey")
    with ListenKeyClient(API_KEY, base_url=sandbox.url) as client:
        began = time.monotonic()
        full(client, 2.0)
        with ListenKeyKeeper(client) as keeper:
            assert time.monotonic() - began >= 2.0
            assert keeper.key.value
    assert [vars(record)["listenkey_event"] for record in caplog.records] == ["waiting", "started"]
    assert caplog.messages[0] == "1 keepers of this address wait for their turn to send"


def test_many_async_keepers_wait_for_their_turns_in_one_loop(sandbox: Sandbox) -> None:
    async def keep(client: AsyncListenKeyClient) -> None:
        async with AsyncListenKeyKeeper(client):
            pass

    async def main() -> None:
        clients = [AsyncListenKeyClient(f"key-{number}", base_url=sandbox.url) for number in range(300)]
        full(clients[0], 2.0)
        for client in clients:
            give_address(client, inside(clients[0]).address)
        before = threading.active_count()
        keeping = [asyncio.create_task(keep(client)) for client in clients]
        await asyncio.sleep(0.1)
        assert threading.active_count() == before, "no thread an account"
        assert sandbox.requests == []
        await asyncio.gather(*keeping)
        for client in clients:
            await client.aclose()

    asyncio.run(main())
    assert len(sandbox.requests) == 300


def test_a_ban_ends_the_wait_for_a_first_turn(sandbox: Sandbox) -> None:
    with ListenKeyClient(API_KEY, base_url=sandbox.url, key_life=60.0) as client:
        full(client, 3600.0)
        wait = inside(client).address.rate_limit_wait
        refuse = threading.Timer(0.2, lambda: wait.refused(Banned(418, retry_after=600.0), clock(), clock()))
        refuse.start()
        keeper = ListenKeyKeeper(client)
        with pytest.raises(Banned), keeper:
            pass
        refuse.join()
        assert not waiting_in(turns_of(inside(client).address))
    assert len(sandbox.requests) == 0


def test_waiting_for_a_turn_can_be_cancelled(sandbox: Sandbox) -> None:
    async def main() -> None:
        async with AsyncListenKeyClient(API_KEY, base_url=sandbox.url) as client:
            full(client, 3600.0)
            entering = asyncio.create_task(AsyncListenKeyKeeper(client).__aenter__())
            await asyncio.sleep(0.05)
            assert waiting_in(turns_of(inside(client).address)) == 1
            entering.cancel()
            with pytest.raises(asyncio.CancelledError):
                await entering
            assert not waiting_in(turns_of(inside(client).address))

    asyncio.run(main())
    with ListenKeyClient(API_KEY, base_url=sandbox.url) as client:
        full(client, 3600.0)
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt), ListenKeyKeeper(client):
            pass
        assert not waiting_in(turns_of(inside(client).address))
    assert len(sandbox.requests) == 0


def test_a_keeper_whose_loop_is_gone_holds_up_nobody(sandbox: Sandbox) -> None:
    loop = asyncio.new_event_loop()
    gone: list[asyncio.Task[AsyncListenKeyKeeper]] = []

    async def begin() -> AsyncListenKeyClient:
        client = AsyncListenKeyClient(API_KEY, base_url=sandbox.url)
        full(client, 2.0)
        gone.append(asyncio.create_task(AsyncListenKeyKeeper(client).__aenter__()))
        await asyncio.sleep(0.05)
        return client

    address = inside(loop.run_until_complete(begin())).address
    loop.close()
    with ListenKeyClient(API_KEY, base_url=sandbox.url, key_life=4.0) as client:
        give_address(client, address)
        with ListenKeyKeeper(client) as keeper:
            assert keeper.key.value
    with contextlib.suppress(BaseException):
        gone.pop().get_coro().close()


# What clients tell their address.


def test_calls_of_users_and_keepers_are_counted_and_their_answers_tell_the_weight(sandbox: Sandbox) -> None:
    async def twin() -> int | None:
        async with AsyncListenKeyClient("other", base_url=sandbox.url) as client:
            await client.start()
            async with AsyncListenKeyKeeper(client):
                return client.used_weight

    with ListenKeyClient(API_KEY, base_url=sandbox.url) as client:
        assert client.used_weight is None
        client.start()
        with ListenKeyKeeper(client):
            assert client.used_weight == 2
        assert asyncio.run(twin()) == 4
        assert client.used_weight == 4, "the address's, whoever made the last call"
        turns = turns_of(inside(client).address)
        assert turns.used(clock()) == 4
        sandbox.faults.add("status", status=503, times=2, headers={"X-MBX-USED-WEIGHT-1M": "2000"})
        client.start()
        assert turns_of(inside(client).address).used(clock()) == 7, (
            "each attempt is counted, and the newest answer counts"
        )


def test_a_ban_that_a_users_call_met_holds_for_keepers(sandbox: Sandbox) -> None:
    async def twin() -> None:
        async with AsyncListenKeyClient("other", base_url=sandbox.url) as client:
            with pytest.raises(RateLimited):
                await client.keepalive()
            with pytest.raises(Banned):
                await AsyncListenKeyKeeper(client).__aenter__()

    with ListenKeyClient(API_KEY, base_url=sandbox.url) as client:
        sandbox.faults.add("status", status=418, headers={"Retry-After": "600"})
        with pytest.raises(Banned):
            client.start()
        with pytest.raises(Banned), ListenKeyKeeper(client):
            pass
        assert len(sandbox.requests) == 1
        sandbox.faults.add("status", status=429)
        asyncio.run(twin())
    assert len(sandbox.requests) == 2, "a user's own call is sent, even during the wait"
