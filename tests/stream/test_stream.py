"""The twins of the stream against the sandbox: real sockets, both twins, every way in which a peer fails."""

import asyncio
import contextlib
import copy
import dataclasses
import json
import logging
import os
import pickle
import re
import socket
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from websockets.client import ClientProtocol  # noqa: TID251  speaks as the stream does
from websockets.frames import Frame, Opcode  # noqa: TID251
from websockets.uri import parse_uri  # noqa: TID251
from websockets.utils import accept_key  # noqa: TID251

from listenkey import (
    ApiError,
    AsyncListenKeyClient,
    AsyncListenKeyKeeper,
    ConfigurationError,
    LeaseLost,
    ListenKeyClient,
    ListenKeyError,
    ListenKeyKeeper,
    ServerError,
    TransportError,
    UnexpectedResponse,
)
from listenkey._http.exchange import Upgraded
from listenkey._inside import inside
from listenkey.sandbox import Sandbox
from listenkey.stream import (
    AccountUpdate,
    AsyncUserDataStream,
    Blind,
    Gap,
    Item,
    RiskLevelChange,
    StreamStatus,
    UnknownEvent,
    UserDataStream,
)
from listenkey.stream._pace import Pace
from listenkey.stream._websocket import WebSocket
from tests.conftest import API_KEY
from tests.inside import (
    break_down,
    hurry,
    keeper_of,
    link_of,
    log_of,
    parts_in,
    served_by,
    sockets_of,
    tries_of,
    url_of,
)
from tests.repository.test_programs import CLIENT, ROOT, programs

# Waits of a fiftieth; what a busy machine may take stays long: pongs, handshakes, draining.
PACE = dataclasses.replace(
    Pace().scaled(0.02), ping=0.4, pong=3.0, late=2.0, answer=5.0, drain=3.0, opening=5.0, poll=0.05
)


def event(number: int) -> dict[str, object]:
    return {"e": "RISK_LEVEL_CHANGE", "E": 1, "mb": "1", "mm": str(number)}


class Reader:
    """A stream of either kind, read without await."""

    def __init__(self, kind: str, base_url: str, settings: dict[str, Any], **of_client: Any) -> None:
        self.kind = kind
        self.runner = asyncio.Runner()
        life = settings.pop("life", None)
        if life is not None:
            of_client = {"key_life": life, **of_client}
        self.client: Any = (ListenKeyClient if kind == "sync" else AsyncListenKeyClient)(
            API_KEY, base_url=base_url, **of_client
        )
        source: Any = self.client
        if life is not None:
            twin: Any = ListenKeyKeeper if kind == "sync" else AsyncListenKeyKeeper
            source = twin(source)
            source.__enter__() if kind == "sync" else self.runner.run(source.__aenter__())
        self.keeper: Any = source if life is not None else None
        stream: Any = UserDataStream if kind == "sync" else AsyncUserDataStream
        self.stream: Any = stream(source, **settings)
        if kind == "sync":
            self.stream.__enter__()
        else:
            self.runner.run(self.stream.__aenter__())

    def next(self) -> Item:
        item: Item = next(self.stream) if self.kind == "sync" else self.runner.run(self._next())
        return item

    async def _next(self) -> Item:
        async with asyncio.timeout(50):
            item: Item = await anext(self.stream)
            return item

    def wait(self, ready: Callable[[], bool]) -> None:
        for _ in range(1000):
            if ready():
                return
            if self.kind == "sync":
                time.sleep(0.02)
            else:
                self.runner.run(asyncio.sleep(0.02))
        pytest.fail("it did not come")

    def until(self, reason: str) -> list[object]:
        """Read up to a Gap with this reason; return the numbers of events and reasons of gaps."""
        seen: list[object] = []
        while not seen or seen[-1] != reason:
            seen.append(name(self.next()))
        return seen

    def status(self) -> StreamStatus:
        status: StreamStatus = self.stream.status()
        return status

    def close(self) -> None:
        if self.kind == "sync":
            self.stream.__exit__(None, None, None)
            if self.keeper:
                self.keeper.__exit__(None, None, None)
            self.client.close()
        else:
            self.runner.run(self.stream.__aexit__(None, None, None))
            if self.keeper:
                self.runner.run(self.keeper.__aexit__(None, None, None))
            self.runner.run(self.client.aclose())
            self.runner.close()


def name(item: Item) -> object:
    if isinstance(item, Gap):
        return item.reason
    return int(item.maintenance_margin) if isinstance(item, RiskLevelChange) else item


Open = Callable[..., Reader]


@pytest.fixture(params=["sync", "async"])
def read(request: pytest.FixtureRequest, listenkey_sandbox: Sandbox) -> Iterator[Open]:
    with contextlib.ExitStack() as stack:

        def start(
            base_url: str = listenkey_sandbox.url, of_client: dict[str, Any] | None = None, **settings: Any
        ) -> Reader:
            reader = Reader(request.param, base_url, {"_pace": PACE, **settings}, **(of_client or {}))
            stack.callback(reader.close)
            return reader

        yield start


