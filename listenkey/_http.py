"""One attempt at one call: settings in, an answer or a typed error out. The only module that imports httpx."""

import asyncio
import contextlib
import ipaddress
import json
import re
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, cast

import httpx  # noqa: TID251  this is the module that may
from binance_options_client import AuthenticatedClient  # noqa: TID251  this is the module that may
from binance_options_client.api.user_data_stream import (  # noqa: TID251  this is the module that may
    close_user_data_stream,
    keepalive_user_data_stream,
    start_user_data_stream,
)
from binance_options_client.models import ListenKeyResponse  # noqa: TID251  this is the module that may
from binance_options_client.types import Response, Unset  # noqa: TID251  this is the module that may

from listenkey.errors import (
    ApiError,
    Banned,
    ConfigurationError,
    KeyNotFound,
    ListenKeyError,
    RateLimited,
    ServerError,
    TransportError,
    Unauthorized,
    UnexpectedResponse,
)

MAX_BODY = 64 * 1024  # bytes; a documented answer has about a hundred
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GRAPHIC = re.compile(r"[!-~]+")  # printable ASCII without the space
_INT32 = range(-(2**31), 2**31)

# Which error a 4xx is by its code, when its status alone does not say. Codes: options error page.
_BY_CODE: dict[int, type[ApiError]] = {
    -1125: KeyNotFound,
    **dict.fromkeys((-1002, -2008, -2014, -2015, -5002, -5005, -5009), Unauthorized),
    **dict.fromkeys((-1003, -1008), RateLimited),
    **dict.fromkeys((-1000, -1001, -1006, -1007, -4078), ServerError),
}


class _Secret(str):
    """A string whose repr hides it: the generated client and crash reporters print the repr of what they hold."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


Reply = Response[Any]


@dataclass(frozen=True)
class Operation:
    """One operation of openapi.yaml: its two generated functions."""

    send: Callable[..., Reply]
    asend: Callable[..., Awaitable[Reply]]


START = Operation(start_user_data_stream.sync_detailed, start_user_data_stream.asyncio_detailed)
KEEPALIVE = Operation(keepalive_user_data_stream.sync_detailed, keepalive_user_data_stream.asyncio_detailed)
CLOSE = Operation(close_user_data_stream.sync_detailed, close_user_data_stream.asyncio_detailed)


@dataclass(frozen=True)
class Answer:
    """What the 200 of START says; `expiration` and `date` are None where it does not."""

    listen_key: str = field(repr=False)
    expiration: datetime | None
    date: datetime | None


class _AsyncAttempt:
    """What became known of the attempt under way: its connection, and the head of its answer."""

    head: httpx.Response | None = None
    _stream: Any = None  # an AsyncNetworkStream of httpcore

    def watch(self, event: str, info: dict[str, Any]) -> None:
        """Learn the connection from an event of httpx's `trace` extension."""
        if event.endswith("connect_tcp.complete"):
            self._stream = info["return_value"]

    async def end(self) -> None:
        """Close the connection: cancelled in a TLS handshake, httpcore would leave it open."""
        if self._stream is not None:
            await self._stream.aclose()


class _Attempt:
    """The same for a sync attempt. At the deadline it is cut: httpx bounds each read, not the sum of them."""

    head: httpx.Response | None = None

    def __init__(self, seconds: float) -> None:
        self.late = False
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._timer.start()

    def watch(self, event: str, info: dict[str, Any]) -> None:
        """Learn the socket, as above."""
        if event.endswith("connect_tcp.complete"):
            with self._lock:
                # A duplicate, because TLS will take the descriptor out of this socket object.
                self._socket = info["return_value"].get_extra_info("socket").dup()
            if self.late:
                self._cut()

    def _cut(self) -> None:
        with self._lock:
            self.late = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)  # wakes a blocked read, which closing would not

    def end(self) -> None:
        """Call the watch off."""
        self._timer.cancel()
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None


