"""The frames of a WebSocket, however they are cut: as the library alone reads them."""

import random
from typing import Any, cast

import pytest
from websockets.client import ClientProtocol  # noqa: TID251  what the stream is compared with
from websockets.frames import Frame, Opcode  # noqa: TID251  the same
from websockets.uri import parse_uri  # noqa: TID251  the same
from websockets.utils import accept_key  # noqa: TID251  the same

from listenkey._http.exchange import Upgraded
from listenkey.stream._websocket import LARGEST, WebSocket

TEXT, CONT, PING, PONG, CLOSE = Opcode.TEXT, Opcode.CONT, Opcode.PING, Opcode.PONG, Opcode.CLOSE
GOODBYE = b"\x03\xe8"


class Sent:
    """A connection that keeps what is sent."""

    def __init__(self) -> None:
        self.data = b""

    def try_to_send(self, data: bytes) -> None:
        self.data += data


def opened() -> tuple[WebSocket, Sent]:
    protocol, sent = ClientProtocol(parse_uri("ws://stream/"), max_size=LARGEST), Sent()
    accept = accept_key(protocol.connect().headers["Sec-WebSocket-Key"])
    head = f"HTTP/1.1 101 -\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    return WebSocket(
        protocol, cast(Any, Upgraded(head.encode(), cast(Any, None), cast(Any, sent))), cast(Any, None)
    ), sent


def frame(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=False)


# What comes: what is read of it, the words for the end, and whether a pong or a close frame was sent.
CASES: dict[str, tuple[bytes, list[bytes | int], str | None]] = {
    "texts": (frame(TEXT, b"a") + frame(TEXT, b"b" * 125) + frame(TEXT, b""), [b"a", b"b" * 125, b""], None),
    "longer texts": (
        frame(TEXT, b"c" * 126) + frame(TEXT, b"d" * 65535) + frame(TEXT, b"e" * 65536),
        [b"c" * 126, b"d" * 65535, b"e" * 65536],
        None,
    ),
    "the longest": (frame(TEXT, b"f" * LARGEST), [b"f" * LARGEST], None),
    "too long": (frame(TEXT, b"g") + frame(TEXT, b"h" * (LARGEST + 1)), [b"g"], "a message was over 1 MiB"),
    "binary": (frame(Opcode.BINARY, b"i"), [b"i"], None),
    "pong and ping": (frame(PONG, b"7") + frame(PING, b"?") + frame(PONG, b"x") + frame(TEXT, b"j"), [7, b"j"], None),
    "in pieces": (
        frame(TEXT, b"k", fin=False) + frame(PING, b"") + frame(CONT, b"l", fin=False) + frame(CONT, b"m"),
        [b"klm"],
        None,
    ),
    "a text inside another": (
        frame(TEXT, b"n", fin=False) + frame(TEXT, b"o") + frame(TEXT, b"p"),
        [],
        "the server broke the protocol (ProtocolError)",
    ),
    "masked": (
        frame(TEXT, b"q") + Frame(TEXT, b"r").serialize(mask=True),
        [b"q"],
        "the server broke the protocol (ProtocolError)",
    ),
    "reserved": (b"\xc1\x01s" + frame(TEXT, b"t"), [], "the server broke the protocol (ProtocolError)"),
    "after the end": (
        frame(TEXT, b"u") + frame(CLOSE, GOODBYE) + frame(TEXT, b"v"),
        [b"u"],
        "the server closed it with code 1000",
    ),
}


@pytest.mark.parametrize("cut", ["whole", "byte by byte", "anywhere"])
@pytest.mark.parametrize("case", CASES)
def test_frames_are_read_however_they_are_cut(case: str, cut: str) -> None:
    data, expected, why = CASES[case]
    if cut == "byte by byte":
        places = list(range(min(len(data), 2000)))
    else:
        places = [0] if cut == "whole" else sorted({0, *(random.randrange(len(data)) for _ in range(20))})
    socket, sent = opened()
    came: list[bytes | int] = []
    for place, end in zip(places, [*places[1:], len(data)], strict=True):
        came += socket.received(data[place:end])
    assert came == expected
    assert socket.ending()[1] == why
    assert bool(sent.data) == (why is not None or frame(PING, b"") in data or frame(PING, b"?") in data)
