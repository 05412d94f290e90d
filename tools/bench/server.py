"""A server that does next to nothing: every request gets a listen key, every WebSocket gets orders without end.

Prints its two URLs: plain, and with TLS.

`python server.py FOLDER` writes the folder's `ca.pem`: certifi's authorities and, as the last, the server's own. So
each peer loads as many certificates as it would for Binance. The server ends when its standard input does.
"""

import asyncio
import re
import ssl
import sys
from pathlib import Path

import certifi
import trustme
from websockets.frames import Frame, Opcode  # noqa: TID251  to send events
from websockets.utils import accept_key  # noqa: TID251  the same

BODY = b'{"listenKey":"%s","expiration":4102444800000}' % (b"k" * 64)
ANSWER = (
    b"HTTP/1.1 200 OK\r\nDate: Wed, 25 Nov 2026 03:00:00 GMT\r\nContent-Type: application/json\r\n"
    b"X-MBX-USED-WEIGHT-1M: 1\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)
UPGRADE = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n"
)
ORDER = (Path(__file__).parent / "order.json").read_bytes().strip()
ORDERS = Frame(Opcode.TEXT, ORDER).serialize(mask=False) * 200


class Answering(asyncio.Protocol):
    """One connection. Requests have no body, and come one after the other."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  of a stream protocol
        self._transport, self._read, self._may_write = transport, b"", True

    def data_received(self, data: bytes) -> None:
        """Answer when the request is whole."""
        self._read += data
        if self._read.endswith(b"\r\n\r\n"):
            head, self._read = self._read, b""
            key = re.search(rb"sec-websocket-key: *(\S+)", head, re.IGNORECASE)
            if key is None:
                self._transport.write(ANSWER)
            else:
                accept = accept_key(key[1].decode())
                self._transport.write(UPGRADE % accept.encode())
                asyncio.get_running_loop().call_later(0.2, self._send_orders)

    def _send_orders(self) -> None:
        """Send orders as fast as they are taken."""
        if self._may_write and not self._transport.is_closing():
            self._transport.write(ORDERS)
            asyncio.get_running_loop().call_soon(self._send_orders)

    def pause_writing(self) -> None:
        """Send no more for a while."""
        self._may_write = False

    def resume_writing(self) -> None:
        """Go on."""
        self._may_write = True
        self._send_orders()

    def connection_lost(self, error: Exception | None) -> None:
        """Send no more."""
        self._may_write = False


def trusted_by_peers(folder: Path) -> ssl.SSLContext:
    """Write ca.pem, and make the server's TLS context."""
    authority = trustme.CA()
    pems = Path(certifi.where()).read_bytes() + authority.cert_pem.bytes()
    (folder / "ca.pem").write_bytes(pems)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


async def main(folder: Path) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    ports = []
    for context in (None, trusted_by_peers(folder)):
        server = await loop.create_server(Answering, "127.0.0.1", 0, ssl=context, backlog=1000)
        ports.append(server.sockets[0].getsockname()[1])
    print(f"http://127.0.0.1:{ports[0]} https://127.0.0.1:{ports[1]}", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
