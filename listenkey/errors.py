"""Every error that listenkey raises.

ListenKeyError
├─ ConfigurationError    the call cannot be made at all
├─ TransportError        no answer: refused, broken, timed out (`__cause__` says which)
├─ UnexpectedResponse    an answer that openapi.yaml does not describe
├─ ApiError              Binance refused: .status .code .reason .retry_after
│  ├─ Unauthorized       the API key, its permissions or the address is not accepted
│  ├─ KeyNotFound        the listen key does not exist any more
│  ├─ RateLimited        wait .retry_after seconds
│  │  └─ Banned          the address is banned for .retry_after seconds
│  └─ ServerError        Binance's own fault: the call may or may not have taken effect
├─ LeaseLost             a keeper could not renew in time
└─ SnapshotError         a snapshot that an AccountState cannot read: .field
"""

import math


class ListenKeyError(Exception):
    """The base of every error of this package.

    Attributes:
        retry_after: seconds to wait before the next call. None when nobody said.
    """

    retry_after: float | None = None


class ConfigurationError(ListenKeyError):
    """The call cannot be made at all; nothing was sent. The text says which setting to mend."""


class TransportError(ListenKeyError):
    """No answer came: refused, broken or timed out. The call may or may not have taken effect."""


class UnexpectedResponse(ListenKeyError):
    """An answer that openapi.yaml does not describe, such as HTML, cut JSON or a field of the wrong type.

    Attributes:
        status: the answer's HTTP status.

    Args:
        status: as above.
        what: what is wrong with the answer.
        setting: the setting that names the address, for the advice at the end of the text.
    """

    def __init__(self, status: int, what: str, *, setting: str = "base_url") -> None:
        super().__init__(status, what)  # both in args, so that the error can be pickled
        self.status = status
        self._what = what
        self._setting = setting

    def __str__(self) -> str:
        return (
            f"Not an answer that Binance documents: {self._what}. Check {self._setting} and any proxy. "
            f"(HTTP {self.status})"
        )


class ApiError(ListenKeyError):
    """Binance refused the call.

    Attributes:
        status: the answer's HTTP status.
        code: Binance's error code, such as -1125. None when the answer has no code.
        reason: Binance's text without control characters and API key, at most 200 characters. None without a text.
        retry_after: seconds to wait before the next call. None when the answer does not say.

    Args:
        status, code, reason, retry_after: as above.
        advice: what the text tells a person to do. None: what the class and the status ask for.
    """

    _usual_reason = "Binance refused the call"

    def __init__(
        self,
        status: int,
        code: int | None = None,
        reason: str | None = None,
        retry_after: float | None = None,
        *,
        advice: str | None = None,
    ) -> None:
        super().__init__(status, code, reason, retry_after)
        self._own_advice = advice
        self.status = status
        self.code = code
        self.reason = reason
        self.retry_after = retry_after

    def __str__(self) -> str:
        reason = (self.reason or "").strip(" .") or self._usual_reason
        end = "" if reason.endswith(("!", "?")) else "."
        code = "" if self.code is None else f", code {self.code}"
        advice = self._advice() if self._own_advice is None else self._own_advice
        return f"{reason}{end}{advice and ' '}{advice} (HTTP {self.status}{code})"

    def _advice(self) -> str:
        # 403 and 410: options general-info page, "HTTP return codes", and the withdrawal of the spot listen key.
        return {
            403: "A firewall refused it: stop, and wait long before the next call.",
            404: "Check base_url.",
            410: "The endpoint was withdrawn.",
        }.get(self.status, "")


class Unauthorized(ApiError):
    """The API key, the permissions of the key or the address of the caller is not accepted."""

    _usual_reason = "Binance does not accept the API key"

    def _advice(self) -> str:
        return "Check the API key, its permissions and the addresses it may be used from."


class KeyNotFound(ApiError):
    """The account has no live listen key (options error page, -1125)."""

    _usual_reason = "There is no live listen key"

    def _advice(self) -> str:
        return "Call start() for a new one."


class RateLimited(ApiError):
    """Too many requests. Going on before `retry_after` has passed leads to a ban of the address."""

    _usual_reason = "Too many requests"

    def _advice(self) -> str:
        if not self.retry_after:
            return "Stop, and wait before the next call; Binance did not say how long."
        return f"Send nothing for {math.ceil(self.retry_after)} s."


class Banned(RateLimited):
    """The IP address is banned, for 2 minutes at first and up to 3 days (options general-info page, HTTP 418)."""

    _usual_reason = "This IP address is banned"


class ServerError(ApiError):
    """A fault on Binance's side. The call may or may not have taken effect. To repeat the call is safe."""

    _usual_reason = "Binance had a fault"

    def _advice(self) -> str:
        wait = "" if self.retry_after is None else f" after {math.ceil(self.retry_after)} s"
        return f"The call may or may not have taken effect; it is safe to repeat{wait}."


class LeaseLost(ListenKeyError):
    """A keeper could not renew the listen key in time (`__cause__` says why). The loss is final: start anew.

    Attributes:
        retry_after: seconds to wait before anything is sent, after a 429 or 418. None when there is no wait.
    """

    def __init__(self, what: str, retry_after: float | None = None) -> None:
        super().__init__(what, retry_after)
        self.retry_after = retry_after

    def __str__(self) -> str:
        return str(self.args[0])


class SnapshotError(ListenKeyError):
    """An answer that was loaded into an `AccountState` is not what account.yaml describes. The state is as before.

    Attributes:
        field: the part of the answer, such as ``open_orders[0].orderId``.

    Args:
        field: as above.
        what: what is wrong with the field.
    """

    def __init__(self, field: str, what: str) -> None:
        super().__init__(field, what)
        self.field = field

    def __str__(self) -> str:
        what = f"{self.field} {self.args[1]}"
        return f"Not a snapshot that Binance documents: {what}. Pass Binance's answer as parsed JSON."
