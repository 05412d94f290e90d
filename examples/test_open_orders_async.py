"""As test_open_orders.py, for asyncio: with pytest-asyncio, and with anyio's plugin. A project needs one of the two.

pip install pytest-asyncio   # anyio comes with httpx
pytest -q test_open_orders_async.py
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

import open_orders_async
import pytest

from listenkey import AsyncListenKeyClient
from listenkey.sandbox import Sandbox
from listenkey.stream import AccountState, AsyncUserDataStream

KEY, CALL = "SandboxTakesAnyKey0123456789", "BTC-260626-90000-C"


@pytest.fixture
def anyio_backend() -> str:
    """Let anyio run the tests on asyncio alone: listenkey does not know trio."""
    return "asyncio"


@pytest.fixture(autouse=True)
def settings(listenkey_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_orders_async, "BASE_URL", listenkey_sandbox.url)
    monkeypatch.setattr(open_orders_async, "API_KEY", KEY)
    monkeypatch.setattr(open_orders_async, "WAIT", 0.05)


@asynccontextmanager
async def at_work(sandbox: Sandbox) -> AsyncGenerator[AsyncIterator[AccountState]]:
    """The bot. No fixture, because the two plugins declare async fixtures in two ways."""
    async with (
        AsyncListenKeyClient(KEY, base_url=sandbox.url) as client,
        AsyncUserDataStream(client) as stream,
    ):
        yield open_orders_async.follow(stream)


async def until(states: AsyncIterator[AccountState], fits: Callable[[AccountState], bool]) -> AccountState:
    return await anext(state async for state in states if fits(state))


@pytest.mark.asyncio
async def test_with_pytest_asyncio(listenkey_sandbox: Sandbox) -> None:
    async with at_work(listenkey_sandbox) as states:
        number = listenkey_sandbox.order(CALL, "BUY", 2, 100)
        await until(states, lambda account: number in account.orders)
        listenkey_sandbox.fill(number)
        await until(states, lambda account: CALL in account.positions)


@pytest.mark.anyio
async def test_with_anyio(listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("status", path="/eapi/v1/position", status=503)
    async with at_work(listenkey_sandbox) as states:
        number = listenkey_sandbox.order(CALL, "BUY", 2, 100)
        await until(states, lambda account: number in account.orders)
        listenkey_sandbox.faults.add("stream-mute")
        listenkey_sandbox.cancel(number)
        listenkey_sandbox.faults.add("stream-drop")
        await until(states, lambda account: number not in account.orders)
