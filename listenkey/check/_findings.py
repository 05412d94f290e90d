"""The steps of a check, and the words for each step. Pure.

A function for each step makes a `Finding` of the news. No text holds a secret: people paste the texts into issues.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast, get_args

from listenkey._http.faults import GOES_ON, NO_WAY, is_certificate_fault
from listenkey.errors import ApiError, KeyNotFound, TransportError, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from listenkey._http.route import Route
    from listenkey._http.tracing import Trace
    from listenkey.errors import ListenKeyError
    from listenkey.stream._inside import Form, News

Step = Literal[
    "settings",
    "connection",
    "TLS",
    "answer",
    "clock",
    "API key",
    "listen key",
    "keepalive",
    "form path",
    "form query",
    "form subscribe",
    "two at once",
    "closing",
]
STEPS: tuple[Step, ...] = get_args(Step)
Verdict = Literal["ok", "note", "failed", "skipped"]
# Options general-info page, "Timing security": a call is refused when its timestamp is over 1 s ahead of the server's
# clock, or over `recvWindow`, by default 5 s, behind.
AHEAD, BEHIND = 1.0, 5.0
BELIEVED = 1 / 90  # of the life of a key: 40 seconds of an hour. A keeper believes no shorter life: docs/keeper.md
QUIET = "an account without orders looks the same"


@dataclass(frozen=True)
class Finding:
    """What a step found.

    Attributes:
        step: one of `STEPS`.
        verdict: ``ok``; ``failed``; ``note``: neither, so read the text; ``skipped``: an earlier step failed, or there
            is nothing to look at.
        text: what was seen, and what to do. Without secrets.
        facts: the same for programs: texts, numbers, True, False and None, by names. Seconds where no unit is named.
        error: the error of a step that failed. None where no call failed.
    """

    step: Step
    verdict: Verdict
    text: str
    facts: Mapping[str, object] = field(default_factory=dict)
    error: ListenKeyError | None = None


@dataclass(frozen=True)
class Called:
    """A call, and the news of the call.

    Attributes:
        error: why the call failed. None: the call went well.
        trace: how far the last attempt came.
        seconds: how long the call took.
        expires_in: seconds from the answer to the key's end, by the answer's `expiration`. None without `expiration`.
        used_weight: of the address. None when no answer has told.
        key_life: seconds that the client takes a key to live. An hour, but for tests.
    """

    error: ListenKeyError | None
    trace: Trace
    seconds: float
    expires_in: float | None = None
    used_weight: int | None = None
    key_life: float = 3600.0


@dataclass
class Probe:
    """A connection of the stream that is looked at. Times are seconds of a single clock. None: this did not happen.

    Attributes:
        form: how the connection names the key.
        asked_at: when the handshake began.
        error: why the connection could not be opened.
        why: the same in words, with how far the connection came.
        opened_at: when the connection was open.
        refusal: why SUBSCRIBE was refused.
        pong_at: when our ping was answered. The ping is sent once the connections beside are open, too: an event after
            its answer was sent to all of them, as far as the server does so.
        event, event_at, is_wrapped: the name of the first event, when that event came, and whether it was wrapped.
        received_at: when the first event came after the answer to the ping.
        other: what the first message says that is no event.
        ended: why the server ended the connection.
        closing_at: when our close frame was sent.
        closing: seconds from our close frame to the answer.
    """

    form: Form
    asked_at: float
    error: ListenKeyError | None = None
    why: str = ""
    opened_at: float | None = None
    refusal: str | None = None
    pong_at: float | None = None
    event: str | None = None
    event_at: float | None = None
    is_wrapped: bool = False
    received_at: float | None = None
    other: str | None = None
    ended: str | None = None
    closing_at: float | None = None
    closing: float | None = None

    def note(self, news: News, now: float) -> None:
        """Note what the connection brought."""
        if news.what == "pong" and self.pong_at is None:
            self.pong_at = now
        elif news.what == "reply" and self.form == "subscribe":
            self.refusal = self.refusal or news.text or None
        elif news.what in ("reply", "other"):
            self.other = self.other or news.text
        elif news.what == "event":
            if self.event is None:
                self.event, self.event_at, self.is_wrapped = news.text, now, news.is_wrapped
            if self.received_at is None and self.pong_at is not None:
                self.received_at = now
        elif news.what == "end" and (self.closing_at is None or news.text):
            self.ended = news.text
        elif news.what == "end":
            self.closing = now - cast(float, self.closing_at)

    @property
    def is_told(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.opened_at is None or self.ended is not None or self.received_at is not None

    @property
    def opening(self) -> float | None:
        """Seconds that the handshake took."""
        return None if self.opened_at is None else self.opened_at - self.asked_at

    @property
    def silence(self) -> float | None:
        """Seconds from the open connection to its first event."""
        return None if self.opened_at is None or self.event_at is None else self.event_at - self.opened_at


# The way of a call


def settings(route: Route, stream: Route, versions: Mapping[str, str]) -> Finding:
    """Say where the calls and the stream go."""
    proxy = f"proxy {route.proxy} ({route.proxy.source})" if route.proxy else "no proxy"
    own = route.certificates.context is not None
    trust = "those of the program" if own else str(route.certificates) if route.is_encrypted else "none needed"
    written = ", ".join(f"{name} {version}" for name, version in versions.items())
    facts = {
        "base_url": route.url,
        "stream_url": stream.url,
        "proxy": str(route.proxy) if route.proxy else None,
        "certificates": trust,
        **versions,
    }
    text = f"{route.url}, stream {stream.url}, {proxy}, certificates: {trust}, {written}"
    return Finding("settings", "ok", text, facts)


def connection(call: Called, route: Route) -> Finding:
    """Say whether the host has a name and an open port."""
    trace, error = call.trace, call.error
    host = f"the proxy {trace.host}:{trace.port}" if route.proxy else f"{trace.host}:{trace.port}"
    facts = {"host": trace.host, "port": trace.port, "addresses": trace.addresses, "connected": trace.connected}
    if not trace.host and error is None:
        return Finding("connection", "ok", "a connection that was open already", facts)
    known = "" if trace.host in trace.addresses else _listed(trace.addresses)
    if trace.connected is not None and not _is_blocked(call, route):
        return Finding("connection", "ok", f"{host}{known}; connected in {_seconds(trace.connected)}", facts)
    if _is_proxys(error):
        advice = ""
    elif trace.connected is not None and is_certificate_fault(error):
        advice = " This is the certificate of the proxy."
    elif trace.connected is not None:
        advice = " The proxy takes the connection, and opens no way to the exchange."
    elif not trace.addresses:
        advice = " The name was not found: check the name, and the DNS of this machine."
    else:
        advice = f" {host[0].upper()}{host[1:]}{known}: a firewall, or a network that needs a proxy, may be in the way."
    return Finding("connection", "failed", f"{error}{advice}", facts, error)


def _is_blocked(call: Called, route: Route) -> bool:
    """Whether the proxy was reached, and the exchange was not."""
    trace = call.trace
    return route.proxy is not None and route.is_encrypted and not trace.is_tls_begun and call.error is not None


def _is_proxys(error: ListenKeyError | None) -> bool:
    """Whether a proxy refused the way, and said so."""
    return isinstance(error, ApiError) and (error.reason or "").startswith(NO_WAY)


def _listed(addresses: Sequence[str]) -> str:
    more = f" and {len(addresses) - 1} more" if len(addresses) > 1 else ""
    return f" is {addresses[0]}{more}" if addresses else ""


def tls(call: Called, route: Route) -> Finding:
    """Say whether the exchange has proven who it is."""
    trace = call.trace
    facts = {"tls": trace.tls or None, "issuer": trace.issuer or None, "valid_until": _iso(trace.valid_until)}
    if not route.is_encrypted:
        return Finding("TLS", "skipped", "plain http: there is no TLS", facts)
    if not trace.host:
        return Finding("TLS", "ok", "a connection that was open already", facts)
    if trace.tls:
        until = f" until {trace.valid_until:%Y-%m-%d}" if trace.valid_until else ""
        return Finding("TLS", "ok", f"{trace.tls}; certificate by {trace.issuer or 'nobody'}{until}", facts)
    advice = " Something in between may speak no TLS, or end it."
    if is_certificate_fault(call.error):
        is_of_time = re.search("expired|not yet valid", str(call.error)) is not None
        advice = " Or this machine's clock is wrong." if is_of_time else ""
    return Finding("TLS", "failed", f"{call.error}{advice}", facts, call.error)


def _iso(when: datetime | None) -> str | None:
    return None if when is None else when.isoformat()


def answer(call: Called) -> Finding:
    """Say whether the exchange answered as its pages say."""
    error, trace = call.error, call.trace
    facts = {"status": trace.status, "seconds": call.seconds}
    if error is None or isinstance(error, KeyNotFound | Unauthorized):
        text = f"HTTP {trace.status} in {_seconds(call.seconds)}"
        return Finding("answer", "ok", text, facts)
    return Finding("answer", "failed", str(error), facts | _code(error), error)


def clock(trace: Trace) -> Finding:
    """Compare this machine's clock with the answer's `Date`, which has whole seconds."""
    if trace.date is None or trace.sent is None or trace.received is None:
        why = "no answer came" if trace.received is None else "the answer has no Date"
        return Finding("clock", "note", f"{why}, so nobody can compare")
    ahead = max(0.0, (trace.sent - trace.date).total_seconds() - 1.0)  # at least: the Date may be a second old
    behind = max(0.0, (trace.date - trace.received).total_seconds())
    facts = {"ahead_at_least": ahead, "behind_at_least": behind}
    if ahead <= AHEAD and behind <= BEHIND:
        return Finding("clock", "ok", f"agrees with the server's Date, {trace.date:%H:%M:%S} UTC", facts)
    wrong = f"{ahead:.0f} s ahead of" if ahead else f"{behind:.0f} s behind"
    text = f"this machine's clock is {wrong} the server's Date: set it right, because signed calls need it"
    return Finding("clock", "failed", text, facts)


# The keys


def api_key(error: ListenKeyError | None, control: ListenKeyError | None, *, is_usual: bool) -> Finding:
    """Say whether the API key is accepted, or which causes can be ruled out.

    `error`: of a call that was answered. `control`: how the exchange refused an API key that was made up. `is_usual`:
    whether the API key has the form of Binance's.
    """
    if not isinstance(error, Unauthorized):
        return Finding("API key", "ok", "accepted")
    text = f"{error} {_causes(error, control, is_usual=is_usual)}"
    return Finding("API key", "failed", text, _code(error), error)


def _causes(error: Unauthorized, control: ListenKeyError | None, *, is_usual: bool) -> str:
    """Rule causes of a refusal out: the API key, its permission, the list of addresses."""
    if error.code in (-5002, -5005, -5009):  # options error page: about the account, or the country
        return "Ruled out: all three causes that an API key can have, because this code is about the account."
    if not is_usual:
        return f"{_COPY_AGAIN} Permission and address are not ruled out."
    if error.code in (-2008, -2014):
        return f"Ruled out: permission and address, because this code is about the API key alone. {_ENVIRONMENT}"
    if isinstance(control, Unauthorized) and (control.code, control.reason) != (error.code, error.reason):
        return (
            f"Ruled out: an unknown API key, because one that was made up is refused otherwise (code {control.code}). "
            f"Left: {_PERMISSION}, and {_ADDRESS}."
        )
    return (
        f"Ruled out: an API key that was cut. Left: {_PERMISSION}, {_ADDRESS}, and an unknown API key. {_ENVIRONMENT}"
    )


_COPY_AGAIN = "Binance's API keys have 64 letters and digits, and this one has not: copy it again."
_ENVIRONMENT = "Real and demo API keys are separate: is it of the other kind, or was it deleted?"
_PERMISSION = "the permission 'Enable European Options'"
_ADDRESS = "the list of addresses that may use it"


def _code(error: ListenKeyError | None) -> dict[str, object]:
    """Give status and code of an answer that is an error."""
    return {name: value for name in ("status", "code") if (value := getattr(error, name, None)) is not None}


def listen_key(before: Called, started: Called) -> Finding:
    """Say whether there is a key now, and whether there was one before."""
    if started.error is not None:
        return Finding("listen key", "failed", str(started.error), _code(started.error), started.error)
    said = _code(before.error)
    text = "live before this check" if before.error is None else f"new (keepalive without a key: {_written(said)})"
    text += ", no expiration" if started.expires_in is None else f", expiration in {int(started.expires_in)} s"
    is_odd = started.expires_in is not None and started.expires_in < BELIEVED * started.key_life
    text += ", which is too soon to be believed: is this the exchange?" * is_odd
    if started.used_weight is not None:
        text += f", weight used by this address: {started.used_weight} in this minute"
    facts = {"new": before.error is not None, "expires_in": started.expires_in, "used_weight": started.used_weight}
    return Finding("listen key", "note" if is_odd else "ok", text, facts | {"keepalive_without_key": said or None})


def _written(said: Mapping[str, object]) -> str:
    return f"HTTP {said['status']}" + (f", code {said['code']}" if "code" in said else "")


def keepalive(call: Called) -> Finding:
    """Say whether the key can be renewed."""
    if call.error is None:
        return Finding("keepalive", "ok", f"done in {_seconds(call.seconds)}", {"seconds": call.seconds})
    return Finding("keepalive", "failed", str(call.error), _code(call.error), call.error)


# The stream


def why_not_open(call: Called, route: Route) -> str:
    """Say why a connection of the stream could not be opened, and how far it came. `call`: the handshake."""
    text = str(call.error)
    if isinstance(call.error, TransportError) and call.trace.host:
        steps = connection(call, route), tls(call, route)
        silent = f"{text} Something in between may let no WebSocket through."
        text = next((step.text for step in steps if step.verdict == "failed"), silent)
    return text.replace(f" {GOES_ON}", "")  # the check does not


def form(probes: Sequence[Probe], others: Sequence[Probe], wait: float) -> Finding:
    """Say whether a form brings events. `probes`: first beside `others`, then perhaps alone."""
    last, is_alone = probes[-1], len(probes) > 1
    best = next((each for each in probes if each.event is not None), last)
    step = cast(Step, f"form {last.form}")
    facts = {
        "opening": last.opening,
        "pong": last.pong_at is not None,
        "event": best.event,
        "event_after": best.silence,
        "wrapped": best.is_wrapped if best.event else None,
        "beside_others": best is probes[0],
        "ended": last.ended,
    }
    if last.error is not None:
        return Finding(step, "failed", last.why or str(last.error), facts | _code(last.error), last.error)
    text = f"{'alone: ' * is_alone}opened in {_seconds(last.opening)}"
    if last.refusal is not None:
        return Finding(step, "failed", f"{text}, and SUBSCRIBE was refused ({last.refusal})", facts)
    text += ", ping answered" if last.pong_at is not None else ", no ping answered"
    if best.event is not None:
        text += (
            f", first event after {_seconds(best.silence)}: {best.event}, {'wrapped' if best.is_wrapped else 'bare'}"
        )
        return Finding(step, "ok", text, facts)
    if last.other is not None:
        text += f", a message that is no event ({last.other})"
    if last.ended is not None:
        return Finding(step, "failed", f"{text}, and lost: {last.ended}", facts)
    text += f", no event in {wait:g} s"
    if last.pong_at is None:
        return Finding(step, "failed", f"{text}: the connection is dead", facts)
    receiving = " and ".join(sorted({each.form for each in others if each.received_at is not None}))
    if not receiving:
        return Finding(step, "note", f"{text}: {QUIET}", facts)
    if not is_alone:
        return Finding(step, "failed", f"{text}, while form {receiving} brought events: use that form", facts)
    return Finding(step, "note", f"{text}; beside others, form {receiving} brought events", facts)


def two_at_once(older: Probe, newer: Probe, wait: float) -> Finding:
    """Say whether two connections on one key both receive."""
    received = [each.received_at is not None for each in (older, newer)]
    facts = {"older": received[0], "newer": received[1], "older_ended": older.ended, "newer_ended": newer.ended}
    if (error := older.error or newer.error) is not None:
        return Finding("two at once", "failed", "one of the two could not be opened", facts, error)
    if older.ended is not None and newer.ended is not None and not any(received):
        return Finding("two at once", "failed", f"both were ended: {newer.ended}", facts)
    for name, each, other in (("older", older, newer), ("newer", newer, older)):
        if each.ended is not None and other.ended is None:
            text = f"the {name} one was ended: {each.ended}. At a planned change of connections a Gap will say so"
            return Finding("two at once", "failed", text, facts)
    if all(received):
        return Finding("two at once", "ok", "both connections received", facts)
    if not any(received) and (older.event or newer.event):
        text = "events came, but none after an answer to a ping of both, so nobody can tell"
        return Finding("two at once", "note", text, facts)
    if not any(received):
        return Finding("two at once", "note", f"no event in {wait:g} s: {QUIET}", facts)
    name = "older" if received[0] else "newer"
    text = f"the {name} one alone received. At a planned change of connections a Gap may say so"
    return Finding("two at once", "note", text, facts)


def closing(probes: Sequence[Probe], wait: float) -> Finding:
    """Say how long a connection took to close."""
    closed = [each.closing for each in probes if each.closing is not None]
    facts = {"seconds": max(closed, default=None)}
    if closed:
        return Finding("closing", "ok", f"the close frame was answered in {_seconds(max(closed))}", facts)
    if all(each.opened_at is None or each.ended is not None for each in probes):
        return Finding("closing", "skipped", "no connection was open", facts)
    return Finding("closing", "failed", f"no close frame was answered in {wait:g} s", facts)


def _seconds(seconds: float | None) -> str:
    return f"{seconds or 0.0:.2f} s"


def skipped(step: Step, why: str) -> Finding:
    """Say why a step was not gone."""
    return Finding(step, "skipped", f"not reached: {why}")
