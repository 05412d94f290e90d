"""Contains all the data models used in inputs/outputs"""

from .binance_error import BinanceError
from .listen_key_response import ListenKeyResponse

__all__ = (
    "BinanceError",
    "ListenKeyResponse",
)
