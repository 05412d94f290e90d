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

__all__ = [
    "ApiError",
    "AsyncListenKeyClient",
    "Banned",
    "ConfigurationError",
    "KeyNotFound",
    "LeaseLost",
    "ListenKey",
    "ListenKeyClient",
    "ListenKeyError",
    "RateLimited",
    "ServerError",
    "TransportError",
    "Unauthorized",
    "UnexpectedResponse",
]