@pytest.fixture
def sandbox(listenkey_sandbox: Sandbox) -> Sandbox:
    return listenkey_sandbox


@pytest.mark.parametrize("form", ["path", "query", "subscribe"])
@pytest.mark.parametrize("wrapped", [True, False])
def test_the_first_item_is_a_gap_and_events_follow(read: Open, sandbox: Sandbox, form: str, wrapped: bool) -> None:
    sandbox.stream.wrapped = wrapped
    reader = read(form=form)
    first = reader.next()
    assert isinstance(first, Gap)
    assert (first.reason, first.since) == ("started", None)
    assert reader.status().last_event is None
    assert sandbox.emit(event(1)) == 1
    assert sandbox.emit(event(2), account=API_KEY) == 1
    assert sandbox.emit(event(3), account="another") == 0
    assert [name(reader.next()) for _ in range(2)] == [1, 2]
    status = reader.status()
    assert status.state == "connected"
    assert status.connected_since is not None
    assert status.last_event is not None
    assert (status.waiting, status.last_error) == (0, None)


def test_a_lost_connection_is_a_gap(read: Open, sandbox: Sandbox) -> None:
    reader = read()
    reader.until("started")
    for fault in ("stream-drop", "stream-close"):
        sandbox.stream.fault(fault)
        assert reader.until("reconnected") == ["reconnected"]
        sandbox.emit(event(1))
        assert name(reader.next()) == 1


def test_a_link_without_a_sign_of_life_is_given_up(read: Open, sandbox: Sandbox) -> None:
    reader = read(_pace=dataclasses.replace(PACE, pong=0.5, late=100))
    reader.until("started")
    sandbox.stream.fault("stream-half-open")
    assert reader.until("reconnected") == ["reconnected"]


def test_a_key_that_ends_is_replaced_at_once(read: Open, sandbox: Sandbox) -> None:
    reader = read(life=36.0)  # the keeper's pace is a hundredth
    reader.until("started")
    sandbox.expire()
    seen = reader.until("key_expired")
    assert [each for each in seen if each != "reconnected"] == ["key_expired"]
    sandbox.emit(event(1))
    assert name(reader.next()) == 1


def test_a_planned_change_brings_no_gap_no_loss_no_double(read: Open, sandbox: Sandbox) -> None:
    reader = read()
    reader.until("started")
    first = reader.status().connected_since
    sent = 0
    reader.wait(lambda: tries_of(reader.stream) == 0)
    sandbox.stream.fault("stream-frame", text=json.dumps({"e": "serverShutdown", "E": 1}))
    while sent < 20 or reader.status().connected_since == first or sandbox.stream.connections != 1:
        sent += 1
        sandbox.emit(event(sent))
        reader.wait(lambda: True)
        time.sleep(0.01)
        assert sent < 2000
        if reader.kind == "async":
            reader.runner.run(asyncio.sleep(0.01))
    assert [name(reader.next()) for _ in range(sent)] == list(range(1, sent + 1))


def test_a_mute_link_is_found_where_a_position_is_held(read: Open, sandbox: Sandbox) -> None:
    hurry(sandbox, 0.02)
    reader = read(_pace=dataclasses.replace(PACE, silence=3.0))
    reader.until("started")
    position = {"s": "BTC-260626-90000-C", "c": "1", "p": "1", "a": "1"}
    sandbox.emit({"e": "BALANCE_POSITION_UPDATE", "E": 1, "T": 1, "B": [], "P": [position, {"s": "x"}]})
    updates = 0
    while updates < 6:
        updates += isinstance(reader.next(), AccountUpdate)
    sandbox.stream.fault("stream-mute", only=1)
    item = reader.next()
    while isinstance(item, AccountUpdate):
        item = reader.next()
    assert name(item) == "mute"
    assert isinstance(reader.next(), AccountUpdate)
    sandbox.emit({"e": "BALANCE_POSITION_UPDATE", "E": 1, "T": 1, "B": [], "P": [{**position, "c": "0"}]})


@pytest.mark.parametrize("text", ["{", '{"e":"NEWS"}', "[1]"])
def test_a_frame_that_cannot_be_read_goes_through_as_unknown(read: Open, sandbox: Sandbox, text: str) -> None:
    reader = read()
    reader.until("started")
    sandbox.stream.fault("stream-frame", text=text)
    sandbox.emit(event(1))
    assert isinstance(reader.next(), UnknownEvent)
    assert name(reader.next()) == 1


def test_a_huge_frame_costs_the_connection_and_is_marked(read: Open, sandbox: Sandbox) -> None:
    reader = read()
    reader.until("started")
    sandbox.stream.fault("stream-huge")
    assert reader.until("reconnected") == ["reconnected"]


