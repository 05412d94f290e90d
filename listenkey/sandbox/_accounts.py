"""The answers of the exchange: a listen key for each account, a usage for each client address. Has no connections."""

from __future__ import annotations

import json
import math
import re
import secrets
import string
import threading
import time
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ENDPOINT = "/eapi/v1/listenKey"
SNAPSHOTS = ("/eapi/v1/openOrders", "/eapi/v1/position", "/eapi/v1/marginAccount")
WELL_FORMED = re.compile(r"[!-~]+")  # an API key
_MINUTE, _FIRST_BAN, _LONGEST_BAN = 60.0, 120.0, 3 * 86400.0  # seconds
_BAN_AFTER = 5  # answers of 429 in one minute; the next is 418


@dataclass(frozen=True)
class Answer:
    """An answer over HTTP. A header that is None is left out."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str | None] = field(default_factory=dict)


def as_json(value: object) -> bytes:
    """Write JSON without spaces."""
    return json.dumps(value, separators=(",", ":")).encode()


def error(status: int, code: int, msg: str, headers: Mapping[str, str | None] = MappingProxyType({})) -> Answer:
    """Make an error as Binance writes errors."""
    return Answer(status, as_json({"code": code, "msg": msg}), headers)


def _retry_after(seconds: float) -> dict[str, str | None]:
    return {"Retry-After": str(max(1, math.ceil(round(seconds, 3))))}  # rounded: a sum of floats may be a hair too long


@dataclass
class _Usage:
    """The past of a client address. Times are seconds of the monotonic clock."""

    since: float
    weight: int = 0
    refused: int = 0  # answers of 429 since then
    banned_until: float = 0.0
    bans: int = 0


class Accounts:
    """The state of the exchange. Any thread may call; nothing here waits."""

    def __init__(self, life: float, names: Mapping[str, str] | None, *, expiration: bool, limit: int | None) -> None:
        self._life, self._names, self._expiration, self._limit = life, names, expiration, limit
        self._lock = threading.Lock()
        self._keys: dict[str, tuple[str, float]] = {}  # by account: the listen key, when it ends (monotonic)
        self._usages: dict[str, _Usage] = {}

    def count(self, address: str, weight: int) -> int:
        """Count a call, and give the weight that the address has used in the running minute."""
        with self._lock:
            now = time.monotonic()
            usage = self._usages.setdefault(address, _Usage(now))
            if now >= usage.since + _MINUTE:
                usage.since, usage.weight, usage.refused = now, 0, 0
            usage.weight += weight
            return usage.weight

    def account_of(self, key: str) -> str | None:
        """Name the account that a live listen key is of."""
        with self._lock:
            now = time.monotonic()
            return next((name for name, (value, end) in self._keys.items() if value == key and now < end), None)

    def expire(self, account: str | None = None) -> None:
        """End the listen key of an account. None: of every account."""
        with self._lock:
            if account is None:
                self._keys.clear()
            else:
                self._keys.pop(account, None)

    def answer(self, method: str, path: str, api_key: str | None, address: str) -> Answer | str:
        """Answer a call, whose weight is counted already. A call for a snapshot: give the name of the account."""
        with self._lock:
            now = time.monotonic()
            if refusal := self._over_limit(self._usages[address], now):
                return refusal
            if path not in (ENDPOINT, *SNAPSHOTS):
                return Answer(404, b"<html><body><h1>404 Not Found</h1></body></html>", {"Content-Type": "text/html"})
            methods = ("POST", "PUT", "DELETE") if path == ENDPOINT else ("GET",)
            if method not in methods:
                return error(405, -1020, "This operation is not supported.", {"Allow": ", ".join(methods)})
            if api_key is None or not WELL_FORMED.fullmatch(api_key):
                return error(401, -2014, "API-key format invalid.")
            account = api_key if self._names is None else self._names.get(api_key)
            if account is None:
                return error(401, -2015, "Invalid API-key, IP, or permissions for action.")
            return self._act(method, account, now) if path == ENDPOINT else account

    def _over_limit(self, usage: _Usage, now: float) -> Answer | None:
        if now >= usage.banned_until:
            if self._limit is None or usage.weight <= self._limit:
                return None
            usage.refused += 1
            if usage.refused <= _BAN_AFTER:
                msg = f"Too many requests; the limit is {self._limit} weight a minute."
                return error(429, -1008, msg, _retry_after(usage.since + _MINUTE - now))
            usage.banned_until = now + min(_FIRST_BAN * 2**usage.bans, _LONGEST_BAN)
            usage.bans += 1
        left = usage.banned_until - now
        until = round((time.time() + left) * 1000)
        return error(418, -1008, f"Way too many requests; IP banned until {until}.", _retry_after(left))

    def _act(self, method: str, account: str, now: float) -> Answer:
        key, ends = self._keys.get(account, ("", now))
        alive = now < ends
        if not alive and method != "POST":
            return error(400, -1125, "This listenKey does not exist.")
        if method == "DELETE":
            del self._keys[account]
            return Answer(200, b"{}")
        if not alive:
            key = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(64))
        self._keys[account] = key, now + self._life
        if method == "PUT":
            return Answer(200, b"{}")
        expiration = {"expiration": int((time.time() + self._life) * 1000)} if self._expiration else {}
        return Answer(200, as_json({"listenKey": key, **expiration}))
