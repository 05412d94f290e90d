"""Take a sample of a peer in a new process: `python sample.py FUNCTION PEER [URL [COUNT]]` prints numbers.

The program imports next to nothing before the clock starts: a module that is loaded already costs a peer nothing.
"""

import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def importing(peer: str) -> list[float]:
    """Measure the CPU milliseconds of the import."""
    begun = time.process_time()
    import_module(f"peers.{peer}")
    return [(time.process_time() - begun) * 1e3]


def cold(peer: str, url: str) -> list[float]:
    """Get a listen key. The parent process measures the time."""
    module = import_module(f"peers.{peer}")
    _check(module.call(module.make(url)))
    return []


def warm(peer: str, url: str, count: str) -> list[float]:
    """Measure the CPU microseconds of a call on a kept connection of a client."""
    module = import_module(f"peers.{peer}")
    client = module.make(url)
    for _ in range(20):
        _check(module.call(client))
    begun = time.process_time()
    for _ in range(int(count)):
        module.call(client)
    return [(time.process_time() - begun) / int(count) * 1e6]


def warm_async(peer: str, url: str, count: str) -> list[float]:
    """Measure the CPU microseconds of an async call on a kept connection of a client."""
    import asyncio

    module = import_module(f"peers.{peer}_async")

    async def calls() -> float:
        client = module.make(url)
        for _ in range(20):
            _check(await module.call(client))
        begun = time.process_time()
        for _ in range(int(count)):
            await module.call(client)
        return time.process_time() - begun

    return [asyncio.run(calls()) / int(count) * 1e6]


def blocking(peer: str, url: str) -> list[float]:
    """Measure for how many CPU milliseconds the first async client and the first call hold up the event loop."""
    import asyncio

    module = import_module(f"peers.{peer}_async")

    async def ticks(gaps: list[float]) -> None:
        before = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            gaps.append(now - before)
            before = now

    async def first() -> float:
        gaps: list[float] = []
        ticking = asyncio.create_task(ticks(gaps))
        await asyncio.sleep(0)
        _check(await module.call(module.make(url)))
        ticking.cancel()
        return max(gaps)

    return [asyncio.run(first()) * 1e3]


def decode(peer: str, count: str) -> list[float]:
    """Measure the CPU microseconds to read an event of the stream."""
    module = import_module(f"peers.{peer}_events")
    with open(f"{sys.path[0]}/order.json") as file:  # noqa: PTH123  pathlib would be loaded before the peer
        frame = file.read()
    if module.decode(frame) != "FILLED":
        raise SystemExit("the event was not read")
    begun = time.process_time()
    for _ in range(int(count)):
        module.decode(frame)
    return [(time.process_time() - begun) / int(count) * 1e6]


def flow(peer: str, url: str, count: str) -> list[float]:
    """CPU microseconds for an event from the socket to the program, where events come without a pause."""
    enough, taken = _counted(int(count))
    import_module(f"peers.{peer}_events").follow(url, enough)
    return taken


def flow_async(peer: str, url: str, count: str) -> list[float]:
    """CPU microseconds for an event from the socket to the program, with asyncio."""
    import asyncio

    enough, taken = _counted(int(count))
    asyncio.run(import_module(f"peers.{peer}_async_events").follow(url, enough))
    return taken


def _counted(count: int) -> "tuple[Callable[[], bool], list[float]]":
    """Return a function that counts events, and a list for the result. The first thousand events are not measured."""
    seen, begun, taken = -1000, 0.0, list[float]()

    def enough() -> bool:
        nonlocal seen, begun
        seen += 1
        if seen == 0:
            begun = time.process_time()
        elif seen == count:
            taken.append((time.process_time() - begun) / count * 1e6)
        return seen == count

    return enough, taken


def memory(peer: str, url: str, count: str) -> list[float]:
    """Measure the KiB of resident memory of a client: after making the client, and after a call."""
    import gc

    module = import_module(f"peers.{peer}")
    gc.collect()
    before = _resident()
    clients: list[Any] = [module.make(url) for _ in range(int(count))]
    gc.collect()
    made = _resident()
    for client in clients:
        _check(module.call(client))
    gc.collect()
    return [(made - before) / int(count), (_resident() - before) / int(count)]


def _resident() -> float:
    with open("/proc/self/smaps_rollup") as lines:  # noqa: PTH123  pathlib would be loaded before the peer
        return next(float(line.split()[1]) for line in lines if line.startswith("Rss:"))


def _check(key: str) -> None:
    if len(key) != 64:
        raise SystemExit(f"this is no listen key: {key!r}")


if __name__ == "__main__":
    _, _what, *_arguments = sys.argv
    print(*globals()[_what](*_arguments))
