"""What `__init__.py` hands on, for type checkers and editors."""

from listenkey._version import __version__ as __version__
from listenkey.client import DEMO, AsyncListenKeyClient, ListenKey, ListenKeyClient
from listenkey.errors import (
    ApiError,
    Banned,
    ConfigurationError,
    KeyNotFound,
    LeaseLost,
    ListenKeyError,
    RateLimited,
    ServerError,
    SnapshotError,
    TransportError,
    Unauthorized,
    UnexpectedResponse,
)
from listenkey.keeper import AsyncListenKeyKeeper, KeeperStatus, ListenKeyKeeper

__all__ = [
    "DEMO",
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
    "SnapshotError",
    "TransportError",
    "Unauthorized",
    "UnexpectedResponse",
]
