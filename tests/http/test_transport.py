"""The way of an attempt: addresses, kept connections, cookies, and every error of the layers below."""

import asyncio
import contextlib
import errno
import gc
import logging
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import h11
import httpcore  # noqa: TID251  raises what the layers below raise
import httpx  # noqa: TID251  names the causes
import pytest
import socksio
import trustme

from listenkey import AsyncListenKeyClient, ListenKeyClient, ServerError, TransportError
from listenkey._http import exchange as _http
from listenkey._http import transport as _transport
from listenkey._http.async_network import AsyncConnection, connect
from listenkey._http.attempt import Attempt
from listenkey._http.masking import Secret
from listenkey._http.route import Account
from listenkey.sandbox import Sandbox
from tests.conftest import API_KEY, Script, Twin
from tests.http.test_exchange import HEAD, caught, full
from tests.inside import close_connections, exchange_of, unread, unsent

OK = HEAD + b"Content-Length: 17\r\n\r\n" + b'{"listenKey":"k"}'


# Addresses.


@pytest.fixture
def two_addresses(monkeypatch: pytest.MonkeyPatch, listenkey_sandbox: Sandbox) -> Iterator[str]:
    """Name a host whose first address takes no connection, and whose second is the sandbox."""
    real = socket.getaddrinfo
    with full() as deaf:
        ports = [int(url.rpartition(":")[2]) for url in (deaf, listenkey_sandbox.url)]

        def resolve(host: Any, port: Any, *arguments: Any, **named: Any) -> Any:
            if host not in ("localhost", b"localhost"):
                return real(host, port, *arguments, **named)
            return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", each)) for each in ports]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        yield f"http://localhost:{ports[1]}"


def test_a_deaf_address_leaves_time_for_the_next(two_addresses: str) -> None:
    with ListenKeyClient(API_KEY, base_url=two_addresses, timeout=2.0, attempts=1) as client:
        assert client.start().value


def test_all_addresses_deaf_take_one_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    with full() as url:
        port = int(url.rpartition(":")[2])
        address = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [address] * 4)
        with ListenKeyClient(API_KEY, base_url=f"http://localhost:{port}", timeout=0.8, attempts=1) as client:
            assert "within 0.8 s" in str(caught(client.start))


# Kept connections.


