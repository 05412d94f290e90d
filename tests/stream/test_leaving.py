"""Leaving and ending: what is left after an interruption at any place, and that nothing waits for ever.

A table of places where an await, a lock or a thread may be interrupted: by a cancellation, Ctrl-C, a signal handler, a
finalizer, the end of Python, a fork. After each: no task, no thread, no socket and no descriptor of ours is left.
"""

import asyncio
import contextlib
import gc
import json
import logging
import os
import random
import socket
import subprocess
import sys
import threading
import time
import types
import warnings
from collections.abc import Callable, Coroutine, Generator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

import listenkey
from listenkey import AsyncListenKeyClient, AsyncListenKeyKeeper, ListenKeyClient, ListenKeyKeeper
from listenkey._lock import lock
from listenkey.sandbox import Sandbox
from listenkey.stream import AsyncUserDataStream, StreamStatus, UserDataStream
from tests.conftest import API_KEY
from tests.inside import connections_at, link_of, served_by, sockets_of
from tests.stream.test_stream import PACE, event, name

ROUNDS = int(os.environ.get("LEAVING_ROUNDS", "1"))  # more by hand: LEAVING_ROUNDS=20 meets every place
SOON = 20.0  # seconds, for what happens at once on an idle machine
DESCRIPTORS = "/proc/self/fd"


@pytest.fixture
def sandbox(listenkey_sandbox: Sandbox) -> Sandbox:
    return listenkey_sandbox


def until(ready: Callable[[], object], what: Callable[[], str]) -> None:
    """Wait for what happens soon. A failure names what does not."""
    ends_at = time.monotonic() + SOON
    while not ready():
        assert time.monotonic() < ends_at, what()
        time.sleep(0.005)


def descriptors() -> list[str]:
    """Name what this process has open."""
    found = []
    for each in os.listdir(DESCRIPTORS) if os.path.isdir(DESCRIPTORS) else []:  # noqa: PTH208, PTH112  by number
        with contextlib.suppress(OSError):
            found.append(f"{each}: {os.readlink(f'{DESCRIPTORS}/{each}')}")  # noqa: PTH115
    return sorted(found)


# Cancellation.


@types.coroutine
def counted(coroutine: Coroutine[Any, Any, None], suspended: Callable[[], None]) -> Generator[Any, Any, None]:
    """Run a coroutine, and tell each time that an await of it has to wait."""
    step: Callable[[], Any] = lambda: coroutine.send(None)  # noqa: E731
    while True:
        try:
            waits_for = step()
        except StopIteration:
            return
        suspended()
        try:
            result = yield waits_for
        except BaseException as error:  # noqa: BLE001  on to the coroutine
            step = lambda error=error: coroutine.throw(error)  # type: ignore[misc]  # noqa: E731
        else:
            step = lambda result=result: coroutine.send(result)  # type: ignore[misc]  # noqa: E731


async def run_and_cancel(program: Coroutine[Any, Any, None], at: int, way: str) -> bool:
    """Run a program, and cancel the wait of that number, and those after it. False: the program has fewer waits."""
    waits = 0
    loop = asyncio.get_running_loop()

    def suspended() -> None:
        nonlocal waits
        waits += 1
        if waits == at or (waits > at and way == "until done"):
            loop.call_soon(scope.cancel if way == "anyio" else task.cancel)

    async def whole() -> None:
        with scope:
            await counted(program, suspended)

    scope = anyio.CancelScope()
    task = asyncio.create_task(whole(), name="program")
    done, _ = await asyncio.wait([task], timeout=SOON)
    assert done, f"cancelled at wait {at} ({way}), the program does not end"
    with contextlib.suppress(asyncio.CancelledError):
        task.result()
    return waits >= at


def ours() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("listenkey")]


async def async_until(ready: Callable[[], object], what: Callable[[], str]) -> None:
    ends_at = time.monotonic() + SOON
    while not ready():
        assert time.monotonic() < ends_at, what()
        await asyncio.sleep(0)


