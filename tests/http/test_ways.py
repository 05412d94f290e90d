"""One table of cases for the four ways to the exchange: the calls and the stream, each sync and async.

A case builds a piece of the world: servers, proxies, names, certificates, variables. It says once what must come. Every
way then has to reach the exchange, or to end with the same error in the same words. After each case no socket, no task
and no thread is left, and no secret is in the error or in any log.
"""

import asyncio
import base64
import contextlib
import errno
import gc
import hashlib
import importlib.util
import logging
import os
import re
import select
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpcore  # noqa: TID251  raises what the layers below raise
import pytest
import trustme

from listenkey import (
    ApiError,
    AsyncListenKeyClient,
    Banned,
    ListenKeyClient,
    ListenKeyError,
    RateLimited,
    ServerError,
    TransportError,
    Unauthorized,
    UnexpectedResponse,
)
from listenkey._http.async_network import AsyncConnection
from listenkey.stream import AsyncUserDataStream, UserDataStream
from listenkey.stream._pace import Pace
from tests.conftest import held_port
from tests.http.test_secrets import API_KEY, LISTEN_KEY, PASSWORD, SECRETS, printed
from tests.stream.test_stream import PACE, Reader

LONG = 20.0  # seconds; what has to work works within them, on a busy machine, too
HOST = "exchange.test"
LOGIN = f"user:{PASSWORD}@"
Script = Callable[[socket.socket, list[bytes]], object]


# Servers. Each connection has a thread, and a script that gets the socket and a list for what comes.


class Peer:
    """A server on loopback."""

    def __init__(self, script: Script, host: str = "127.0.0.1") -> None:
        self._script, self.seen = script, list[bytes]()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family, backlog=100)
        self.port: int = self._listener.getsockname()[1]
        self._open = {self._listener}
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener is closed
            while True:
                connection, _ = self._listener.accept()
                self._open.add(connection)
                self._threads.append(threading.Thread(target=self._serve, args=[connection], daemon=True))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            self._script(connection, self.seen)

    def break_off(self) -> None:
        """End the connections that are open."""
        for each in self._open - {self._listener}:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for each in self._open:
            each.close()


