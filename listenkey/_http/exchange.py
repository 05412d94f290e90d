"""One attempt at one call, bounded in time: an answer or an error out.

The route of one request:

1. `Exchange.send` notes the API key and the deadline in an `Attempt`. A context variable carries the attempt.
2. The generated function asks httpx, httpx asks its own transport, and the transport asks our pool.
3. The pool takes a kept connection, or lets httpcore make one, and adds the API key to the headers.
4. Each step of the connection's stream ends at the deadline of the attempt.
5. The pool reads the body, at most 64 KiB, and notes status, headers and body in the attempt.
6. A response hook of httpx stops every status but 200. The generated parser reads the rest.
7. `answer.error_in` names the error that the answer is, if any.
8. `Outcome.answer` raises the error: the frames of a traceback then hold no secret.

Only this module calls the generated client. `_transport` has the connections.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast
from weakref import WeakValueDictionary

import httpcore
import httpx
from binance_options_client import AuthenticatedClient
from binance_options_client.api.user_data_stream import (
    close_user_data_stream,
    keepalive_user_data_stream,
    start_user_data_stream,
)
from binance_options_client.models import ListenKeyResponse
from binance_options_client.types import Response, Unset

from listenkey._http import answer as _answer
from listenkey._http.transport import AsyncTransport, Attempt, Transport, attempt_under_way
from listenkey._version import __version__
from listenkey.errors import (
    ApiError,
    ListenKeyError,
    RateLimited,
    ServerError,
    TransportError,
    UnexpectedResponse,
)

if TYPE_CHECKING:
    import asyncio  # programs without an event loop need not load it
    from collections.abc import Iterable

    from listenkey._http.answer import Secret
    from listenkey._http.async_network import Connection
    from listenkey._http.route import Account, Route

USER_AGENT = (
    f"binance-options-listenkey/{__version__} "
    f"(Python/{'.'.join(map(str, sys.version_info[:3]))}; httpx/{httpx.__version__})"
)
Operation = Literal["start", "keepalive", "delete"]


class _Generated(Protocol):
    """A generated module: a function of an operation for either twin."""

    def sync_detailed(self, *, client: AuthenticatedClient) -> Response[Any]: ...
    async def asyncio_detailed(self, *, client: AuthenticatedClient) -> Response[Any]: ...


OPERATIONS: dict[Operation, _Generated] = {
    "start": start_user_data_stream,
    "keepalive": keepalive_user_data_stream,
    "delete": close_user_data_stream,
}


@dataclass(frozen=True, eq=False)
class Answer:
    """A 200: the body as the generated parser reads it, the `Date` (None without `Date`), when the request was sent."""

    parsed: object = field(repr=False, compare=False)  # pytest prints what may be compared
    date: datetime | None
    sent: datetime

    def listen_key(self) -> tuple[str, datetime | None]:
        """Give key and expiration, of the answer to "start". `_answer.error_in` has checked their types."""
        fields = cast(ListenKeyResponse, self.parsed)
        return fields.listen_key, None if isinstance(fields.expiration, Unset) else _answer.instant(fields.expiration)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of an attempt, and what the attempt means for the limits of the address.

    Attributes:
        result: the answer, or the error that the outcome is.
        requests: how many were sent: one, and one more when a kept connection was dead.
        used_weight: of the address, as the answer says. None when it does not.
    """

    result: Answer | ListenKeyError = field(repr=False, compare=False)
    requests: int
    used_weight: int | None

    def answer(self) -> Answer:
        """Give the answer, or raise the error: here, where no frame of the traceback holds a secret."""
        if isinstance(self.result, ListenKeyError):
            raise self.result
        return self.result


@dataclass(frozen=True)
class Upgraded:
    """A connection that speaks another protocol now: the head of the 101, what comes, and the connection itself."""

    head: bytes = field(repr=False)
    stream: httpcore.AsyncNetworkStream
    connection: Connection


class _NotForTheParserError(Exception):
    """The status is not 200."""


# The exchanges. Clients with the same route share an exchange.