def serve_connections(scripts: list[Script]) -> tuple[str, list[int]]:
    """Serve each connection with the next script; the list has the number of each connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    seen: list[int] = []

    def run() -> None:
        with listener:
            for number, script in enumerate(scripts):
                connection, _ = listener.accept()
                seen.append(number)
                with connection:
                    script(connection)

    threading.Thread(target=run, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}", seen


def answers(times: int, then: Script = lambda _: None) -> Script:
    def script(connection: socket.socket) -> None:
        for _ in range(times):
            connection.recv(65536)
            connection.sendall(OK)
        then(connection)

    return script


def test_a_burst_uses_one_connection(twin: Twin) -> None:
    url, seen = serve_connections([answers(3)])
    client = twin(url)
    for _ in range(3):
        client.start()
    assert seen == [0]


def test_a_connection_that_the_server_closed_is_not_used(twin: Twin) -> None:
    url, seen = serve_connections([answers(1), answers(1)])
    client = twin(url, attempts=1)
    client.start()
    time.sleep(0.2)  # the end of the connection arrives
    client.start()
    assert seen == [0, 1]


def test_a_kept_connection_that_ends_with_the_request_is_replaced_within_the_attempt(twin: Twin) -> None:
    url, seen = serve_connections([answers(1, then=lambda connection: connection.recv(65536) and None), answers(1)])
    client = twin(url, attempts=1)
    client.start()
    client.start()
    assert seen == [0, 1]


def test_a_kept_connection_that_breaks_off_its_answer_is_an_error(twin: Twin) -> None:
    def break_off(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(HEAD + b"Content-Length: 17\r\n\r\n{")

    url, seen = serve_connections([answers(1, then=break_off), answers(1)])
    client = twin(url, attempts=1)
    client.start()
    assert type(caught(client.start)) is TransportError
    assert seen == [0]


def test_a_connection_is_kept_for_a_few_seconds(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_transport, "KEPT_SECONDS", 0.2)
    url, seen = serve_connections([answers(1, then=lambda connection: connection.recv(1) and None), answers(1)])
    client = twin(url, attempts=1)
    client.start()
    time.sleep(0.5)
    client.start()
    assert seen == [0, 1]


class Secured:
    """The server's side of TLS over a socket, or over another TLS. What is sent at once leaves in one piece."""

    def __init__(self, below: Any, context: ssl.SSLContext) -> None:
        self._below, self._in, self._out = below, ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self._do(self._tls.do_handshake)

    def _do(self, step: Any) -> Any:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self._flush()
                received = self._below.recv(65536)
                self._in.write(received) if received else self._in.write_eof()
            else:
                self._flush()
                return result

    def _flush(self) -> None:
        if self._out.pending:
            self._below.sendall(self._out.read())

    def recv(self, size: int) -> bytes:
        with contextlib.suppress(ssl.SSLError):
            return bytes(self._do(lambda: self._tls.read(size)))
        return b""

    def sendall(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._tls.write(piece)  # a record each
        self._flush()


LAYERS = {"plain": "", "TLS": "t", "http proxy": "ct", "https proxy": "tct"}  # t: TLS, c: CONNECT


@pytest.fixture
def serve_layers(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, Callable[[Any], None]], dict[str, Any]]:
    """Serve each connection with a script behind layers of TLS and proxy. Returns the settings of a client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "eapi.example").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    def serve(way: str, script: Callable[[Any], None]) -> dict[str, Any]:
        listener = socket.create_server(("127.0.0.1", 0))

        def run() -> None:
            while True:
                raw, _ = listener.accept()
                with raw, contextlib.suppress(OSError):
                    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    connection: Any = raw
                    for layer in LAYERS[way]:
                        if layer == "t":
                            connection = Secured(connection, context)
                        else:
                            connection.recv(65536)
                            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                    script(connection)

        threading.Thread(target=run, daemon=True).start()
        port = listener.getsockname()[1]
        if "proxy" not in way:
            return {"base_url": f"http{'s' * (way == 'TLS')}://127.0.0.1:{port}", "ssl_context": trusting}
        monkeypatch.setenv("HTTPS_PROXY", f"{way.partition(' ')[0]}://127.0.0.1:{port}")
        return {"base_url": "https://eapi.example", "ssl_context": trusting}

    return serve


SUCCESS = HEAD + b"Content-Length: 2\r\n\r\n{}"
KEY = b'{"listenKey":"k"}'


@pytest.mark.parametrize("way", LAYERS)
@pytest.mark.parametrize(
    "pieces",
    [
        [OK + SUCCESS],  # httpcore has read what is left
        [OK, SUCCESS],  # a layer of TLS has it
        [OK + b"\r\n"],
        [OK + SUCCESS[:9]],
        [HEAD + b"Transfer-Encoding: chunked\r\n\r\n11\r\n" + KEY + b"\r\n0\r\n\r\n" + SUCCESS],
        [HEAD + b"Content-Length: 60000\r\n\r\n", KEY + b" " * (60000 - len(KEY)), SUCCESS * 200],
        [OK, 0.1, SUCCESS],  # it comes while the connection is kept
    ],
    ids=["one segment", "two records", "a line", "half", "chunked", "more than one read", "later"],
)
def test_what_is_left_of_an_answer_is_no_answer_to_the_next_call(
    twin: Twin, serve_layers: Any, way: str, pieces: list[Any]
) -> None:
    seen: list[bytes] = []

    def script(connection: Any) -> None:
        while request := connection.recv(65536):
            seen.append(request[:4])
            if request.startswith(b"DELE"):
                connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
            elif 0.1 in pieces:
                for piece in pieces:
                    connection.sendall(piece) if isinstance(piece, bytes) else time.sleep(piece)
            else:
                connection.sendall(*pieces) if isinstance(connection, Secured) else connection.sendall(b"".join(pieces))

    settings = serve_layers(way, script)
    client = twin(**settings, attempts=1)
    assert client.start().value == "k"
    if 0.1 in pieces:
        time.sleep(0.5)
    assert isinstance(caught(client.delete), ServerError)
    assert seen == [b"POST", b"DELE"]


@pytest.mark.parametrize("way", LAYERS)
def test_a_connection_with_nothing_left_is_used_again(twin: Twin, serve_layers: Any, way: str) -> None:
    connections: list[object] = []

    def script(connection: Any) -> None:
        connections.append(connection)
        while connection.recv(65536):
            connection.sendall(OK)

    client = twin(**serve_layers(way, script), attempts=1)
    for _ in range(3):
        client.start()
    assert len(connections) == 1


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("way", LAYERS)
@pytest.mark.parametrize("end", ["closed", "reset", "half a head", "alert"])
def test_a_kept_connection_that_dies_under_the_request_is_replaced(
    twin: Twin, serve_layers: Any, way: str, end: str
) -> None:
    connections: list[object] = []

    def script(connection: Any) -> None:
        connections.append(connection)
        connection.recv(65536)
        connection.sendall(OK)
        if len(connections) > 1:
            connection.recv(65536)
            return
        connection.recv(65536)
        raw = connection
        while isinstance(raw, Secured):
            raw = raw._below
        if end == "reset":
            reset(raw)
        elif end == "half a head":
            connection.sendall(b"HTTP/1.1 20")
        elif end == "alert" and raw is not connection:
            raw.sendall(b"\x15\x03\x03\x00\x02\x02\x50")

    client = twin(**serve_layers(way, script), attempts=1)
    client.start()
    client.start()
    assert len(connections) == 2


def test_clients_share_an_exchange_until_the_last_is_closed(listenkey_sandbox: Sandbox) -> None:
    first, second = (ListenKeyClient(API_KEY, base_url=listenkey_sandbox.url) for _ in range(2))
    assert exchange_of(first) is exchange_of(second)
    first.start()
    first.close()
    first.close()
    second.start()  # over the connection of the first
    third = ListenKeyClient("another", base_url=listenkey_sandbox.url)
    assert exchange_of(third) is exchange_of(second)
    second.close()
    third.start()
    exchange = exchange_of(third)
    third.close()
    fourth = ListenKeyClient(API_KEY, base_url=listenkey_sandbox.url)
    assert exchange_of(fourth) is not exchange
    fourth.close()


def test_an_async_client_works_in_one_loop_after_another(listenkey_sandbox: Sandbox) -> None:
    client = AsyncListenKeyClient(API_KEY, base_url=listenkey_sandbox.url)

    async def start_and_leave() -> str:
        key = (await client.start()).value
        await close_connections(client)
        return key

    keys = {asyncio.run(start_and_leave()) for _ in range(3)}
    assert len(keys) == 1
    asyncio.run(client.aclose())
    gc.collect()


def test_clients_that_share_use_their_own_key_and_timeout() -> None:
    with (
        Sandbox(accounts={"one": "1", "two": "2"}) as sandbox,
        ListenKeyClient("one", base_url=sandbox.url) as one,
        ListenKeyClient("two", base_url=sandbox.url, timeout=0.2, attempts=1) as two,
    ):
        assert one.start().value != two.start().value
        sandbox.faults.add("silent")
        assert "within 0.2 s" in str(caught(two.start))
        one.keepalive()
        assert one.used_weight == two.used_weight == 4  # the weight of the address


def test_many_threads_use_and_close_one_exchange(listenkey_sandbox: Sandbox) -> None:
    failures: list[BaseException] = []

    def come_and_go() -> None:
        try:
            for _ in range(20):
                with ListenKeyClient(API_KEY, base_url=listenkey_sandbox.url, attempts=1) as client:
                    client.start()
        except BaseException as error:  # noqa: BLE001  to be shown by the test
            failures.append(error)

    threads = [threading.Thread(target=come_and_go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    gc.collect()
    assert not [key for key in _http.exchanges if listenkey_sandbox.url in str(key)]


# Cookies.


def test_no_request_ever_carries_a_cookie() -> None:
    heads: list[bytes] = []
    told = threading.Event()

    def slow_body(connection: socket.socket) -> None:
        heads.append(connection.recv(65536))
        connection.sendall(HEAD + b"Set-Cookie: a=b; Path=/\r\nContent-Length: 17\r\n\r\n")
        told.set()
        time.sleep(0.5)
        connection.sendall(b'{"listenKey":"k"}')
        heads.append(connection.recv(65536))
        connection.sendall(OK)

    def another(connection: socket.socket) -> None:
        heads.append(connection.recv(65536))
        connection.sendall(HEAD + b"Set-Cookie: c=d\r\nContent-Length: 17\r\n\r\n" + b'{"listenKey":"k"}')

    async def overlap() -> None:
        listener = socket.create_server(("127.0.0.1", 0))

        def run() -> None:
            threads: list[threading.Thread] = []
            connections: list[socket.socket] = []
            for script in (slow_body, another):
                connection, _ = listener.accept()
                connections.append(connection)
                threads.append(threading.Thread(target=script, args=(connection,)))
                threads[-1].start()
            for thread, connection in zip(threads, connections, strict=True):
                thread.join()
                connection.close()

        server = threading.Thread(target=run)
        server.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with AsyncListenKeyClient(API_KEY, base_url=url, attempts=1) as client:
            first = asyncio.create_task(client.start())
            await asyncio.to_thread(told.wait)
            await client.start()
            await first
            await client.start()
        await asyncio.to_thread(server.join)
        listener.close()

    asyncio.run(overlap())
    assert len(heads) == 3
    assert not [head for head in heads if b"cookie" in head.lower()]


# Whatever is raised below, a TransportError leaves the call.

BELOW: list[Exception] = [
    *(
        OSError(number, "the system's words")
        for number in (errno.ECONNRESET, errno.EMFILE, errno.EPIPE, errno.EHOSTUNREACH)
    ),
    socket.gaierror(-2, "Name or service not known"),
    socket.herror(1, "Unknown host"),
    ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"),
    ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
    ssl.SSLZeroReturnError(6, "closed"),
    TimeoutError(),
    *(
        kind("a text with a 'quote'")
        for name, kind in vars(httpcore).items()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ),
    *(kind("text") for kind in (httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError, httpx.InvalidURL)),
    httpx.StreamError("text"),
    h11.RemoteProtocolError("illegal status line"),
    h11.LocalProtocolError("text"),
    socksio.ProtocolError("text"),
    anyio.BrokenResourceError(),
    anyio.ClosedResourceError(),
    anyio.EndOfStream(),
    RuntimeError("can't start new thread"),
    RuntimeError("cannot schedule new futures after interpreter shutdown"),
    UnicodeError("label too long"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    ValueError("text"),
    KeyError("text"),
    NotImplementedError(),
    MemoryError(),
    RecursionError("maximum recursion depth exceeded"),
    StopIteration(),
    ExceptionGroup("several", [OSError(1, "one"), OSError(2, "two")]),
]


@pytest.mark.parametrize("raised", BELOW, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("layer", ["connect", "read", "generated"])
def test_only_our_errors_leave_a_call(
    twin: Twin, listenkey_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, layer: str, raised: Exception
) -> None:
    client = twin(listenkey_sandbox.url, attempts=1)

    def fail(*_: object, **__: object) -> Any:
        raise raised

    async def async_fail(*_: object, **__: object) -> Any:
        raise raised

    with monkeypatch.context() as patch:
        if layer == "connect":
            patch.setattr(socket, "getaddrinfo", fail)
            patch.setattr(httpcore.AnyIOBackend, "connect_tcp", async_fail)
        elif layer == "read":
            patch.setattr(httpcore.HTTP11Connection, "_receive_event", fail)
            patch.setattr(httpcore.AsyncHTTP11Connection, "_receive_event", async_fail)
        else:
            patch.setattr(_http.OPERATIONS["start"], "sync_detailed", fail)
            patch.setattr(_http.OPERATIONS["start"], "asyncio_detailed", async_fail)
        error = caught(client.start)
    assert type(error) is TransportError
    assert str(error).startswith(f"No answer from {listenkey_sandbox.url} ")
    assert error.__cause__ is not None
    assert error.__cause__.__traceback__ is None
    client.start()  # and the client goes on


def test_an_answer_counts_even_if_its_connection_cannot_be_closed(
    listenkey_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is not kept is closed after the answer. The async twin's is aborted, which cannot fail."""
    close, port = socket.socket.close, int(listenkey_sandbox.url.rpartition(":")[2])

    def fail(self: socket.socket) -> None:
        peer = None
        with contextlib.suppress(OSError):  # it has no other side
            peer = self.getpeername()[1]
        close(self)
        if peer == port:
            raise OSError("cannot be closed")

    monkeypatch.setattr(_transport, "KEPT_CONNECTIONS", 0)
    with ListenKeyClient(API_KEY, base_url=listenkey_sandbox.url, attempts=1) as client, monkeypatch.context() as patch:
        patch.setattr(socket.socket, "close", fail)
        assert client.start().value
    assert [request.status for request in listenkey_sandbox.requests] == [200]


