"""A server that does next to nothing: every request gets a listen key. Prints its two URLs: plain, and with TLS.

`python server.py FOLDER` writes the folder's `ca.pem`: certifi's authorities and, as the last, the server's own. So
each peer loads as many certificates as it would for Binance. The server ends when its standard input does.
"""

import asyncio
import ssl
import sys
from pathlib import Path

import certifi
import trustme

BODY = b'{"listenKey":"%s","expiration":4102444800000}' % (b"k" * 64)
ANSWER = (
    b"HTTP/1.1 200 OK\r\nDate: Wed, 25 Nov 2026 03:00:00 GMT\r\nContent-Type: application/json\r\n"
    b"X-MBX-USED-WEIGHT-1M: 1\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)


class Answering(asyncio.Protocol):
    """One connection. Requests have no body, and come one after the other."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  of a stream protocol
        self._transport, self._read = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answer when the request is whole."""
        self._read += data
        if self._read.endswith(b"\r\n\r\n"):
            self._read = b""
            self._transport.write(ANSWER)


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