def test_a_server_that_accepts_and_closes_is_not_stormed(read: Open, sandbox: Sandbox) -> None:
    sandbox.stream.fault("stream-accept-close", times=4)
    reader = read()
    assert reader.until("started").count("started") == 1
    reader.until("reconnected")
    reader.wait(lambda: sandbox.stream.connections == 1 and not sandbox.faults.waiting)
    handshakes = [each.time for each in sandbox.requests if each.status == 101]
    assert handshakes[4] - handshakes[1] >= 0.02 * (1 + 2 + 4)


def test_a_redirect_is_refused_and_ends_the_stream(read: Open, sandbox: Sandbox) -> None:
    sandbox.stream.fault("stream-redirect", times=10)
    reader = read()
    for _ in range(2):  # it is final
        with pytest.raises(UnexpectedResponse, match="a redirect, which is not followed"):
            reader.next()
    assert reader.status().state == "ended"
    assert "/elsewhere" not in {each.path for each in sandbox.requests}
    assert str(reader.status().last_error) == (
        f"Not an answer that Binance documents: {sandbox.stream_url} answered the handshake with a redirect, which is "
        "not followed. Check stream_url and any proxy. (HTTP 302)"
    )


@pytest.mark.parametrize(("status", "headers"), [(429, {"Retry-After": "1"}), (418, {"Retry-After": "1"})])
def test_a_refusal_of_the_address_counts_for_its_wait(
    read: Open, sandbox: Sandbox, status: int, headers: dict[str, str]
) -> None:
    sandbox.stream.fault("stream-refuse", status=status, headers=headers)
    reader = read()
    reader.until("started")
    first, second = [each.time for each in sandbox.requests if each.path == "/private/ws"]
    assert second - first >= 1
    assert inside(reader.client).address.rate_limit_wait.until > 0


def test_a_server_that_is_away_is_tried_again(read: Open, sandbox: Sandbox) -> None:
    sandbox.stream.fault("stream-refuse", status=503, times=2)
    reader = read()
    assert reader.until("started") == ["started"]


