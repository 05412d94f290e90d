"""The meaning of an answer: status, headers and body in, an error out, or None. Pure: no clock, no socket, no httpx."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from listenkey._http.masking import cleaned
from listenkey.errors import (
    ApiError,
    Banned,
    KeyNotFound,
    ListenKeyError,
    RateLimited,
    ServerError,
    Unauthorized,
    UnexpectedResponse,
)

MAX_BODY = 64 * 1024  # bytes; a documented answer has about a hundred
LONGEST_RETRY_AFTER = 1e9  # seconds; longer waits, which nobody can wait, are cut to this number
WRONG_CLOCK = 60.0  # seconds; when two clocks differ by more, a clock is wrong
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
YEARS = range(2000, 3000)  # years that the clock of an exchange can show, even a wrong clock
DATES = range(2017, 3000)  # Binance opened in 2017, and the parser reads the year 1 as 2001
GRAPHIC = re.compile(r"[!-~]+")  # printable ASCII without the space
INT32 = range(-(2**31), 2**31)

# The error of a 4xx by Binance's code, when the status alone does not say. Codes: options error page.
BY_CODE: dict[int, type[ApiError]] = {
    -1125: KeyNotFound,
    **dict.fromkeys((-1002, -2008, -2014, -2015, -5002, -5005, -5009), Unauthorized),
    **dict.fromkeys((-1003, -1008), RateLimited),
    **dict.fromkeys((-1000, -1001, -1006, -1007, -4078), ServerError),
}


@dataclass(frozen=True, repr=False, eq=False)
class RawAnswer:
    """An answer as received.

    Attributes:
        status: the HTTP status.
        headers: by name in small letters; a header that came twice has both values, with a comma between them.
        body: the bytes of the body. None when the body is compressed, is over `MAX_BODY` or broke off.
    """

    status: int
    headers: Mapping[str, str] = field(compare=False)  # pytest prints what may be compared
    body: bytes | None = field(compare=False)


def error_in(answer: RawAnswer, api_key: str, now: datetime, *, brings_key: bool) -> ListenKeyError | None:
    """Name the error that an answer is. None: the answer is the documented one.

    Args:
        answer: the answer as received.
        api_key: hidden wherever the answer repeats the API key.
        now: the time on this machine's clock.
        brings_key: whether the answer must hold a listen key (POST), or may be empty (PUT, DELETE).
    """
    status = answer.status
    if 400 <= status <= 599:
        return api_error(answer, api_key, now)
    if status in (301, 302, 303, 307, 308):
        return UnexpectedResponse(status, "it is a redirect, not followed because it would carry the API key away")
    what = "its status is unknown" if status != 200 else fault_in_body(answer.body, brings_key=brings_key)
    return UnexpectedResponse(status, what) if what else None


def fault_in_body(body: bytes | None, *, brings_key: bool) -> str | None:
    """Name the fault in the body of a 200. None: there is no fault."""
    if body is None:
        return f"its body is compressed or over {MAX_BODY // 1024} KiB"
    if not brings_key and not body.strip():
        return None  # the pages show `{}` for PUT and DELETE, the vendor's schema file shows no body
    fields = json_object(body)
    if fields is None:
        return "its body is not a JSON object"
    if "code" in fields and "msg" in fields:
        return "its body is an error"
    return fault_in_key(fields) if brings_key else None


def fault_in_key(fields: dict[str, Any]) -> str | None:
    if "listenKey" not in fields:
        return "its listenKey is missing"
    if not isinstance(fields["listenKey"], str) or not GRAPHIC.fullmatch(fields["listenKey"]):
        return "its listenKey is not a string of printable ASCII"
    if "expiration" in fields:
        if type(fields["expiration"]) is not int:  # a bool is an int too
            return "its expiration is not an integer"
        if instant(fields["expiration"]) is None:
            return "its expiration is no date"
    return None


def instant(milliseconds: int) -> datetime | None:
    """Read milliseconds since 1970 as a time. None when no clock of an exchange can show that time."""
    try:
        time = EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None
    return time if time.year in YEARS else None


def date_of(headers: Mapping[str, str]) -> datetime | None:
    """When the answer was made, by the server's clock. None when the answer does not say."""
    return http_date(headers.get("date", ""))


def used_weight(headers: Mapping[str, str]) -> int | None:
    """Request weight that this address has used in the running minute. None when the answer does not say."""
    value = headers.get("x-mbx-used-weight-1m", "")
    return int(value) if re.fullmatch("[0-9]{1,18}", value) else None


def api_error(answer: RawAnswer, api_key: str, now: datetime) -> ApiError:
    """Turn a 4xx or 5xx into an error: by status first, then by Binance's code."""
    fields = json_object(answer.body or b"") or {}
    code = fields.get("code")
    if type(code) is not int or code not in INT32:
        code = None
    message = fields.get("msg")
    text = message if isinstance(message, str) else ""
    kind = kind_of(answer.status, code)
    waits = [wait_in(answer.headers.get("retry-after", ""), date_of(answer.headers), now)]
    if issubclass(kind, RateLimited) and (end := re.search(r"until (\d{13})\b", text)):
        # The text names a ban's end in milliseconds since 1970. If header and text differ, the longer is safe.
        ban_end = EPOCH + timedelta(milliseconds=int(end[1]))
        waits.append(seconds_until(ban_end, date_of(answer.headers), now))
    retry_after = max((wait for wait in waits if wait is not None), default=None)
    return kind(answer.status, code, cleaned(text, api_key) or None, retry_after)


def kind_of(status: int, code: int | None) -> type[ApiError]:
    if status == 408 or status >= 500:
        return ServerError
    by_status = {401: Unauthorized, 418: Banned, 429: RateLimited}
    return by_status.get(status) or BY_CODE.get(code or 0, ApiError)


def wait_in(value: str, date: datetime | None, now: datetime) -> float | None:
    """Read a Retry-After header, seconds or an HTTP date, as seconds from now. None for any other text."""
    parts = [part.strip() for part in value.split(",")]  # two headers come with a comma between them
    if all(re.fullmatch(r"[0-9]+(\.[0-9]+)?", part) for part in parts):
        return min(max(map(float, parts)), LONGEST_RETRY_AFTER)
    end = http_date(value)
    return None if end is None else seconds_until(end, date, now)


def seconds_until(end: datetime, date: datetime | None, now: datetime) -> float:
    """Seconds until a time on the server's clock, which the answer's `Date` shows; 0.0 when that time is past.

    When `Date` and this machine's clock differ by more than a minute, a clock is wrong, and nobody can say
    which. A clock behind makes the wait too long, a clock far ahead leaves no wait: the shorter of the waits
    above 0 is right in both cases.
    """
    by_clock = (end - now).total_seconds()
    by_date = (end - date).total_seconds() if date is not None else by_clock
    if abs(by_date - by_clock) <= WRONG_CLOCK:
        return max(0.0, by_date)
    return min((wait for wait in (by_date, by_clock) if wait > 0), default=0.0)


def http_date(value: str) -> datetime | None:
    """Read an HTTP date. None when the text is none, or no clock of an exchange can show that date."""
    try:
        date = parsedate_to_datetime(value)
        date = date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return date if date.year in DATES else None


def json_object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