def test_cancellation_and_interrupts_pass(listenkey_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> Any:
        raise KeyboardInterrupt

    with ListenKeyClient(API_KEY, base_url=listenkey_sandbox.url) as client:
        client.start()
        with monkeypatch.context() as patch:
            patch.setattr(httpcore.HTTP11Connection, "_receive_event", interrupt)
            with pytest.raises(KeyboardInterrupt):
                client.start()
        client.start()  # over a new connection


def test_a_bug_of_ours_is_not_taken_for_a_fault_of_the_network(
    twin: Twin, listenkey_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(*_: object, **__: object) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr("listenkey._http.outcome.error_in", bug)
    with pytest.raises(ZeroDivisionError):
        twin(listenkey_sandbox.url).start()


def contexts(authority: trustme.CA) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make the TLS settings of a server on loopback, and of a client that trusts it."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return server, trusting


def test_tls_over_tls_is_bounded_too(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
    # A proxy by https, behind which a server sends its TLS byte by byte.
    context, trusting = contexts(authority)
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with listener:
            connection, _ = listener.accept()
            try:
                with context.wrap_socket(connection, server_side=True) as secured:
                    secured.recv(65536)
                    secured.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                    for byte in b"\x16\x03\x03\x40\x00" + bytes(100):  # a record of 16 KiB, which never comes whole
                        secured.sendall(bytes([byte]))
                        time.sleep(0.1)
            except OSError:
                pass

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    monkeypatch.setenv("HTTPS_PROXY", f"https://127.0.0.1:{listener.getsockname()[1]}")
    with ListenKeyClient(API_KEY, timeout=0.7, attempts=1, ssl_context=trusting) as client:
        assert "within 0.7 s" in str(caught(client.start))
    thread.join(5)


def test_no_time_left_is_a_timeout() -> None:
    attempt = Attempt(Account(Secret(API_KEY), 1e-9))
    with pytest.raises(httpcore.ReadTimeout):
        attempt.left()


def test_a_slow_resolver_leaves_no_time_to_connect(listenkey_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def slow(*arguments: Any, **named: Any) -> Any:
        time.sleep(0.3)
        return real(*arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with ListenKeyClient(API_KEY, base_url=listenkey_sandbox.url, timeout=0.2, attempts=1) as client:
        assert "within 0.2 s" in str(caught(client.start))


def test_what_the_other_side_does_not_take_is_bounded() -> None:
    """A server that pings on and on, and reads no answer, must not fill the memory."""

    async def send(connection: AsyncConnection) -> None:
        for _ in range(10_000):
            if not connection.try_to_send(bytes(2**14)):
                break
        assert unsent(connection) <= 2**21
        with pytest.raises(httpcore.ReadError, match="takes nothing"):
            await connection.read(1)

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            await send(await connect((socket.AF_INET, socket.SOCK_STREAM, 0, "", deaf.getsockname())))

    asyncio.run(main())


def test_what_nobody_has_read_yet_is_bounded() -> None:
    """A server that sends faster than the program reads must not fill the memory."""
    sent = bytes(2**24)

    async def receive(connection: AsyncConnection) -> None:
        most = taken = 0
        while data := await connection.read(2**16):
            taken += len(data)
            await asyncio.sleep(0)  # as a stream, which gives its program a turn
            most = max(most, unread(connection))
        assert taken == len(sent)
        assert most <= 2**21

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as fast:
            reading = asyncio.create_task(connect((socket.AF_INET, socket.SOCK_STREAM, 0, "", fast.getsockname())))
            accepted = await asyncio.to_thread(lambda: fast.accept()[0])
            with accepted:
                sending = asyncio.create_task(asyncio.to_thread(accepted.sendall, sent))
                sending.add_done_callback(lambda _: accepted.close())
                await receive(await reading)

    asyncio.run(main())


def test_tls_that_ends_without_an_answer(twin: Twin, authority: trustme.CA) -> None:
    context, trusting = contexts(authority)
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with listener:
            connection, _ = listener.accept()
            with context.wrap_socket(connection, server_side=True) as secured, contextlib.suppress(OSError):
                secured.recv(65536)
                secured.unwrap()  # says good-bye, and waits for ours

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    url = f"https://127.0.0.1:{listener.getsockname()[1]}"
    assert "Server disconnected" in str(caught(twin(url, attempts=1, ssl_context=trusting, timeout=3).start))
    thread.join(5)


def test_an_answer_that_was_not_parsed_in_time_is_no_answer(
    twin: Twin, listenkey_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*_: object) -> Any:
        raise TimeoutError

    client = twin(listenkey_sandbox.url, attempts=1)
    with monkeypatch.context() as patch:
        patch.setattr("binance_options_client.models.ListenKeyResponse.from_dict", late)
        assert "within 10 s" in str(caught(client.start))
    client.start()


def test_the_logs_of_other_programs_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("httpx").warning("%s", API_KEY)
    assert caplog.messages == [API_KEY]
