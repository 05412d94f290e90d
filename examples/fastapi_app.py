"""A FastAPI application that keeps a listen key for as long as it serves.

BINANCE_API_KEY=… uvicorn fastapi_app:app

Each worker has a keeper of its own; Binance gives all workers the same key.
"""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict

from fastapi import FastAPI, Request, Response

from listenkey import AsyncListenKeyClient, AsyncListenKeyKeeper, ListenKeyError

API_KEY = os.environ.get("BINANCE_API_KEY", "")
BASE_URL = os.environ.get("LISTENKEY_BASE_URL", "https://eapi.binance.com")
FIRST_WAIT, LONGEST_WAIT = 5.0, 960.0  # seconds until the next keeper: doubled until a keeper has a key


class Kept:
    """One keeper after another: the keeper of now, or the keeper that lost its key last."""

    keeper: AsyncListenKeyKeeper

    async def keep(self, client: AsyncListenKeyClient, started: "asyncio.Future[None]") -> None:
        """Make a new keeper whenever a key is lost. `started` tells of the first key, or why there is none."""
        wait = FIRST_WAIT
        while True:
            try:
                async with AsyncListenKeyKeeper(client) as self.keeper:
                    wait = FIRST_WAIT
                    if not started.done():
                        started.set_result(None)
                    await self.keeper.wait()
            except ListenKeyError as error:
                if not started.done():
                    return started.set_exception(error)
                await asyncio.sleep(error.retry_after or wait)
                wait = min(2 * wait, LONGEST_WAIT)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[dict[str, Kept], None]:
    """Serve only once a key is kept: without a first key the application does not start."""
    kept, started = Kept(), asyncio.get_running_loop().create_future()
    async with AsyncListenKeyClient(API_KEY, base_url=BASE_URL) as client:
        keeping = asyncio.create_task(kept.keep(client, started))
        try:
            await started
            yield {"kept": kept}  # becomes request.state.kept
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])


app = FastAPI(lifespan=lifespan)


@app.get("/health")
async def health(request: Request, response: Response) -> dict[str, object]:
    """Say how the keeper is doing. 503 while there is no key, for a readiness probe: a restart would not help."""
    kept: Kept = request.state.kept
    status = kept.keeper.status()
    if status.state != "running":
        response.status_code = 503
    fields: dict[str, object] = asdict(status)
    fields["last_error"] = status.last_error and str(status.last_error)  # a text, for JSON
    return fields
