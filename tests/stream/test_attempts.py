"""Waits between attempts to open a socket, as a table."""

import ssl
from random import Random

import pytest

from listenkey.errors import (
    ApiError,
    ConfigurationError,
    ListenKeyError,
    RateLimited,
    ServerError,
    TransportError,
    Unauthorized,
    UnexpectedResponse,
)
from listenkey.stream._attempts import Attempts, may_be_open, may_be_the_key
from listenkey.stream._pace import Pace

PACE = Pace()
FORBIDDEN, LOGIN = ApiError(403, None, "refused"), ApiError(407, None, "a login")


class NoJitter(Random):
    def uniform(self, a: float, b: float) -> float:
        return a


def attempts(*, has_worked: bool = False) -> Attempts:
    made = Attempts(0.0, PACE, NoJitter())
    if has_worked:
        made.worked()
    return made


def caused(cause: Exception) -> TransportError:
    error = TransportError("no answer")
    error.__cause__ = cause
    return error


def test_the_first_is_made_at_once_and_the_address_may_make_it_wait() -> None:
    made = attempts()
    assert made.next_at == 0.0
    made.not_before = 7.0
    assert made.next_at == 7.0


def test_waits_are_doubled_up_to_48_seconds_and_short_again_after_a_stable_minute() -> None:
    made, waits = attempts(), []
    for _ in range(8):
        made.begin()
        made.wait(0.0)
        waits.append(made.next_at)
    assert waits == [1, 2, 4, 8, 16, 32, 48, 48]
    made.stable()
    made.wait(100.0)
    assert made.next_at == 48.0  # a socket that has lived is replaced at once
    made.begin()
    made.wait(100.0)
    assert made.next_at == 101.0


def test_jitter_is_a_quarter_at_most() -> None:
    made = Attempts(0.0, PACE, Random(1))
    made.begin()
    made.wait(0.0)
    assert 1.0 < made.next_at <= 1.25


def test_another_key_is_tried_at_once_unless_each_new_socket_is_sent_away() -> None:
    made = attempts()
    made.begin()
    made.wait(0.0)
    made.hurry(0.5)
    assert made.next_at == 0.5
    made.replaced(0.5)
    assert made.next_at == 0.5  # a single attempt, and it went well
    made.begin()
    made.replaced(0.5)
    made.hurry(0.6)
    assert made.next_at == 2.5


@pytest.mark.parametrize(
    ("has_worked", "waits"),
    [(False, [10, 20, 40, 48]), (True, [30, 60, 120, 240, 480, 960, 960, 960])],
)
def test_refusals_make_waits_longer(*, has_worked: bool, waits: list[float]) -> None:
    made, found = attempts(has_worked=has_worked), []
    for _ in waits:
        assert not made.ended(0.0, FORBIDDEN)
        found.append(made.next_at)
    assert found == waits
    assert made.ended(0.0, FORBIDDEN) is not has_worked  # the fifth in a row ends a stream that has never worked


def test_refusals_in_a_row_are_counted() -> None:
    made = attempts()
    for _ in range(3):
        for _ in range(4):
            assert not made.ended(0.0, FORBIDDEN)
        made.handshake_done()
    for _ in range(4):
        assert not made.ended(0.0, FORBIDDEN)
    assert not made.ended(0.0, TransportError("no answer"))
    assert not made.ended(0.0, FORBIDDEN)


@pytest.mark.parametrize(
    ("error", "is_final"),
    [
        (None, False),
        (TransportError("no answer"), False),
        (RateLimited(429), False),
        (ServerError(503), False),
        (FORBIDDEN, False),
        (UnexpectedResponse(302, "a redirect"), False),
        (LOGIN, True),
        (ConfigurationError("wrong"), True),
        (caused(ssl.SSLCertVerificationError("not trusted")), True),
    ],
)
def test_what_ends_a_stream_at_once_that_has_never_worked(error: ListenKeyError | None, *, is_final: bool) -> None:
    assert attempts().ended(0.0, error) is is_final
    assert not attempts(has_worked=True).ended(0.0, error)


@pytest.mark.parametrize(("wish", "wait"), [(None, 0.0), (20.0, 20.0), (3600.0, 48.0)])
def test_the_wish_of_a_server_with_a_fault_is_followed_within_reason(wish: float | None, wait: float) -> None:
    made = attempts()
    made.ended(0.0, ServerError(503, retry_after=wish))
    assert made.next_at == wait


@pytest.mark.parametrize(
    ("error", "is_key", "is_open"),
    [
        (None, False, False),
        (FORBIDDEN, True, False),
        (Unauthorized(401), True, False),
        (LOGIN, False, False),
        (RateLimited(429), False, False),
        (ServerError(503), False, False),
        (TransportError("no answer"), False, True),
        (caused(ConnectionRefusedError(111, "refused")), False, False),
    ],
)
def test_what_an_error_may_mean(error: ListenKeyError | None, *, is_key: bool, is_open: bool) -> None:
    assert may_be_the_key(error) is is_key
    assert may_be_open(error) is is_open
