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
        TransportError,
        Unauthorized,
        UnexpectedResponse,
    )
    from listenkey.keeper import AsyncListenKeyKeeper, KeeperStatus, ListenKeyKeeper
else:  # for Python (PEP 562). Hidden from type checkers, which would believe that every name exists

    def __getattr__(name: str) -> object:
        if name in __all__:
            from importlib import import_module

            rooms = (import_module(f"{__name__}.{room}") for room in ("errors", "client", "keeper"))  # lightest first
            found = next(vars(room)[name] for room in rooms if name in vars(room))
            if name.startswith("Async"):
                import_module(f"{__name__}.client").load_for_asyncio()
            return globals().setdefault(name, found)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__version__ = "0.1.0"
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
