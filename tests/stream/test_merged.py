"""Many accounts, one flow: each item with the name of its account; a slow or failed account delays no other."""

import asyncio
import base64
import contextlib
import hashlib
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import pytest

from listenkey import (
    AsyncListenKeyClient,
    ConfigurationError,
    ListenKeyClient,
    ListenKeyError,
    TransportError,
    Unauthorized,
)
from listenkey._lock import lock
from listenkey.sandbox import Sandbox
from listenkey.stream import (
    BUFFER,
    AsyncMergedStreams,
    AsyncUserDataStream,
    Gap,
    Item,
    MergedStreams,
    RiskLevelChange,
    UserDataStream,
    _merged,
    merged,
)
from listenkey.stream._merged import WAITING
from tests.conftest import API_KEY

ACCOUNTS = {"key-of-a": "a", "key-of-b": "b", "key-of-c": "c"}
Told = tuple[str, Item | ListenKeyError]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(accounts=ACCOUNTS) as sandbox:
        yield sandbox


class Flow:
    """The flow of either twin. `take()` gives the next item, and `leave()` leaves the block."""

    def __init__(self, twin: str, urls: dict[str, tuple[str, str]]) -> None:
        self._stack = contextlib.ExitStack()
        self._runner = self._stack.enter_context(asyncio.Runner())
        self.ended = False
        if twin == "sync":
            clients = {
                name: self._stack.enter_context(ListenKeyClient(key, base_url=url)) for name, (key, url) in urls.items()
            }
            streams = merged({name: UserDataStream(client) for name, client in clients.items()})
            assert isinstance(streams, MergedStreams)
            self.streams: Any = streams
            self._stack.enter_context(streams)
            self.take: Callable[[], Told] = lambda: next(streams)
            return
        apart = {name: AsyncListenKeyClient(key, base_url=url) for name, (key, url) in urls.items()}

        async def enter() -> AsyncMergedStreams:
            found = merged({name: AsyncUserDataStream(client) for name, client in apart.items()})
            return await found.__aenter__()

        several = self._runner.run(enter())
        for client in apart.values():
            self._stack.callback(self._close, client)
        self.streams = several
        self._stack.callback(lambda: self._runner.run(self._leave(several)))
        self.take = lambda: self._runner.run(self._next(several))

    async def _next(self, streams: AsyncIterator[Told]) -> Told:
        return await anext(streams)

    async def _leave(self, streams: AsyncMergedStreams) -> None:
        await streams.__aexit__()
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1

    def _close(self, client: AsyncListenKeyClient) -> None:
        self._runner.run(client.aclose())

    def leave(self) -> None:
        self._stack.close()

    def events(self, count: int) -> list[tuple[str, int]]:
        """Take events up to a count; pass over Gaps."""
        found: list[tuple[str, int]] = []
        while len(found) < count:
            name, item = self.take()
            if isinstance(item, RiskLevelChange):
                found.append((name, item.raw["E"]))
        return found


@pytest.fixture(params=["sync", "async"])
def flow(request: pytest.FixtureRequest) -> Iterator[Callable[[dict[str, tuple[str, str]]], Flow]]:
    flows: list[Flow] = []

    def make(urls: dict[str, tuple[str, str]]) -> Flow:
        flows.append(Flow(request.param, urls))
        return flows[-1]

    yield make
    for each in flows:
        each.leave()
    for thread in threading.enumerate():  # of an account whose server hung: it ends with its call
        if thread.name == "listenkey-merged":
            thread.join(30)
    assert [thread.name for thread in threading.enumerate() if thread.name == "listenkey-merged"] == []


def event(number: int) -> dict[str, object]:
    return {"e": "RISK_LEVEL_CHANGE", "E": number, "mb": "1", "mm": "1"}


def all_of(sandbox: Sandbox, *names: str) -> dict[str, tuple[str, str]]:
    return {name: (f"key-of-{name}", sandbox.url) for name in names}


