"""Connections for the sync client's calls: TCP by httpcore, TLS over it. Each step ends at the attempt's deadline.

httpcore's own TLS is not enough. In TLS in TLS, as to a proxy by https, each read would have the whole time anew, and
bytes that were read ahead would pass for the answer to the next call. And Python 3.11 takes a reset for an end.
"""

import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any, TypeVar, cast

import httpcore

from listenkey._http.answer import MAX_BODY
from listenkey._http.attempt import attempt_under_way
from listenkey._http.tracing import note_addresses

SocketAddress = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]  # as socket.getaddrinfo gives it
NO_ADDRESS = "the host has no address"
NO_HANDSHAKE = "the other side ended the TLS handshake"
T = TypeVar("T")


class BoundedStream(httpcore.NetworkStream):
    """A TCP connection of httpcore's. Each operation ends at the deadline of the attempt under way."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, attempt_under_way.get().left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, attempt_under_way.get().left())

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the system cannot close the socket, and has forgotten the socket
            self._stream.close()

    abort = close  # the name that an attempt calls

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return TlsStream(self, ssl_context, server_hostname)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401  as in the base class
        return self._stream.get_extra_info(info)


class TlsStream(BoundedStream):
    """TLS over any stream, over another TLS, too."""

    def __init__(self, stream: httpcore.NetworkStream, ssl_context: ssl.SSLContext, name: str | None) -> None:
        super().__init__(stream)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = ssl_context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        try:
            self._shake_hands()
        except BaseException:
            stream.close()
            raise

    def _shake_hands(self) -> None:
        try:
            return self._do(self._tls.do_handshake, httpcore.ConnectError)
        except (httpcore.ReadError, httpcore.WriteError) as error:
            raise httpcore.ConnectError(str(error)) from error.__cause__
        except httpcore.ConnectError as error:
            if not isinstance(error.__cause__, ssl.SSLEOFError):
                raise
        raise httpcore.ConnectError(NO_HANDSHAKE)

    def _do(self, step: Callable[[], T], failure: type[Exception]) -> T:
        """Take a step of TLS, and move the bytes that the step needs."""
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self._flush()
                if received := self._stream.read(MAX_BODY):
                    self._incoming.write(received)
                else:
                    self._incoming.write_eof()
            except ssl.SSLError as error:
                raise failure(str(error)) from error
            else:
                self._flush()
                return result

    def _flush(self) -> None:
        if outgoing := self._outgoing.read():
            self._stream.write(outgoing)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return self._do(lambda: self._tls.read(max_bytes), httpcore.ReadError)
        except httpcore.ReadError as error:
            if isinstance(error.__cause__, ssl.SSLZeroReturnError | ssl.SSLEOFError):
                return b""
            raise

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._do(lambda: self._tls.write(buffer), httpcore.WriteError)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401  as in the base class
        if info == "is_readable" and (self._tls.pending() or self._incoming.pending):
            return True  # the socket may be empty, and this layer is not
        return self._tls if info == "ssl_object" else super().get_extra_info(info)


class Backend(httpcore.NetworkBackend):
    """Makes the connections."""

    def connect_tcp(self, host: str, port: int, *_: object, **__: object) -> httpcore.NetworkStream:
        """Try each address of the host. The time left is split, so that a deaf address leaves time for the next."""
        attempt, direct = attempt_under_way.get(), httpcore.SyncBackend()
        last: Exception = httpcore.ConnectError(NO_ADDRESS)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        note_addresses(found)
        for tried, address in enumerate(found):
            number, service = socket.getnameinfo(address[4], socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
            try:
                stream = direct.connect_tcp(number, int(service), attempt.left() / (len(found) - tried))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                attempt.note_refusal(cast(OSError, error.__cause__))
                last = error
            else:
                attempt.note_connection(connection := BoundedStream(stream))
                return connection
        raise last
