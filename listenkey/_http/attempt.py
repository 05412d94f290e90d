"""One attempt: the account, the deadline, the connections, and all that becomes known of the answer.

httpx and httpcore bound each read, and not the sum of all reads. An attempt has a deadline for all reads together. A
context variable carries the attempt to the connections and transports of this room, and to the log records of httpx and
httpcore. Only this file writes an attempt: the other files call the `note_…` methods.
"""

from __future__ import annotations

import logging
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, Self, cast

import httpcore
import httpx

from listenkey._http.answer import MAX_BODY, RawAnswer, used_weight
from listenkey._http.masking import masked
from listenkey._http.tracing import extensions

if TYPE_CHECKING:
    from listenkey._http.addresses import Proxy
    from listenkey._http.route import Account


class Abortable(Protocol):
    """A connection that was made."""

    def abort(self) -> None:
        """Close at once, without waiting. May be repeated."""


class Attempt:
    """An attempt. The `with` block makes the attempt the one under way, and notes an error that ends the block.

    Args:
        account: whose attempt this is.
        proxy: the proxy on the way. None: there is no proxy.
    """

    def __init__(self, account: Account, proxy: Proxy | None = None) -> None:
        self.account, self._proxy = account, proxy
        self.sent = datetime.now(UTC)
        self.requests = 1  # sent so far: 2 if a kept connection was dead
        self.used_weight: int | None = None  # of the address, as the answer says
        self.answer: RawAnswer | None = None
        self.is_complete = False  # whether the whole answer came
        self.parsed: object = None
        self.failure: Exception | None = None  # the error that ended the block
        self.refusal: Exception | None = None  # of an address of the host, until another address is connected
        self.connections: list[Abortable] = []  # made for this attempt; httpcore does not close all that fail
        self._is_upgraded = False
        self._ends_at = time.monotonic() + account.timeout

    def __enter__(self) -> Self:
        self._token = attempt_under_way.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        attempt_under_way.reset(self._token)
        if self.answer is None and not (self._is_upgraded and error is None):
            self.give_up()
        if error is not None:
            error.__traceback__ = None  # the frames below hold the API key
        if not isinstance(error, Exception):
            return False
        self.failure = error  # whatever a library raises here is: no answer
        return not isinstance(error, AssertionError)  # a mock of httpx tells a mistake of the program

    def left(self) -> float:
        """Seconds until the deadline. Raises httpcore.ReadTimeout when there are none."""
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left

    def masked(self, text: str) -> str:
        """Take the secrets of this attempt out of a text."""
        for secret in (self.account.api_key, *(self._proxy.secrets() if self._proxy else ())):
            text = masked(text, secret)
        return text

    def request(self, request: httpcore.Request, *, is_async: bool = False) -> httpcore.Request:
        """Copy a request, with the API key and without a cookie."""
        headers = [item for item in request.headers if item[0].lower() not in (b"cookie", b"x-mbx-apikey")]
        key = b"X-MBX-APIKEY", self.account.api_key.encode("ascii")
        told = extensions(is_async=is_async)
        return httpcore.Request(request.method, request.url, headers=[*headers, key], extensions=told)

    def give_up(self) -> None:
        """Close the connections that were made, without waiting."""
        for connection in self.connections:
            connection.abort()

    # The news of an attempt, in the order in which the news may come.

    def note_refusal(self, error: OSError) -> None:
        """Note that an address of the host refused the connection. Silence is no refusal."""
        if not isinstance(error, TimeoutError):
            self.refusal = httpcore.ConnectError(str(error))
            self.refusal.__cause__ = error

    def note_connection(self, connection: Abortable) -> None:
        """Note a connection that was made."""
        self.refusal = None
        self.connections.append(connection)

    def note_dead_connection(self) -> None:
        """Note that the request is sent anew: the other side closed or reset a kept connection under the request."""
        self.requests += 1

    def note_upgrade(self) -> None:
        """Note that the connection speaks another protocol now."""
        self._is_upgraded = True

    def note_head(self, response: httpcore.Response) -> Body:
        """Note the head of the answer: the status counts, even if the body breaks off."""
        headers = httpx.Headers(response.headers)
        self.answer = RawAnswer(response.status, headers, None)
        self.used_weight = used_weight(headers)
        return Body(plain=headers.get("content-encoding", "identity").strip().lower() in ("", "identity"))

    def note_body(self, body: Body) -> httpcore.Response:
        """Note the body, and make an answer for httpx. Without headers there is no cookie and no redirect."""
        head = cast(RawAnswer, self.answer)
        self.answer = RawAnswer(head.status, head.headers, body.whole)
        self.is_complete = True
        return httpcore.Response(head.status, content=body.whole or b"")

    def note_mocked(self, response: httpx.Response) -> None:
        """Note an answer that did not come through our pool: a mock of httpx made the answer, whose body is read."""
        if self.answer is None:
            self.used_weight = used_weight(response.headers)
            self.answer = RawAnswer(response.status_code, response.headers, response.content[: MAX_BODY + 1])
            self.is_complete = True

    def note_parsed(self, parsed: object) -> None:
        """Note the body as the generated parser reads it."""
        self.parsed = parsed


# httpx, httpcore and log records of both find here the attempt that they work for.
attempt_under_way: ContextVar[Attempt] = ContextVar("attempt_under_way")


class Body:
    """The bytes of a body, piece by piece. `whole` is None once the body is too long, or if the body is compressed."""

    def __init__(self, *, plain: bool) -> None:
        # The first piece of a compressed body can inflate to 67 MB before any limit sees it.
        self.whole: bytes | None = b"" if plain else None

    def take(self, chunk: bytes) -> bool:
        """Add a piece. False: no more is wanted."""
        if self.whole is not None:
            self.whole = self.whole + chunk if len(self.whole) + len(chunk) <= MAX_BODY else None
        return self.whole is not None


def mask_log(record: logging.LogRecord) -> bool:
    """Take secrets out of the logs of httpx and httpcore, which quote malformed answers, echoed keys, and logins."""
    attempt = attempt_under_way.get(None)
    if attempt is not None:
        text = record.getMessage()
        if (hidden := attempt.masked(text)) != text:
            record.msg, record.args = hidden, ()
    return True


for two in ("", "2"):  # httpx2 takes the place of httpx in a process that calls alias_httpx()
    for part in ("connection", "http11", "proxy", "socks"):
        logging.getLogger(f"httpcore{two}.{part}").addFilter(mask_log)
    logging.getLogger(f"httpx{two}").addFilter(mask_log)
