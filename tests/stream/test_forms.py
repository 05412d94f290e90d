"""`form="auto"`: a connection by each form, until one brings an event."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve  # noqa: TID251  a server that tells the forms apart

from listenkey import ApiError, AsyncListenKeyClient, ConfigurationError, ListenKeyClient
from listenkey.sandbox import Sandbox
from listenkey.stream import AsyncUserDataStream, Gap, RiskLevelChange, UserDataStream
from listenkey.stream._forms import FORMS, WAITING, Form, meaning_of
from tests.conftest import API_KEY

EVENT = {"e": "RISK_LEVEL_CHANGE", "E": 1, "mb": "1", "mm": "1"}
MANY = 3000


def form_of(path: str) -> Form:
    return "query" if "listenKey=" in path else "subscribe" if path.endswith("/stream") else "path"


class Exchange:
    """Sends events to the connections of some forms alone. The others open, answer pings, and are silent."""

    def __init__(self, serves: set[Form], refuses: set[Form]) -> None:
        self._serves, self._refuses = serves, refuses
        self.url = ""
        self.reply: dict[str, Any] | None = {"result": None}  # to SUBSCRIBE
        self.hangs: Form | None = None  # whose handshake nobody answers
        self.in_place_of_reply = 0  # so many events
        self.opened: list[Form] = []
        self.open: dict[ServerConnection, Form] = {}

    async def judge(self, connection: ServerConnection, request: Any) -> Any:
        if form_of(request.path) == self.hangs:
            await connection.wait_closed()
        refused = form_of(request.path) in self._refuses
        return connection.respond(HTTPStatus.NOT_FOUND, "no") if refused else None

    async def handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        form = form_of(connection.request.path)
        if form == "subscribe":
            asked = json.loads(await connection.recv())
            if self.reply is None:
                return  # which closes the connection
            for number in range(self.in_place_of_reply):
                await connection.send(json.dumps({**EVENT, "E": number}))
                await asyncio.sleep(0.01)  # each is a chunk of its own
            if self.in_place_of_reply:
                await connection.wait_closed()
            await connection.send(json.dumps({**self.reply, "id": asked["id"]}))
        self.opened.append(form)
        self.open[connection] = form
        try:
            await connection.wait_closed()
        finally:
            del self.open[connection]

    async def emit(self, *events: dict[str, Any]) -> None:
        for connection, form in list(self.open.items()):
            for event in events if form in self._serves else ():
                await connection.send(json.dumps(event))


@asynccontextmanager
async def exchange(*serves: Form, refuses: set[Form] = set()) -> AsyncIterator[Exchange]:  # noqa: B006  not changed
    server = Exchange({*serves}, refuses)
    async with serve(server.handle, "127.0.0.1", 0, process_request=server.judge) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        server.url = f"ws://127.0.0.1:{port}/private"
        yield server


async def until(fits: Callable[[], object]) -> None:
    async with asyncio.timeout(50):
        while not fits():  # noqa: ASYNC110  news of several connections
            await asyncio.sleep(0.01)


async def story(form: Form, sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    async with (
        exchange(form) as server,
        AsyncListenKeyClient(API_KEY, base_url=sandbox.url) as client,
        AsyncUserDataStream(client, stream_url=server.url, form="auto") as stream,
    ):
        assert isinstance(await anext(stream), Gap)
        assert stream.status().form is None
        assert sorted(server.opened) == sorted(FORMS)
        with caplog.at_level(logging.INFO, "listenkey.stream"):
            await server.emit(*({**EVENT, "E": number} for number in range(MANY)))
            for number in range(MANY):  # each once, in order, though the connection changes hands
                item = await anext(stream)
                assert isinstance(item, RiskLevelChange)
                assert item.raw["E"] == number
        assert stream.status().form == form
        (record,) = [each for each in caplog.records if vars(each).get("listenkey_event") == "form_found"]
        assert vars(record)["listenkey_form"] == form
        await until(lambda: list(server.open.values()) == [form])
        for connection in list(server.open):
            connection.transport.abort()
        await until(lambda: server.opened[3:] == [form])  # further connections have its form alone
        await server.emit(EVENT)
        assert isinstance(await anext(stream), Gap)
        assert isinstance(await anext(stream), RiskLevelChange)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("form", FORMS)
def test_the_form_that_first_brings_an_event_is_kept(
    form: Form, listenkey_sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    asyncio.run(story(form, listenkey_sandbox, caplog))


def test_a_form_that_is_refused_is_no_trouble(listenkey_sandbox: Sandbox) -> None:
    async def run() -> None:
        async with (
            exchange("query", refuses={"path", "subscribe"}) as server,
            AsyncListenKeyClient(API_KEY, base_url=listenkey_sandbox.url) as client,
            AsyncUserDataStream(client, stream_url=server.url, form="auto") as stream,
        ):
            assert isinstance(await anext(stream), Gap)
            assert stream.status().form is None  # the one that is left has brought no event yet
            await server.emit(EVENT)
            assert isinstance(await anext(stream), RiskLevelChange)
            assert stream.status().form == "query"

    asyncio.run(run())


@pytest.mark.parametrize("reply", [{"error": {"code": 2, "msg": "no"}}, None])
def test_a_subscription_that_is_refused_is_no_trouble(listenkey_sandbox: Sandbox, reply: dict[str, Any] | None) -> None:
    async def run() -> None:
        async with exchange("path") as server, AsyncListenKeyClient(API_KEY, base_url=listenkey_sandbox.url) as client:
            server.reply = reply
            async with AsyncUserDataStream(client, stream_url=server.url, form="auto") as stream:
                assert isinstance(await anext(stream), Gap)
                await until(lambda: sorted(server.open.values()) == ["path", "query"])
                await server.emit(EVENT)
                assert isinstance(await anext(stream), RiskLevelChange)
                assert stream.status().form == "path"

    asyncio.run(run())


def test_events_in_place_of_the_answer_to_subscribe_are_an_answer(listenkey_sandbox: Sandbox) -> None:
    """More than wait for the driver: it takes nothing before all forms are open."""

    async def run() -> None:
        async with exchange() as server, AsyncListenKeyClient(API_KEY, base_url=listenkey_sandbox.url) as client:
            server.in_place_of_reply = 2 * WAITING
            async with AsyncUserDataStream(client, stream_url=server.url, form="auto") as stream:
                assert isinstance(await anext(stream), Gap)
                for number in range(server.in_place_of_reply):
                    item = await stream.next_within(50)
                    assert isinstance(item, RiskLevelChange)
                    assert item.raw["E"] == number
                assert stream.status().form == "subscribe"

    asyncio.run(run())


@pytest.mark.parametrize("form", FORMS)
def test_a_form_that_does_not_answer_holds_up_no_event(listenkey_sandbox: Sandbox, form: Form) -> None:
    async def run() -> None:
        other: Form = "query" if form == "path" else "path"
        async with exchange(other) as server, AsyncListenKeyClient(API_KEY, base_url=listenkey_sandbox.url) as client:
            server.hangs = form
            async with AsyncUserDataStream(client, stream_url=server.url, form="auto", tell_blind=True) as stream:
                await until(lambda: len(server.open) == 2)
                await server.emit(EVENT)
                assert isinstance(await anext(stream), Gap)  # no Blind before
                assert isinstance(await anext(stream), RiskLevelChange)
                assert stream.status().form == other

    asyncio.run(run())


@pytest.mark.parametrize("way", ["close", "abort"])
def test_connections_that_end_before_any_event(listenkey_sandbox: Sandbox, way: str) -> None:
    """The others go on; when the last has ended, all are opened anew."""

    async def end(connection: ServerConnection) -> None:
        if way == "close":
            await connection.close(1001)
        else:
            connection.transport.abort()

    async def run() -> None:
        async with (
            exchange(*FORMS) as server,
            AsyncListenKeyClient(API_KEY, base_url=listenkey_sandbox.url) as client,
            AsyncUserDataStream(client, stream_url=server.url, form="auto") as stream,
        ):
            assert isinstance(await anext(stream), Gap)
            first, second, third = server.open
            await end(first)
            await end(second)
            assert await stream.next_within(0.1) is None
            assert stream.status().state == "connected"
            await end(third)
            await until(lambda: len(server.opened) == 6 and len(server.open) == 3)
            assert stream.status().form is None
            await server.emit(EVENT)
            gap = await anext(stream)
            assert isinstance(gap, Gap)
            assert gap.reason == "reconnected"
            assert isinstance(await anext(stream), RiskLevelChange)
            assert stream.status().form in FORMS

    asyncio.run(run())


@pytest.mark.listenkey_sandbox(life=36)
def test_all_forms_are_refused(listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("stream-refuse", status=404, times=None)
    with (
        ListenKeyClient(API_KEY, base_url=listenkey_sandbox.url, key_life=36) as client,
        UserDataStream(client, form="auto") as stream,
        pytest.raises(ApiError, match=r"refused the stream; check stream_url and form\. \(HTTP 404\)"),
    ):
        next(stream)


@pytest.mark.listenkey_sandbox(life=36)
def test_a_connection_that_dies_is_given_up_beside_others(listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("stream-half-open")
    with (
        ListenKeyClient(API_KEY, base_url=listenkey_sandbox.url, key_life=36) as client,
        UserDataStream(client, form="auto") as stream,
    ):
        assert isinstance(next(stream), Gap)
        while listenkey_sandbox.stream.connections != 2:
            assert stream.next_within(0.1) is None
        assert stream.status().state == "connected"
        listenkey_sandbox.emit(EVENT)
        assert isinstance(next(stream), RiskLevelChange)
        assert stream.status().form in FORMS


def test_leaving_while_nobody_knows_the_form_leaves_nothing(listenkey_sandbox: Sandbox) -> None:
    async def run() -> None:
        async with exchange() as server, AsyncListenKeyClient(API_KEY, base_url=listenkey_sandbox.url) as client:
            before = asyncio.all_tasks()
            async with AsyncUserDataStream(client, stream_url=server.url, form="auto") as stream:
                await anext(stream)
            ours = {task for task in asyncio.all_tasks() - before if "listenkey" in task.get_name()}
            assert ours == set()
            await until(lambda: not server.open)

    asyncio.run(run())


def test_a_form_that_is_none(listenkey_sandbox: Sandbox) -> None:
    with ListenKeyClient(API_KEY, base_url=listenkey_sandbox.url) as client:
        with pytest.raises(ConfigurationError) as caught:
            UserDataStream(client, form="other")  # type: ignore[arg-type]
        assert str(caught.value) == "form must be one of: path, query, subscribe, auto."


@pytest.mark.parametrize(
    ("came", "meaning"),
    [
        (7, "pong"),
        (b'{"e":"ORDER_TRADE_UPDATE","o":{}}', "event"),
        (b'{"stream":"k","data":{"e":"NEWS"}}', "event"),
        (b'{"subscriptionId":0,"event":{"e":"NEWS"}}', "event"),
        (b'{"e":"listenKeyExpired"}', "event"),
        (b'{"e":"serverShutdown"}', "other"),
        (b'{"result":null,"id":1}', "answer"),
        (b'{"error":{"code":2,"msg":"no"},"id":1}', "refusal"),
        (b'{"code":2,"msg":"no","id":1}', "refusal"),
        (b'{"e":1}', "other"),
        (b"[1]", "other"),
        (b"{", "other"),
        (b'{"data":[]}', "other"),
        (b"\xff", "other"),
        (b"[" * 100_000, "other"),
    ],
)
def test_what_counts_as_an_event(came: bytes | int, meaning: str) -> None:
    assert meaning_of(came) == meaning