def read_head(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head and (data := connection.recv(65536)):
        head += data
    return head


def wait_for_the_end(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def exchange(connection: socket.socket, seen: list[bytes]) -> None:
    """Give a listen key, or a WebSocket on which nothing comes."""
    while head := read_head(connection):
        seen.append(head)
        if b"upgrade: websocket" in head.lower():
            (key,) = re.findall(rb"(?i)sec-websocket-key: *(\S+)", head)
            accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            connection.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            wait_for_the_end(connection)
            return
        connection.sendall(answer(b"200 OK", b'{"listenKey":"%s"}' % LISTEN_KEY.encode()))


def answer(status: bytes, body: bytes = b"", *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 " + status, *headers, b"Content-Length: %d" % len(body), b"", body]
    return b"\r\n".join(lines)


def says(*parts: bytes, pause: float = 0.0) -> Script:
    """Read a head, send the parts, and end the connection.

    The end comes in the packet of the last part: else a client may read the part, and keep the connection for a while.
    """

    def script(connection: socket.socket, seen: list[bytes]) -> None:
        seen.append(read_head(connection))
        *first, last = parts or (b"",)
        for part in first:
            connection.sendall(part)
            time.sleep(pause)
        if hasattr(socket, "TCP_CORK"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        connection.sendall(last)
        connection.shutdown(socket.SHUT_WR)
        wait_for_the_end(connection)

    return script


def silent(connection: socket.socket, seen: list[bytes]) -> None:
    """Take all, say nothing."""
    wait_for_the_end(connection)


def closes(connection: socket.socket, seen: list[bytes]) -> None:
    """End the connection at once."""
    connection.shutdown(socket.SHUT_WR)
    wait_for_the_end(connection)


def greets(connection: socket.socket, seen: list[bytes]) -> None:
    """Speak first, and not TLS."""
    connection.sendall(b"220 mail.exchange.test ESMTP\r\n")
    wait_for_the_end(connection)


def resets(connection: socket.socket, seen: list[bytes]) -> None:
    """Read something, then break off."""
    connection.recv(65536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def pump(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until one side ends."""
    while True:
        ready = [each for each in (one, other) if isinstance(each, ssl.SSLSocket) and each.pending()]
        for source in ready or select.select([one, other], [], [])[0]:
            data = source.recv(65536)
            if not data:
                return
            (other if source is one else one).sendall(data)


TUNNEL = b"HTTP/1.1 200 OK\r\n\r\n"


def http_proxy(port: int, *, more: bytes = b"") -> Script:
    """Make tunnels to a port of this machine, whatever host is asked for."""

    def script(connection: socket.socket, seen: list[bytes]) -> None:
        seen.append(read_head(connection))
        with socket.create_connection(("127.0.0.1", port)) as exchange:
            connection.sendall(TUNNEL + more)
            pump(connection, exchange)

    return script


def exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += connection.recv(count - len(data)) or b"\0" * count
    return data


def socks_proxy(port: int, login: bytes | None = None) -> Script:
    """Speak SOCKS5, and connect to a port of this machine. `seen` gets the asked address."""

    def script(connection: socket.socket, seen: list[bytes]) -> None:
        exactly(connection, exactly(connection, 2)[1])
        connection.sendall(b"\x05\x00" if login is None else b"\x05\x02")
        if login is not None:
            name = exactly(connection, exactly(connection, 2)[1])
            said = name + b":" + exactly(connection, exactly(connection, 1)[0])
            connection.sendall(b"\x01\x00" if said == login else b"\x01\x01")
        kind = exactly(connection, 4)[3]
        host = exactly(connection, exactly(connection, 1)[0]) if kind == 3 else exactly(connection, 4).hex().encode()
        seen.append(host + b":%d" % int.from_bytes(exactly(connection, 2)))
        with socket.create_connection(("127.0.0.1", port)) as exchange:
            connection.sendall(b"\x05\x00\x00\x01" + bytes(6))
            pump(connection, exchange)

    return script


def socks_says(*answers: bytes) -> Script:
    """Speak SOCKS5 as far as the answers go, then end the connection."""

    def script(connection: socket.socket, seen: list[bytes]) -> None:
        for each in answers:
            seen.append(connection.recv(100))
            connection.sendall(each)
        connection.recv(100)

    return script


# The world of a case.


@dataclass(frozen=True)
class Ask:
    """What to reach, and what must come.

    Attributes:
        url: the base URL.
        error: the class of the error; None: the exchange is reached.
        text: the error's text. {exchange} is the address as a way calls it, {goes_on} is the way's last sentence, *
            stands for anything.
        stream: the stream's text, where it is another one.
        is_final: whether a stream that has never worked ends at the first such error.
        timeout: seconds.
        ssl_context: for the client.
        busy: whether the program keeps all of asyncio's threads busy.
        not_for: beginnings of the names of ways that the case is not for.
        settings: of the client, beside those.
    """

    url: str
    error: type[ListenKeyError] | None = None
    text: str = ""
    stream: str = ""
    is_final: bool = False
    timeout: float = LONG
    ssl_context: ssl.SSLContext | None = None
    busy: bool = False
    not_for: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    then: Callable[[], object] = field(default=lambda: None)  # looks at the world after the case


class World:
    """What a case is made of. All ends with the test."""

    def __init__(self, patch: pytest.MonkeyPatch, stack: contextlib.ExitStack, folder: Path) -> None:
        self._patch, self._stack, self.folder = patch, stack, folder
        self._names: dict[str, Callable[[int], list[Any]]] = {}
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
            patch.delenv(name, raising=False)
            patch.delenv(name.lower(), raising=False)
        real = socket.getaddrinfo

        def look_up(host: Any, port: Any, *arguments: Any, **named: Any) -> Any:
            answers = self._names.get(host.decode() if isinstance(host, bytes) else host)
            return answers(port) if answers else real(host, port, *arguments, **named)

        patch.setattr(socket, "getaddrinfo", look_up)
        self.looks_up(HOST, lambda _: pytest.fail("nobody should look this name up"))
        self.authority = AUTHORITY
        self.gives_proxy, self.proxy = False, ""

    def set(self, name: str, value: str) -> None:
        """Set a variable. Where clients are given their proxy, the environment names a dead one in its place."""
        if self.gives_proxy and name in ("HTTPS_PROXY", "ALL_PROXY"):
            self.proxy, value = value, f"http://127.0.0.1:{self.dead_port()}"
        self._patch.setenv(name, value)

    def looks_up(self, host: str, answers: Callable[[int], list[Any]]) -> None:
        """Let a name have the answers of a function, which gets the port, and may take its time."""
        self._names[host] = answers

    def serve(self, script: Script, host: str = "127.0.0.1") -> Peer:
        peer = Peer(script, host)
        self._stack.callback(peer.close)
        return peer

    def tls(self, script: Script = exchange, *names: str, host: str = "127.0.0.1", **how: Any) -> Peer:
        """Serve over TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(*(names or (HOST,)), **how).configure_cert(context)

        def serve(plain: socket.socket, seen: list[bytes]) -> None:
            with context.wrap_socket(plain, server_side=True) as secured:
                script(secured, seen)

        return self.serve(serve, host)

    def named(self, peer: Peer, *before: Any) -> str:
        """Let the host's name mean a server, and addresses before that server. Returns the base URL."""
        self.looks_up(HOST, lambda _: [*before, at(peer.port)])
        return f"https://{HOST}:{peer.port}"

    def trusting(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    def dead_port(self, host: str = "127.0.0.1") -> int:
        return self._stack.enter_context(held_port(host))

    def deaf_port(self) -> int:
        """Take a port that drops packets, because its queue is full."""
        listener = self._stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = self._stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        return int(listener.getsockname()[1])


def at(port: int, host: str = "127.0.0.1", family: int = socket.AF_INET) -> Any:
    """Give an address as `socket.getaddrinfo` does."""
    where = (host, port, 0, 0) if family == socket.AF_INET6 else (host, port)
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where


AUTHORITY = trustme.CA()
CASES: dict[str, Callable[[World], Ask]] = {}


def case(make: Callable[[World], Ask]) -> Callable[[World], Ask]:
    CASES[make.__name__.replace("_", " ")] = make
    return make


def system_words(number: int) -> str:
    return f"[Errno {number}] {os.strerror(number)}"


NO_ANSWER = "No answer from {exchange} "
REFUSED = f"(ConnectError: {system_words(errno.ECONNREFUSED)}). {{goes_on}}"
RESET = system_words(errno.ECONNRESET)


# The cases: certificates.


@case
def plain(world: World) -> Ask:
    return Ask(f"http://127.0.0.1:{world.serve(exchange).port}")


@case
def trusted_by_ssl_context(world: World) -> Ask:
    return Ask(world.named(world.tls()), ssl_context=world.trusting())


@case
def trusted_by_SSL_CERT_FILE(world: World) -> Ask:  # noqa: N802
    file = world.folder / "authority.pem"
    world.authority.cert_pem.write_to_path(str(file))
    world.set("SSL_CERT_FILE", str(file))
    return Ask(world.named(world.tls()))


@case
def trusted_by_SSL_CERT_DIR(world: World) -> Ask:  # noqa: N802
    if shutil.which("openssl") is None:
        pytest.skip("openssl names the files of such a folder")
    file = world.folder / "authority.pem"
    world.authority.cert_pem.write_to_path(str(file))
    command = ["openssl", "x509", "-noout", "-subject_hash", "-in", str(file)]
    file.rename(world.folder / f"{subprocess.check_output(command, text=True).strip()}.0")
    world.set("SSL_CERT_DIR", str(world.folder))
    return Ask(world.named(world.tls()))


NOT_TRUSTED = (
    NO_ANSWER + "(ConnectError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {0} (_ssl.c:*)). The "
    "certificate is not trusted: {1}."
)


def not_trusted(url: str, why: str, proxy: str = "", **settings: Any) -> Ask:
    advice = "check SSL_CERT_FILE, or pass ssl_context"
    if "ssl_context" in settings:
        advice = "check the certificates of ssl_context"
    elif "settings" in settings:  # trust_env=False
        advice = "pass ssl_context"
    text = NOT_TRUSTED.replace("{0}", why).replace("{1}", advice)
    if proxy:
        text = text.replace("{exchange}", "{exchange} through the proxy " + proxy)
    return Ask(url, TransportError, text, is_final=True, **settings)


UNKNOWN = "unable to get local issuer certificate"


@case
def not_trusted_authority(world: World) -> Ask:
    return not_trusted(world.named(world.tls()), UNKNOWN)


@case
def expired(world: World) -> Ask:
    peer = world.tls(not_after=datetime(2020, 1, 1, tzinfo=UTC))
    return not_trusted(world.named(peer), "certificate has expired", ssl_context=world.trusting())


@case
def another_host_name(world: World) -> Ask:
    peer = world.tls(exchange, "another.test")
    why = f"Hostname mismatch, certificate is not valid for '{HOST}'."
    return not_trusted(world.named(peer), why, ssl_context=world.trusting())


@case
def no_TLS_at_all(world: World) -> Ask:  # noqa: N802
    url = world.named(world.serve(greets))
    return Ask(url, TransportError, NO_ANSWER + "(ConnectError: *). {goes_on}")


@case
def closes_in_the_TLS_handshake(world: World) -> Ask:  # noqa: N802
    text = NO_ANSWER + "(ConnectError: the other side ended the TLS handshake). {goes_on}"
    return Ask(world.named(world.serve(closes)), TransportError, text)


@case
def resets_in_the_TLS_handshake(world: World) -> Ask:  # noqa: N802
    return Ask(world.named(world.serve(resets)), TransportError, NO_ANSWER + f"(ConnectError: {RESET}). {{goes_on}}")


@case
def silent_in_the_TLS_handshake(world: World) -> Ask:  # noqa: N802
    return Ask(world.named(world.serve(silent)), TransportError, NO_ANSWER + "within 0.3 s. {goes_on}", timeout=0.3)


# Addresses and names.


@case
def first_address_drops_packets(world: World) -> Ask:
    url = world.named(world.tls(), at(world.deaf_port()))
    return Ask(url, ssl_context=world.trusting(), timeout=4)


@case
def first_address_refuses(world: World) -> Ask:
    return Ask(world.named(world.tls(), at(world.dead_port())), ssl_context=world.trusting())


@case
def IPv6_first_and_dead(world: World) -> Ask:  # noqa: N802
    dead = at(world.dead_port("::1"), "::1", socket.AF_INET6)
    return Ask(world.named(world.tls(), dead), ssl_context=world.trusting())


@case
def first_address_of_a_family_that_the_system_has_not(world: World) -> Ask:
    return Ask(world.named(world.tls(), at(1, "::1", 99)), ssl_context=world.trusting())


@case
def all_addresses_refuse(world: World) -> Ask:
    addresses = [at(world.dead_port()), at(world.dead_port())]
    world.looks_up(HOST, lambda _: addresses)
    return Ask(f"https://{HOST}", TransportError, NO_ANSWER + REFUSED)


@case
def one_address_drops_packets_and_one_refuses(world: World) -> Ask:
    addresses = [at(world.deaf_port()), at(world.dead_port())]
    world.looks_up(HOST, lambda _: addresses)
    return Ask(f"https://{HOST}", TransportError, NO_ANSWER + REFUSED, timeout=0.6)


@case
def one_address_refuses_and_one_drops_packets(world: World) -> Ask:
    addresses = [at(world.dead_port()), at(world.deaf_port())]
    world.looks_up(HOST, lambda _: addresses)
    return Ask(f"https://{HOST}", TransportError, NO_ANSWER + REFUSED, timeout=0.6)


@case
def all_addresses_drop_packets(world: World) -> Ask:
    addresses = [at(world.deaf_port()), at(world.deaf_port())]
    world.looks_up(HOST, lambda _: addresses)
    return Ask(f"https://{HOST}", TransportError, NO_ANSWER + "within 0.4 s. {goes_on}", timeout=0.4)


@case
def no_address(world: World) -> Ask:
    world.looks_up(HOST, lambda _: [])
    return Ask(f"https://{HOST}", TransportError, NO_ANSWER + "(ConnectError: the host has no address). {goes_on}")


@case
def address_with_a_zone(world: World) -> Ask:
    try:
        peer = world.tls(host="::1")
    except OSError:
        pytest.skip("no IPv6 here")
    zone = ("::1%lo", peer.port, 0, socket.if_nametoindex("lo"))
    world.looks_up(HOST, lambda _: [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", zone)])
    return Ask(f"https://{HOST}", ssl_context=world.trusting(), busy=True, not_for=("sync client",))


@case
def slow_resolver(world: World) -> Ask:
    peer = world.tls()

    def answers(_: int) -> list[Any]:
        time.sleep(0.3)
        return [at(peer.port)]

    world.looks_up(HOST, answers)
    return Ask(f"https://{HOST}", ssl_context=world.trusting())


@case
def resolver_that_fails(world: World) -> Ask:
    def answers(_: int) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    world.looks_up(HOST, answers)
    text = NO_ANSWER + f"(ConnectError: [Errno {int(socket.EAI_NONAME)}] Name or service not known). {{goes_on}}"
    return Ask(f"https://{HOST}", TransportError, text)


@case
def resolver_that_hangs(world: World) -> Ask:
    ended = threading.Event()

    def answers(_: int) -> list[Any]:
        ended.wait(30)
        return []

    world.looks_up(HOST, answers)
    text = NO_ANSWER + "within 0.3 s. {goes_on}"
    return Ask(f"https://{HOST}", TransportError, text, timeout=0.3, not_for=("sync client",), then=ended.set)


@case
def threads_of_asyncio_are_busy(world: World) -> Ask:
    return Ask(world.named(world.tls()), ssl_context=world.trusting(), busy=True)


# Proxies by HTTP.

THROUGH = "No answer from {exchange} through the proxy "


def through(world: World, script: Callable[[int], Script], login: str = "", scheme: str = "http") -> tuple[Peer, str]:
    """Set a proxy that knows where the exchange is. Returns the proxy, and the proxy's name in texts."""
    proxy = world.serve(script(world.tls().port))
    world.set("ALL_PROXY" if scheme.startswith("socks") else "HTTPS_PROXY", f"{scheme}://{login}127.0.0.1:{proxy.port}")
    return proxy, f"{scheme}://127.0.0.1:{proxy.port}"


def saw(proxy: Peer, *expected: bytes) -> Callable[[], None]:
    """Check what a proxy saw: each of the expected, and nothing else."""

    def check() -> None:
        assert proxy.seen
        assert {re.sub(rb":\d+$", b"", each) for each in proxy.seen} == set(expected)

    return check


def connects(proxy: Peer, login: bytes | None) -> Callable[[], None]:
    def check() -> None:
        assert proxy.seen
        for head in proxy.seen:
            assert head.startswith(b"CONNECT exchange.test:443 HTTP/1.1\r\n")
            logins = [base64.b64decode(each) for each in re.findall(rb"(?i)\nproxy-authorization: basic (\S+)", head)]
            assert logins == ([] if login is None else [login])
            assert LISTEN_KEY.encode() not in head
            assert API_KEY.encode() not in head

    return check


@case
def http_proxy_(world: World) -> Ask:
    proxy, _ = through(world, http_proxy)
    return Ask(f"https://{HOST}", ssl_context=world.trusting(), then=connects(proxy, None))


@case
def https_proxy_of_a_company(world: World) -> Ask:
    proxy = world.tls(http_proxy(world.tls().port), "127.0.0.1")
    world.set("HTTPS_PROXY", f"https://127.0.0.1:{proxy.port}")
    return Ask(f"https://{HOST}", ssl_context=world.trusting(), then=connects(proxy, None))


@case
def https_proxy_that_is_not_trusted(world: World) -> Ask:
    proxy = world.tls(http_proxy(world.tls().port), "127.0.0.1")
    world.set("HTTPS_PROXY", f"https://{LOGIN}127.0.0.1:{proxy.port}")
    return not_trusted(f"https://{HOST}", UNKNOWN, f"https://127.0.0.1:{proxy.port}")


@case
def exchange_that_is_not_trusted_behind_a_proxy(world: World) -> Ask:
    _, name = through(world, http_proxy, LOGIN)
    return not_trusted(f"https://{HOST}", UNKNOWN, name)


def login_case(written: str, meant: bytes) -> None:
    def make(world: World) -> Ask:
        proxy, _ = through(world, http_proxy, f"{written}@")
        return Ask(f"https://{HOST}", ssl_context=world.trusting(), then=connects(proxy, meant))

    CASES[f"proxy login {written}"] = make


login_case("user:hunter2", b"user:hunter2")
login_case("user:p%40ss%2Fw%23rd", b"user:p@ss/w#rd")
login_case("dom%5Cuser:x%3Ay", b"dom\\user:x:y")
login_case("us er:é", "us er:é".encode())
login_case("user:a+b%2Bc%25", b"user:a+b+c%")
login_case("user:", b"user:")
login_case("user", b"user:")


ADVICE = {
    403: "The proxy does not let this program through: ask the proxy's administrator to allow the address. ",
    407: "The proxy does not accept the user and the password, or wants them. ",
}


def refused_by(name: str, status: int, variable: str = "HTTPS_PROXY") -> str:
    advice = ADVICE.get(status, "")
    return f"No way to {{exchange}} through the proxy {name} ({status}): check {variable}. {advice}(HTTP {status})"


@case
def proxy_wrong_login(world: World) -> Ask:
    script = says(answer(b"407 Basic dXNlcjpodW50ZXIy", b"user:hunter2", b"Proxy-Authenticate: Basic"))
    _, name = through(world, lambda _: script, LOGIN)
    return Ask(f"https://{HOST}", ApiError, refused_by(name, 407), is_final=True)


@case
def proxy_403(world: World) -> Ask:
    _, name = through(world, lambda _: says(answer(b"403 hunter2")), LOGIN)
    return Ask(f"https://{HOST}", ApiError, refused_by(name, 403))


@case
def proxy_404(world: World) -> Ask:
    _, name = through(world, lambda _: says(answer(b"404 hunter2")), LOGIN)
    return Ask(f"https://{HOST}", ApiError, refused_by(name, 404))


@case
def proxy_502(world: World) -> Ask:
    _, name = through(world, lambda _: says(answer(b"502 hunter2")), LOGIN)
    return Ask(f"https://{HOST}", TransportError, THROUGH + name + " (ProxyError: 502). {goes_on}")


@case
def proxy_closes(world: World) -> Ask:
    _, name = through(world, lambda _: says(), LOGIN)
    why = " (RemoteProtocolError: Server disconnected without sending a response). {goes_on}"
    return Ask(f"https://{HOST}", TransportError, THROUGH + name + why)


@case
def proxy_resets(world: World) -> Ask:
    _, name = through(world, lambda _: resets, LOGIN)
    return Ask(f"https://{HOST}", TransportError, THROUGH + name + f" (ReadError: {RESET}). {{goes_on}}")


@case
def proxy_answers_rubbish(world: World) -> Ask:
    _, name = through(world, lambda _: says(b"hunter2 " * 100 + b"\r\n\r\n"), LOGIN)
    return Ask(
        f"https://{HOST}", TransportError, THROUGH + name + " (RemoteProtocolError: illegal status line). {goes_on}"
    )


@case
def proxy_hangs(world: World) -> Ask:
    _, name = through(world, lambda _: silent, LOGIN)
    return Ask(f"https://{HOST}", TransportError, THROUGH + name + " within 0.3 s. {goes_on}", timeout=0.3)


@case
def proxy_hangs_behind_its_200(world: World) -> Ask:
    def script(connection: socket.socket, seen: list[bytes]) -> None:
        read_head(connection)
        connection.sendall(TUNNEL)
        wait_for_the_end(connection)

    _, name = through(world, lambda _: script, LOGIN)
    return Ask(f"https://{HOST}", TransportError, THROUGH + name + " within 0.3 s. {goes_on}", timeout=0.3)


@case
def proxy_that_is_dead(world: World) -> Ask:
    name = f"http://127.0.0.1:{world.dead_port()}"
    world.set("HTTPS_PROXY", name.replace("://", f"://{LOGIN}"))
    return Ask(f"https://{HOST}", TransportError, THROUGH + name + " " + REFUSED)


FORGED = answer(b"200 OK", b'{"listenKey":"forged"}')


@case
def proxy_forges_an_answer_before_TLS(world: World) -> Ask:  # noqa: N802
    forged = b"x" * (65536 - len(TUNNEL)) + FORGED  # behind what is read at once
    _, name = through(world, lambda port: http_proxy(port, more=forged), LOGIN)
    text = THROUGH + name + " (ConnectError: *). {goes_on}"
    return Ask(f"https://{HOST}", TransportError, text, ssl_context=world.trusting())


# SOCKS.


def socks_case(scheme: str) -> None:
    def make(world: World) -> Ask:
        proxy, _ = through(world, socks_proxy, "", scheme)
        return Ask(f"https://{HOST}", ssl_context=world.trusting(), then=saw(proxy, HOST.encode()))

    def without_port(world: World) -> Ask:
        proxy = world.serve(socks_proxy(world.tls().port))
        world.looks_up("proxy.test", lambda port: [at(proxy.port)] if port == 1080 else [])
        world.set("ALL_PROXY", f"{scheme}://proxy.test")
        return Ask(f"https://{HOST}", ssl_context=world.trusting(), then=saw(proxy, HOST.encode()))

    def with_login(world: World) -> Ask:
        proxy, _ = through(world, lambda port: socks_proxy(port, b"us@er:hunter2"), f"us%40er:{PASSWORD}@", scheme)
        return Ask(f"https://{HOST}", ssl_context=world.trusting(), then=saw(proxy, HOST.encode()))

    CASES[f"{scheme} gets the name"] = make
    CASES[f"{scheme} without a port"] = without_port
    CASES[f"{scheme} with a login"] = with_login


socks_case("socks5")
socks_case("socks5h")


def socks_refusal(title: str, script: Script, status: int) -> None:
    def make(world: World) -> Ask:
        _, name = through(world, lambda _: script, LOGIN, "socks5h")
        return Ask(f"https://{HOST}", ApiError, refused_by(name, status, "ALL_PROXY"), is_final=status == 407)

    CASES[f"socks {title}"] = make


socks_refusal("wrong login", socks_says(b"\x05\x02", b"\x01\x01"), 407)
socks_refusal("no common login", socks_says(b"\x05\xff"), 407)
socks_refusal("ruleset", socks_says(b"\x05\x02", b"\x01\x00", b"\x05\x02\x00\x01" + bytes(6)), 403)


@case
def socks_host_unreachable(world: World) -> Ask:
    script = socks_says(b"\x05\x02", b"\x01\x00", b"\x05\x04\x00\x01" + bytes(6))
    _, name = through(world, lambda _: script, LOGIN, "socks5")
    why = " (ProxyError: Proxy Server could not connect: Host unreachable). {goes_on}"
    return Ask(f"https://{HOST}", TransportError, THROUGH + name + why)


@case
def socks_closes(world: World) -> Ask:
    _, name = through(world, lambda _: socks_says(), LOGIN, "socks5")
    return Ask(f"https://{HOST}", TransportError, THROUGH + name + " (ProtocolError: Malformed reply). {goes_on}")


@case
def socks_hangs(world: World) -> Ask:
    _, name = through(world, lambda _: silent, LOGIN, "socks5")
    return Ask(f"https://{HOST}", TransportError, THROUGH + name + " within 0.3 s. {goes_on}", timeout=0.3)


@case
def socks_exchange_not_trusted(world: World) -> Ask:
    _, name = through(world, socks_proxy, "", "socks5")
    return not_trusted(f"https://{HOST}", UNKNOWN, name)


@case
def NO_PROXY(world: World) -> Ask:  # noqa: N802
    world.set("HTTPS_PROXY", f"http://127.0.0.1:{world.dead_port()}")
    world.set("NO_PROXY", f"another.test,{HOST}")
    return Ask(world.named(world.tls()), ssl_context=world.trusting())


@case
def loopback_goes_through_no_proxy(world: World) -> Ask:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        world.set(name, f"http://127.0.0.1:{world.dead_port()}")
    return Ask(f"https://localhost:{world.tls(exchange, 'localhost').port}", ssl_context=world.trusting())


@case
def environment_that_is_not_asked_for_a_proxy(world: World) -> Ask:
    world.set("HTTPS_PROXY", f"http://127.0.0.1:{world.dead_port()}")
    return Ask(world.named(world.tls()), ssl_context=world.trusting(), settings={"trust_env": False})


@case
def environment_that_is_not_asked_for_certificates(world: World) -> Ask:
    file = world.folder / "authority.pem"
    world.authority.cert_pem.write_to_path(str(file))
    world.set("SSL_CERT_FILE", str(file))
    return not_trusted(world.named(world.tls()), UNKNOWN, settings={"trust_env": False})


# Servers that are no exchange.


def server_case(
    title: str, script: Script, error: type[ListenKeyError], text: str, stream: str = "", **more: Any
) -> None:
    def make(world: World) -> Ask:
        url = world.named(world.tls(script))
        return Ask(url, error, text, stream, ssl_context=world.trusting(), **more)

    CASES[title] = make


def drips(connection: socket.socket, seen: list[bytes]) -> None:
    read_head(connection)
    for each in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100:
        connection.sendall(bytes([each]))
        time.sleep(0.05)


server_case("server says nothing", silent, TransportError, NO_ANSWER + "within 0.5 s. {goes_on}", timeout=0.5)
server_case("server drips", drips, TransportError, NO_ANSWER + "within 0.5 s. {goes_on}", timeout=0.5)
CLOSED = NO_ANSWER + "(RemoteProtocolError: Server disconnected without sending a response). {goes_on}"
server_case("server closes", says(), TransportError, CLOSED)
server_case("server resets", resets, TransportError, NO_ANSWER + f"(ReadError: {RESET}). {{goes_on}}")
server_case("server breaks off its head", says(b"HTTP/1.1 200 OK\r\nX: "), TransportError, CLOSED)
NO_HTTP = NO_ANSWER + "(RemoteProtocolError: illegal status line). {goes_on}"
server_case("server is no http", says(b"SSH-2.0-x\r\n\r\n"), TransportError, NO_HTTP)
HTML = b"<html>" + API_KEY.encode() + LISTEN_KEY.encode()
ODD = "Not an answer that Binance documents: "
NO_WEBSOCKET = ODD + "{exchange} answered the handshake with no WebSocket. Check stream_url and any proxy. "
SETTINGS = "{exchange} refused the stream; check stream_url and form. "
server_case(
    "html 200",
    says(answer(b"200 OK", HTML)),
    UnexpectedResponse,
    ODD + "its body is not a JSON object. Check base_url and any proxy. (HTTP 200)",
    NO_WEBSOCKET + "(HTTP 200)",
)
server_case(
    "10 MB",
    says(answer(b"200 OK", b"x" * 10_000_000)),
    UnexpectedResponse,
    ODD + "its body is compressed or over 64 KiB. Check base_url and any proxy. (HTTP 200)",
    NO_WEBSOCKET + "(HTTP 200)",
)
server_case(
    "headers of 10 MB",
    says(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1_700_000 + b"\r\n"),
    TransportError,
    NO_ANSWER + "(RemoteProtocolError: Receive buffer too long). {goes_on}",
)
WRONG = b"101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x"
server_case(
    "101 with a wrong proof",
    says(answer(WRONG)),
    UnexpectedResponse,
    "",
    NO_WEBSOCKET + "(HTTP 101)",
    not_for=("sync client", "async client"),
)
server_case(
    "html 403",
    says(answer(b"403 Forbidden", HTML)),
    ApiError,
    "Binance refused the call. A firewall refused it: stop, and wait long before the next call. (HTTP 403)",
    SETTINGS + "A firewall may have refused it: wait long before the next attempt. (HTTP 403)",
)
server_case(
    "json 400",
    says(answer(b"400 Bad", b'{"code":-1102,"msg":"%s"}' % LISTEN_KEY.encode())),
    ApiError,
    "***. (HTTP 400, code -1102)",
    "{exchange} refused the stream (***); check stream_url and form. (HTTP 400, code -1102)",
)
server_case(
    "401",
    says(answer(b"401 No")),
    Unauthorized,
    "Binance does not accept the API key. Check the API key, its permissions and the addresses it may be used from. "
    "(HTTP 401)",
    SETTINGS + "(HTTP 401)",
)
server_case(
    "404",
    says(answer(b"404 Not Found")),
    ApiError,
    "Binance refused the call. Check base_url. (HTTP 404)",
    SETTINGS + "(HTTP 404)",
)
server_case(
    "410",
    says(answer(b"410 Gone")),
    ApiError,
    "Binance refused the call. The endpoint was withdrawn. (HTTP 410)",
    SETTINGS + "(HTTP 410)",
)
server_case(
    "429",
    says(answer(b"429 No", b"", b"Retry-After: 7")),
    RateLimited,
    "Too many requests. Send nothing for 7 s. (HTTP 429)",
    "{exchange} refused the stream. Send nothing for 7 s. (HTTP 429)",
)
server_case(
    "418",
    says(answer(b"418 No", b'{"code":-1003,"msg":"IP banned until %d"}' % int((time.time() + 1000) * 1000))),
    Banned,
    "IP banned until *. Send nothing for * s. (HTTP 418, code -1003)",
    "{exchange} refused the stream (IP banned until *). Send nothing for * s. (HTTP 418, code -1003)",
)
server_case(
    "503",
    says(answer(b"503 No", b"", b"Retry-After: 7")),
    ServerError,
    "Binance had a fault. The call may or may not have taken effect; it is safe to repeat after 7 s. (HTTP 503)",
    "{exchange} refused the stream. The stream goes on trying. (HTTP 503)",
)


@case
def redirect(world: World) -> Ask:
    other = world.serve(exchange)
    where = b"Location: http://127.0.0.1:%d/%s" % (other.port, LISTEN_KEY.encode())

    def check() -> None:
        assert other.seen == []

    return Ask(
        world.named(world.tls(says(answer(b"302 Found", b"", where)))),
        UnexpectedResponse,
        ODD + "it is a redirect, not followed because it would carry the API key away. Check base_url and any proxy. "
        "(HTTP 302)",
        ODD + "{exchange} answered the handshake with a redirect, which is not followed. Check stream_url and any "
        "proxy. (HTTP 302)",
        ssl_context=world.trusting(),
        then=check,
    )


# The ways.


def sockets() -> set[str]:
    """Name the sockets of this process."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir() if Path("/proc/self/fd").exists() else ():
        with contextlib.suppress(OSError):  # closed meanwhile
            if (name := str(descriptor.readlink())).startswith("socket:"):
                found.add(name)
    return found


class Way:
    """A way to the exchange: a call, or a stream that gets the listen key elsewhere, from `home`.

    Each failure has to close its sockets at once, and not when a client is closed or memory is collected. The servers
    of this process end a connection after the other side, so their sockets must be gone, too.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_stream, self.is_async = "stream" in name, "async" in name
        self._loop_factory: Any = importlib.import_module("uvloop").new_event_loop if "uvloop" in name else None

    def reach(self, ask: Ask, home: str) -> ListenKeyError | None:
        gc.disable()
        try:
            if self.is_async:
                with asyncio.Runner(loop_factory=self._loop_factory) as runner:
                    return runner.run(self._reach(ask, home))
            before = sockets()
            error = self._stream(ask, home) if self.is_stream else self._call(ask)
            for _ in range(1000):
                if sockets() <= before and not [
                    each for each in threading.enumerate() if each.name == "listenkey-stream"
                ]:
                    return error
                time.sleep(0.01)
            pytest.fail("a socket or a thread is left")
        finally:
            gc.enable()

    def _client(self, ask: Ask, home: str) -> dict[str, Any]:
        settings = {"api_key": API_KEY, "ssl_context": ask.ssl_context, **ask.settings}
        if self.is_stream:
            return {"base_url": home, **settings}
        return {"base_url": ask.url, "timeout": ask.timeout, "attempts": 1, **settings}

    def _call(self, ask: Ask) -> ListenKeyError | None:
        before = sockets()
        with ListenKeyClient(**self._client(ask, "")) as client:
            try:
                assert client.start().value == LISTEN_KEY
            except ListenKeyError as error:
                while sockets() > before:
                    time.sleep(0.005)
                return error
        return None

    def _stream(self, ask: Ask, home: str) -> ListenKeyError | None:
        url, pace = ask.url.replace("http", "ws", 1), replace(PACE, opening=ask.timeout)
        with (
            ListenKeyClient(**self._client(ask, home)) as client,
            UserDataStream(client, stream_url=url, _pace=pace) as stream,
        ):
            while not self._is_decided(ask, stream):
                time.sleep(0.005)
            if stream.status().state == "ended":
                with pytest.raises(ListenKeyError) as raised:
                    next(stream)
                return raised.value
            return stream.status().last_error

    async def _reach(self, ask: Ask, home: str) -> ListenKeyError | None:
        ended, before = threading.Event(), sockets()
        busy = [asyncio.create_task(asyncio.to_thread(ended.wait, 60)) for _ in range(40 if ask.busy else 0)]
        await asyncio.sleep(0.05 if busy else 0)
        try:
            error = await (self._stream_async(ask, home) if self.is_stream else self._call_async(ask))
        finally:
            ended.set()
            await asyncio.gather(*busy)
        for _ in range(1000):
            if sockets() <= before and len(asyncio.all_tasks()) == 1:
                return error
            await asyncio.sleep(0.01)
        pytest.fail("a socket or a task is left")

    async def _call_async(self, ask: Ask) -> ListenKeyError | None:
        before = sockets()
        async with AsyncListenKeyClient(**self._client(ask, "")) as client:
            try:
                assert (await client.start()).value == LISTEN_KEY
            except ListenKeyError as error:
                while sockets() > before:  # noqa: ASYNC110  with the client still open; nobody tells
                    await asyncio.sleep(0.005)
                return error
        return None

    async def _stream_async(self, ask: Ask, home: str) -> ListenKeyError | None:
        url, pace = ask.url.replace("http", "ws", 1), replace(PACE, opening=ask.timeout)
        async with (
            AsyncListenKeyClient(**self._client(ask, home)) as client,
            AsyncUserDataStream(client, stream_url=url, _pace=pace) as stream,
        ):
            while not self._is_decided(ask, stream):  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(0.005)
            if stream.status().state == "ended":
                with pytest.raises(ListenKeyError) as raised:
                    await anext(stream)
                return raised.value
            return stream.status().last_error

    def _is_decided(self, ask: Ask, stream: UserDataStream | AsyncUserDataStream) -> bool:
        status = stream.status()
        assert not [secret for secret in SECRETS if secret in repr(status)]
        if ask.is_final:
            return status.state == "ended"
        return status.state == "connected" or status.last_error is not None

    def words(self, ask: Ask) -> str:
        """Give the text of the error that must come, as a pattern."""
        text = (ask.stream if self.is_stream else "") or ask.text
        text = text.replace("{exchange}", ask.url.replace("http", "ws", 1) if self.is_stream else ask.url)
        text = text.replace(
            "{goes_on}", "The stream goes on trying." if self.is_stream else "Repeating the call is safe."
        )
        return re.escape(text).replace(r"\*\*\*", "<hidden>").replace(r"\*", ".+").replace("<hidden>", r"\*\*\*")


WAYS = ["sync client", "async client", "sync stream", "async stream"]
if importlib.util.find_spec("uvloop"):  # by hand: pip install uvloop
    WAYS += ["async client on uvloop", "async stream on uvloop"]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    with contextlib.ExitStack() as stack:
        yield World(monkeypatch, stack, tmp_path)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return Way(request.param)


@pytest.mark.parametrize("title", CASES)
def test_every_way_tells_the_same(title: str, way: Way, world: World, caplog: pytest.LogCaptureFixture) -> None:
    tells_the_same(CASES[title](world), way, world, caplog)


@pytest.mark.parametrize(
    "title",
    [
        "http proxy ",
        "https proxy of a company",
        "socks5h with a login",
        "proxy wrong login",
        "socks ruleset",
        "proxy that is dead",
        "loopback goes through no proxy",
    ],
)
def test_a_client_may_be_given_its_proxy(title: str, way: Way, world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The parameter goes before the environment, for the client's stream, too, and is named where it is wrong."""
    world.gives_proxy = True
    world.set("NO_PROXY", "*")
    ask = CASES[title](world)
    text = re.sub("check (HTTPS|ALL)_PROXY", "check the parameter proxy", ask.text)
    tells_the_same(replace(ask, text=text, settings={"proxy": world.proxy}), way, world, caplog)


def tells_the_same(ask: Ask, way: Way, world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    home = world.serve(exchange)
    if way.name.startswith(ask.not_for):
        pytest.skip("not for this way")
    try:
        error = way.reach(ask, f"http://127.0.0.1:{home.port}")
    finally:
        ask.then()
    assert type(error) is (ask.error or type(None)), error
    if error is not None:
        assert re.fullmatch(way.words(ask), str(error)), f"{error}\n{way.words(ask)}"
    told = "" if error is None else printed(error)
    told += "".join(f"{record.getMessage()} {record.args!r} {vars(record)}\n" for record in caplog.records)
    assert not [line for line in told.splitlines() for secret in SECRETS if secret in line]


# What a table of single attempts does not show.

TWINS = pytest.mark.parametrize("kind", ["sync", "async"])


@TWINS
def test_a_wrong_login_is_tried_as_seldom_as_a_keeper_tries(
    kind: str, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A stream has worked, and the proxy's password is changed. Repeated wrong logins lock a company's account."""
    port, home = world.tls().port, world.serve(exchange)
    works, refused = [True], list[float]()

    def script(connection: socket.socket, seen: list[bytes]) -> None:
        if works[0]:
            http_proxy(port)(connection, seen)
        else:
            refused.append(time.monotonic())
            says(answer(b"407 No"))(connection, seen)

    proxy = world.serve(script)
    world.set("HTTPS_PROXY", f"http://{LOGIN}127.0.0.1:{proxy.port}")
    pace = replace(PACE, refused=0.15, longest_refused=2.4)
    reader = Reader(
        kind,
        f"http://127.0.0.1:{home.port}",
        {"stream_url": f"wss://{HOST}", "_pace": pace, "life": 72.0},
        ssl_context=world.trusting(),
    )
    with contextlib.closing(reader):
        reader.until("started")
        works[0] = False
        proxy.break_off()
        reader.wait(lambda: len(refused) >= 4)
        text = str(reader.status().last_error)
        works[0] = True
        reader.until("reconnected")
    waits = [after - before for before, after in pairwise(refused)]
    assert all(wait >= 0.9 * least for wait, least in zip(waits, [0.15, 0.3, 0.6], strict=False)), waits
    assert sum(Pace().refused * 2.0**number for number in range(6)) > 1800  # the sixth wait ends after half an hour
    expected = f"No way to wss://{HOST} through the proxy http://127.0.0.1:{proxy.port} (407): check HTTPS_PROXY. "
    assert text == expected + ADVICE[407] + "(HTTP 407)"
    assert [each for each in caplog.records if each.levelno == logging.WARNING and text in each.getMessage()]
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize("what", ["client", "stream"])
@pytest.mark.parametrize("way_there", ["socks", "TLS in TLS"])
def test_a_connection_that_is_given_up_at_any_step_leaves_nothing(world: World, way_there: str, what: str) -> None:
    home, port = world.serve(exchange), world.tls().port
    if way_there == "socks":
        world.set("ALL_PROXY", f"socks5://{LOGIN}127.0.0.1:{world.serve(socks_proxy(port, b'user:hunter2')).port}")
    else:
        proxy = world.tls(http_proxy(port), "127.0.0.1")
        world.set("HTTPS_PROXY", f"https://{LOGIN}127.0.0.1:{proxy.port}")

    async def call() -> None:
        context = world.trusting()
        if what == "client":
            async with AsyncListenKeyClient(API_KEY, base_url=f"https://{HOST}", ssl_context=context) as client:
                await client.start()
            return
        async with (
            AsyncListenKeyClient(API_KEY, base_url=f"http://127.0.0.1:{home.port}", ssl_context=context) as client,
            AsyncUserDataStream(client, stream_url=f"wss://{HOST}", _pace=PACE) as stream,
        ):
            async for _ in stream:
                break

    async def program() -> None:
        steps: list[Callable[[], Any]] = [partial(turns, number) for number in range(20)]
        steps += [partial(asyncio.sleep, number / 500) for number in range(20)]
        for step in steps:
            before = sockets()
            task = asyncio.create_task(call())
            await step()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            for _ in range(1000):
                if sockets() <= before and len(asyncio.all_tasks()) == 1:
                    break
                await asyncio.sleep(0.01)
            else:
                pytest.fail(f"left by {step}: {sockets() - before}, {asyncio.all_tasks()}")

    gc.disable()
    try:
        asyncio.run(program())
    finally:
        gc.enable()


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def test_a_look_up_that_hangs_holds_up_no_other_host_and_not_the_end_of_a_program(world: World) -> None:
    """A program of its own: its look-ups of one host hang for an hour."""
    peer = world.serve(exchange)
    code = HANGING.replace("PORT", str(peer.port))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)
    assert run.stderr == ""
    assert run.stdout.splitlines() == [
        "No answer from https://hanging.test within 0.3 s. Repeating the call is safe.",
        "No answer from wss://hanging.test within 0.3 s. The stream goes on trying.",
        "No answer from wss://hanging.test within 0.3 s. The stream goes on trying.",
        "the other host is reached",
    ]


HANGING = """
import asyncio, dataclasses, socket, time
from listenkey import AsyncListenKeyClient, ListenKeyClient, TransportError
from listenkey._http.async_network import AsyncConnection
from listenkey.stream import AsyncUserDataStream, UserDataStream
from listenkey.stream._pace import Pace
from listenkey.stream._pace import Pace

real, home = socket.getaddrinfo, "http://localhost:PORT"
def look_up(host, *arguments, **named):
    if host == "hanging.test":
        time.sleep(3600)
    return real(host, *arguments, **named)
socket.getaddrinfo = look_up
hanging = {"stream_url": "wss://hanging.test", "_pace": dataclasses.replace(Pace(), opening=0.3)}

async def main():
    async with AsyncListenKeyClient("any-key", base_url="https://hanging.test", timeout=0.3, attempts=1) as client:
        try:
            await client.start()
        except TransportError as error:
            print(error)
    client = AsyncListenKeyClient("any-key", base_url=home)
    async with client, AsyncUserDataStream(client, **hanging) as stream:
        while stream.status().last_error is None:
            await asyncio.sleep(0.01)
        print(stream.status().last_error)
        with ListenKeyClient("any-key", base_url=home) as client, UserDataStream(client, **hanging) as stream:
            while stream.status().last_error is None:
                time.sleep(0.01)
            print(stream.status().last_error)
        async with AsyncListenKeyClient("another-key", base_url=home) as client, AsyncUserDataStream(client) as stream:
            await anext(stream)
            print("the other host is reached")

asyncio.run(main())
"""


def test_bytes_that_come_before_TLS_are_no_answer() -> None:  # noqa: N802
    """A proxy may send them behind its 200. They would pass for bytes of the exchange."""

    async def program() -> None:
        connection = AsyncConnection()
        connection.data_received(FORGED)
        with pytest.raises(httpcore.ConnectError, match="bytes came before the TLS handshake"):
            await connection.start_tls(ssl.create_default_context())

    asyncio.run(program())
