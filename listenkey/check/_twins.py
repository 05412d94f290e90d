"""The twins of the check: they ask the course for the next step, make the calls, and open the connections."""

from __future__ import annotations

import asyncio
import contextlib
import platform
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from listenkey._clock import clock
from listenkey._http.exchange import AsyncExchange, share
from listenkey._http.masking import Secret, described
from listenkey._http.route import Account
from listenkey._http.tracing import watched
from listenkey._inside import inside
from listenkey._version import __version__
from listenkey.check import _findings
from listenkey.check._course import Connect, course, is_enough, rest
from listenkey.check._findings import Called, Finding, Probe
from listenkey.client import running_loop
from listenkey.errors import ConfigurationError, ListenKeyError, RateLimited, TransportError
from listenkey.stream._inside import Opened, open_form, route_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from listenkey.check._course import Course, Order
    from listenkey.client import AsyncListenKeyClient, ListenKey, ListenKeyClient
    from listenkey.stream._inside import Form

LONGEST_WAIT = 1800.0  # seconds; nobody renews the key meanwhile
LONGEST_CLOSING = 5.0  # seconds that the answer to a close frame may take
LOOK = 0.5  # seconds between two looks at the connections, if they bring nothing


def check(client: ListenKeyClient, *, stream_url: str | None = None, wait: float = 30.0) -> Iterator[Finding]:
    """Go the whole way to the account's events, step by step, and give a Finding for each step.

    For example:

        for finding in check(client):
            print(finding.verdict, finding.step, finding.text)

    A step that fails is a Finding, and no error. The steps that need this step are skipped. The check changes nothing
    that lasts: it makes a listen key, or renews the key that lives, and ends none. ``facts["new"]`` of the step "listen
    key" tells whether the check made the key. The check makes three calls, and one with an API key that is made up if
    yours is refused. It opens four connections of the stream side by side, and at most three more, one after the other.

    Args:
        client: the account's client. The check goes the client's way: its proxy, its certificates, its time limit.
        stream_url: where the stream is, as for `listenkey.stream.UserDataStream`.
        wait: seconds to wait for the first event, above 0 and at most 1800. A quiet account shows nothing: hold a
            position, or place and cancel an order meanwhile.

    Raises:
        ConfigurationError: `wait` is no such number; an event loop runs in this thread, where `async_check` is for; or
            the client is closed.
    """
    if running_loop() is not None:
        raise ConfigurationError("An event loop runs in this thread: use async_check there.")
    return _walk(client, _Check(client, stream_url, wait))


def async_check(
    client: AsyncListenKeyClient, *, stream_url: str | None = None, wait: float = 30.0
) -> AsyncIterator[Finding]:
    """Go the whole way, for asyncio. As `check`, with ``async for``."""
    return _async_walk(client, _Check(client, stream_url, wait))


def _walk(client: ListenKeyClient, task: _Check) -> Iterator[Finding]:
    while (step := task.next()) is not None:
        if isinstance(step, Finding):
            yield step
        elif isinstance(step, Connect):
            try:
                runner = asyncio.Runner()
                runner.get_loop()
            except OSError as error:
                task.cannot_connect(step.forms, error)
                continue
            with runner:
                task.answer = runner.run(task.connect(step.forms))
        else:
            with task.calling() as brought:
                if step.operation == "start":
                    brought.append(client.start())
                elif step.operation == "keepalive":
                    client.keepalive()
                else:
                    task.inside.call("keepalive", task.stranger())


async def _async_walk(client: AsyncListenKeyClient, task: _Check) -> AsyncIterator[Finding]:
    while (step := task.next()) is not None:
        if isinstance(step, Finding):
            yield step
        elif isinstance(step, Connect):
            task.answer = await task.connect(step.forms)
        else:
            with task.calling() as brought:
                if step.operation == "start":
                    brought.append(await client.start())
                elif step.operation == "keepalive":
                    await client.keepalive()
                else:
                    await task.inside.call("keepalive", task.stranger())


