"""Binance European Options' user data stream: a listen key in one call, with errors that name the cure.

Each name is loaded when a program first asks for the name. A program that uses the errors alone never loads httpx.
"""

from listenkey._version import __version__ as __version__

_MODULES = {  # the table of contents; type checkers and editors read __init__.pyi
    "DEMO": "client",
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
__all__ = list(_MODULES)


def __getattr__(name: str) -> object:  # PEP 562
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = vars(import_module(f"{__name__}.{_MODULES[name]}"))[name]
    if name in _FOR_ASYNCIO:
        import_module(f"{__name__}.client").load_for_asyncio()
    return globals().setdefault(name, found)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
