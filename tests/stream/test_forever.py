"""The stream without an end: it starts anew by itself, with a Gap, and nothing of it is silent."""

import asyncio
import contextlib
import dataclasses
import threading
import time
from typing import Any

import pytest

from listenkey import AsyncListenKeyClient, ConfigurationError, ListenKeyClient, ListenKeyKeeper, Unauthorized
from listenkey.sandbox import Sandbox
from listenkey.stream import AsyncUserDataStream, Gap, UserDataStream
from tests.conftest import API_KEY
from tests.stream.test_stream import PACE, Open, event, name, read

__all__ = ["read"]  # the fixture: both twins
LIFE = 2.0  # seconds, of a listen key: a minute is 33 ms


@pytest.fixture
def sandbox() -> Any:
    with Sandbox(life=LIFE) as sandbox:
        yield sandbox


def test_a_key_that_was_lost_is_a_gap_in_the_end(
    read: Open, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    reader = read(sandbox.url, forever=True, of_client={"key_life": LIFE, "timeout": 0.5})
    reader.until("started")
    sandbox.emit(event(1))
    assert name(reader.next()) == 1
    sandbox.faults.add("status", status=503, times=None)
    reader.wait(lambda: "starting anew" in caplog.text.lower())
    reader.wait(lambda: reader.status().blind_since is not None)
    status = reader.status()
    assert not status.key_proven
    assert "HTTP 503" in str(status.last_error)
    assert status.state != "ended"
    time.sleep(LIFE / 3)  # it stays so
    told = [each for each in caplog.records if "The listen key was not renewed" in each.message]
    assert [each.levelname for each in told] == ["WARNING"]
    sandbox.faults.clear()
    gap = reader.next()
    assert isinstance(gap, Gap)
    assert gap.reason == "key_expired"
    assert gap.since is not None
    reader.wait(lambda: reader.status().key_proven)
    sandbox.emit(event(2))
    assert name(reader.next()) == 2
    assert reader.status().last_error is None


def test_entering_waits_until_trouble_has_passed(
    read: Open, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.faults.add("status", status=503, times=4)
    reader = read(sandbox.url, forever=True, of_client={"key_life": LIFE, "attempts": 1})
    reader.until("started")
    assert len(sandbox.requests) >= 5
    told = [each.levelname for each in caplog.records if "no listen key; next try in" in each.message]
    assert told.count("WARNING") == 3  # of the first failure, the second and the fourth


@pytest.mark.parametrize("stream", [UserDataStream, AsyncUserDataStream])
def test_entering_raises_a_refusal(stream: Any, sandbox: Sandbox) -> None:
    sandbox.faults.add("status", status=401)

    async def enter() -> None:
        async with AsyncListenKeyClient(API_KEY, base_url=sandbox.url) as client, stream(client, forever=True):
            pytest.fail("the API key is refused")

    def enter_blocking() -> None:
        with ListenKeyClient(API_KEY, base_url=sandbox.url) as client, stream(client, forever=True):
            pytest.fail("the API key is refused")

    with pytest.raises(Unauthorized):
        asyncio.run(enter()) if stream is AsyncUserDataStream else enter_blocking()


def test_a_ban_is_waited_out(read: Open, sandbox: Sandbox) -> None:
    sandbox.faults.add("status", status=418, headers={"Retry-After": "1"})
    begun = time.monotonic()
    reader = read(sandbox.url, forever=True, of_client={"key_life": LIFE})
    reader.until("started")
    assert time.monotonic() - begun >= 1.0


def test_refused_connections_end_no_stream(read: Open, sandbox: Sandbox) -> None:
    sandbox.stream.fault("stream-refuse", status=403, times=6)  # the fifth would be the last
    pace = dataclasses.replace(PACE, refused=0.02)
    reader = read(sandbox.url, forever=True, of_client={"key_life": LIFE}, _pace=pace)
    assert reader.until("started") == ["started"]
    sandbox.emit(event(1))
    assert name(reader.next()) == 1


def test_a_login_that_a_proxy_refuses_is_told_and_tried_again(read: Open, sandbox: Sandbox) -> None:
    sandbox.stream.fault("stream-refuse", status=407)  # which ends another stream at once
    pace = dataclasses.replace(PACE, refused=0.02)
    reader = read(sandbox.url, forever=True, of_client={"key_life": LIFE}, _pace=pace)
    assert reader.until("started") == ["started"]


def test_a_block_that_waits_for_its_first_key_can_be_left(sandbox: Sandbox) -> None:
    sandbox.faults.add("status", status=503, times=None)
    with ListenKeyClient(API_KEY, base_url=sandbox.url, attempts=1) as client:
        stream = UserDataStream(client, forever=True, _pace=PACE)

        def enter() -> None:
            with pytest.raises(ConfigurationError, match="This keeper is closed"):
                stream.__enter__()

        entering = threading.Thread(target=enter)
        entering.start()
        while not sandbox.requests:
            time.sleep(0.01)
        stream.__exit__()
        entering.join(20)
        assert not entering.is_alive()


def test_entering_can_be_cancelled(sandbox: Sandbox) -> None:
    async def program() -> None:
        sandbox.faults.add("status", status=503, times=None)
        async with AsyncListenKeyClient(API_KEY, base_url=sandbox.url, attempts=1) as client:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5), AsyncUserDataStream(client, forever=True):
                    pytest.fail("there is no key")
            assert [each.get_name() for each in asyncio.all_tasks() if each.get_name().startswith("listenkey")] == []

    asyncio.run(program())


def test_a_keeper_of_the_program_is_no_source(sandbox: Sandbox) -> None:
    with (
        ListenKeyClient(API_KEY, base_url=sandbox.url) as client,
        ListenKeyKeeper(client) as keeper,
        pytest.raises(ConfigurationError, match="forever=True needs a client"),
    ):
        UserDataStream(keeper, forever=True)
