"""The account's listen key: start, keep alive, end. Sync and async twins, alike but for `await`."""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NoReturn, Self

from listenkey._clock import clock
from listenkey._http.addresses import BASE_URL as BASE_URL_SETTING
from listenkey._http.faults import worth_repeating
from listenkey._http.masking import Secret
from listenkey._http.route import (
    KEY_LIFE,
    Account,
    Route,
    Wishes,
    checked_api_key,
    checked_key_life,
    checked_timeout,
    hidden,
    route_to,
)
from listenkey.errors import ConfigurationError, KeyNotFound, ListenKeyError, RateLimited, ServerError

if TYPE_CHECKING:  # what an import does not load: asyncio, and the needs of calls
    import asyncio
    import ssl
    from collections.abc import Iterator
    from types import TracebackType

    from listenkey._http.exchange import AsyncExchange, Exchange, Operation
    from listenkey._http.outcome import Outcome, Success

BASE_URL = "https://eapi.binance.com"  # options general-info page
DEMO = "https://demo-fapi.binance.com"
"""The base URL of Binance's demo trading (options general-info page). Its API keys are others: see docs/client.md."""
LIFE = timedelta(seconds=KEY_LIFE)
LONGEST_BACKOFF = 8.0  # seconds
CLOSED = "This client is closed: make a new one."

_log = logging.getLogger("listenkey")


@dataclass(frozen=True, eq=False)  # the comparison is below: pytest prints what a generated comparison compares
class ListenKey:
    """A listen key, as the answer to `start()` gave it.

    Attributes:
        value: the name of the account's private stream; a secret while the key lives, so the repr
            leaves `value` out.
        expires_at: when the key ends unless somebody renews the key, in UTC. From the answer's `expiration`. Without
            `expiration`: 60 minutes (Start User Data Stream page) after the answer's `Date`, else after the request was
            sent.
        estimated: True when the answer had no `expiration`.
    """

    value: str = field(repr=False, compare=False)
    expires_at: datetime
    estimated: bool

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return (self.value, self.expires_at, self.estimated) == (other.value, other.expires_at, other.estimated)

    def __hash__(self) -> int:
        return hash((self.value, self.expires_at, self.estimated))

    def __format__(self, spec: str) -> str:
        """Refuse f"wss://…/{key}": the server accepts any text for a key, and then sends no event."""
        raise TypeError("A ListenKey is no text: write key.value for the key itself, a secret, or {key!r} for a log.")

    def __str__(self) -> str:
        return f"<ListenKey valid until {self.expires_at:%Y-%m-%d %H:%M:%S} UTC; the key itself is .value>"


@dataclass(frozen=True)
class Started:
    """A listen key and the life of the key by the server: `expiration` minus `Date`, in seconds. None without both."""

    key: ListenKey
    life: float | None


class _Client:
    """The twins' common part: everything but waiting and sending."""

    _route: Route
    _wishes = Wishes()  # of most clients, and there may be thousands

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str = BASE_URL,
        timeout: float = 10.0,
        attempts: int = 3,
        proxy: str | None = None,
        trust_env: bool = True,
        ssl_context: ssl.SSLContext | None = None,
        plain_http_host: str | None = None,
        key_life: float = KEY_LIFE,
    ) -> None:
        key, url = hidden(api_key), hidden(base_url)
        wishes = Wishes(None if proxy is None else hidden(proxy), trust_env, ssl_context, plain_http_host)
        del api_key, base_url, proxy  # the traceback of an error shows the variables of this frame
        self._account = Account(checked_api_key(key), checked_timeout(timeout))
        if not isinstance(attempts, int) or attempts < 1:
            raise ConfigurationError("attempts must be a whole number, 1 or more.")
        self._attempts = attempts
        self._route = route_to(BASE_URL_SETTING, url, wishes)
        if wishes != self._wishes:
            self._wishes = wishes
        self._key_life = checked_key_life(key_life, self._route)
        from listenkey._limits.shared import address_of

        self._address = address_of(self._route.url, self._route.proxy and Secret(self._route.proxy.url))
        self._open()

    def _open(self) -> None:
        """Load the modules that the calls need. The async client loads them in an event loop, at the first call."""

    @property
    def used_weight(self) -> int | None:
        """Request weight this address used in the running minute, by the last answer (`X-MBX-USED-WEIGHT-1M`).

        None until an answer has told.
        """
        return self._address.used_weight

    def __repr__(self) -> str:
        route = vars(self).get("_route")  # crash reporters print a client that could not be made
        return f"{type(self).__name__}(base_url={route and route.url!r})"

    @contextlib.contextmanager
    def _noting_limits(self) -> Iterator[None]:
        """Let a 429 or 418 that answers a user's call hold for the keepers of the address. A keeper notes its own."""
        began = clock()
        try:
            yield
        except RateLimited as error:
            self._address.rate_limit_wait.refused(error, began, clock())
            raise

    def _counted(self, number: int, outcome: Outcome) -> Success:
        """Note what an attempt of that number means for the address. Raises the error that the outcome is."""
        for _ in range(1, outcome.requests):
            number = self._address.count(clock())
        if outcome.used_weight is not None:
            self._address.learn(number, outcome.used_weight, clock())
        return outcome.success()

    def __reduce__(self) -> NoReturn:
        raise ConfigurationError(f"A {type(self).__name__} cannot be pickled or copied: make one in each process.")


