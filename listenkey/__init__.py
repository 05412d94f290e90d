"""Binance European Options' user data stream: a listen key in one call, with errors that name the cure.

Each name is loaded when a program first asks for the name. A program that uses the errors alone never loads httpx.
"""

TYPE_CHECKING = False  # `typing` takes longer to load than this file, and Ctrl-C would show a traceback meanwhile
if TYPE_CHECKING:  # for type checkers and editors
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
        SnapshotError,
        TransportError,
        Unauthorized,
        UnexpectedResponse,
    )
    from listenkey.keeper import AsyncListenKeyKeeper, KeeperStatus, ListenKeyKeeper
else:  # for Python (PEP 562). Hidden from type checkers, which would believe that every name exists

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        found = vars(import_module(f"{__name__}.{_MODULES[name]}"))[name]
        if name in _FOR_ASYNCIO:
            import_module(f"{__name__}.client").load_for_asyncio()
        return globals().setdefault(name, found)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


from listenkey._version import __version__ as __version__  # noqa: E402  after the table that loads nothing

_MODULES = {
    "ApiError": "errors",
    "AsyncListenKeyClient": "client",
    "AsyncListenKeyKeeper": "keeper",
    "Banned": "errors",
    "ConfigurationError": "errors",
    "KeeperStatus": "keeper",
    "KeyNotFound": "errors",
    "LeaseLost": "errors",
    "ListenKey": "client",
    "ListenKeyClient": "client",
    "ListenKeyError": "errors",
    "ListenKeyKeeper": "keeper",
    "RateLimited": "errors",
    "ServerError": "errors",
    "SnapshotError": "errors",
    "TransportError": "errors",
    "Unauthorized": "errors",
    "UnexpectedResponse": "errors",
}
_FOR_ASYNCIO = {"AsyncListenKeyClient", "AsyncListenKeyKeeper"}  # load with these what their first call needs
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
    "SnapshotError",
    "TransportError",
    "Unauthorized",
    "UnexpectedResponse",
]
