"""A FastAPI application that keeps a listen key for as long as it serves.

BINANCE_API_KEY=… uvicorn fastapi_app:app

Each worker has a keeper of its own; Binance gives all workers the same key.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict

from fastapi import FastAPI, Request, Response

from listenkey import AsyncListenKeyClient, AsyncListenKeyKeeper

API_KEY = os.environ.get("BINANCE_API_KEY", "")
BASE_URL = os.environ.get("LISTENKEY_BASE_URL", "https://eapi.binance.com")


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[dict[str, AsyncListenKeyKeeper], None]:
    """Serve only while a key is kept: without a first key the application does not start."""
    async with (
        AsyncListenKeyClient(API_KEY, base_url=BASE_URL) as client,
        AsyncListenKeyKeeper(client) as keeper,
    ):
        yield {"keeper": keeper}  # becomes request.state.keeper


app = FastAPI(lifespan=lifespan)


@app.get("/health")
async def health(request: Request, response: Response) -> dict[str, object]:
    """Say how the keeper is doing. 503 once the key is lost: then have the application started anew."""
    keeper: AsyncListenKeyKeeper = request.state.keeper
    status = keeper.status()
    if status.state != "running":
        response.status_code = 503
    fields: dict[str, object] = asdict(status)
    fields["last_error"] = status.last_error and str(status.last_error)  # a text, for JSON
    return fields