class _Exchange:
    """An exchange over HTTP, without any API key."""

    users: list[None]

    def __init__(self, route: Route, loop: asyncio.AbstractEventLoop | None) -> None:
        self.route = route
        self.loop = loop

    def _client(self, **arguments: object) -> AuthenticatedClient:
        return AuthenticatedClient(
            base_url=self.route.base_url,
            token="",  # the transport adds the API key of the attempt
            prefix="",
            auth_header_name="X-MBX-APIKEY",
            headers={"Accept-Encoding": "identity", "User-Agent": USER_AGENT},
            httpx_args={"trust_env": False, **arguments},
        )


class Exchange(_Exchange):
    """The sync twin. Shared by threads."""

    def __init__(self, route: Route, loop: asyncio.AbstractEventLoop | None = None) -> None:
        super().__init__(route, loop)
        self._transport = Transport(route)
        self.users = self._transport.pool.users
        self._generated = self._client(transport=self._transport, event_hooks={"response": [_stop]})
        self._generated.get_httpx_client()  # made now, or each thread would make an httpx client

    def send(self, operation: Operation, account: Account) -> Outcome:
        """Make one attempt."""
        attempt = Attempt(account, self.route.proxy)
        token = attempt_under_way.set(attempt)
        try:
            attempt.parsed = OPERATIONS[operation].sync_detailed(client=self._generated).parsed
        except Exception as error:
            attempt.failure = error.with_traceback(None)  # whatever a library raises here is: no answer
            if isinstance(error, AssertionError):  # of a mock of httpx, which says what the program did wrong
                raise
        except BaseException as interruption:
            interruption.__traceback__ = None  # the frames below hold the API key
            raise
        finally:
            attempt_under_way.reset(token)
            if attempt.answer is None:
                attempt.give_up()
        result = _result(attempt, self.route, brings_key=operation == "start")
        return Outcome(result, attempt.requests, attempt.used_weight)

    def release(self) -> None:
        """Give a client's share back."""
        if _is_last(self):
            self._transport.close()


class AsyncExchange(_Exchange):
    """The async twin. Belongs to an event loop."""

    def __init__(self, route: Route, loop: asyncio.AbstractEventLoop | None) -> None:
        super().__init__(route, loop)
        self._transport = AsyncTransport(route)
        self.users = self._transport.pool.users
        self._generated = self._client(transport=self._transport, event_hooks={"response": [_async_stop]})

    async def send(self, operation: Operation, account: Account) -> Outcome:
        """Make one attempt."""
        import asyncio

        attempt = Attempt(account, self.route.proxy)
        token = attempt_under_way.set(attempt)
        try:
            async with asyncio.timeout(account.timeout):
                attempt.parsed = (await OPERATIONS[operation].asyncio_detailed(client=self._generated)).parsed
        except Exception as error:
            attempt.failure = error.with_traceback(None)  # whatever a library raises here is: no answer
            if isinstance(error, AssertionError):  # of a mock of httpx, which says what the program did wrong
                raise
        except BaseException as interruption:
            interruption.__traceback__ = None  # the frames below hold the API key
            raise
        finally:
            attempt_under_way.reset(token)
            if attempt.answer is None:
                attempt.give_up()
        result = _result(attempt, self.route, brings_key=operation == "start")
        return Outcome(result, attempt.requests, attempt.used_weight)

    async def upgrade(self, target: Secret, headers: Iterable[tuple[str, str]], account: Account) -> Upgraded:
        """Ask for a WebSocket at `target`: path and query, with the listen key. Raises the error that the outcome is.

        The account's `api_key` is hidden in every text, and not sent: for a stream it is the listen key.
        """
        outcome = await self._upgrade(target, headers, account)
        if isinstance(outcome, ListenKeyError):
            raise outcome
        return outcome

    async def _upgrade(
        self, target: Secret, headers: Iterable[tuple[str, str]], account: Account
    ) -> Upgraded | ListenKeyError:
        import asyncio

        attempt, response = Attempt(account, self.route.proxy), None
        token = attempt_under_way.set(attempt)
        try:
            url = httpx.URL(self.route.base_url)
            where = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=target.encode("ascii"))
            lines = [("Host", url.netloc.decode("ascii")), ("User-Agent", USER_AGENT), *headers]
            async with asyncio.timeout(account.timeout):
                response = await self._transport.pool.upgrade(httpcore.Request("GET", where, headers=lines))
        except Exception as error:  # noqa: BLE001  whatever a library raises here is: no answer
            attempt.failure = error.with_traceback(None)
        except BaseException as interruption:
            interruption.__traceback__ = None  # the frames below hold the listen key
            raise
        finally:
            attempt_under_way.reset(token)
            if response is None or response.status != 101:
                attempt.give_up()
        if response is None or response.status != 101:
            return _no_websocket(attempt, self.route)
        head = b"".join(b"%s: %s\r\n" % line for line in response.headers)
        stream = response.extensions["network_stream"]
        return Upgraded(b"HTTP/1.1 101 Switching Protocols\r\n" + head + b"\r\n", stream, attempt.connections[-1])

    async def release(self) -> None:
        """Give a client's share back."""
        if _is_last(self):
            await self._transport.aclose()