def test_a_slow_program_finds_one_gap_with_the_count(
    read: Open, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listenkey.stream._streams.BUFFER", 5)
    reader = read()
    reader.wait(lambda: sandbox.stream.connections == 1)
    for i in range(1, 21):
        sandbox.emit(event(i))
    reader.wait(lambda: reader.status().waiting == 6)
    sandbox.emit(event(21))
    items: list[Item] = []
    while not items or not isinstance(items[-1], Gap) or items[-1].reason != "overflow":
        items.append(reader.next())
    assert [name(each) for each in items] == ["started", 1, 2, 3, 4, "overflow"]


def test_events_that_were_held_back_make_no_program_slow(
    read: Open, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events of an unknown kind prove no key. They wait for the proof, and then come at once."""
    monkeypatch.setattr("listenkey.stream._streams.BUFFER", 5)
    reader = read(life=36.0)
    reader.until("started")
    sandbox.faults.add("status", status=503, times=None)
    sandbox.stream.fault("stream-drop")
    reader.wait(lambda: reader.status().state == "connected" and not reader.status().key_proven)
    for i in range(20):
        assert sandbox.emit({"e": f"NEW_{i}"}) == 1
    reader.wait(lambda: len(sockets_of(link_of(reader.stream)).main.held) == 20)
    sandbox.faults.clear()
    reader.wait(lambda: reader.status().key_proven)
    assert name(reader.next()) == "reconnected"
    kinds = [reader.next() for _ in range(20)]
    assert [each.kind for each in kinds if isinstance(each, UnknownEvent)] == [f"NEW_{i}" for i in range(20)]


def test_the_end_of_the_lease_ends_the_iterator(read: Open, sandbox: Sandbox) -> None:
    reader = read()
    reader.until("started")
    break_down(keeper_of(reader.stream), OSError())
    with pytest.raises(LeaseLost, match="The keeper broke down"):
        reader.next()
    again = read()
    assert again.until("started") == ["started"]


def test_a_bug_ends_the_stream_and_is_named_without_its_text(
    read: Open, sandbox: Sandbox, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = read()
    reader.until("started")
    monkeypatch.setattr(link_of(reader.stream), "frames", None)
    sandbox.emit(event(1))
    with pytest.raises(ListenKeyError, match=r"The stream broke down \(TypeError\)"):
        reader.next()
    assert "the stream broke down: TypeError" in caplog.messages


def test_a_filter_of_the_log_that_raises_leaves_no_stream_that_is_dead_in_silence(
    read: Open, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks at a keeper writes what the keeper has to log. Here that is the stream, once."""
    reader = read()
    reader.until("started")

    class Filter(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            monkeypatch.undo()
            raise ZeroDivisionError

    monkeypatch.setattr(logging.getLogger("listenkey"), "filters", [Filter()])
    log_of(keeper_of(reader.stream)).append((logging.WARNING, "at risk", {}))
    with pytest.raises(ListenKeyError, match=r"The stream broke down \(ZeroDivisionError\)"):
        reader.next()
    assert reader.status().state == "ended"


def test_leaving_is_quick_and_leaves_nothing(read: Open, sandbox: Sandbox) -> None:
    before = threading.active_count()
    reader = read()
    reader.until("started")
    sandbox.stream.fault("stream-half-open")  # it will not answer the close frame
    if reader.kind == "sync":
        reader.stream.__exit__(None, None, None)
    else:
        reader.runner.run(reader.stream.__aexit__(None, None, None))
        assert reader.runner.run(tasks()) == []
    assert reader.status().state == "ended"
    with pytest.raises((StopIteration, StopAsyncIteration)):
        reader.next()
    reader.wait(lambda: sandbox.stream.connections == 0)
    reader.wait(lambda: threading.active_count() <= before + 2)  # the sandbox's own
    assert reader.client.start if reader.kind == "sync" else True


async def tasks() -> list[str]:
    return [each.get_name() for each in asyncio.all_tasks() if each is not asyncio.current_task()]


def test_leaving_while_it_waits_wakes_the_reader(sandbox: Sandbox) -> None:
    with ListenKeyClient(API_KEY, base_url=sandbox.url) as client:
        seen: list[Item] = []
        with UserDataStream(client) as stream:
            thread = threading.Thread(target=lambda: seen.extend(stream))
            thread.start()
            while not seen:
                time.sleep(0.01)
            time.sleep(1.5)  # the reader looks whether something has come once a second
        thread.join(10)
        assert not thread.is_alive()


def test_leaving_while_a_socket_is_opened_and_another_is_drained(read: Open, sandbox: Sandbox) -> None:
    reader = read()
    reader.until("started")
    reader.wait(lambda: tries_of(reader.stream) == 0)
    sandbox.stream.fault("stream-frame", text=json.dumps({"e": "serverShutdown", "E": 1}))
    sandbox.stream.fault("stream-half-open")
    sandbox.stream.fault("stream-accept-close", times=2)


def test_a_keeper_that_is_passed_in_stays_open(sandbox: Sandbox) -> None:
    with ListenKeyClient(API_KEY, base_url=sandbox.url) as client, ListenKeyKeeper(client) as keeper:
        for _ in range(2):
            with UserDataStream(keeper) as stream:
                assert name(next(stream)) == "started"
        assert keeper.status().state == "running"

    async def twin() -> None:
        async with (
            AsyncListenKeyClient(API_KEY, base_url=sandbox.url) as client,
            AsyncListenKeyKeeper(client) as keeper,
        ):
            async with AsyncUserDataStream(keeper) as stream:
                async for item in stream:
                    assert name(item) == "started"
                    break
            assert keeper.status().state == "running"

    asyncio.run(twin())


def test_the_outer_loop_of_a_program(sandbox: Sandbox) -> None:
    """A program that starts anew after LeaseLost: a new stream on the same client."""
    with ListenKeyClient(API_KEY, base_url=sandbox.url) as client:
        for _ in range(3):
            with UserDataStream(client, _pace=PACE) as stream:
                assert name(next(stream)) == "started"
                break_down(keeper_of(stream), OSError())
                with pytest.raises(LeaseLost):
                    next(stream)


class TestConfiguration:
    @pytest.mark.parametrize("twin", [(ListenKeyClient, UserDataStream), (AsyncListenKeyClient, AsyncUserDataStream)])
    @pytest.mark.parametrize(
        ("base_url", "settings", "text"),
        [
            ("https://exchange.test", {}, "Nobody said where the stream of this base URL is: pass stream_url"),
            ("https://eapi.binance.com", {"stream_url": "https://x.test"}, "stream_url must start with wss://"),
            ("https://eapi.binance.com", {"stream_url": "ws://x.test"}, "stream_url must start with wss:"),
            ("https://eapi.binance.com", {"stream_url": "wss://u:p@x.test"}, "stream_url must not carry a user"),
            ("https://eapi.binance.com", {"stream_url": "wss://x.test/a?b"}, "stream_url must be a scheme, a host"),
            ("https://eapi.binance.com", {"stream_url": 7}, "stream_url"),
            ("https://eapi.binance.com", {"form": "post"}, "form must be one of: path, query, subscribe."),
        ],
    )
    def test_what_cannot_work_is_said_at_once(
        self, twin: tuple[Any, Any], base_url: str, settings: dict[str, Any], text: str
    ) -> None:
        client, stream = twin
        with pytest.raises(ConfigurationError, match=text):
            stream(client(API_KEY, base_url=base_url), **settings)

    @pytest.mark.parametrize(
        ("base_url", "stream_url", "expected"),
        [
            ("https://eapi.binance.com", None, "wss://fstream.binance.com/private"),
            ("https://eapi.binance.com/", None, "wss://fstream.binance.com/private"),
            ("https://demo-fapi.binance.com", None, "wss://demo-fstream.binance.com/private"),
            ("http://127.0.0.1:8080", None, "ws://127.0.0.1:8080/private"),
            ("http://[::1]:8080", None, "ws://[::1]:8080/private"),
            ("https://localhost:8443", None, "wss://localhost:8443/private"),
            ("https://exchange.test", "wss://stream.test/private", "wss://stream.test/private"),
        ],
    )
    def test_where_the_stream_is(self, base_url: str, stream_url: str | None, expected: str) -> None:
        stream = UserDataStream(ListenKeyClient(API_KEY, base_url=base_url), stream_url=stream_url)
        assert url_of(stream) == expected

    def test_a_sandbox_in_the_next_container(self) -> None:
        client = ListenKeyClient(API_KEY, base_url="http://sandbox:8080", plain_http_host="sandbox")
        assert url_of(UserDataStream(client, stream_url="ws://sandbox:8080/private")).startswith("ws://")

    def test_the_table_is_what_the_document_says(self) -> None:
        from ruamel.yaml import YAML

        from listenkey.stream._forms import FORMS
        from listenkey.stream._streams import STREAMS

        document = YAML(typ="safe").load(ROOT / "asyncapi.yaml")
        hosts = {f"{each['protocol']}://{each['host']}{each['pathname']}" for each in document["servers"].values()}
        assert set(STREAMS.values()) == hosts
        forms = document["channels"]["userData"]["x-forms"]
        assert {name: each["address"].replace("{listenKey}", "{}") for name, each in forms.items()} == FORMS

    def test_misuse(self, sandbox: Sandbox) -> None:
        with ListenKeyClient(API_KEY, base_url=sandbox.url) as client:
            stream = UserDataStream(client)
            with pytest.raises(ConfigurationError, match="This stream is not running: enter its block, as in `with"):
                stream.status()
            stream.__exit__(None, None, None)  # nothing was entered
            with (
                ListenKeyKeeper(client) as keeper,
                UserDataStream(keeper) as running,
                pytest.raises(ConfigurationError, match="entered once"),
            ):
                running.__enter__()
            with pytest.raises(ConfigurationError, match="needs a client of type"):
                UserDataStream(7)  # type: ignore[arg-type]
            assert API_KEY not in repr(stream)

    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    def test_a_child_after_a_fork_has_no_stream(self, sandbox: Sandbox) -> None:
        with ListenKeyClient(API_KEY, base_url=sandbox.url) as client, UserDataStream(client) as stream:
            next(stream)
            if (child := os.fork()) == 0:
                status = 1
                with contextlib.suppress(BaseException):
                    with pytest.raises(ConfigurationError, match="another process's"):
                        next(stream)
                    stream.__exit__(None, None, None)
                    status = 0
                os._exit(status)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            sandbox.emit(event(1))
            assert name(next(stream)) == 1


@pytest.mark.parametrize("form", ["path", "query", "subscribe"])
def test_the_listen_key_is_in_no_log_and_no_repr(
    read: Open, sandbox: Sandbox, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    reader = read(form=form)
    reader.until("started")
    key = keeper_of(reader.stream).key.value
    sandbox.stream.fault("stream-frame", text=json.dumps({"stream": key, "data": {"e": "NEWS", "listenKey": key}}))
    unknown = reader.next()
    assert isinstance(unknown, UnknownEvent)
    sandbox.stream.fault("stream-refuse", status=500)
    sandbox.stream.fault("stream-drop")
    reader.until("reconnected")
    tasks = [str(each) for each in served_by(reader.stream).values()]
    for text in (caplog.text, repr(unknown), str(unknown.raw), repr(reader.stream), repr(reader.status()), *tasks):
        assert key not in text
    assert key not in str([vars(record) for record in caplog.records])


def test_an_address_where_nothing_listens(read: Open, sandbox: Sandbox, free_port: int) -> None:
    where = f"ws://127.0.0.1:{free_port}/private"
    reader = read(stream_url=where)
    reader.wait(lambda: reader.status().last_error is not None)
    assert str(reader.status().last_error).startswith(f"No answer from {where} (ConnectError: ")
    assert "Connection refused" in str(reader.status().last_error)
    assert reader.status().state == "connecting"


def test_a_program_that_never_waits_leaves_its_loop_time_to_read(sandbox: Sandbox) -> None:
    async def program() -> None:
        async with AsyncListenKeyClient(API_KEY, base_url=sandbox.url) as client, AsyncUserDataStream(client) as stream:
            await anext(stream)
            turns = 0

            def turn() -> None:
                nonlocal turns
                turns += 1
                asyncio.get_running_loop().call_soon(turn)

            for i in range(300):
                sandbox.emit(event(i))
            while stream.status().waiting < 300:  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(0.01)
            turn()
            for _ in range(300):
                await anext(stream)
            assert turns >= 4

    asyncio.run(program())


def test_an_async_block_that_was_never_entered_is_left_in_peace(sandbox: Sandbox) -> None:
    async def program() -> None:
        async with AsyncListenKeyClient(API_KEY, base_url=sandbox.url) as client:
            await AsyncUserDataStream(client).__aexit__(None, None, None)

    asyncio.run(program())


def test_a_key_that_is_replaced_while_a_socket_is_opened(read: Open, sandbox: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:  # the handshake hangs
        reader = read(life=36.0, stream_url=f"ws://127.0.0.1:{mute.getsockname()[1]}/private")
        reader.wait(lambda: len(served_by(reader.stream)) == 1)
        sandbox.expire()
        with contextlib.suppress(ListenKeyError):
            reader.keeper.renew_now() if reader.kind == "sync" else reader.runner.run(reader.keeper.renew_now())
        reader.wait(lambda: 2 in served_by(reader.stream) and 1 not in served_by(reader.stream))


def test_importing_the_package_does_not_import_websockets() -> None:
    code = "import sys, listenkey, listenkey.sandbox; listenkey.ListenKeyClient; sys.exit('websockets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_the_extra_it_says_which_package_is_missing() -> None:
    code = "import sys; sys.modules['websockets'] = None; import listenkey.stream"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "needs the package websockets: pip install 'binance-options-listenkey[stream]'" in run.stderr


def test_the_program_of_the_docs(listenkey_sandbox: Sandbox) -> None:
    (program,) = programs("python follow")
    text = program.text.replace(CLIENT, CLIENT + ', base_url=os.environ["LISTENKEY_BASE_URL"]')
    assert text != program.text
    environment = {**os.environ, "BINANCE_API_KEY": API_KEY, "LISTENKEY_BASE_URL": listenkey_sandbox.url}
    command = [sys.executable, "-c", text]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as bot:
        assert bot.stdout is not None
        assert bot.stdout.readline() == "a snapshot over REST belongs here\n"
        keys = ["s", "c", "S", "x", "X", "q", "p", "ap", "l", "z", "L", "n", "b", "a", "rp"]
        order = dict.fromkeys(keys, "1") | {"i": 1, "T": 1}
        listenkey_sandbox.emit({"e": "ORDER_TRADE_UPDATE", "E": 1, "T": 1, "o": {**order, "c": "mine", "X": "FILLED"}})
        assert bot.stdout.readline() == "mine FILLED 1\n"
        listenkey_sandbox.emit({"e": "NEWS"})
        assert bot.stdout.readline() == "a snapshot over REST belongs here\n"
        bot.kill()


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_oldest_websockets_that_is_promised_will_do(tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (floor,) = re.findall(r"websockets>=([\d.]+)", project["optional-dependencies"]["stream"][0])
    install = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--target"]
    subprocess.run([*install, str(tmp_path), f"websockets=={floor}"], check=True)
    check = f"import websockets; assert websockets.__version__ == '{floor}'"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", check], env=environment, check=True)
    chosen = "first_item or planned or redirect or huge or leaving or refusal or (no_log and not floor)"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen, str(Path(__file__))]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
    assert int(re.findall(r"(\d+) passed", run.stdout)[0]) >= 30


# What happens while nobody looks.


def test_a_key_that_was_replaced_while_the_line_was_down_is_found(read: Open, sandbox: Sandbox) -> None:
    """Another program ends the key and makes another: the line comes back on the dead key, and would be deaf."""
    reader = read(life=36.0, _pace=dataclasses.replace(PACE, pong=0.5, late=100))
    reader.until("started")
    sandbox.stream.fault("stream-half-open")
    with ListenKeyClient(API_KEY, base_url=sandbox.url) as another:
        another.delete()
        another.start()
    assert reader.until("key_replaced") == ["key_replaced"]
    assert reader.status().key_proven
    assert sandbox.emit(event(1)) == 1
    assert name(reader.next()) == 1


def test_while_rest_is_away_the_status_says_that_the_key_is_not_proven(
    read: Open, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    reader = read(life=36.0)
    reader.until("started")
    sandbox.faults.add("status", status=503, times=None)
    sandbox.stream.fault("stream-drop")
    reader.wait(lambda: reader.status().state == "connected" and isinstance(reader.status().last_error, ApiError))
    status = reader.status()
    assert (status.key_proven, status.waiting) == (False, 0)
    assert status.blind_since is not None
    reader.wait(lambda: any("the listen key is not proven" in text for text in caplog.messages))
    sandbox.faults.clear()
    assert reader.until("reconnected") == ["reconnected"]
    status = reader.status()
    assert (status.key_proven, status.blind_since, status.last_error) == (True, None, None)


def test_blindness_is_told_at_once_and_in_the_log(
    read: Open, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    reader = read(tell_blind=True)
    reader.until("started")
    sandbox.stream.fault("stream-refuse", status=503, times=8)
    sandbox.stream.fault("stream-drop")
    blind = reader.next()
    assert isinstance(blind, Blind)
    assert blind.since is not None
    assert str(blind.error).startswith(f"The connection to {sandbox.stream_url} was lost: ")
    reader.wait(lambda: isinstance(reader.status().last_error, ServerError))
    since = reader.status().blind_since
    assert since is not None
    assert abs(since - blind.since) < timedelta(seconds=1)  # two readings of the wall clock
    assert str(reader.status().last_error) == (
        f"{sandbox.stream_url} refused the stream. The stream goes on trying. (HTTP 503)"
    )
    reader.until("reconnected")
    assert (reader.status().last_error, reader.status().blind_since) == (None, None)
    told = [record for record in caplog.records if vars(record).get("listenkey_event") == "blind"]
    assert told
    assert all(record.levelno == logging.WARNING and sandbox.stream_url in record.getMessage() for record in told)


@pytest.mark.parametrize(
    ("fault", "options", "words"),
    [
        ("stream-close", {"code": 1001}, "the server closed it with code 1001"),
        ("stream-huge", {}, "a message was over 1 MiB"),
        ("stream-drop", {}, ""),  # a reset, or the end that it is on some systems
    ],
)
def test_each_way_to_lose_a_connection_has_words_of_its_own(
    read: Open, sandbox: Sandbox, fault: str, options: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "listenkey.stream")
    reader = read()
    reader.until("started")
    sandbox.stream.fault(fault, **options)
    reader.until("reconnected")
    (told,) = [text for text in caplog.messages if " was lost: " in text][:1]
    assert f"The connection to {sandbox.stream_url} was lost: {words}" in told
    assert "close code None" not in told


def test_a_line_that_is_dead_is_told_as_such(read: Open, sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "listenkey.stream")
    reader = read(_pace=dataclasses.replace(PACE, pong=0.5, late=100))
    reader.until("started")
    sandbox.stream.fault("stream-half-open")
    reader.until("reconnected")
    text = f"The connection to {sandbox.stream_url} is of no use: no sign of life for 0.9 s."
    assert text in caplog.messages


def test_a_burst_reaches_a_program_that_only_reads(read: Open, sandbox: Sandbox) -> None:
    reader = read()
    reader.until("started")
    texts = "".join(f'{{"e":"RISK_LEVEL_CHANGE","E":1,"mb":"1","mm":"{i}"}}\n' for i in range(20_000)).splitlines()

    def write() -> None:
        for text in texts:
            sandbox.stream.fault("stream-frame", text=text)

    writer = threading.Thread(target=write)
    writer.start()
    if reader.kind == "sync":
        seen = [name(next(reader.stream)) for _ in range(20_000)]
    else:

        async def take() -> list[object]:
            return [name(await anext(reader.stream)) for _ in range(20_000)]

        seen = reader.runner.run(take())
    writer.join()
    assert seen == list(range(20_000))


@pytest.mark.long
def test_a_change_of_connections_in_a_burst_loses_nothing(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """The program takes some 600 items a second. The old connection has 5 seconds for the 4,500 events behind."""
    text = '{"e":"RISK_LEVEL_CHANGE","E":1,"mb":"1","mm":"%d"}'

    def write() -> None:
        for i in range(6_000):
            sandbox.stream.fault("stream-frame", text=text % i, only=1)
        sandbox.emit({"e": "serverShutdown", "E": 1})
        for i in range(6_000, 10_500):
            sandbox.stream.fault("stream-frame", text=text % i, only=1)

    caplog.set_level(logging.INFO, "listenkey.stream")
    with ListenKeyClient(API_KEY, base_url=sandbox.url) as client, UserDataStream(client) as stream:
        assert name(next(stream)) == "started"
        writer = threading.Thread(target=write)
        writer.start()
        seen: list[object] = []
        while len(seen) < 10_500 and "reconnected" not in seen[-1:]:
            seen.append(name(next(stream)))
            if len(seen) % 7 == 0 and "connection 1 of the stream: closed" not in caplog.messages:
                time.sleep(0.01)
        writer.join()
    assert seen == list(range(10_500))


def test_50_000_events_in_one_write_reach_a_program_that_only_reads(
    scripted: Callable[..., str], read: Open, sandbox: Sandbox
) -> None:
    """The first of them come with the answer to the handshake."""
    text = '{"e":"RISK_LEVEL_CHANGE","E":1,"mb":"1","mm":"%d"}'
    events = b"".join(Frame(Opcode.TEXT, (text % i).encode()).serialize(mask=False) for i in range(50_000))

    def script(connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(4096)
        (key,) = re.findall(rb"(?i)sec-websocket-key: *(\S+)", head)
        accept = f"Sec-WebSocket-Accept: {accept_key(key.decode())}"
        answer = f"HTTP/1.1 101 -\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{accept}\r\n\r\n"
        connection.sendall(answer.encode() + events)
        while connection.recv(4096):
            pass

    reader = read(stream_url=scripted(script, reads_head=False).replace("http", "ws"))
    assert reader.until("started") == ["started"]
    if reader.kind == "sync":
        seen = [name(next(reader.stream)) for _ in range(50_000)]
    else:

        async def take() -> list[object]:
            return [name(await anext(reader.stream)) for _ in range(50_000)]

        seen = reader.runner.run(take())
    assert seen == list(range(50_000))


def test_a_message_of_many_empty_frames_fills_no_memory() -> None:
    protocol = ClientProtocol(parse_uri("ws://stream/"))
    accept = accept_key(protocol.connect().headers["Sec-WebSocket-Key"])
    head = f"HTTP/1.1 101 -\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    socket: Any = WebSocket(
        protocol, cast(Any, Upgraded(head.encode(), cast(Any, None), cast(Any, None))), cast(Any, None)
    )
    assert socket.received(b"\x01\x02{ " + b"\x00\x00" * 10_000) == []
    assert parts_in(socket) == 1
    assert socket.received(b"\x80\x01}" + b"\x81\x00" + b"\x01\x00\x80\x00") == [b"{ }", b"", b""]


def test_an_interrupt_inside_next_loses_no_item(sandbox: Sandbox) -> None:
    """At each line of ours that runs inside `next`, once."""
    with ListenKeyClient(API_KEY, base_url=sandbox.url) as client, UserDataStream(client) as stream:
        assert name(next(stream)) == "started"
        places: set[tuple[str, int]] = set()
        hit = 0

        def trace(frame: Any, what: str, _: object) -> Any:
            nonlocal hit
            place = frame.f_code.co_filename, frame.f_lineno
            if "listenkey" in place[0] and what in ("line", "return") and place not in places:
                places.add(place)
                hit += 1
                raise KeyboardInterrupt
            return trace

        got: list[object] = []
        for number in range(60):
            sandbox.emit(event(number))
            while len(got) <= number:
                sys.settrace(trace)
                try:
                    got.append(name(next(stream)))
                except KeyboardInterrupt:
                    pass
                finally:
                    sys.settrace(None)
        assert got == list(range(60))
        assert hit > 10


def test_next_within_gives_none_when_nothing_comes(read: Open, sandbox: Sandbox) -> None:
    reader = read()
    reader.until("started")
    within: Any = reader.stream.next_within
    run: Any = (lambda result: result) if reader.kind == "sync" else reader.runner.run
    assert run(within(0.05)) is None
    sandbox.emit(event(1))
    assert name(run(within(20))) == 1


def test_next_within_no_time_gives_each_item_that_waits(read: Open, sandbox: Sandbox) -> None:
    reader = read()
    reader.until("started")
    for i in range(150):
        sandbox.emit(event(i))
    reader.wait(lambda: reader.status().waiting == 150)
    run: Any = (lambda result: result) if reader.kind == "sync" else reader.runner.run
    assert [name(run(reader.stream.next_within(0))) for _ in range(151)] == [*range(150), None]


def test_a_stream_is_neither_copied_nor_pickled(read: Open) -> None:
    reader = read()
    for way in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(ConfigurationError, match=r"^A stream cannot be copied or pickled: make a new one"):
            way(reader.stream)


def test_another_event_loop_is_refused_whole(sandbox: Sandbox) -> None:
    async def program() -> None:
        async with AsyncListenKeyClient(API_KEY, base_url=sandbox.url) as client, AsyncUserDataStream(client) as stream:
            await anext(stream)
            for use in (stream.__anext__, stream.__aexit__):
                with pytest.raises(ConfigurationError, match="belongs to another event loop: use and leave it"):
                    await asyncio.to_thread(asyncio.run, use())
            sandbox.emit(event(1))
            assert name(await anext(stream)) == 1

    asyncio.run(program())


@pytest.mark.parametrize("what", ["thread", "descriptor"])
def test_what_the_system_cannot_give_is_a_transport_error_and_leaves_nothing(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    started = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name == "listenkey-stream":
            raise RuntimeError("can't start new thread")
        started(thread)

    def no_loop() -> asyncio.AbstractEventLoop:
        raise OSError(24, "Too many open files")

    with ListenKeyClient(API_KEY, base_url=sandbox.url) as client:
        with monkeypatch.context() as patch:
            if what == "thread":
                patch.setattr(threading.Thread, "start", start)
            else:
                patch.setattr(asyncio, "new_event_loop", no_loop)
            stream = UserDataStream(client)
            with pytest.raises(TransportError, match=r"^No thread or descriptor is left for the stream"):
                stream.__enter__()
            assert keeper_of(stream).status().state == "closed"
        with UserDataStream(client) as another:
            assert name(next(another)) == "started"


def test_all_streams_of_a_program_take_turns_to_open(sandbox: Sandbox) -> None:
    async def follow(number: int) -> None:
        async with (
            AsyncListenKeyClient(f"{API_KEY}{number}", base_url=sandbox.url) as client,
            AsyncUserDataStream(client) as stream,
        ):
            assert name(await anext(stream)) == "started"

    async def program() -> None:
        await asyncio.gather(*map(follow, range(20)))

    asyncio.run(program())
    handshakes = [each.time for each in sandbox.requests if each.status == 101]
    assert len(handshakes) == 20
    assert handshakes[-1] - handshakes[0] >= 19 * 0.025  # half of the pause is certain
