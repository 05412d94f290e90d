"""The account's listen key: start it, keep it alive, end it. Sync and async twins, alike but for `await`."""

import asyncio
import logging
import random
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import ModuleType, TracebackType
from typing import Self

from listenkey import _http
from listenkey._lease import Quiet
from listenkey.errors import ConfigurationError, KeyNotFound, ServerError, TransportError

BASE_URL = "https://eapi.binance.com"  # options general-info page
LIFE = timedelta(minutes=60)  # Start User Data Stream page
LONGEST_BACKOFF = 8.0  # seconds

_log = logging.getLogger("listenkey")


@dataclass(frozen=True)
class ListenKey:
    """A listen key, as the answer to `start()` gave it.

    Attributes:
        value: the name of the account's private stream; a secret while it lives, so the repr leaves it out.
        expires_at: when the key ends unless it is renewed, in UTC. From the answer's `expiration`; without one, 60
            minutes (Start User Data Stream page) after the answer's `Date`, or after the request was sent.
        estimated: True when the answer had no `expiration`.
    """

    value: str = field(repr=False)
    expires_at: datetime
    estimated: bool


@dataclass(frozen=True)
class Started:
    """A listen key and its life by the server: `expiration` minus `Date`, in seconds; None without both."""

    key: ListenKey
    life: float | None


class ListenKeyClient:
    """The account's listen key, over blocking calls. May be shared by threads.

    A call lasts at most `attempts` times `timeout`, plus the waits between attempts (each at most 8 seconds). A name
    that is slow to resolve, and the further addresses of a host, are not bounded by `timeout`.

    Args:
        api_key: the account's API key (security type USER_STREAM: no secret key, no signature).
        base_url: where the exchange is: https, or plain http to a loopback address such as the sandbox.
        timeout: seconds that one attempt may take, from connecting to the answer's last byte.
        attempts: how often a call is tried when no answer comes or the server has a fault. The waits between start at
            0.25 to 0.5 seconds, double up to 8, and are never shorter than the server's `Retry-After`; when that is
            longer than 8 seconds, the error is raised instead.

    Raises:
        ConfigurationError: a setting cannot work: the API key is empty or not one line of ASCII, the base URL is
            neither https nor loopback, `timeout` or `attempts` is too small, or a proxy or certificate setting of the
            environment cannot be used.
    """

    _base_url: str | None = None  # crash reporters print a client that could not be made

    def __init__(self, api_key: str, *, base_url: str = BASE_URL, timeout: float = 10.0, attempts: int = 3) -> None:
        api_key = _http.check_api_key(api_key)  # its repr hides it, should what follows raise
        self._attempts = _check_attempts(attempts)
        self._exchange = _http.Exchange(api_key, base_url, timeout)
        self._base_url = self._exchange.base_url
        self._quiet = Quiet()

    def start(self) -> ListenKey:
        """Make the account's listen key, or get the live one with a fresh 60 minutes (POST, weight 1).

        Raises:
            Unauthorized: the API key, its permissions or the address is not accepted.
            RateLimited, Banned: too many requests; never repeated here. Wait `retry_after` seconds.
            ServerError: a fault on Binance's side, after the last attempt or with a `Retry-After` over 8 seconds.
            ApiError: any other refusal.
            TransportError: no answer, after the last attempt.
            UnexpectedResponse: an answer that Binance does not document.
            ConfigurationError: the client is closed.
        """
        return _started(self._repeat(_http.START)).key

    def keepalive(self) -> None:
        """Put the validity of the live listen key back to 60 minutes (PUT, weight 1).

        Raises:
            KeyNotFound: the account has no live key; call `start()`.
            Others: as `start()`.
        """
        self._repeat(_http.KEEPALIVE)

    def delete(self) -> bool:
        """End the listen key, for every program on the account (DELETE, weight 1).

        Returns:
            True when a key was ended, False when there was none. False after a retry may mean that an earlier attempt,
            whose answer was lost, ended it.

        Raises:
            As `start()`.
        """
        try:
            self._repeat(_http.CLOSE)
        except KeyNotFound:
            return False
        return True

    @property
    def used_weight(self) -> int | None:
        """Request weight this address used in the running minute, by the last answer (`X-MBX-USED-WEIGHT-1M`).

        None until an answer has told.
        """
        return self._exchange.used_weight

    def close(self) -> None:
        """Close the connections; the listen key lives on. A call under way in another thread runs to its end."""
        self._exchange.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self._base_url!r})"

    def _repeat(self, operation: ModuleType) -> _http.Answer:
        for attempt in range(1, self._attempts):
            try:
                return self._exchange.send(operation)
            except (TransportError, ServerError) as error:
                wait = _backoff(error, attempt)
            time.sleep(wait)
        return self._exchange.send(operation)

    def _start_once(self) -> Started:
        return _started(self._exchange.send(_http.START))