# httpx's hooks get the request and the answer alone; this is how they find the attempt that they belong to.
_sync_attempt: ContextVar[_Attempt] = ContextVar("_sync_attempt")
_async_attempt: ContextVar[_AsyncAttempt] = ContextVar("_async_attempt")


class _Body:
    """The bytes of a body as they come in; `whole` is None once they are too many, or compressed."""

    def __init__(self, response: httpx.Response) -> None:
        plain = response.headers.get("Content-Encoding", "identity").strip().lower() in ("", "identity")
        self.whole: bytes | None = b"" if plain else None

    def take(self, chunk: bytes) -> bool:
        """Add a piece; False when no more is wanted."""
        if self.whole is not None:
            self.whole = self.whole + chunk if len(self.whole) + len(chunk) <= MAX_BODY else None
        return self.whole is not None


class _Exchange:
    """Binance over HTTP, as one API key sees it: what the twins below share."""

    def __init__(self, api_key: str, base_url: str, timeout: float) -> None:
        if not isinstance(api_key, str) or not api_key.strip():
            raise ConfigurationError("api_key is empty: pass the API key of your Binance account.")
        if not _GRAPHIC.fullmatch(api_key):
            raise ConfigurationError(
                "api_key has a space, a line break or a character outside ASCII: pass it alone, as Binance shows it."
            )
        if not isinstance(timeout, int | float) or not 0 < timeout <= threading.TIMEOUT_MAX:
            raise ConfigurationError("timeout must be a number of seconds above 0.")
        self.base_url = _check_url(base_url)
        self.timeout = timeout
        self.used_weight: int | None = None
        self._api_key = _Secret(api_key)

    def _client(self, **event_hooks: list[Callable[..., Any]]) -> AuthenticatedClient:
        return AuthenticatedClient(
            base_url=self.base_url,
            token=self._api_key,
            prefix="",
            auth_header_name="X-MBX-APIKEY",
            # The first piece of a compressed answer can inflate to 67 MB before any limit sees it.
            headers={"Accept-Encoding": "identity"},
            timeout=httpx.Timeout(self.timeout),
            # Plain http has no certificates to check, and to load them takes most of the time of making a client.
            verify_ssl=httpx.create_ssl_context() if self.base_url.startswith("https:") else False,
            httpx_args={
                "event_hooks": event_hooks,
                # Calls come every half hour: a kept connection would be found dead by the call that needs it.
                "limits": httpx.Limits(max_keepalive_connections=0),
                # A loopback base URL must not go to the environment's proxies, the key in clear.
                "trust_env": not _is_loopback(httpx.URL(self.base_url).host),
            },
        )

    def _mask_log(self, info: dict[str, Any]) -> None:
        """Take the API key out of what httpcore is about to log: an answer's headers may echo it."""
        for name, value in info.items():
            if self._api_key in (text := repr(value)):
                info[name] = text.replace(self._api_key, "***")

    def _verdict(self, response: httpx.Response, body: bytes | None) -> ListenKeyError | None:
        """Name the error for every answer that the generated parser must not see. A body of None could not be read."""
        weight = response.headers.get("X-MBX-USED-WEIGHT-1M", "")
        if re.fullmatch("[0-9]{1,18}", weight):
            self.used_weight = int(weight)
        status = response.status_code
        if 400 <= status <= 599:
            return _api_error(response, body, self._api_key)
        if status != 200:
            moved = "it is a redirect, not followed because it would carry the API key away"
            return UnexpectedResponse(status, moved if response.has_redirect_location else "its status is unknown")
        if body is None:
            return UnexpectedResponse(status, f"its body is compressed or over {MAX_BODY // 1024} KiB")
        if _json_object(body) is None:
            return UnexpectedResponse(status, "its body is not a JSON object")
        return None

    def _broken_off(self, head: httpx.Response | None, cause: Exception) -> ListenKeyError:
        """Name the error for an attempt that ended before its answer did."""
        # A 418 whose body broke off is still a ban: were it taken for "no answer", it would be repeated.
        if head is not None and head.status_code != 200 and (error := self._verdict(head, None)):
            return error
        timed_out = isinstance(cause, TimeoutError | httpx.TimeoutException)
        why = f"within {self.timeout:g} s" if timed_out else f"({type(cause).__name__}: {cause})"
        return TransportError(f"No answer from {self.base_url} {why}. Repeating the call is safe.")


