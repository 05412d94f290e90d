"""A WebSocket over a connection that the code of the calls has made. The library websockets knows the protocol alone.

Importing this module needs the package websockets.
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

from listenkey._http.exchange import AsyncExchange, Upgraded
from listenkey._http.masking import Secret
from listenkey._http.outcome import odd_handshake
from listenkey._http.route import Account, Route

LARGEST = 2**20  # bytes of a message
CHUNK = 2**16  # bytes taken from a connection at once
WHOLE_TEXT = 0x80 | Opcode.TEXT
MESSAGES = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
# The library logs frames, which hold the listen key. No setting of a program wakes this logger.
silent = logging.Logger("listenkey.stream.websockets", logging.CRITICAL + 1)  # noqa: LOG001


class WebSocket:
    """An open WebSocket."""

    def __init__(self, protocol: ClientProtocol, upgraded: Upgraded, route: Route) -> None:
        self._protocol, self._stream, self._connection = protocol, upgraded.stream, upgraded.connection
        self._pings = count(1)
        self._unread = bytearray()  # the beginning of a frame
        self._parts: list[bytes] = []  # of a message that comes in several frames
        self._is_inside = False  # whether more frames of such a message are to come
        protocol.receive_data(upgraded.head)
        protocol.events_received()
        if protocol.handshake_exc is not None:
            self._connection.abort()
            raise odd_handshake(route, 101)

    async def read(self) -> bytes:
        """Wait for bytes. None left: the connection has ended. Raises httpcore.ReadError."""
        return await self._stream.read(CHUNK)

    def received(self, data: bytes) -> Sequence[bytes | int]:
        """Read bytes, and answer pings and a close frame. Returns messages, and numbers of pings that were answered.

        A frame that is a whole text message, as each event is, needs no protocol: the library would take a fifth of the
        time that the stream needs for an event. The library gets any other frame, once the frame is there.
        """
        self._unread += data
        unread, place, came = self._unread, 0, list[bytes | int]()
        while (end := end_of_frame(unread, place)) is not None:
            if unread[place] == WHOLE_TEXT and unread[place + 1] <= 126 and not self._needs_library:
                came.append(bytes(unread[place + (2 if unread[place + 1] < 126 else 4) : end]))
            else:
                came += self._received_by_library(bytes(unread[place:end]))
            place = end
        del unread[:place]
        return came

    def _received_by_library(self, data: bytes) -> Sequence[bytes | int]:
        self._protocol.receive_data(data)
        events = self._protocol.events_received()
        self._flush()
        came: list[bytes | int] = []
        for event in events:
            opcode, content, is_whole = event.opcode, bytes(event.data), event.fin  # type: ignore[union-attr]
            if opcode is Opcode.PONG:
                if content.isdigit():
                    came.append(int(content))
            elif opcode in MESSAGES:
                self._is_inside = not is_whole
                if content:  # a message of endless empty frames must not fill the memory
                    self._parts.append(content)
                if is_whole:
                    came.append(b"".join(self._parts))
                    self._parts = []
        return came

    @property
    def _needs_library(self) -> bool:
        """Whether a message is wrong here, or is read no more: inside another one, after a close frame or a fault."""
        protocol = self._protocol
        return self._is_inside or protocol.close_rcvd is not None or protocol.parser_exc is not None

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


def end_of_frame(data: bytearray, place: int) -> int | None:
    """Say where the frame ends that begins at a place. None: it is not all there. RFC 6455, section 5.2.

    The library refuses a frame that is masked or too long when it sees the head. Such a frame is all there at once.
    """
    there, start = len(data) - place, place + 2
    if there < 2:
        return None
    length = data[place + 1]
    if length >= 126:  # the length follows in 2 or 8 bytes, or the frame is masked
        start += {126: 2, 127: 8}.get(length, 0)
        if len(data) < start:
            return None
        length = int.from_bytes(data[place + 2 : start]) if length < 128 else LARGEST + 1
    if length > LARGEST:
        return len(data)
    return start + length if start + length <= len(data) else None


async def open_websocket(exchange: AsyncExchange, target: Secret, account: Account) -> WebSocket:
    """Open a WebSocket at `target`: path and query, with the listen key. Raises as `AsyncExchange.upgrade`."""
    protocol = ClientProtocol(parse_uri("ws://stream/"), max_size=LARGEST, logger=silent)
    headers = [(name, value) for name, value in protocol.connect().headers.raw_items() if name != "Host"]
    return WebSocket(protocol, await exchange.upgrade(target, headers, account), exchange.route)