def begun(flow: Flow, *names: str) -> None:
    """Take the first item of each account."""
    waiting = set(names)
    while waiting:
        name, item = flow.take()
        assert isinstance(item, Gap)
        waiting.remove(name)


def test_every_item_comes_with_the_name_of_its_account(
    flow: Callable[[dict[str, tuple[str, str]]], Flow], sandbox: Sandbox
) -> None:
    flowing = flow(all_of(sandbox, "a", "b", "c"))
    begun(flowing, "a", "b", "c")
    for number in range(100):
        for name in "abc":
            assert sandbox.emit(event(number), name) == 1
    taken = flowing.events(300)
    assert {name: [number for each, number in taken if each == name] for name in "abc"} == {
        name: list(range(100)) for name in "abc"
    }


def test_a_busy_account_delays_no_other(flow: Callable[[dict[str, tuple[str, str]]], Flow], sandbox: Sandbox) -> None:
    flowing = flow(all_of(sandbox, "a", "b"))
    begun(flowing, "a", "b")
    for number in range(1000):
        sandbox.emit(event(number), "a")
    flowing.events(1)
    sandbox.emit(event(7), "b")
    time.sleep(0.5)  # until it waits in its stream, at the latest
    assert ("b", 7) in flowing.events(50)


def burst(count: int, again: threading.Event | None = None) -> Callable[[socket.socket], None]:
    """Make a server's script that sends so many events in one write; and the same once more, when `again` is set."""
    texts = [b'{"e":"RISK_LEVEL_CHANGE","E":%d,"mb":"1","mm":"1"}' % number for number in range(count)]
    events = b"".join(bytes([0x81, len(text)]) + text for text in texts)  # frames

    def script(connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(4096)
        (key,) = re.findall(rb"(?i)sec-websocket-key: *(\S+)", head)
        digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()  # RFC 6455
        accept = f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}"
        answer = f"HTTP/1.1 101 -\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{accept}\r\n\r\n"
        connection.sendall(answer.encode() + events)
        if again is not None and again.wait(60):
            connection.sendall(events)
        while connection.recv(4096):
            pass

    return script


@pytest.mark.parametrize("twin", ["sync", "async"])
@pytest.mark.parametrize(
    ("accounts", "count", "size"), [(3, 2_000, 300), pytest.param(5, 30_000, BUFFER, marks=pytest.mark.long)]
)
def test_events_in_one_write_reach_a_program_that_only_reads(
    twin: str, accounts: int, count: int, size: int, scripted: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listenkey.stream._streams.BUFFER", size)
    urls = {name: scripted(burst(count), reads_head=False).replace("http", "ws") for name in "abcde"[:accounts]}
    told: dict[str, list[Item | ListenKeyError]] = {name: [] for name in urls}
    left, most = accounts * count, 0

    def take(streams: Mapping[str, Any], name: str, item: Item | ListenKeyError) -> bool:
        nonlocal left, most
        told[name].append(item)
        left -= item.dropped if isinstance(item, Gap) else 1
        most = max(most, streams[name].status().waiting)
        return bool(left)

    with contextlib.ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox(accounts={f"key-of-{name}": name for name in urls}))
        if twin == "sync":
            clients = {
                name: stack.enter_context(ListenKeyClient(f"key-of-{name}", base_url=sandbox.url)) for name in urls
            }
            streams = {name: UserDataStream(client, stream_url=urls[name]) for name, client in clients.items()}
            items = stack.enter_context(merged(streams))
            while take(streams, *next(items)):
                pass
        else:

            async def follow() -> None:
                clients = {name: AsyncListenKeyClient(f"key-of-{name}", base_url=sandbox.url) for name in urls}
                streams = {name: AsyncUserDataStream(each, stream_url=urls[name]) for name, each in clients.items()}
                async with merged(streams) as items:
                    while take(streams, *await anext(items)):
                        pass
                for client in clients.values():
                    await client.aclose()

            asyncio.run(follow())
    for each in told.values():
        assert [item.raw["E"] for item in each if isinstance(item, RiskLevelChange)] == list(range(count))
        assert [item.reason for item in each if isinstance(item, Gap)] == ["started"]
    assert most <= size