class Exchange(_Exchange):
    """The sync twin."""

    def __init__(self, api_key: str, base_url: str, timeout: float) -> None:
        super().__init__(api_key, base_url, timeout)
        with _settings():
            self._generated = self._client(request=[self._trace], response=[self._read])
            # Built now: threads that share a fresh generated client would each build one.
            self._httpx = self._generated.get_httpx_client()

    def send(self, operation: Operation) -> Reply:
        """Make one attempt. Raises the error that its outcome is."""
        _refuse_closed(self._httpx)
        attempt = _Attempt(self.timeout)
        token = _sync_attempt.set(attempt)
        try:
            return operation.send(client=self._generated)
        except (httpx.HTTPError, OSError) as error:
            cause = _masked(TimeoutError() if attempt.late else error, self._api_key)
            raise self._broken_off(attempt.head, cause) from cause
        except KeyError:
            raise UnexpectedResponse(200, "its listenKey is missing") from None
        finally:
            _sync_attempt.reset(token)
            attempt.end()

    def _trace(self, request: httpx.Request) -> None:
        attempt = _sync_attempt.get()

        def trace(event: str, info: dict[str, Any]) -> None:
            attempt.watch(event, info)
            self._mask_log(info)

        request.extensions["trace"] = trace

    def _read(self, response: httpx.Response) -> None:
        attempt = _sync_attempt.get()
        attempt.head = response
        body = _Body(response)
        with contextlib.closing(cast(httpx.SyncByteStream, response.stream)) as stream:
            for chunk in stream:
                if not body.take(chunk):
                    break
        if attempt.late:  # a body without a length seems whole when its connection is cut
            raise TimeoutError
        if error := self._verdict(response, body.whole):
            raise error
        response.stream = httpx.ByteStream(body.whole or b"")

    def close(self) -> None:
        """Close the connections."""
        self._httpx.close()


class AsyncExchange(_Exchange):
    """The async twin."""

    def __init__(self, api_key: str, base_url: str, timeout: float) -> None:
        super().__init__(api_key, base_url, timeout)
        with _settings():
            self._generated = self._client(request=[self._trace], response=[self._read])
            self._httpx = self._generated.get_async_httpx_client()

    async def send(self, operation: Operation) -> Reply:
        """Make one attempt. Raises the error that its outcome is."""
        _refuse_closed(self._httpx)
        attempt = _AsyncAttempt()
        token = _async_attempt.set(attempt)
        try:
            async with asyncio.timeout(self.timeout):
                return await operation.asend(client=self._generated)
        except (httpx.HTTPError, OSError) as error:
            cause = _masked(error, self._api_key)
            raise self._broken_off(attempt.head, cause) from cause
        except KeyError:
            raise UnexpectedResponse(200, "its listenKey is missing") from None
        finally:
            _async_attempt.reset(token)
            await attempt.end()

    async def _trace(self, request: httpx.Request) -> None:
        attempt = _async_attempt.get()

        async def trace(event: str, info: dict[str, Any]) -> None:
            attempt.watch(event, info)
            self._mask_log(info)

        request.extensions["trace"] = trace

    async def _read(self, response: httpx.Response) -> None:
        _async_attempt.get().head = response
        body = _Body(response)
        async with contextlib.aclosing(cast(httpx.AsyncByteStream, response.stream)) as stream:
            async for chunk in stream:
                if not body.take(chunk):
                    break
        if error := self._verdict(response, body.whole):
            raise error
        response.stream = httpx.ByteStream(body.whole or b"")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._httpx.aclose()


