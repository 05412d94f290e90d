"""What came of an attempt: the answer that Binance documents, or the error that a person reads."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import httpcore
import httpx
from binance_options_client.models import ListenKeyResponse
from binance_options_client.types import Unset

from listenkey._http.answer import date_of, error_in, instant
from listenkey._http.faults import GOES_ON, NO_WAY, is_certificate_fault, system_error
from listenkey._http.masking import cleaned, described
from listenkey.errors import (
    ApiError,
    ListenKeyError,
    RateLimited,
    ServerError,
    TransportError,
    UnexpectedResponse,
)

if TYPE_CHECKING:
    from listenkey._http.attempt import Attempt
    from listenkey._http.route import Route

PROXY_ADVICE = {
    403: "The proxy does not let this program through: ask the proxy's administrator to allow the address.",
    407: "The proxy does not accept the user and the password, or wants them.",
}


@dataclass(frozen=True, eq=False)
class Success:
    """A 200: the body as the generated parser reads it, the `Date` (None without `Date`), when the request was sent."""

    parsed: object = field(repr=False, compare=False)  # pytest prints what may be compared
    date: datetime | None
    sent: datetime

    def listen_key(self) -> tuple[str, datetime | None]:
        """Give key and expiration, of the answer to "start". `error_in` has checked their types."""
        fields = cast(ListenKeyResponse, self.parsed)
        return fields.listen_key, None if isinstance(fields.expiration, Unset) else instant(fields.expiration)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of an attempt, and what the attempt means for the limits of the address.

    Attributes:
        result: the answer, or the error that the outcome is.
        requests: how many were sent: 1, or 2 if a kept connection was dead.
        used_weight: of the address, as the answer says. None when the answer does not say.
    """

    result: Success | ListenKeyError = field(repr=False, compare=False)
    requests: int
    used_weight: int | None

    def success(self) -> Success:
        """Give the answer, or raise the error: here, where no frame of the traceback holds a secret."""
        if isinstance(self.result, ListenKeyError):
            raise self.result
        return self.result


def result(attempt: Attempt, route: Route, *, brings_key: bool) -> Success | ListenKeyError:
    """Judge the attempt, outside of every `try`, so that a bug of ours stays a bug."""
    answer, failure = attempt.answer, attempt.failure
    if isinstance(failure, ListenKeyError):
        return failure.with_traceback(None)
    # A 418 whose body broke off is still a ban. As "no answer" the call would be repeated.
    if answer is None or (answer.status == 200 and not attempt.is_complete):
        return no_answer(attempt, cast(Exception, failure), route)
    if error := error_in(answer, attempt.account.api_key, datetime.now(UTC), brings_key=brings_key):
        return error
    if failure is not None:  # the time was over between the answer's end and its parsing
        return no_answer(attempt, failure, route)
    return Success(attempt.parsed, date_of(answer.headers), attempt.sent)


def no_websocket(attempt: Attempt, route: Route) -> ListenKeyError:
    """Name the error that a handshake is: no answer, a refusal, or no WebSocket."""
    answer = attempt.answer
    if answer is None:
        return no_answer(attempt, cast(Exception, attempt.failure), route, comfort=GOES_ON)
    error = error_in(answer, attempt.account.api_key, datetime.now(UTC), brings_key=False)
    if not isinstance(error, ApiError):
        return odd_handshake(route, answer.status)
    said = f" ({error.reason.strip(' .')})" if error.reason else ""
    reason, advice = f"{route} refused the stream{said}", cast(str | None, None)
    if isinstance(error, ServerError):
        advice = GOES_ON
    elif not isinstance(error, RateLimited):  # that error says how long to wait
        reason += "; check stream_url and form"
        advice = "A firewall may have refused it: wait long before the next attempt." if error.status == 403 else ""
    return type(error)(error.status, error.code, reason, error.retry_after, advice=advice)


def odd_handshake(route: Route, status: int) -> UnexpectedResponse:
    """Name the error that a handshake is whose answer is neither a refusal nor a WebSocket."""
    what = "a redirect, which is not followed" if 300 <= status < 400 else "no WebSocket"
    what = f"{route} answered the handshake with {what}"
    return UnexpectedResponse(status, what, setting="stream_url")


# The errors of the libraries below.


def no_answer(
    attempt: Attempt, failure: Exception, route: Route, *, comfort: str = "Repeating the call is safe."
) -> ListenKeyError:
    """Name the error for an attempt that brought no whole answer."""
    account = attempt.account
    if attempt.refusal is not None and isinstance(
        failure, TimeoutError | httpcore.TimeoutException | httpx.TimeoutException
    ):
        failure = attempt.refusal  # one address was silent, another one said why
    text = described(failure, account.api_key)
    status = None
    if isinstance(failure, httpcore.ProxyError | httpx.ProxyError):
        text, status = proxy_said(str(failure))
    cause = without_secrets(failure, text, account.api_key)
    error: ListenKeyError
    if status is not None and route.proxy is not None:
        reason = f"{NO_WAY}{route} ({status}): check {route.proxy.source}"
        error = ApiError(status, reason=reason, advice=PROXY_ADVICE.get(status, ""))
    else:
        error = TransportError(f"No answer from {route} {why(cause, text, account.timeout, route, comfort)}")
    error.__cause__ = cause
    return error


def why(cause: Exception, text: str, timeout: float, route: Route, comfort: str) -> str:
    if isinstance(cause, TimeoutError | httpx.TimeoutException):
        return f"within {timeout:g} s. {comfort}"
    why = f"({type(cause).__name__}: {text.rstrip('.')})."
    if is_certificate_fault(cause):
        return f"{why} The certificate is not trusted: {route.certificates.advice}."
    if not threading.main_thread().is_alive():  # Python then starts no thread, which the look-up of a name needs
        return f"{why} The main thread has ended: keep the main thread alive while this program makes calls."
    return f"{why} {comfort}"


def proxy_said(text: str) -> tuple[str, int | None]:
    """Read the text of a ProxyError: a text to quote, and the HTTP status if the proxy refuses to serve us.

    An HTTP proxy's text is a status and a reason, which may echo our login. A SOCKS proxy's text is httpcore's own.
    """
    if status := re.match(r"\d{3}\b", text):
        number = int(status[0])
        return status[0], number if 400 <= number < 500 and number not in (408, 429) else None
    if "username/password" in text or "NO ACCEPTABLE METHODS" in text:
        return text, 407
    return text, 403 if "not allowed by ruleset" in text else None


def without_secrets(error: Exception, text: str, api_key: str) -> Exception:
    """Copy an error without frames: httpx's class for httpcore's, and below that the system's own error."""
    kind = type(error)
    if kind.__module__ == "httpcore":
        kind = getattr(httpx, kind.__name__, kind)  # httpx has a class of the same name
    copy = made(kind, (text,), text)
    system = system_error(error)
    if system is not None and system is not error:
        words = cleaned(system.strerror or str(system), api_key)
        copy.__cause__ = made(type(system), (system.errno, words) if system.errno is not None else (words,), words)
    return copy


def made(kind: type[Exception], arguments: tuple[object, ...], text: str) -> Exception:
    try:
        return kind(*arguments)
    except Exception:  # noqa: BLE001  somebody else's class may want any arguments
        return RuntimeError(f"{kind.__name__}: {text}")
