"""One attempt at one call: settings in, an answer or a typed error out. The only module that imports httpx."""

import asyncio
import contextlib
import ipaddress
import json
import logging
import re
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import ModuleType
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
LONGEST_TIMEOUT = 86_400.0  # seconds
LONGEST_RETRY_AFTER = 1e9  # seconds; a number that no one can wait for is cut to this
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


class Secret(str):
    """A string whose repr hides it: the generated client and crash reporters print the repr of what they hold."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


# The operations of openapi.yaml: each is a generated module, with a function for either twin.
START: ModuleType = start_user_data_stream
KEEPALIVE: ModuleType = keepalive_user_data_stream
CLOSE: ModuleType = close_user_data_stream


@dataclass(frozen=True)
class Answer:
    """A 200: its body as the generated parser reads it, its `Date` (None without one), and when it was asked for."""

    parsed: object = field(repr=False)
    date: datetime | None
    sent: datetime


class _Attempt:
    """What became known of the attempt under way: the head of its answer, and whether its deadline has passed."""

    head: httpx.Response | None = None
    late = False

    def __init__(self, api_key: str) -> None:
        self.api_key = api_key


class _AsyncAttempt(_Attempt):
    """An attempt that is cancelled at its deadline."""

    _stream: Any = None  # an AsyncNetworkStream of httpcore

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        """Learn the connection from httpx's `trace` extension."""
        if event.endswith("connect_tcp.complete"):
            self._stream = info["return_value"]

    async def end(self) -> None:
        """Close the connection: httpcore leaves it open when a TLS handshake is cancelled."""
        if self._stream is not None:
            await self._stream.aclose()


class _SyncAttempt(_Attempt):
    """An attempt whose connection is cut at its deadline: httpx bounds each read, not the sum of them."""

    def __init__(self, api_key: str, seconds: float) -> None:
        super().__init__(api_key)
        self._stream: Any = None  # a NetworkStream of httpcore
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        try:
            self._timer.start()
        except RuntimeError as error:
            raise TransportError("Nothing was sent: no thread could be started to watch the time.") from error

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Learn the socket from httpx's `trace` extension."""
        if event.endswith("connect_tcp.complete"):
            with self._lock:
                self._stream = info["return_value"]
                # A duplicate, because TLS will take the descriptor out of this socket object.
                self._socket = self._stream.get_extra_info("socket").dup()
            if self.late:
                self._cut()

    def _cut(self) -> None:
        with self._lock:
            self.late = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)  # wakes a blocked read, which closing would not

    def end(self) -> None:
        """Call the watch off, and close the connection: httpx leaves it open when it is closed meanwhile."""
        self._timer.cancel()
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None
                self._stream.close()


# httpx's hooks and log records come without the attempt that they belong to; this is how they find it.
_attempt: ContextVar[_Attempt] = ContextVar("_attempt")


def _mask_log(record: logging.LogRecord) -> bool:
    """Take the API key out of what httpx and httpcore log: an answer's headers or its reason phrase may echo it."""
    attempt = _attempt.get(None)
    if attempt is not None and attempt.api_key in (text := record.getMessage()):
        record.msg, record.args = text.replace(attempt.api_key, "***"), ()
    return True


for _name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpcore.socks"):
    logging.getLogger(_name).addFilter(_mask_log)


class _Body:
    """The bytes of a body as they come in; `whole` is None once they are too many, or compressed."""

    def __init__(self, response: httpx.Response) -> None:
        plain = response.headers.get("Content-Encoding", "identity").strip().lower() in ("", "identity")
        self.whole: bytearray | None = bytearray() if plain else None

    def take(self, chunk: bytes) -> bool:
        """Add a piece; False when no more is wanted."""
        if self.whole is not None and len(self.whole) + len(chunk) <= MAX_BODY:
            self.whole += chunk
        else:
            self.whole = None
        return self.whole is not None


class _Exchange:
    """Binance over HTTP, as one API key sees it: what the twins below share."""

    def __init__(self, api_key: Secret, base_url: str, timeout: float) -> None:
        if not isinstance(timeout, int | float) or not 0 < timeout <= LONGEST_TIMEOUT:
            raise ConfigurationError("timeout must be a number of seconds, above 0 and at most a day.")
        self.base_url = _check_url(base_url)
        self.timeout = timeout
        self.used_weight: int | None = None
        self._api_key = api_key

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

    def _verdict(self, response: httpx.Response, body: bytearray | None) -> ListenKeyError | None:
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
        fields = _json_object(body)
        if fields is None:
            return UnexpectedResponse(status, "its body is not a JSON object")
        if "code" in fields and "msg" in fields:
            return UnexpectedResponse(status, "its body is an error")
        if response.request.method == "POST" and "listenKey" not in fields:
            return UnexpectedResponse(status, "its listenKey is missing")
        return None

    def _broken_off(self, head: httpx.Response | None, cause: Exception) -> ListenKeyError:
        """Name the error for an attempt that ended before its answer did."""
        # A 418 whose body broke off is still a ban: were it taken for "no answer", it would be repeated.
        if head is not None and head.status_code != 200 and (error := self._verdict(head, None)):
            return error
        timed_out = isinstance(cause, TimeoutError | httpx.TimeoutException)
        why = f"within {self.timeout:g} s" if timed_out else f"({type(cause).__name__}: {_text(cause)})"
        text = f"No answer from {self.base_url} {why}. Repeating the call is safe."
        return TransportError(text.replace(self._api_key, "***"))