def answer(response: Reply) -> Answer:
    """Check the types that the generated parser takes on trust. Raises UnexpectedResponse."""
    fields = cast(ListenKeyResponse, response.parsed)
    if not isinstance(fields.listen_key, str) or not _GRAPHIC.fullmatch(fields.listen_key):
        raise UnexpectedResponse(200, "its listenKey is not a string of printable ASCII")
    expiration = None
    if not isinstance(fields.expiration, Unset):
        if type(fields.expiration) is not int:  # a bool is an int too
            raise UnexpectedResponse(200, "its expiration is not an integer")
        try:
            expiration = _EPOCH + timedelta(milliseconds=fields.expiration)
        except OverflowError:
            raise UnexpectedResponse(200, "its expiration is no date") from None
    return Answer(fields.listen_key, expiration, _http_date(response.headers.get("Date", "")))


@contextlib.contextmanager
def _settings() -> Iterator[None]:
    """Name the error of an environment that httpx cannot use."""
    try:
        yield
    except (ImportError, OSError, ValueError, httpx.InvalidURL) as error:
        raise ConfigurationError(
            f"httpx cannot use a proxy or certificate setting ({type(error).__name__}): check HTTP_PROXY, HTTPS_PROXY, "
            "ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR."
        ) from error


def _refuse_closed(client: httpx.Client | httpx.AsyncClient) -> None:
    if client.is_closed:
        raise ConfigurationError("This client is closed: make a new one.")


def _check_url(base_url: str) -> str:
    """Normalise a base URL; its text is never quoted, because it may hold a password."""
    try:
        url = httpx.URL(base_url)
        url.host.encode("idna")
    except (httpx.InvalidURL, TypeError, UnicodeError) as error:
        raise ConfigurationError("base_url is not a URL: it must be like https://eapi.binance.com.") from error
    if url.userinfo:
        raise ConfigurationError("base_url must not carry a user or a password.")
    if url.query or url.fragment or not url.host or not 0 < (url.port or 443) < 65536:
        raise ConfigurationError("base_url must be a scheme, a host and at most a port and a path.")
    if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(url.host)):
        raise ConfigurationError("base_url must start with https: plain http is for loopback addresses alone.")
    return str(url)


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _masked(error: Exception, api_key: str) -> Exception:
    """Take the API key out of an error: httpx quotes a malformed answer, which may echo it."""
    text = str(error)
    return type(error)(text.replace(api_key, "***")) if api_key in text else error


def _api_error(response: httpx.Response, body: bytes | None, api_key: str) -> ApiError:
    """Turn a 4xx or 5xx into its error: by status first, then by Binance's code."""
    fields = _json_object(body or b"") or {}
    code = fields.get("code")
    if type(code) is not int or code not in _INT32:
        code = None
    message = fields.get("msg")
    text = "".join(filter(str.isprintable, message)) if isinstance(message, str) else ""
    status = response.status_code
    kind: type[ApiError]
    if status == 401:
        kind = Unauthorized
    elif status == 418:
        kind = Banned
    elif status == 429:
        kind = RateLimited
    elif status == 408 or status >= 500:
        kind = ServerError
    else:
        kind = _BY_CODE.get(code, ApiError) if code is not None else ApiError
    now = _http_date(response.headers.get("Date", "")) or datetime.now(UTC)
    retry_after = _retry_after(response.headers.get("Retry-After", ""), now)
    if retry_after is None and issubclass(kind, RateLimited) and (end := re.search(r"until (\d{13})\b", text)):
        # A ban's text names its end in milliseconds since the epoch.
        retry_after = max(0.0, int(end[1]) / 1000 - now.timestamp())
    return kind(status, code, text.replace(api_key, "***")[:200] or None, retry_after)


def _retry_after(value: str, now: datetime) -> float | None:
    """Read a Retry-After header, seconds or an HTTP date, as seconds from `now`; None when it is neither."""
    if re.fullmatch("[0-9]{1,18}", value):
        return float(value)
    date = _http_date(value)
    return None if date is None else max(0.0, (date - now).total_seconds())


def _http_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