class AsyncListenKeyClient:
    """The account's listen key, for asyncio. Belongs to one event loop. Arguments and errors as `ListenKeyClient`.

    Here `timeout` bounds the whole attempt, name resolution included.
    """

    _base_url: str | None = None  # crash reporters print a client that could not be made

    def __init__(self, api_key: str, *, base_url: str = BASE_URL, timeout: float = 10.0, attempts: int = 3) -> None:
        api_key = _http.check_api_key(api_key)  # its repr hides it, should what follows raise
        self._attempts = _check_attempts(attempts)
        self._exchange = _http.AsyncExchange(api_key, base_url, timeout)
        self._base_url = self._exchange.base_url
        self._quiet = Quiet()

    async def start(self) -> ListenKey:
        """As `ListenKeyClient.start`."""
        return _started(await self._repeat(_http.START)).key

    async def keepalive(self) -> None:
        """As `ListenKeyClient.keepalive`."""
        await self._repeat(_http.KEEPALIVE)

    async def delete(self) -> bool:
        """As `ListenKeyClient.delete`."""
        try:
            await self._repeat(_http.CLOSE)
        except KeyNotFound:
            return False
        return True

    @property
    def used_weight(self) -> int | None:
        """As `ListenKeyClient.used_weight`."""
        return self._exchange.used_weight

    async def aclose(self) -> None:
        """As `ListenKeyClient.close`."""
        await self._exchange.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self._base_url!r})"

    async def _repeat(self, operation: ModuleType) -> _http.Answer:
        for attempt in range(1, self._attempts):
            try:
                return await self._exchange.send(operation)
            except (TransportError, ServerError) as error:
                wait = _backoff(error, attempt)
            await asyncio.sleep(wait)
        return await self._exchange.send(operation)

    async def _start_once(self) -> Started:
        return _started(await self._exchange.send(_http.START))


def _check_attempts(attempts: int) -> int:
    if not isinstance(attempts, int) or attempts < 1:
        raise ConfigurationError("attempts must be a whole number, 1 or more.")
    return attempts


def _backoff(error: TransportError | ServerError, attempt: int) -> float:
    """Seconds to wait after the given attempt (1 is the first). Raises the error when that is longer than we wait."""
    wait = min(LONGEST_BACKOFF, 2.0 ** min(attempt, 10) / 4) * random.uniform(0.5, 1)  # noqa: S311  jitter, no secret
    retry_after = error.retry_after if isinstance(error, ServerError) else None
    if retry_after is not None:
        if retry_after > LONGEST_BACKOFF:
            raise error
        wait = max(wait, retry_after)
    _log.info("attempt %d failed, next in %.1f s: %s", attempt, wait, error)
    return wait


def _started(answer: _http.Answer) -> Started:
    value, expiration = _http.listen_key(answer)
    expires_at = expiration or (answer.date or answer.sent) + LIFE
    life = (expiration - answer.date).total_seconds() if expiration and answer.date else None
    return Started(ListenKey(value, expires_at, estimated=expiration is None), life)