class _Check:
    """The twins' common part: the course, the stream's connections, and the listen key."""

    def __init__(self, client: ListenKeyClient | AsyncListenKeyClient, stream_url: str | None, wait: float) -> None:
        if not isinstance(wait, int | float) or not 0 < wait <= LONGEST_WAIT:
            raise ConfigurationError(f"wait must be a number of seconds, above 0 and at most {LONGEST_WAIT:g}.")
        self.inside = inside(client)
        self._client, self._stream_url, self._wait = client, stream_url, wait
        self._key = Secret("")
        self._course = self._whole()
        self.answer: object = None  # to the order that the course gave last

    def next(self) -> Finding | Order | None:
        """Give the next Finding or order. None: there are no more."""
        answer, self.answer = self.answer, None
        with contextlib.suppress(StopIteration):
            return self._course.send(answer)
        return None

    def _whole(self) -> Course:
        route = self.inside.route
        try:
            self._stream = route_of(self.inside, self._stream_url)
            for each in (route, self._stream):
                each.ssl_context()
        except ConfigurationError as error:
            yield Finding("settings", "failed", str(error), error=error)
            return (yield from rest("settings"))
        python = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
        yield _findings.settings(route, self._stream, {"version": __version__, "Python": python})
        return (yield from course(route, self._wait, is_usual_key=self.inside.is_usual_key))

    # Calls

    @contextlib.contextmanager
    def calling(self) -> Iterator[list[ListenKey]]:
        """Watch a call. The block appends the key of the call. An error of the call becomes a part of the answer."""
        began, brought, failure = clock(), list["ListenKey"](), None
        with watched(is_proxied=self.inside.route.proxy is not None) as trace:
            try:
                yield brought
            except ConfigurationError:  # the client is closed
                raise
            except ListenKeyError as error:
                failure = error
        expires_in = None
        for key in brought:
            self._key = Secret(key.value)
            if not key.estimated:
                expires_in = (key.expires_at - (trace.date or datetime.now(UTC))).total_seconds()
        seconds, weight = clock() - began, self._client.used_weight
        self.answer = Called(failure, trace, seconds, expires_in, weight, self.inside.key_life)

    def stranger(self) -> Account:
        """Make an API key up."""
        return Account(Secret(secrets.token_hex(32)), self.inside.timeout)

    # Connections

    def cannot_connect(self, forms: tuple[Form, ...], error: OSError) -> None:
        """Note that there can be no connection: no descriptor is left for an event loop."""
        why = TransportError(f"No event loop could be made ({described(error, self._key)}).")
        self.answer = [Probe(form, clock(), why) for form in forms]

    async def connect(self, forms: tuple[Form, ...]) -> list[Probe]:
        """Open connections in their order, look at them side by side, and close them."""
        exchange = share(AsyncExchange, self._stream, asyncio.get_running_loop())
        probes, opened, readers = list[Probe](), list[tuple[Probe, Opened]](), list[asyncio.Task[None]]()
        news = asyncio.Event()
        try:
            for form in forms:
                refused = next((each.error for each in probes if isinstance(each.error, RateLimited)), None)
                probes.append(probe := Probe(form, clock(), refused))
                if refused is None and (connection := await self._open(exchange, probe)) is not None:
                    opened.append((probe, connection))
                    read = _read(probe, connection, news.set)  # at once: the time of an event counts
                    readers.append(asyncio.create_task(read, name="listenkey-check"))
            for _, connection in opened:
                connection.ping()
            if readers:
                await self._look(probes, news)
                for probe, connection in opened:
                    probe.closing_at = clock()
                    connection.close()
                await asyncio.wait(readers, timeout=min(self._wait, LONGEST_CLOSING))
        finally:
            for _, connection in opened:
                connection.abort()
            for reader in readers:
                reader.cancel()
            exchange.release()
            if readers:
                await asyncio.wait(readers)
        return probes

    async def _open(self, exchange: AsyncExchange, probe: Probe) -> Opened | None:
        try:
            with watched(is_proxied=self._stream.proxy is not None) as trace:
                connection = await open_form(exchange, probe.form, self._key, self.inside.timeout)
        except ListenKeyError as error:
            probe.error = error
            probe.why = _findings.why_not_open(Called(error, trace, clock() - probe.asked_at), self._stream)
            if isinstance(error, RateLimited):  # counts for everyone on this address
                self.inside.address.rate_limit_wait.refused(error, probe.asked_at, clock())
            return None
        probe.opened_at = clock()
        return connection

    async def _look(self, probes: list[Probe], news: asyncio.Event) -> None:
        """Wait until enough is seen."""
        ends_at = clock() + self._wait
        while (left := ends_at - clock()) > 0 and not is_enough(probes, clock()):
            news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(LOOK, left)):
                    await news.wait()


async def _read(probe: Probe, connection: Opened, tell: Callable[[], None]) -> None:
    """Note all that comes, up to the end."""
    while probe.ended is None and probe.closing is None:
        for news in await connection.next():
            probe.note(news, clock())
        tell()