class ListenKeyClient(_Client):
    """The account's listen key, over blocking calls. May be shared by threads.

    A call lasts at most `attempts` times `timeout`, plus the waits between attempts (each at most 8 seconds). Only the
    look-up of a host's name is not bounded by `timeout`. A host with several addresses is tried address by address,
    each for its part of the time that is left.

    Clients with the same address, proxy and certificates share connections and TLS context. A connection is kept for 5
    seconds.

    A call that you make is sent even while the address waits after a 429 or 418. Only keepers wait for their turn.

    Args:
        api_key: the account's API key (security type USER_STREAM: no secret key, no signature).
        base_url: where the exchange is: https, or plain http to a loopback address such as the sandbox.
        timeout: seconds that one attempt may take, from connecting to the answer's last byte.
        attempts: how often a call is tried when no answer comes or the server has a fault. The waits between start at
            0.25 to 0.5 seconds, double up to 8, and are never shorter than the server's `Retry-After`; when that is
            longer than 8 seconds, the error is raised instead.
        proxy: the proxy on the way, by http, https, socks5 or socks5h, as in "http://proxy.example:3128". A login goes
            before the host, as in "user:password@". A loopback address and plain http go through no proxy. None:
            HTTPS_PROXY, ALL_PROXY and NO_PROXY of the environment say which.
        trust_env: False: the environment names no proxy and no certificates, as for httpx. Without `proxy` the client
            then connects directly.
        ssl_context: which certificates are trusted, for a company's own authority. None: SSL_CERT_FILE or SSL_CERT_DIR
            of the environment, else the authorities of the package certifi. The client limits ALPN to HTTP/1.1 in it.
        plain_http_host: a host that `base_url` may name with plain http, such as a sandbox in the next container: the
            API key crosses the network in clear. None: no host but this machine.
        key_life: seconds that a listen key lives at a test's server, as in ``Sandbox(life=36)``. Keepers and streams of
            this client then run as much faster. Refused for any exchange by https that is not on this machine.

    Raises:
        ConfigurationError: a setting cannot work: the API key is empty or not one line of ASCII, the base URL is
            neither https nor loopback, `timeout` or `attempts` is too small, or a proxy or certificate setting cannot
            be used, also of the environment. A file that holds no certificates is found by the first call.
    """

    _exchange: Exchange | None = None  # None: closed

    def _open(self) -> None:
        from listenkey._http.exchange import Exchange, share

        self._exchange = share(Exchange, self._route)

    def start(self) -> ListenKey:
        """Make the account's listen key, or get the live key with a fresh 60 minutes (POST, weight 1).

        Raises:
            Unauthorized: the API key, its permissions or the address is not accepted.
            RateLimited, Banned: too many requests; never repeated here. Wait `retry_after` seconds.
            ServerError: a fault on Binance's side, after the last attempt or with a `Retry-After` over 8 seconds.
            ApiError: any other refusal.
            TransportError: no answer, after the last attempt.
            UnexpectedResponse: an answer that Binance does not document.
            ConfigurationError: the client is closed.
        """
        return _started(self._repeat("start"), self._key_life).key

    def keepalive(self) -> None:
        """Put the validity of the live listen key back to 60 minutes (PUT, weight 1).

        Raises:
            KeyNotFound: the account has no live key; call `start()`.
            Others: as `start()`.
        """
        self._repeat("keepalive")

    def delete(self) -> bool:
        """End the listen key, for every program on the account (DELETE, weight 1).

        Returns:
            True when a key was ended, False when there was none. False after a retry may mean that an earlier attempt,
            whose answer was lost, ended the key.

        Raises:
            As `start()`.
        """
        try:
            self._repeat("delete")
        except KeyNotFound:
            return False
        return True

    def close(self) -> None:
        """Close the connections; the listen key lives on. A call under way in another thread runs to its end."""
        # In a single line: threads may close at once, and Ctrl-C in between would leave the connections to nobody.
        # `bool` does nothing: the client has no exchange yet, or is closed already.
        getattr(vars(self).pop("_exchange", None), "release", bool)()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _repeat(self, operation: Operation, account: Account | None = None) -> Success:
        with self._noting_limits():
            for attempt in range(1, self._attempts):
                try:
                    return self._send(operation, account)
                except ListenKeyError as error:
                    wait = _backoff(error, attempt)
                time.sleep(wait)
            return self._send(operation, account)

    def _send(self, operation: Operation, account: Account | None = None) -> Success:
        exchange = self._exchange
        if exchange is None:
            raise ConfigurationError(CLOSED)
        number = self._address.count(clock())
        return self._counted(number, exchange.send(operation, account or self._account))

    def _start_once(self) -> Started:
        return _started(self._send("start"), self._key_life)


