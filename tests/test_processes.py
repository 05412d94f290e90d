"""Clients in processes that end, fork, run out of threads or are interrupted: real interpreters, real signals."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from listenkey.sandbox import Sandbox


def run(
    program: str, sandbox: Sandbox, tmp_path: Path, *options: str, env: dict[str, str] | None = None
) -> tuple[str, str]:
    """Run a program in an interpreter of its own; what it printed, and its errors."""
    (tmp_path / "program.py").write_text(textwrap.dedent(program))
    done = subprocess.run(
        [sys.executable, *options, "program.py", sandbox.url],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env=env,
    )
    return done.stdout, done.stderr


@pytest.fixture
def unlimited() -> Iterator[Sandbox]:
    with Sandbox(limit=None) as sandbox:
        yield sandbox


STRICT = ("-X", "dev", "-W", "error")


def methods(sandbox: Sandbox) -> list[str]:
    return [request.method for request in sandbox.requests]


def test_delete_at_exit_is_sent(listenkey_sandbox: Sandbox, tmp_path: Path) -> None:
    out, errors = run(
        """
        import atexit, sys
        from listenkey import ListenKeyClient
        client = ListenKeyClient("any-key", base_url=sys.argv[1])
        atexit.register(client.close)
        atexit.register(lambda: print(client.delete()))
        client.start()
        """,
        listenkey_sandbox,
        tmp_path,
        *STRICT,
    )
    assert (out, errors) == ("True\n", "")
    assert methods(listenkey_sandbox) == ["POST", "DELETE"]


def test_delete_in_a_finalizer_does_not_hang_the_end(listenkey_sandbox: Sandbox, tmp_path: Path) -> None:
    out, errors = run(
        """
        import sys
        from listenkey import ListenKeyClient

        class Bot:
            def __init__(self):
                self.client = ListenKeyClient("any-key", base_url=sys.argv[1])
                self.client.start()
            def __del__(self):
                try:
                    self.client.delete()
                finally:
                    self.client.close()

        def generator(client):
            with client:
                client.start()
                yield

        bot = Bot()
        held = generator(ListenKeyClient("another", base_url=sys.argv[1]))
        next(held)
        print("end")
        """,
        listenkey_sandbox,
        tmp_path,
    )
    assert out == "end\n"
    assert "Traceback" not in errors or "ListenKeyError" in errors or "ImportError" in errors


LOOP_IN_A_THREAD = """
    import asyncio, sys, threading, time
    from listenkey import AsyncListenKeyClient, ListenKeyError

    async def bot():
        async with AsyncListenKeyClient("any-key", base_url=sys.argv[1].replace("127.0.0.1", "localhost"),
                                        attempts=1) as client:
            {before}
            while threading.main_thread().is_alive():
                await asyncio.sleep(0.05)
            try:
                await client.start()
                print("started")
            except ListenKeyError as error:
                print(type(error).__name__, error)

    threading.Thread(target=lambda: asyncio.run(bot())).start()