async def nothing_is_left(sandbox: Sandbox, before: int, where: str) -> None:
    await async_until(lambda: not ours(), lambda: f"{where}: tasks are left: {ours()}")
    await async_until(lambda: not connections_at(sandbox), lambda: f"{where}: {connections_at(sandbox)} are open")
    await async_until(lambda: len(descriptors()) <= before, lambda: f"{where}: descriptors are left: {descriptors()}")


async def calls(client: AsyncListenKeyClient) -> None:
    await client.start()
    await client.keepalive()


async def keeps(client: AsyncListenKeyClient) -> None:
    async with AsyncListenKeyKeeper(client) as keeper:
        await keeper.renew_now()


async def keeps_and_deletes(client: AsyncListenKeyClient) -> None:
    async with AsyncListenKeyKeeper(client, delete_on_exit=True) as keeper:
        async for _ in keeper.changes():
            break


async def streams(client: AsyncListenKeyClient) -> None:
    async with AsyncUserDataStream(client, _pace=PACE) as stream:
        await anext(stream)


async def streams_over_a_keeper(client: AsyncListenKeyClient) -> None:
    async with (
        AsyncListenKeyKeeper(client, delete_on_exit=True) as keeper,
        AsyncUserDataStream(keeper, _pace=PACE) as stream,
    ):
        await anext(stream)
        await stream.next_within(0.01)


Program = Callable[[AsyncListenKeyClient], Coroutine[Any, Any, None]]
WAYS = ["once", "until done", "anyio"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("use", [calls, keeps, keeps_and_deletes, streams, streams_over_a_keeper])
def test_cancelled_at_each_await_nothing_is_left(sandbox: Sandbox, use: Program, way: str) -> None:
    async def program() -> None:
        async with AsyncListenKeyClient(API_KEY, base_url=sandbox.url, key_life=9.0) as client:
            await use(client)

    async def check() -> int:
        await program()  # loads what is loaded once
        before = len(descriptors())
        at = 1
        while await run_and_cancel(program(), at, way):
            await nothing_is_left(sandbox, before, f"cancelled at wait {at} ({way})")
            at += 1
        return at

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        waits = asyncio.run(check())
        gc.collect()
    assert waits > 3
    print(waits)
    assert [str(each.message) for each in warned] == []


# Leaving in each state of a stream.


@contextlib.contextmanager
def deaf(*, accepts: bool) -> Iterator[tuple[str, Callable[[], bool]]]:
    """Give the address of a stream where nothing is answered: no handshake, or not even a connection.

    Returns how to ask whether somebody has connected, too.
    """
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=100 if accepts else 0))
        port = listener.getsockname()[1]
        for _ in range(0 if accepts else 4):  # the queue is full: further connections get no answer
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        listener.setblocking(False)
        accepted: list[socket.socket] = []

        def has_connected() -> bool:
            with contextlib.suppress(BlockingIOError):
                accepted.append(stack.enter_context(listener.accept()[0]))
            return bool(accepted)

        yield f"ws://127.0.0.1:{port}/private", has_connected


@contextlib.contextmanager
def way_to(state: str, sandbox: Sandbox) -> Iterator[tuple[str, Callable[[Any], bool]]]:
    """Give the stream's address for a state, and a function that leads a stream to the state, step by step."""
    done: list[None] = []

    def once(what: Callable[[], object], then: str = "") -> None:
        if not done:
            done.append(None)
            what()
            if then:
                sandbox.stream.fault(then)

    def lead(stream: Any) -> bool:
        status: StreamStatus = stream.status()
        if state == "connecting":
            return len(served_by(stream)) == 1 and not sandbox.stream.connections
        if state == "without an answer":
            return has_connected()
        if not done and (status.state != "connected" or not status.key_proven or not status.waiting):
            return False
        if state == "connected":
            return True
        if state == "unproven":
            once(lambda: sandbox.faults.add("status", status=503, times=None), "stream-drop")
            return status.state == "connected" and not status.key_proven
        if state == "lost":
            once(lambda: sandbox.faults.add("stream-refuse", times=None), "stream-drop")
            return status.state == "connecting"
        if state == "draining":
            once(lambda: sandbox.stream.fault("stream-frame", text=json.dumps({"e": "serverShutdown", "E": 1})))
            sandbox.stream.fault("stream-half-open", only=1)
            return sockets_of(link_of(stream)).old is not None
        assert state == "ended"
        once(lambda: sandbox.faults.add("status", status=503, times=None))
        return status.state == "ended"

    with contextlib.ExitStack() as stack:
        url = sandbox.stream_url
        if state in ("connecting", "without an answer"):
            url, has_connected = stack.enter_context(deaf(accepts=state != "connecting"))
        yield url, lead
        sandbox.faults.clear()


