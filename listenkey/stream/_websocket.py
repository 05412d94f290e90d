"""A WebSocket over a connection that was made as REST's are. The library websockets knows the protocol, and no socket.

`listenkey.stream` alone enters here. Importing this module needs the package websockets.
"""

import logging
from collections.abc import Sequence
from itertools import count

try:
    from websockets.client import ClientProtocol
    from websockets.exceptions import PayloadTooBig
    from websockets.frames import Opcode
    from websockets.uri import parse_uri
except ImportError as _missing:
    raise ImportError(
        "listenkey.stream needs the package websockets: pip install 'binance-options-listenkey[stream]'",
        name=_missing.name,
    ) from None

from listenkey._http.answer import Secret
from listenkey._http.exchange import AsyncExchange, Upgraded, odd_handshake
from listenkey._http.route import Account, Route

LARGEST = 2**20  # bytes of a message
CHUNK = 2**16  # bytes taken from a connection at once
_MESSAGES = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
# The library logs frames, which hold the listen key. No setting of a program wakes this logger.
_silent = logging.Logger("listenkey.stream.websockets", logging.CRITICAL + 1)  # noqa: LOG001


class WebSocket:
    """An open WebSocket."""

    def __init__(self, protocol: ClientProtocol, upgraded: Upgraded, route: Route) -> None:
        self._protocol, self._stream, self._connection = protocol, upgraded.stream, upgraded.connection
        self._pings = count(1)
        self._parts: list[bytes] = []  # of a message that comes in several frames
        protocol.receive_data(upgraded.head)
        protocol.events_received()
        if protocol.handshake_exc is not None:
            self._connection.abort()
            raise odd_handshake(route, 101)

    async def read(self) -> bytes:
        """Wait for bytes. None left: the connection has ended. Raises httpcore.ReadError."""
        return await self._stream.read(CHUNK)

    def received(self, data: bytes) -> Sequence[bytes | int]:
        """Read bytes, and answer pings and a close frame. Returns messages, and numbers of pings that were answered."""
        self._protocol.receive_data(data)
        events = self._protocol.events_received()
        self._flush()
        came: list[bytes | int] = []
        for event in events:
            opcode, content, is_whole = event.opcode, bytes(event.data), event.fin  # type: ignore[union-attr]
            if opcode is Opcode.PONG:
                if content.isdigit():
                    came.append(int(content))
            elif opcode in _MESSAGES:
                if is_whole and not self._parts:
                    came.append(content)
                    continue
                if content:  # a message of endless empty frames must not fill the memory
                    self._parts.append(content)
                if is_whole:
                    came.append(b"".join(self._parts))
                    self._parts = []
        return came

    def ending(self) -> tuple[bool, str | None]:
        """Say whether both sides have closed, we first, and why nothing more comes. None: more may come."""
        protocol = self._protocol
        if protocol.close_rcvd is not None:
            is_clean = protocol.close_rcvd_then_sent is False
            return is_clean, f"the server closed it with code {protocol.close_rcvd.code}"
        if isinstance(protocol.parser_exc, PayloadTooBig):
            return False, f"a message was over {LARGEST // 2**20} MiB"
        if protocol.parser_exc is not None:
            return False, f"the server broke the protocol ({type(protocol.parser_exc).__name__})"
        return False, None

    def ping(self) -> int:
        """Send a ping. Returns the number of the ping."""
        number = next(self._pings)
        if self._is_open():
            self._protocol.send_ping(str(number).encode())
            self._flush()
        return number

    def send(self, text: str) -> None:
        """Send a message."""
        if self._is_open():
            self._protocol.send_text(text.encode())
            self._flush()

    def close(self) -> None:
        """Send a close frame."""
        if self._is_open():
            self._protocol.send_close(1000)
            self._flush()

    def abort(self) -> None:
        """End the connection at once. May be repeated."""
        self._connection.abort()

    def _is_open(self) -> bool:
        return self._protocol.state.name == "OPEN"

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:  # else: the end of what we send
                self._connection.try_to_send(data)


async def open_websocket(exchange: AsyncExchange, target: Secret, account: Account) -> WebSocket:
    """Open a WebSocket at `target`: path and query, with the listen key. Raises as `AsyncExchange.upgrade`."""
    protocol = ClientProtocol(parse_uri("ws://stream/"), max_size=LARGEST, logger=_silent)
    headers = [(name, value) for name, value in protocol.connect().headers.raw_items() if name != "Host"]
    return WebSocket(protocol, await exchange.upgrade(target, headers, account), exchange.route)
