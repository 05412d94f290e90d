"""What the tests share: one way to call both twins, and servers on loopback that do as they are told."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import trustme
from hypothesis import HealthCheck, settings

from listenkey import AsyncListenKeyClient, ListenKey, ListenKeyClient
from listenkey._limits import shared as _address

pytest_plugins = ["pytester", "tests.time_limit"]
# What the tests start by name is what is installed beside this Python, even if nobody has activated the environment.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
# On a busy machine any example may take long. The time limit of the whole test remains.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
API_KEY = "test-api-key-0123456789abcdef"


class Calls(Protocol):
    """A client of either kind, called without await."""

    def start(self) -> ListenKey: ...
    def keepalive(self) -> None: ...
    def delete(self) -> bool: ...
    def close(self) -> None: ...
    @property
    def used_weight(self) -> int | None: ...


class _Awaited:
    """An async client whose calls run to their end in the fixture's event loop."""

    def __init__(self, runner: asyncio.Runner, client: AsyncListenKeyClient) -> None:
        self._runner, self._client = runner, client

    def start(self) -> ListenKey:
        return self._runner.run(self._client.start())

    def keepalive(self) -> None:
        self._runner.run(self._client.keepalive())

    def delete(self) -> bool:
        return self._runner.run(self._client.delete())

    def close(self) -> None:
        self._runner.run(self._client.aclose())

    @property
    def used_weight(self) -> int | None:
        return self._client.used_weight


Twin = Callable[..., Calls]


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Let tests and the programs they start be stopped, even where a shell or nohup had us ignore signals."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _strangers() -> Iterator[None]:
    """Let no test meet the ban of an earlier test whose server had the same port."""
    yield
    _address.addresses.clear()
    _address.busy.clear()


@pytest.fixture(params=["sync", "async"])
def twin(request: pytest.FixtureRequest) -> Iterator[Twin]:
    """Make clients of one kind, and close them after the test."""
    with contextlib.ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())

        def make(base_url: str, **settings: Any) -> Calls:
            settings = {"api_key": API_KEY, "base_url": base_url, **settings}
            if request.param == "sync":
                return stack.enter_context(ListenKeyClient(**settings))
            client = AsyncListenKeyClient(**settings)
            stack.callback(lambda: runner.run(client.aclose()))
            return _Awaited(runner, client)

        yield make


Script = Callable[[socket.socket], object]


@pytest.fixture
def scripted() -> Iterator[Callable[..., str]]:
    """Serve each connection with a script that gets the socket, unless told otherwise after the head of the request."""
    with contextlib.ExitStack() as stack:

        def serve(script: Script, *, reads_head: bool = True) -> str:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def run() -> None:
                while True:
                    try:
                        connection, _ = listener.accept()
                    except OSError:
                        return
                    with connection, contextlib.suppress(OSError):
                        head = b"" if reads_head else b"\r\n\r\n"
                        while b"\r\n\r\n" not in head:
                            head += connection.recv(4096) or b"\r\n\r\n"
                        script(connection)

            thread = threading.Thread(target=run, daemon=True)
            thread.start()
            stack.callback(thread.join, 5)
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            return f"http://127.0.0.1:{listener.getsockname()[1]}"

        yield serve


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_url(authority: trustme.CA) -> Iterator[str]:
    """Serve a listen key over TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    body = json.dumps({"listenKey": "k" * 64}).encode()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                    with context.wrap_socket(connection, server_side=True) as secured:
                        secured.recv(65536)
                        secured.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                except ssl.SSLError:
                    continue
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@contextlib.contextmanager
def held_port(host: str = "127.0.0.1") -> Iterator[int]:
    """Take a port that the system gives to nobody else: it refuses, until a program of the test serves there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # without it, no program could serve there
        holder.bind((host, 0))
        yield int(holder.getsockname()[1])


@pytest.fixture
def free_port() -> Iterator[int]:
    with held_port() as port:
        yield port


@pytest.fixture
def closed_port(free_port: int) -> str:
    """Name an address where nothing listens."""
    return f"http://127.0.0.1:{free_port}"