STATES = ["connecting", "without an answer", "connected", "unproven", "lost", "draining", "ended"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("state", STATES)
def test_leaving_that_is_cancelled_leaves_nothing(sandbox: Sandbox, state: str, way: str) -> None:
    async def round_(at: int, *, own: bool) -> bool:
        with way_to(state, sandbox) as (url, lead):
            stack = contextlib.AsyncExitStack()
            life = 1.5 if state == "ended" and not own else 3600.0
            made_client = AsyncListenKeyClient(API_KEY, base_url=sandbox.url, key_life=life)
            client = await stack.enter_async_context(made_client)
            source: Any = client
            if not own:
                keeper = AsyncListenKeyKeeper(client, delete_on_exit=True)
                source = await stack.enter_async_context(keeper)
            made = AsyncUserDataStream(source, stream_url=url, _pace=PACE)
            stream = await stack.enter_async_context(made)
            ends_at = time.monotonic() + SOON
            while not lead(stream):
                assert time.monotonic() < ends_at, f"the stream does not become {state}: {stream.status()}"
                await asyncio.sleep(0.002)
            return await run_and_cancel(stack.aclose(), at, way)

    async def check() -> None:
        for own in {"ended": [False], "unproven": [True]}.get(state, [True, False]):
            before = len(descriptors())
            at = 1
            more = True
            while more:
                more = await round_(at, own=own)
                await nothing_is_left(sandbox, before, f"left when {state}, cancelled at wait {at} ({way})")
                at += 1

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        asyncio.run(check())
        gc.collect()
    assert [str(each.message) for each in warned] == []


@pytest.mark.parametrize("how", ["here", "in another thread"])
@pytest.mark.parametrize("state", STATES)
def test_leaving_without_await(sandbox: Sandbox, state: str, how: str, caplog: pytest.LogCaptureFixture) -> None:
    life = 1.5 if state == "ended" else 3600.0
    with way_to(state, sandbox) as (url, lead), ListenKeyClient(API_KEY, base_url=sandbox.url, key_life=life) as client:
        client.start()
        before = len(descriptors())
        keeper = ListenKeyKeeper(client)
        with keeper, UserDataStream(keeper, stream_url=url, _pace=PACE) as stream:
            until(lambda: lead(stream), lambda: f"the stream does not become {state}: {stream.status()}")
            sandbox.faults.clear()
            if how != "here":
                leaver = threading.Thread(target=stream.__exit__)
                leaver.start()
                leaver.join(SOON)
                assert not leaver.is_alive()
        assert stream.status().state == "ended"
        client.close()
        nothing_is_left_of_threads(sandbox, before, state)
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


# What is left twice, or was not entered.


def test_a_second_leaving_deletes_no_key_of_another_program(sandbox: Sandbox) -> None:
    with ListenKeyClient(API_KEY, base_url=sandbox.url) as client:
        with ListenKeyKeeper(client, delete_on_exit=True) as keeper, UserDataStream(keeper) as stream:
            stream.__exit__()
            keeper.__exit__()  # as a signal handler does
            client.start()  # as another program does
        client.keepalive()

    async def twin() -> None:
        async with AsyncListenKeyClient(API_KEY, base_url=sandbox.url) as client:
            async with (
                AsyncListenKeyKeeper(client, delete_on_exit=True) as keeper,
                AsyncUserDataStream(keeper) as stream,
            ):
                await stream.__aexit__()
                await keeper.__aexit__()
                await client.start()
            await client.keepalive()

    asyncio.run(twin())
    assert [each.method for each in sandbox.requests if each.method == "DELETE"] == ["DELETE"] * 2


def test_entering_a_running_stream_again_is_refused_and_ends_nothing(sandbox: Sandbox) -> None:
    with (
        ListenKeyClient(API_KEY, base_url=sandbox.url) as client,
        ListenKeyKeeper(client) as keeper,
        UserDataStream(keeper) as stream,
    ):
        for _ in range(2):
            with pytest.raises(listenkey.ConfigurationError, match="entered once"):
                stream.__enter__()
        next(stream)
        assert stream.status().state == "connected"


@pytest.mark.parametrize("delete_on_exit", [False, True])
def test_leaving_a_keeper_that_could_not_be_entered(sandbox: Sandbox, delete_on_exit: bool) -> None:
    sandbox.faults.add("status", status=401, times=2)
    with ListenKeyClient(API_KEY, base_url=sandbox.url) as client:
        keeper = ListenKeyKeeper(client, delete_on_exit=delete_on_exit)
        with pytest.raises(listenkey.Unauthorized):
            keeper.__enter__()
        keeper.__exit__()

    async def twin() -> None:
        async with AsyncListenKeyClient(API_KEY, base_url=sandbox.url) as client:
            keeper = AsyncListenKeyKeeper(client, delete_on_exit=delete_on_exit)
            with pytest.raises(listenkey.Unauthorized):
                await keeper.__aenter__()
            await keeper.__aexit__()

    asyncio.run(twin())
    assert [each.method for each in sandbox.requests] == ["POST", "POST"]


def test_a_keeper_that_is_left_in_its_own_thread(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """As by a finalizer that Python runs there."""
    caplog.set_level(logging.INFO, "listenkey")
    ended = threading.Event()

    def leave(record: logging.LogRecord) -> bool:
        if threading.current_thread().name == "listenkey-keeper" and not ended.is_set():
            ended.set()
            keeper.__exit__()
        return True

    log = logging.getLogger("listenkey")
    log.addFilter(leave)
    try:
        with (
            ListenKeyClient(API_KEY, base_url=sandbox.url, key_life=1.5) as client,
            ListenKeyKeeper(client, delete_on_exit=True) as keeper,
        ):
            assert ended.wait(SOON)
            keeper.wait()
            until(lambda: "deleted the listen key, for every program on the account" in caplog.messages, lambda: "kept")
    finally:
        log.removeFilter(leave)
    assert [each.method for each in sandbox.requests][-1] == "DELETE"
    assert not any("broke down" in text for text in caplog.messages)


def test_no_line_of_ours_is_between_the_end_of_a_with_and_the_release_of_the_lock() -> None:
    assert isinstance(type(lock).__exit__, types.MethodDescriptorType)


# Ctrl-C.

OURS = str(Path(listenkey.__file__).parent)


CHOICE = random.Random()
Place = tuple[str, int, str, str]
FILES = (
    *("stream/_streams.py", "stream/_driver.py", "stream/_loop_thread.py", "stream/_buffer.py"),
    *("keeper/_drivers.py", "keeper/_waking.py", "_http/threads.py", "listenkey/client.py"),
)


def at_a_place(
    use: Callable[[], object],
    happens: Callable[[], object],
    places: set[Place],
    skip: int = 0,
    thread: str = "MainThread",
) -> Place | None:
    """Run a function, and let something happen at a place of ours that is in no `places`. None: there is none.

    Python runs signal handlers where a function begins, and after a call of a function in C. A tracer of lines would
    also interrupt where no signal can, as between the end of a `with` and its `__exit__`. The first moment of an
    `__exit__` is spared: no code of ours runs there yet, which could help.
    """
    hit: list[Place] = []

    def profile(frame: Any, what: str, function: Any) -> None:
        nonlocal skip
        code = frame.f_code
        if hit or what not in ("call", "c_return") or not code.co_filename.endswith(FILES):
            return
        place = code.co_filename, frame.f_lineno, what, str(getattr(function, "__name__", code.co_name))
        if place in places or place[3] in ("__exit__", "setprofile") or threading.current_thread().name != thread:
            return
        skip -= 1
        if skip >= 0:
            return
        hit.append(place)
        places.add(place)
        happens()

    (sys if thread == "MainThread" else threading).setprofile(profile)
    try:
        use()
    finally:
        (sys if thread == "MainThread" else threading).setprofile(None)
    return hit[0] if hit else None


def ctrl_c() -> None:
    raise KeyboardInterrupt


def threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name in ("listenkey-stream", "listenkey-keeper")]


def nothing_is_left_of_threads(sandbox: Sandbox, before: int, where: object) -> None:
    until(lambda: not threads(), lambda: f"{where}: threads are left: {threads()}")
    if connections_at(sandbox) or len(descriptors()) > before:
        gc.collect()  # what an interrupted function has just made is garbage now
    until(lambda: not connections_at(sandbox), lambda: f"{where}: sockets are open")
    until(lambda: len(descriptors()) <= before, lambda: f"{where}: descriptors are left: {descriptors()}")


def at_places(
    sandbox: Sandbox, use: Callable[[], object], happens: Callable[[], object], thread: str = "MainThread"
) -> None:
    """Let something happen at places of a function, one place a run. Afterwards nothing is left, and all works anew.

    A run meets some sixty places. The test takes a sample of them, another one each time.
    """
    places: set[Place] = set()
    use()
    nothing_is_left_of_threads(sandbox, 10**6, "at first")
    before = len(descriptors())
    for _ in range(8 * ROUNDS):
        place = at_a_place(use, happens, places, skip=0 if ROUNDS > 1 else CHOICE.randrange(60), thread=thread)
        if place is None and ROUNDS > 1:
            break
        nothing_is_left_of_threads(sandbox, before, (thread, place))
    use()


def sync_streams(client: ListenKeyClient) -> None:
    with UserDataStream(client, _pace=PACE) as stream:
        next(stream)
        stream.status()
        stream.next_within(0.001)


def sync_keeps(client: ListenKeyClient) -> None:
    with ListenKeyKeeper(client, delete_on_exit=True) as keeper:
        assert keeper.key
        keeper.status()
        keeper.renew_now()


def sync_streams_over_a_keeper(client: ListenKeyClient) -> None:
    with ListenKeyKeeper(client) as keeper, UserDataStream(keeper, _pace=PACE) as stream:
        next(stream)


@pytest.mark.parametrize("use", [sync_streams, sync_keeps, sync_streams_over_a_keeper])
def test_ctrl_c_at_any_place_leaves_nothing(sandbox: Sandbox, use: Callable[[ListenKeyClient], None]) -> None:
    def program() -> None:
        with (
            contextlib.suppress(KeyboardInterrupt),
            ListenKeyClient(API_KEY, base_url=sandbox.url, key_life=9.0) as client,
        ):
            use(client)

    at_places(sandbox, program, ctrl_c)


# Handlers and finalizers: what they may do, at any place of ours, in any thread of ours.


class Things:
    """A client, a keeper and a stream over the keeper, used in one block. Anybody may leave the block meanwhile."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.left: list[Any] = []

    def use(self) -> None:
        with ListenKeyClient(API_KEY, base_url=self.sandbox.url, key_life=9.0) as client:
            keeper = ListenKeyKeeper(client, delete_on_exit=True)
            stream = UserDataStream(keeper, _pace=PACE)
            self.left = [stream, keeper]
            with contextlib.suppress(StopIteration, listenkey.ConfigurationError), keeper, stream:
                next(stream)
                self.sandbox.emit(event(1))
                next(stream)
                next(keeper.changes())
                keeper.renew_now()

    def leave(self) -> None:
        for thing in self.left:
            with contextlib.suppress(listenkey.ConfigurationError):  # it is not entered yet
                thing.__exit__(None, None, None)

    def ask(self) -> None:
        for thing in self.left:
            with contextlib.suppress(listenkey.ConfigurationError):
                thing.status()

    def call(self) -> None:
        with ListenKeyClient(API_KEY, base_url=self.sandbox.url) as client:
            client.start()


@pytest.mark.long
@pytest.mark.parametrize("thread", ["MainThread", "listenkey-stream", "listenkey-keeper"])
@pytest.mark.parametrize("what", ["leave", "ask", "call"])
def test_a_handler_or_finalizer_at_any_place(sandbox: Sandbox, what: str, thread: str) -> None:
    things = Things(sandbox)
    at_places(sandbox, things.use, getattr(things, what), thread)


# The end of Python.

PREFACE = """
import asyncio, atexit, contextlib, dataclasses, os, sys, threading, time
from listenkey import *
from listenkey.stream._pace import Pace
from listenkey.stream import AsyncUserDataStream, UserDataStream
PACE = dataclasses.replace(
    Pace().scaled(0.02), ping=0.4, pong=3.0, late=2.0, answer=5.0, drain=3.0, opening=5.0, poll=0.05, blind=50.0
)
url, key, what = sys.argv[1:]
client = ListenKeyClient(key, base_url=url)


@contextlib.contextmanager
def both():
    with ListenKeyKeeper(client, delete_on_exit=True) as keeper, UserDataStream(keeper, _pace=PACE) as stream:
        yield stream


BLOCKS = {
    "stream": lambda: UserDataStream(client, _pace=PACE),
    "keeper": lambda: ListenKeyKeeper(client),
    "keeper that deletes": lambda: ListenKeyKeeper(client, delete_on_exit=True),
    "both": both,
}
block = BLOCKS[what]
things = lambda entered: entered.changes() if isinstance(entered, ListenKeyKeeper) else iter(entered)


def events():
    with block() as entered:
        yield from things(entered)


class Bot:
    def __init__(self):
        self.block = block()
        next(things(self.block.__enter__()))
        print("up", flush=True)

    def __del__(self):
        self.block.__exit__(None, None, None)

"""
SHAPES = {  # each with its exit status, and the last line on standard error
    "a generator at the module's level": ("kept = events(); next(kept); print('up')", 0, ""),
    "a zip that is kept": ("kept = zip(events(), range(9)); next(kept); print('up')", 0, ""),
    "a loop that is broken": ("for each in events(): print('up'); break", 0, ""),
    "sys.exit in a loop": ("for each in events(): print('up'); sys.exit(3)", 3, ""),
    "a generator in a function that fails": (
        """
def main():
    kept = events(); next(kept); print("up")
    1 / 0
main()
""",
        1,
        "ZeroDivisionError: division by zero",
    ),
    "a generator that is returned": (
        """
def main():
    kept = events(); next(kept); print("up")
    return kept
main()
""",
        0,
        "",
    ),
    "a bot with a finalizer": ("bot = Bot()", 0, ""),
    "a bot in a cycle": ("bot = Bot(); bot.me = bot; del bot", 0, ""),
    "an ExitStack that is never closed": (
        "stack = contextlib.ExitStack(); next(things(stack.enter_context(block()))); print('up')",
        0,
        "",
    ),
    "atexit": ("kept = Bot().block; atexit.register(kept.__exit__, None, None, None)", 0, ""),
    "os._exit": ("bot = Bot(); os._exit(4)", 4, ""),
    "a daemon that reads": (
        """
def run():
    for each in events(): print("up", flush=True); up.set()
up = threading.Event(); threading.Thread(target=run, daemon=True).start(); up.wait()
""",
        0,
        "",
    ),
    "a thread that goes on, and leaves": (
        """
def run():
    with block() as entered:
        next(things(entered)); print("up", flush=True); up.set()
        threading.main_thread().join(); time.sleep(0.2)
up = threading.Event(); threading.Thread(target=run).start(); up.wait()
""",
        0,
        "",
    ),
    "a thread that enters late": (
        """
def run():
    threading.main_thread().join(); time.sleep(0.1)
    try:
        with block() as entered: next(things(entered))
    except TransportError:  # there, Python starts no thread any more
        assert sys.version_info >= (3, 12)
    print("up")
threading.Thread(target=run).start()
""",
        0,
        "",
    ),
}


@pytest.mark.parametrize("what", ["stream", "keeper", "keeper that deletes", "both"] if ROUNDS > 1 else ["both"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_end_of_python(sandbox: Sandbox, shape: str, what: str) -> None:
    program, status, last = SHAPES[shape]
    command = [sys.executable, "-c", PREFACE + program, sandbox.url, API_KEY, what]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    assert (run.stdout, run.returncode, run.stderr.splitlines()[-1:]) == ("up\n", status, [last] if last else [])
    assert run.stderr.count("Traceback") == (1 if last else 0)


ASYNC_SHAPES = {
    "a task that streams": (
        """
async def main():
    kept = asyncio.create_task(follow()); await up.wait()
asyncio.run(main())
""",
        0,
    ),
    "sys.exit in a block": (
        """
async def main():
    async with stream() as entered: await anext(entered); print("up"); sys.exit(3)
asyncio.run(main())
""",
        3,
    ),
    "a generator that is left early": (
        """
async def main():
    async for each in events(): print("up"); break
asyncio.run(main())
""",
        0,
    ),
}


@pytest.mark.parametrize("shape", ASYNC_SHAPES)
def test_the_end_of_an_event_loop(sandbox: Sandbox, shape: str) -> None:
    program, status = ASYNC_SHAPES[shape]
    preface = """
up = asyncio.Event()
stream = lambda: AsyncUserDataStream(AsyncListenKeyClient(key, base_url=url), _pace=PACE)


async def events():
    async with stream() as entered:
        async for each in entered:
            yield each


async def follow():
    async with stream() as entered:
        async for each in entered:
            print("up"); up.set()

"""
    command = [sys.executable, "-c", PREFACE + preface + program, sandbox.url, API_KEY, "both"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    assert (run.stdout, run.stderr, run.returncode) == ("up\n", "", status)


# Fork.


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_leaves_uses_and_makes_streams_and_the_parent_goes_on(sandbox: Sandbox) -> None:
    with (
        ListenKeyClient(API_KEY, base_url=sandbox.url) as client,
        ListenKeyKeeper(client, delete_on_exit=True) as keeper,
        UserDataStream(keeper, _pace=PACE) as stream,
    ):
        next(stream)
        for leaves_first in (True, False):
            if (child := os.fork()) == 0:
                status = 1
                with contextlib.suppress(BaseException):
                    if leaves_first:
                        stream.__exit__(None, None, None)
                        keeper.__exit__(None, None, None)
                    for use in (stream.status, keeper.status, stream.__next__):
                        with pytest.raises(listenkey.ConfigurationError, match="another process's"):
                            use()
                    with (
                        ListenKeyClient("child", base_url=sandbox.url) as another,
                        UserDataStream(another, _pace=PACE) as new,
                    ):
                        next(new)
                    del stream, keeper
                    gc.collect()
                    status = 0
                os._exit(status)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            sandbox.emit(event(7), account=API_KEY)
            item = next(stream)
            while name(item) != 7:
                item = next(stream)
            assert keeper.status().state == "running"


# Many at once.


def test_many_streams_leave_and_others_enter(sandbox: Sandbox) -> None:
    """The thread of all streams ends with the last stream, while others begin."""
    failures: list[BaseException] = []
    start = threading.Barrier(50)

    def run(number: int) -> None:
        try:
            with ListenKeyClient(f"{API_KEY}{number % 5}", base_url=sandbox.url) as client:
                for _ in range(2 * ROUNDS):
                    with UserDataStream(client, _pace=PACE) as stream:
                        start.wait(50)
                        if number % 2:
                            stream.next_within(0.02)
        except BaseException as error:  # noqa: BLE001  for the main thread
            failures.append(error)
            start.abort()

    before = len(descriptors())
    runners = [threading.Thread(target=run, args=[number], daemon=True) for number in range(50)]
    for each in runners:
        each.start()
    for each in runners:
        each.join(50)
    assert not failures
    assert not any(each.is_alive() for each in runners)
    nothing_is_left_of_threads(sandbox, before, "50 streams")