class AsyncListenKeyClient(_Client):
    """The account's listen key, for asyncio. Arguments and errors as `ListenKeyClient`.

    Here `timeout` bounds the whole attempt, the look-up of a name included. A client may be used in several event
    loops in turn. Connections belong to the loop that made them.
    """

    _exchange: AsyncExchange | None = None
    _is_closed = False

    async def start(self) -> ListenKey:
        """As `ListenKeyClient.start`."""
        return _started(await self._repeat("start"), self._key_life).key

    async def keepalive(self) -> None:
        """As `ListenKeyClient.keepalive`."""
        await self._repeat("keepalive")

    async def delete(self) -> bool:
        """As `ListenKeyClient.delete`."""
        try:
            await self._repeat("delete")
        except KeyNotFound:
            return False
        return True

    async def aclose(self) -> None:
        """As `ListenKeyClient.close`."""
        self._is_closed = True
        exchange, self._exchange = self._exchange, None
        if exchange is not None and exchange.loop is running_loop():  # else the connections ended with their loop
            exchange.release()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _repeat(self, operation: Operation, account: Account | None = None) -> Success:
        with self._noting_limits():
            for attempt in range(1, self._attempts):
                try:
                    return await self._send(operation, account)
                except ListenKeyError as error:
                    wait = _backoff(error, attempt)
                import asyncio

                await asyncio.sleep(wait)
            return await self._send(operation, account)

    async def _send(self, operation: Operation, account: Account | None = None) -> Success:
        if self._is_closed:
            raise ConfigurationError(CLOSED)
        loop = running_loop()
        if loop is None:
            raise ConfigurationError("This client needs the event loop of asyncio: call it inside asyncio.run(...).")
        if self._exchange is None or self._exchange.loop is not loop:
            from listenkey._http.exchange import AsyncExchange, share

            self._exchange = share(AsyncExchange, self._route, loop)
        number = self._address.count(clock())
        return self._counted(number, await self._exchange.send(operation, account or self._account))

    async def _start_once(self) -> Started:
        return _started(await self._send("start"), self._key_life)


def load_for_asyncio() -> None:
    """Load what the first async call needs. Loading takes 30 ms, which would hold up a running event loop."""
    from importlib import import_module

    import_module("listenkey._http.exchange")
    import_module("listenkey._limits.shared")
    with contextlib.suppress(ImportError):  # another version of anyio: then the first call loads it
        import_module("anyio._backends._asyncio")


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Give the event loop of this thread. None: no loop runs here."""
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _backoff(error: ListenKeyError, attempt: int) -> float:
    """Seconds to wait after the given attempt (1 is the first). Raises the error when a repetition is of no use."""
    if not worth_repeating(error):
        raise error
    from listenkey._limits.wait import JITTER

    wait = min(LONGEST_BACKOFF, 2.0 ** min(attempt, 10) / 4) * JITTER.uniform(0.5, 1)
    retry_after = error.retry_after if isinstance(error, ServerError) else None
    if retry_after is not None:
        if retry_after > LONGEST_BACKOFF:
            raise error
        wait = max(wait, retry_after)
    named = {"listenkey_event": "retry", "listenkey_attempt": attempt, "listenkey_wait": wait, "listenkey_error": error}
    _log.info("attempt %d failed, next in %.1f s: %s", attempt, wait, error, extra=named)
    return wait


def _started(answer: Success, key_life: float) -> Started:
    value, expiration = answer.listen_key()
    expires_at = expiration or (answer.date or answer.sent) + timedelta(seconds=key_life)
    life = (expiration - answer.date).total_seconds() if expiration and answer.date else None
    return Started(ListenKey(value, expires_at, estimated=expiration is None), life)