def test_after_a_slow_time_the_connection_waits_again(
    scripted: Callable[..., str], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listenkey.stream._streams.BUFFER", 300)
    again, count = threading.Event(), 1000
    url = scripted(burst(count, again), reads_head=False).replace("http", "ws")

    def gaps() -> list[str]:
        found, left = list[str](), count
        while left:
            item = next(stream)
            left -= item.dropped if isinstance(item, Gap) else 1
            found += [item.reason] if isinstance(item, Gap) else []
        return found

    with ListenKeyClient("key-of-a", base_url=sandbox.url) as client, UserDataStream(client, stream_url=url) as stream:
        while stream.status().waiting < 300:  # the program takes nothing, so the connection is read on
            time.sleep(0.01)
        assert set(gaps()) == {"started", "overflow"}
        again.set()
        assert gaps() == []


def test_an_account_that_is_refused_tells_its_error_and_the_others_go_on(
    flow: Callable[[dict[str, tuple[str, str]]], Flow], sandbox: Sandbox
) -> None:
    flowing = flow({**all_of(sandbox, "a"), "stranger": ("key-of-a-stranger", sandbox.url)})
    first = dict(flowing.take() for _ in range(2))
    assert isinstance(first["stranger"], Unauthorized)
    assert isinstance(first["a"], Gap)
    sandbox.emit(event(1))
    assert flowing.events(1) == [("a", 1)]


def test_the_flow_ends_when_no_account_goes_on(
    flow: Callable[[dict[str, tuple[str, str]]], Flow], sandbox: Sandbox
) -> None:
    flowing = flow({name: (f"key-of-{name}", sandbox.url) for name in ("stranger", "thief")})
    assert {flowing.take()[0], flowing.take()[0]} == {"stranger", "thief"}
    with pytest.raises((StopIteration, StopAsyncIteration)):
        flowing.take()


@pytest.mark.long
def test_an_account_that_is_slow_to_start_delays_neither_the_others_nor_the_end(
    flow: Callable[[dict[str, tuple[str, str]]], Flow], sandbox: Sandbox
) -> None:
    with Sandbox() as slow:
        slow.faults.add("silent", times=None)
        flowing = flow({**all_of(sandbox, "a"), "slow": (API_KEY, slow.url)})
        begun(flowing, "a")
        sandbox.emit(event(1))
        assert flowing.events(1) == [("a", 1)]
        flowing.leave()


def test_the_block_is_entered_once(sandbox: Sandbox) -> None:
    with ListenKeyClient("key-of-a", base_url=sandbox.url) as client:
        with merged({"a": UserDataStream(client)}) as items:
            assert next(items)[0] == "a"
            assert repr(items) == "<MergedStreams of 1 accounts>"
        with pytest.raises(StopIteration):
            next(items)
        with pytest.raises(ConfigurationError, match="merged before"):
            items.__enter__()


async def entered_once(sandbox: Sandbox) -> None:
    async with AsyncListenKeyClient("key-of-a", base_url=sandbox.url) as client:
        async with merged({"a": AsyncUserDataStream(client)}) as items:
            assert (await anext(items))[0] == "a"
            assert repr(items) == "<AsyncMergedStreams of 1 accounts>"
        with pytest.raises(StopAsyncIteration):
            await anext(items)
        with pytest.raises(ConfigurationError, match="merged before"):
            await items.__aenter__()


def test_the_async_block_is_entered_once(sandbox: Sandbox) -> None:
    asyncio.run(entered_once(sandbox))


def test_streams_of_two_kinds_are_no_flow(sandbox: Sandbox) -> None:
    streams: Any = {
        "a": UserDataStream(ListenKeyClient("key-of-a", base_url=sandbox.url)),
        "b": AsyncUserDataStream(AsyncListenKeyClient("key-of-b", base_url=sandbox.url)),
    }
    refused: list[Any] = [streams, {}, {"a": 1}]
    for given in refused:
        with pytest.raises(ConfigurationError, match=r"^merged\(\) needs one stream or more"):
            merged(given)


def test_an_interrupt_loses_no_item(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    with ListenKeyClient("key-of-a", base_url=sandbox.url) as client, merged({"a": UserDataStream(client)}) as items:
        next(items)
        sandbox.emit(event(1))
        taking = items._moved_to

        def interrupted(hand: Any) -> bool:
            if taking(hand):
                raise KeyboardInterrupt
            return False

        with monkeypatch.context() as patched:
            patched.setattr(items, "_moved_to", interrupted)
            with pytest.raises(KeyboardInterrupt):
                next(items)
        _, item = next(items)
    assert isinstance(item, RiskLevelChange)


class Broken(UserDataStream):
    def next_within(self, seconds: float) -> Item | None:
        raise ZeroDivisionError


class BrokenApart(AsyncUserDataStream):
    async def __anext__(self) -> Item:
        raise ZeroDivisionError


class Interrupted(UserDataStream):
    """Ctrl-C comes while the block is left."""

    def _leave(self) -> None:
        super()._leave()
        raise KeyboardInterrupt


def test_an_interrupt_while_the_block_is_left_leaves_no_thread(sandbox: Sandbox) -> None:
    with ListenKeyClient("key-of-a", base_url=sandbox.url) as client:
        stream = Interrupted(client)
        items = merged({"a": stream})
        items.__enter__()
        assert isinstance(next(items)[1], Gap)
        for number in range(2 * WAITING):  # nobody reads: the thread waits for room
            sandbox.emit({"e": "RISK_LEVEL_CHANGE", "E": number, "mb": "1", "mm": "1"})
        while stream.status().waiting != WAITING - 1:  # the thread has one in its hand
            time.sleep(0.01)
        with pytest.raises(KeyboardInterrupt):
            items.__exit__()
    for thread in [each for each in threading.enumerate() if each.name == "listenkey-merged"]:
        thread.join(30)
        assert not thread.is_alive()


def test_a_bug_reaches_the_program(sandbox: Sandbox) -> None:
    with (
        ListenKeyClient("key-of-a", base_url=sandbox.url) as client,
        merged({"a": Broken(client)}) as items,
        pytest.raises(ZeroDivisionError),
    ):
        next(items)

    async def main() -> None:
        async with (
            AsyncListenKeyClient("key-of-a", base_url=sandbox.url) as client,
            merged({"a": BrokenApart(client)}) as items,
        ):
            with pytest.raises(ZeroDivisionError):
                await anext(items)

    asyncio.run(main())


def test_without_a_thread_nothing_is_left(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = threading.Thread.start, list[str]()

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "listenkey-merged":
            if started:
                raise RuntimeError("can't start new thread")
            started.append(thread.name)
        start(thread)

    with ListenKeyClient("key-of-a", base_url=sandbox.url) as client:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(TransportError, match=r"^No thread is left for another account\.$"):
            merged({"a": UserDataStream(client), "b": UserDataStream(client)}).__enter__()
    assert [thread.name for thread in threading.enumerate() if thread.name == "listenkey-merged"] == []


def test_a_finalizer_that_leaves_in_the_middle_of_a_keeper_does_not_wait(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_merged, "LEAVING", 600.0)  # to wait so long is to fail
    with ListenKeyClient("key-of-a", base_url=sandbox.url) as client:
        items = merged({"a": UserDataStream(client)})
        with items:
            assert next(items)[0] == "a"
            with lock:  # as in the middle of a keeper's work
                items.__exit__()
