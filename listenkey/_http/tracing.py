"""How far an attempt came: name, connection, TLS, answer. The check looks here for a fault.

httpcore tells its steps to a `trace` function. The steps hold secrets, so a `Trace` keeps its attributes and nothing
else. Only the calls inside `watched` have a `Trace`.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from listenkey._http.answer import date_of
from listenkey._http.masking import cleaned


@dataclass
class Trace:
    """How far an attempt came: the last attempt that opened a connection. None and "": this step was not reached.

    Attributes:
        host, port: where the connection goes: the exchange, or the proxy. "" if no connection was opened.
        addresses: of the host.
        connected: seconds that look-up and connection took.
        is_tls_begun: whether a TLS handshake with the exchange began.
        tls: the version, such as TLSv1.3.
        issuer: who signed the certificate, as the certificate says.
        valid_until: when the certificate ends, in UTC.
        status: the HTTP status of the answer.
        date: the `Date` of the answer.
        sent, received: when the request was sent, and when the head of its answer came, by this machine's clock.
    """

    host: str = ""
    port: int = 0
    addresses: list[str] = field(default_factory=list)
    connected: float | None = None
    is_tls_begun: bool = False
    tls: str = ""
    issuer: str = ""
    valid_until: datetime | None = None
    status: int | None = None
    date: datetime | None = None
    sent: datetime | None = None
    received: datetime | None = None
    _began: float = 0.0
    _is_proxied: bool = False

    def note(self, name: str, info: Mapping[str, Any]) -> None:
        """Note a step, by httpcore's name of the step."""
        where, _, what = name.partition(".")
        step = STEPS.get(what)
        if self._is_proxied and where == "connection" and what in OF_TLS:
            return  # with a proxy that speaks TLS, too; the handshake with the exchange follows
        if step is not None:
            step(self, info)

    async def note_async(self, name: str, info: Mapping[str, Any]) -> None:
        """As `note`, for the async twin."""
        self.note(name, info)

    def _begin(self, info: Mapping[str, Any]) -> None:
        began, is_proxied = time.monotonic(), self._is_proxied
        self.__init__(info["host"], info["port"], _began=began, _is_proxied=is_proxied)  # type: ignore[misc]

    def _connected(self, _: Mapping[str, Any]) -> None:
        self.connected = time.monotonic() - self._began

    def _begin_tls(self, _: Mapping[str, Any]) -> None:
        self.is_tls_begun, self.status = True, None  # the answer so far was a proxy's

    def _secured(self, info: Mapping[str, Any]) -> None:
        tls = info["return_value"].get_extra_info("ssl_object")
        certificate = tls.getpeercert() or {}
        names = {name: value for part in certificate.get("issuer", ()) for name, value in part}
        issuer = str(names.get("organizationName") or names.get("commonName") or "")
        self.tls, self.issuer = str(tls.version()), cleaned(issuer, "\0")  # no API key is near
        if "notAfter" in certificate:
            self.valid_until = parsedate_to_datetime(certificate["notAfter"]).replace(tzinfo=UTC)

    def _sent(self, _: Mapping[str, Any]) -> None:
        self.sent = datetime.now(UTC)

    def _answered(self, info: Mapping[str, Any]) -> None:
        _, self.status, _, headers, *_ = info["return_value"]
        named = {name.lower(): value for name, value in headers}
        self.received = datetime.now(UTC)
        self.date = date_of({"date": named.get(b"date", b"").decode("latin-1")})


STEPS: Mapping[str, Callable[[Trace, Mapping[str, Any]], None]] = {
    "connect_tcp.started": Trace._begin,
    "connect_tcp.complete": Trace._connected,
    "start_tls.started": Trace._begin_tls,
    "start_tls.complete": Trace._secured,
    "send_request_headers.started": Trace._sent,
    "receive_response_headers.complete": Trace._answered,
}
OF_TLS = ("start_tls.started", "start_tls.complete")
trace_under_way: ContextVar[Trace | None] = ContextVar("trace_under_way", default=None)


@contextlib.contextmanager
def watched(*, is_proxied: bool) -> Iterator[Trace]:
    """Watch the calls of the block, in this thread or task."""
    trace = Trace(_is_proxied=is_proxied)
    token = trace_under_way.set(trace)
    try:
        yield trace
    finally:
        trace_under_way.reset(token)


def extensions(*, is_async: bool) -> dict[str, Any]:
    """Give the extensions of a request. If the call is watched, httpcore tells its steps."""
    trace = trace_under_way.get()
    return {} if trace is None else {"trace": trace.note_async if is_async else trace.note}


def note_addresses(found: Iterable[tuple[Any, ...]]) -> None:
    """Note the addresses of the host, as `socket.getaddrinfo` gives them."""
    trace = trace_under_way.get()
    if trace is not None:
        trace.addresses = list(dict.fromkeys(str(address[4][0]) for address in found))