# Without a lock: a collection may run a user's finalizer at any place here, which may close or make clients. Where two
# make an exchange at once, or one closes what another has just got, both go on with what they have.
_exchanges: WeakValueDictionary[object, _Exchange] = WeakValueDictionary()
E = TypeVar("E", bound=_Exchange)


def _after_fork() -> None:
    """Begin with no exchange in a child process: the connections are the parent's."""
    _exchanges.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)


def share(kind: type[E], route: Route, loop: asyncio.AbstractEventLoop | None = None) -> E:
    """Get the exchange of a route, for async in the running event loop. Each client must call `release`."""
    key = kind, route, id(loop)
    exchange = _exchanges.get(key)
    if exchange is None or exchange.loop is not loop:  # an ended loop's id may come again
        exchange = kind(route, loop)
    exchange.users.append(None)
    _exchanges[key] = exchange
    return cast(E, exchange)


def _is_last(exchange: _Exchange) -> bool:
    """Count a client less. The last one closes the connections, and the next client gets a new exchange."""
    exchange.users.pop()
    key = type(exchange), exchange.route, id(exchange.loop)
    if not exchange.users and _exchanges.get(key) is exchange:
        _exchanges.pop(key, None)
    return not exchange.users


def _stop(response: httpx.Response) -> None:
    response.read()
    _note(response)


async def _async_stop(response: httpx.Response) -> None:
    await response.aread()
    _note(response)


def _note(response: httpx.Response) -> None:
    attempt_under_way.get().note_mocked(response)
    if response.status_code != 200:
        raise _NotForTheParserError


# The outcome of an attempt.


def _result(attempt: Attempt, route: Route, *, brings_key: bool) -> Answer | ListenKeyError:
    """Judge the attempt, outside of every `try`, so that a bug of ours stays a bug."""
    answer, failure = attempt.answer, attempt.failure
    if isinstance(failure, ListenKeyError):
        return failure.with_traceback(None)
    # A 418 whose body broke off is still a ban. As "no answer" the call would be repeated.
    if answer is None or (answer.status == 200 and not attempt.is_complete):
        return _no_answer(attempt, cast(Exception, failure), route)
    if error := _answer.error_in(answer, attempt.account.api_key, datetime.now(UTC), brings_key=brings_key):
        return error
    if failure is not None:  # the time was over between the answer's end and its parsing
        return _no_answer(attempt, failure, route)
    return Answer(attempt.parsed, _answer.date_of(answer.headers), attempt.sent)


def _no_websocket(attempt: Attempt, route: Route) -> ListenKeyError:
    """Name the error that a handshake is: no answer, a refusal, or no WebSocket."""
    answer = attempt.answer
    if answer is None:
        failure, where = cast(Exception, attempt.failure), named_stream(route)
        return _no_answer(attempt, failure, route, where=where, comfort=_GOES_ON)
    error = _answer.error_in(answer, attempt.account.api_key, datetime.now(UTC), brings_key=False)
    if not isinstance(error, ApiError):
        return odd_handshake(route, answer.status)
    said = f" ({error.reason.strip(' .')})" if error.reason else ""
    reason, advice = f"{named_stream(route)} refused the stream{said}", cast(str | None, None)
    if isinstance(error, ServerError):
        advice = _GOES_ON
    elif not isinstance(error, RateLimited):  # that error says how long to wait
        reason += "; check stream_url and form"
        advice = "A firewall may have refused it: wait long before the next attempt." if error.status == 403 else ""
    return type(error)(error.status, error.code, reason, error.retry_after, advice=advice)