"""


def test_when_the_main_thread_has_ended_the_async_client_says_so(listenkey_sandbox: Sandbox, tmp_path: Path) -> None:
    # Looking up `localhost` needs a thread, and Python starts none once the main thread has ended.
    out, _ = run(LOOP_IN_A_THREAD.format(before=""), listenkey_sandbox, tmp_path)
    assert out.startswith(("TransportError No answer from http://localhost:", "started"))
    if not out.startswith("started"):
        assert "The main thread has ended: keep the main thread alive while this program makes calls." in out


def test_when_the_main_thread_has_ended_the_sync_client_goes_on(listenkey_sandbox: Sandbox, tmp_path: Path) -> None:
    out, errors = run(
        """
        import sys, threading, time
        from listenkey import ListenKeyClient

        def trade():
            with ListenKeyClient("any-key", base_url=sys.argv[1].replace("127.0.0.1", "localhost")) as client:
                while threading.main_thread().is_alive():
                    time.sleep(0.05)
                client.start()
                print(client.delete())

        threading.Thread(target=trade).start()
        """,
        listenkey_sandbox,
        tmp_path,
    )
    assert (out, errors) == ("True\n", "")


def test_without_a_free_thread_the_async_client_names_its_error(listenkey_sandbox: Sandbox, tmp_path: Path) -> None:
    out, _ = run(
        """
        import asyncio, sys, threading
        from listenkey import AsyncListenKeyClient, TransportError

        def exhausted(*_):
            raise RuntimeError("can't start new thread")

        async def main():
            url = sys.argv[1].replace("127.0.0.1", "localhost")
            async with AsyncListenKeyClient("any-key", base_url=url, attempts=2) as client:
                start, threading.Thread.start = threading.Thread.start, exhausted
                try:
                    await client.start()
                except TransportError as error:
                    print(error, repr(error.__cause__))
                threading.Thread.start = start
                print((await client.start()).estimated)

        asyncio.run(main())
        """,
        listenkey_sandbox,
        tmp_path,
    )
    assert "(RuntimeError: can't start new thread). Repeating the call is safe. RuntimeError(" in out
    assert out.endswith("False\n")


@pytest.mark.parametrize("kind", ["ListenKeyClient", "AsyncListenKeyClient"])
def test_a_forked_child_makes_its_own_connections(unlimited: Sandbox, tmp_path: Path, kind: str) -> None:
    # While threads of the parent call without pause, a child is forked again and again, and calls. Nothing measures the
    # program: a lock of coverage.py that another thread holds at the fork stays locked in the child.
    out, errors = run(
        f"""
        import asyncio, os, sys, threading, time, warnings
        from listenkey import {kind}, ListenKeyClient
        warnings.simplefilter("ignore")  # Python 3.12 warns of a fork in a threaded process

        parent = ListenKeyClient("any-key", base_url=sys.argv[1], timeout=5.0)
        child = {kind}("any-key", base_url=sys.argv[1], timeout=5.0)
        stop = threading.Event()

        def call():
            while not stop.is_set():
                parent.start()

        async def finish():
            await child.start()
            await child.aclose()

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        statuses = []
        for _ in range(15):
            pid = os.fork()
            if pid == 0:
                if {kind == "AsyncListenKeyClient"}:
                    asyncio.run(finish())
                else:
                    child.start()
                    parent.start()
                    child.close()
                os._exit(0)
            statuses.append(os.waitpid(pid, 0)[1])
        stop.set()
        for thread in threads:
            thread.join()
        parent.start()
        parent.close()
        print(statuses)
        """,
        unlimited,
        tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")},
    )
    assert out == f"{[0] * 15}\n", errors


INTERRUPTED = """
    import signal, sys
    from listenkey import ListenKeyClient

    first = ListenKeyClient("any-key", base_url=sys.argv[1], timeout=5.0, attempts=1)
    second = ListenKeyClient("any-key", base_url=sys.argv[1], timeout=5.0, attempts=1)
    calling, interrupted = False, 0

    def interrupt(*_):
        global calling, interrupted
        if calling:
            calling, interrupted = False, interrupted + 1
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    print("ready", flush=True)
    while interrupted < 200:
        try:
            calling = True
            first.start()
            second.start()
            calling = False
        except KeyboardInterrupt:
            pass
    first.start()
    second.start()
    first.close()
    second.close()
    print("works", flush=True)
"""


FORKED = """
import os
from listenkey import ListenKeyClient
from listenkey.keeper import _machine as _keeping
from listenkey._limits.shared import Address
from listenkey.keeper._lease import Lease
from listenkey.client import _backoff
from listenkey.errors import TransportError
from listenkey.keeper import ListenKeyKeeper  # what a server loads before it forks
address = Address()
for _ in range(3):
    if not os.fork():
        lease = Lease(3600.0, 10.0, address.rate_limit_wait)
        lease.send(0.0)
        lease.renewed(1.0, None)
        pause = _keeping.Keeping(lease, address, print, 3, "").pause(0.0)
        print(lease.next_send_at, pause, _backoff(TransportError(), 1), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_workers_do_not_send_in_step(unlimited: Sandbox, tmp_path: Path) -> None:
    output, _ = run(FORKED, unlimited, tmp_path)
    columns = list(zip(*map(str.split, output.splitlines()), strict=True))
    assert [len(set(column)) for column in columns] == [3, 3, 3]


def test_after_an_interrupt_every_client_still_works(unlimited: Sandbox, tmp_path: Path) -> None:
    # Signals at any moment of a call: the connection under way is thrown away, and no lock stays taken.
    (tmp_path / "program.py").write_text(textwrap.dedent(INTERRUPTED))
    command = [sys.executable, "program.py", unlimited.url]
    # Without coverage, whose own lock an interrupt may leave taken.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline() == "ready\n"
        moments, hangs = random.Random(1), time.monotonic() + 45
        while running.poll() is None:
            running.send_signal(signal.SIGINT if time.monotonic() < hangs else signal.SIGKILL)
            time.sleep(moments.uniform(0.001, 0.01))
        assert (running.stdout.read(), running.stderr.read()) == ("works\n", "")


def test_threads_that_share_a_client_never_meet_a_bad_descriptor(unlimited: Sandbox, tmp_path: Path) -> None:
    out, errors = run(
        """
        import sys, threading
        from listenkey import ListenKeyClient
        failures = []

        def call(client):
            try:
                for _ in range(150):
                    client.start()
            except Exception as error:
                failures.append(repr(error))

        with ListenKeyClient("any-key", base_url=sys.argv[1], attempts=1) as client:
            threads = [threading.Thread(target=call, args=(client,)) for _ in range(16)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        print(failures)
        """,
        unlimited,
        tmp_path,
        *STRICT,
    )
    assert (out, errors) == ("[]\n", "")