class Exchange(_Exchange):
    """The sync twin."""

    def __init__(self, api_key: Secret, base_url: str, timeout: float) -> None:
        super().__init__(api_key, base_url, timeout)
        with _settings(self.base_url):
            self._generated = self._client(request=[self._trace], response=[self._read])
            # Built now: threads that share a fresh generated client would each build one.
            self._httpx = self._generated.get_httpx_client()

    def send(self, operation: ModuleType) -> Answer:
        """Make one attempt. Raises the error that its outcome is."""
        attempt = _SyncAttempt(self._api_key, self.timeout)
        token = _attempt.set(attempt)
        sent = datetime.now(UTC)
        try:
            return _answer(operation.sync_detailed(client=self._generated), sent)
        except (httpx.HTTPError, OSError) as error:
            cause = _masked(TimeoutError() if attempt.late else error, self._api_key)
        except RuntimeError:
            _refuse_closed(self._httpx)
            raise
        finally:
            _attempt.reset(token)
            attempt.end()
            self._httpx.cookies.clear()
        # Raised here, and not where it was caught: what was caught may quote the API key, and would be the context.
        raise self._broken_off(attempt.head, cause) from cause

    def _trace(self, request: httpx.Request) -> None:
        request.extensions["trace"] = cast(_SyncAttempt, _attempt.get()).trace

    def _read(self, response: httpx.Response) -> None:
        attempt = _attempt.get()
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
        response.stream = httpx.ByteStream(bytes(body.whole or b""))

    def close(self) -> None:
        """Close the connections."""
        self._httpx.close()


class AsyncExchange(_Exchange):
    """The async twin."""

    def __init__(self, api_key: Secret, base_url: str, timeout: float) -> None:
        super().__init__(api_key, base_url, timeout)
        with _settings(self.base_url):
            self._generated = self._client(request=[self._trace], response=[self._read])
            self._httpx = self._generated.get_async_httpx_client()

    async def send(self, operation: ModuleType) -> Answer:
        """Make one attempt. Raises the error that its outcome is."""
        attempt = _AsyncAttempt(self._api_key)
        token = _attempt.set(attempt)
        sent = datetime.now(UTC)
        try:
            async with asyncio.timeout(self.timeout):
                return _answer(await operation.asyncio_detailed(client=self._generated), sent)
        except (httpx.HTTPError, OSError) as error:
            cause = _masked(error, self._api_key)
        except RuntimeError:
            _refuse_closed(self._httpx)
            raise
        finally:
            _attempt.reset(token)
            await attempt.end()
            self._httpx.cookies.clear()
        raise self._broken_off(attempt.head, cause) from cause

    async def _trace(self, request: httpx.Request) -> None:
        request.extensions["trace"] = cast(_AsyncAttempt, _attempt.get()).trace

    async def _read(self, response: httpx.Response) -> None:
        _attempt.get().head = response
        body = _Body(response)
        async with contextlib.aclosing(cast(httpx.AsyncByteStream, response.stream)) as stream:
            async for chunk in stream:
                if not body.take(chunk):
                    break
        if error := self._verdict(response, body.whole):
            raise error
        response.stream = httpx.ByteStream(bytes(body.whole or b""))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._httpx.aclose()


def _answer(response: Response[Any], sent: datetime) -> Answer:
    return Answer(response.parsed, _http_date(response.headers.get("Date", "")), sent)


def listen_key(answer: Answer) -> tuple[str, datetime | None]:
    """Take key and expiration out of the answer to START; check the types that the generated parser takes on trust.

    Raises UnexpectedResponse.
    """
    fields = cast(ListenKeyResponse, answer.parsed)
    if not isinstance(fields.listen_key, str) or not _GRAPHIC.fullmatch(fields.listen_key):
        raise UnexpectedResponse(200, "its listenKey is not a string of printable ASCII")
    if isinstance(fields.expiration, Unset):
        return fields.listen_key, None
    if type(fields.expiration) is not int:  # a bool is an int too
        raise UnexpectedResponse(200, "its expiration is not an integer")
    try:
        return fields.listen_key, _EPOCH + timedelta(milliseconds=fields.expiration)
    except OverflowError:
        raise UnexpectedResponse(200, "its expiration is no date") from None