def odd_handshake(route: Route, status: int) -> UnexpectedResponse:
    """Name the error that a handshake is whose answer is neither a refusal nor a WebSocket."""
    what = "a redirect, which is not followed" if 300 <= status < 400 else "no WebSocket"
    what = f"{named_stream(route)} answered the handshake with {what}"
    return UnexpectedResponse(status, what, setting="stream_url")


# The errors of the libraries below.

_GOES_ON = "The stream goes on trying."
_PROXY_ADVICE = {
    403: "The proxy does not let this program through: ask the proxy's administrator to allow the address.",
    407: "The proxy does not accept the user and the password, or wants them.",
}


def named_stream(route: Route) -> str:
    """Name the address of a stream, and the proxy on the way."""
    return str(route).replace("http", "ws", 1)


def _no_answer(
    attempt: Attempt, failure: Exception, route: Route, *, where: str = "", comfort: str = "Repeating the call is safe."
) -> ListenKeyError:
    """Name the error for an attempt that brought no whole answer. `where`: the route, as a person calls it."""
    where, account = where or str(route), attempt.account
    if attempt.refusal is not None and isinstance(
        failure, TimeoutError | httpcore.TimeoutException | httpx.TimeoutException
    ):
        failure = attempt.refusal  # one address was silent, another one said why
    text = _answer.described(failure, account.api_key)
    status = None
    if isinstance(failure, httpcore.ProxyError | httpx.ProxyError):
        text, status = _proxy_said(str(failure))
    cause = _without_secrets(failure, text, account.api_key)
    error: ListenKeyError
    if status is not None and route.proxy is not None:
        reason = f"No way to {where} ({status}): check {route.proxy.variable}"
        error = ApiError(status, reason=reason, advice=_PROXY_ADVICE.get(status, ""))
    else:
        error = TransportError(f"No answer from {where} {_why(cause, text, account.timeout, comfort)}")
    error.__cause__ = cause
    return error


def _why(cause: Exception, text: str, timeout: float, comfort: str) -> str:
    if isinstance(cause, TimeoutError | httpx.TimeoutException):
        return f"within {timeout:g} s. {comfort}"
    why = f"({type(cause).__name__}: {text.rstrip('.')})."
    if _answer.is_certificate_fault(cause):
        return f"{why} The certificate is not trusted: check SSL_CERT_FILE, or pass ssl_context."
    if not threading.main_thread().is_alive():  # Python then starts no thread, which the look-up of a name needs
        return f"{why} The main thread has ended: keep the main thread alive while this program makes calls."
    return f"{why} {comfort}"


def _proxy_said(text: str) -> tuple[str, int | None]:
    """Read the text of a ProxyError: a text to quote, and the HTTP status if the proxy refuses to serve us.

    An HTTP proxy's text is a status and a reason, which may echo our login. A SOCKS proxy's text is httpcore's own.
    """
    if status := re.match(r"\d{3}\b", text):
        number = int(status[0])
        return status[0], number if 400 <= number < 500 and number not in (408, 429) else None
    if "username/password" in text or "NO ACCEPTABLE METHODS" in text:
        return text, 407
    return text, 403 if "not allowed by ruleset" in text else None


def _without_secrets(error: Exception, text: str, api_key: str) -> Exception:
    """Copy an error without frames: httpx's class for httpcore's, and below that the system's own error."""
    kind = type(error)
    if kind.__module__ == "httpcore":
        kind = getattr(httpx, kind.__name__, kind)  # httpx has a class of the same name
    copy = _made(kind, (text,), text)
    system = _answer.system_error(error)
    if system is not None and system is not error:
        words = _answer.cleaned(system.strerror or str(system), api_key)
        copy.__cause__ = _made(type(system), (system.errno, words) if system.errno is not None else (words,), words)
    return copy


def _made(kind: type[Exception], arguments: tuple[object, ...], text: str) -> Exception:
    try:
        return kind(*arguments)
    except Exception:  # noqa: BLE001  somebody else's class may want any arguments
        return RuntimeError(f"{kind.__name__}: {text}")
