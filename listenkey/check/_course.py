"""The course of a check: the order of the steps, and the needs of each step. Pure: `_twins` tells the news.

`course` is a generator, which gives Findings and orders. The driver sends the answer to an order back: for a `Call` a
Called, for a `Connect` the Probes.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from listenkey.check import _findings as say
from listenkey.check._findings import STEPS, Called, Finding, Probe, Step
from listenkey.errors import RateLimited, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Sequence

    from listenkey._http.route import Route
    from listenkey.stream._inside import Form

GRACE = 5.0  # seconds after the first event, in which the other connections should have an event, too


@dataclass(frozen=True)
class Call:
    """Make a call. Answered with a Called. "control": a keepalive with an API key that is made up."""

    operation: Literal["keepalive", "start", "control"]


@dataclass(frozen=True)
class Connect:
    """Open these connections in their order, and look at them side by side. Answered with a Probe for each."""

    forms: tuple[Form, ...]


Order = Call | Connect
Course = Generator[Finding | Order, object, None]


def course(route: Route, wait: float, *, is_usual_key: bool) -> Course:
    """Go the way from the first call to the end of a connection."""
    before = cast(Called, (yield Call("keepalive")))  # first: a later call cannot tell whether a key was there
    for finding in (say.connection(before, route), say.tls(before, route)):
        yield finding
        if finding.verdict == "failed":
            return (yield from rest(finding.step))
    answer = say.answer(before)
    yield answer
    yield say.clock(before.trace)
    if answer.verdict == "failed":
        return (yield from rest("clock", "answer"))
    control = None
    if isinstance(before.error, Unauthorized) and before.error.code in (None, -1002, -2015) and is_usual_key:
        control = cast(Called, (yield Call("control"))).error
    accepted = say.api_key(before.error, control, is_usual=is_usual_key)
    yield accepted
    if accepted.verdict == "failed":
        return (yield from rest("API key"))
    return (yield from _keys(before, wait))


def _keys(before: Called, wait: float) -> Course:
    started = cast(Called, (yield Call("start")))
    key = say.listen_key(before, started)
    yield key
    if key.verdict == "failed":
        return (yield from rest("listen key"))
    renewed = say.keepalive(cast(Called, (yield Call("keepalive"))))
    yield renewed
    if renewed.verdict == "failed":
        return (yield from rest("keepalive"))
    return (yield from _streams(wait))


def _streams(wait: float) -> Course:
    """Look at all forms side by side, with a second connection of the first form; then at some of them alone."""
    path, query, subscribe, second = together = cast(
        list[Probe], (yield Connect(("path", "query", "subscribe", "path")))
    )
    opened = list(together)
    for probe in (path, query, subscribe):
        probes = [probe]
        # After a 429 or 418 nothing more is sent.
        is_limited = any(isinstance(each.error, RateLimited) for each in opened)
        if not is_limited and is_worth_alone(probe, together):
            alone = cast(list[Probe], (yield Connect((probe.form,))))
            probes += alone
            opened += alone
        others = [each for each in together if each is not probe]
        yield say.form(probes, others, wait)
    yield say.two_at_once(path, second, wait)
    yield say.closing(opened, wait)


def is_worth_alone(probe: Probe, together: Sequence[Probe]) -> bool:
    """Whether a connection that did badly beside others may do better alone.

    The exchange may serve one connection at a time. Where two others received, it serves several.
    """
    received = sum(each.received_at is not None for each in together)
    return probe.opened_at is not None and probe.event is None and (probe.ended is not None or received == 1)


def is_enough(probes: Sequence[Probe], now: float) -> bool:
    """Whether nothing more is to be expected: all is seen, or events came `GRACE` seconds ago."""
    first = min((each.received_at for each in probes if each.received_at is not None), default=math.inf)
    return all(each.is_told for each in probes) or now >= first + GRACE


def rest(after: Step, failed: Step | None = None) -> Generator[Finding]:
    """Skip all steps after a step, because a step has failed."""
    for step in STEPS[STEPS.index(after) + 1 :]:
        yield say.skipped(step, f"{failed or after} failed")