def check_api_key(api_key: str) -> Secret:
    """Refuse what cannot be an API key, or could not be masked for sure where a repr quotes it."""
    if not api_key or (isinstance(api_key, str) and not api_key.strip()):
        raise ConfigurationError("api_key is empty: pass the API key of your Binance account.")
    if not isinstance(api_key, str):
        raise ConfigurationError(f"api_key must be a str, not {type(api_key).__name__}.")
    if not re.fullmatch(r"[!#-&(-\[\]-~]+", api_key):
        raise ConfigurationError(
            "api_key has a space, a line break, a quote, a backslash or a character outside ASCII: pass it alone, as "
            "Binance shows it."
        )
    return Secret(api_key)


@contextlib.contextmanager
def _settings(base_url: str) -> Iterator[None]:
    """Name the error of an environment that httpx cannot use."""
    try:
        if not _is_loopback(httpx.URL(base_url).host):
            for scheme, proxy in urllib.request.getproxies().items():
                # httpx would find out in the first call, and blame the exchange.
                if scheme in ("http", "https", "all") and not _has_address(
                    httpx.URL(proxy if "://" in proxy else f"http://{proxy}")
                ):
                    raise ValueError("a proxy without a host, or with an impossible port")
        yield
    except (ImportError, OSError, ValueError, httpx.InvalidURL) as error:
        # The others may quote a proxy's password.
        why = f": {error}" if isinstance(error, ImportError | OSError) else ""
        raise ConfigurationError(
            f"httpx cannot use a proxy or certificate setting ({type(error).__name__}{why}): check HTTP_PROXY, "
            "HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR."
        ) from error


def _refuse_closed(client: httpx.Client | httpx.AsyncClient) -> None:
    if client.is_closed:
        raise ConfigurationError("This client is closed: make a new one.")


def _check_url(base_url: str) -> str:
    """Normalise a base URL. No error quotes it, because it may hold a password."""
    try:
        url = httpx.URL(base_url)
        has_address = _has_address(url)
    except (httpx.InvalidURL, TypeError, UnicodeError):
        raise ConfigurationError("base_url is not a URL: it must be like https://eapi.binance.com.") from None
    if url.userinfo:
        raise ConfigurationError("base_url must not carry a user or a password.")
    if not has_address or "?" in base_url or "#" in base_url:
        raise ConfigurationError("base_url must be a scheme, a host and at most a port and a path.")
    if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(url.host)):
        raise ConfigurationError("base_url must start with https: plain http is for loopback addresses alone.")
    return str(url)


def _has_address(url: httpx.URL) -> bool:
    """Whether host and port can be. Raises UnicodeError for a host that a resolver would not take."""
    host = url.raw_host.decode("ascii")
    host.encode("idna")
    return bool(re.fullmatch(r"[\w.:-]+", host)) and (url.port is None or 0 < url.port < 65536)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _masked(error: Exception, api_key: str) -> Exception:
    """Take the API key out of an error: httpx quotes a malformed answer, which may echo it."""
    text = str(error)
    return type(error)(text.replace(api_key, "***")) if api_key in text else error


def _text(error: BaseException) -> str:
    """Find out what an error says; asyncio's come wrapped in some that say nothing."""
    inner = error.__cause__ or error.__context__
    return str(error) or (_text(inner) if inner else "no reason given")


def _api_error(response: httpx.Response, body: bytearray | None, api_key: str) -> ApiError:
    """Turn a 4xx or 5xx into its error: by status first, then by Binance's code."""
    fields = _json_object(body or bytearray()) or {}
    code = fields.get("code")
    if type(code) is not int or code not in _INT32:
        code = None
    message = fields.get("msg")
    text = "".join(filter(str.isprintable, " ".join(message.split()))) if isinstance(message, str) else ""
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
    parts = [part.strip() for part in value.split(",")]  # a header that was sent twice comes as one
    if all(re.fullmatch(r"[0-9]+(\.[0-9]+)?", part) for part in parts):
        return min(max(map(float, parts)), LONGEST_RETRY_AFTER)
    date = _http_date(value)
    return None if date is None else max(0.0, (date - now).total_seconds())


def _http_date(value: str) -> datetime | None:
    """Read an HTTP date; None when it is none, or one that no clock of an exchange can show."""
    try:
        date = parsedate_to_datetime(value)
        date = date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return date if 2017 <= date.year < 3000 else None


def _json_object(body: bytearray) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
