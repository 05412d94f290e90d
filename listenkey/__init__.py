"""Binance European Options' user data stream: a listen key in one call, with errors that say what to do."""

from listenkey.client import AsyncListenKeyClient, ListenKey, ListenKeyClient
from listenkey.errors import (
    ApiError,
    Banned,
    ConfigurationError,
    KeyNotFound,
    LeaseLost,
    ListenKeyError,
    RateLimited,
    ServerError,
    TransportError,
    Unauthorized,
    UnexpectedResponse,
)
from listenkey.keeper import AsyncListenKeyKeeper, KeeperStatus, ListenKeyKeeper

__all__ = [
    "ApiError",
    "AsyncListenKeyClient",
    "AsyncListenKeyKeeper",
    "Banned",
    "ConfigurationError",
    "KeeperStatus",
    "KeyNotFound",
    "LeaseLost",
    "ListenKey",
    "ListenKeyClient",
    "ListenKeyError",
    "ListenKeyKeeper",
    "RateLimited",
    "ServerError",
    "TransportError",
    "Unauthorized",
    "UnexpectedResponse",
]
