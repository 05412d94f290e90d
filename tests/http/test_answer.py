"""What an answer means, as tables: no server is needed."""

import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenkey import (
    ApiError,
    ConfigurationError,
    KeyNotFound,
    ListenKeyError,
    RateLimited,
    ServerError,
    TransportError,
    Unauthorized,
    UnexpectedResponse,
)
from listenkey._http.answer import RawAnswer, error_in, instant
from listenkey._http.faults import is_refusal, worth_repeating
from listenkey._http.masking import cleaned, described, masked
from tests.conftest import API_KEY

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
LISTEN_KEY = "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1"


def error(status: int, body: bytes | None = b"", **headers: str) -> ListenKeyError | None:
    answer = RawAnswer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)
    return error_in(answer, API_KEY, NOW, brings_key=True)


@pytest.mark.parametrize("expiration", [-1, 0, 1, 1_762_855_900, -1_762_855_900_452, 946_684_799_999, 10**14, 10**30])
def test_an_expiration_that_no_clock_shows(expiration: int) -> None:
    found = error(200, b'{"listenKey":"k","expiration":%d}' % expiration)
    assert isinstance(found, UnexpectedResponse)
    assert "its expiration is no date" in str(found)


@pytest.mark.parametrize("expiration", [1_762_855_900_452, 946_684_800_000, 4_102_444_800_000])
def test_an_expiration_that_a_clock_shows(expiration: int) -> None:
    assert error(200, b'{"listenKey":"k","expiration":%d}' % expiration) is None
    found = instant(expiration)
    assert found is not None
    assert round(found.timestamp() * 1000) == expiration


def ban(seconds: float) -> bytes:
    """Make the body of a 418 that ends so many seconds from now."""
    until = round((NOW.timestamp() + seconds) * 1000)
    return b'{"code":-1003,"msg":"Way too many requests; IP banned until %d."}' % until


@pytest.mark.parametrize(
    ("body", "retry_after", "date", "expected"),
    [
        (ban(300), "5", 0, 300),  # two ends: the longer
        (ban(5), "300", 0, 300),
        (ban(300), None, 0, 300),
        (ban(300), None, -7200, 300),  # a Date two hours behind makes no ban of two hours
        (ban(300), None, 7200, 300),
        (ban(300), "5", -7200, 300),
        (ban(300), None, -30, 330),  # within a minute the two clocks may differ: the server's own counts
        (ban(-10), None, 0, 0),
        (ban(-7300), None, -7200, 0),
        (b"", "120", -7200, 120),
    ],
)
@pytest.mark.parametrize("status", [418, 429])
def test_the_wait_after_a_ban(status: int, body: bytes, retry_after: str | None, date: int, expected: float) -> None:
    headers = {"date": format_datetime(NOW + timedelta(seconds=date), usegmt=True)}
    if retry_after is not None:
        headers["retry_after"] = retry_after
    found = error(status, body, **headers)
    assert isinstance(found, RateLimited)
    assert found.retry_after == pytest.approx(expected)


@pytest.mark.parametrize("date", [-7200, 0, 7200])
def test_a_retry_after_that_is_a_date(date: int) -> None:
    end = format_datetime(NOW + timedelta(seconds=90), usegmt=True)
    sent = format_datetime(NOW + timedelta(seconds=date), usegmt=True)
    found = error(429, retry_after=end, date=sent)
    assert isinstance(found, RateLimited)
    assert found.retry_after == 90


REFUSALS: list[tuple[ListenKeyError, bool]] = [
    (Unauthorized(401), True),
    (Unauthorized(400, -2015), True),
    (ApiError(403), True),
    (ApiError(407), True),
    (ApiError(401), True),  # a proxy's
    (ApiError(400, -1102), False),
    (ApiError(404), False),
    (KeyNotFound(400, -1125), False),
    (RateLimited(403, -1003), False),  # a wait for the whole address
    (RateLimited(429), False),
    (ServerError(503), False),
    (TransportError("No answer."), False),
    (UnexpectedResponse(200, "its body is an error"), False),
    (ConfigurationError("This client is closed."), False),
]


@pytest.mark.parametrize(("found", "refused"), REFUSALS, ids=lambda value: repr(value)[:40])
def test_refusals(found: ListenKeyError, refused: bool) -> None:
    assert is_refusal(found) is refused
    if refused:
        assert not worth_repeating(found)


def test_a_certificate_is_not_worth_repeating() -> None:
    certificate, other = TransportError("x"), TransportError("x")
    certificate.__cause__ = RuntimeError()
    certificate.__cause__.__cause__ = ssl.SSLCertVerificationError(1, "no")
    other.__cause__ = ssl.SSLError(1, "wrong version number")
    assert not worth_repeating(certificate)
    assert worth_repeating(other)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (ValueError(f"illegal status line: bytearray(b'{LISTEN_KEY}')"), "illegal status line"),
        (ValueError(f'{{"listenKey": "{LISTEN_KEY}"}}'), "no reason given"),
        (ValueError(f"malformed {LISTEN_KEY} {API_KEY}"), "malformed *** ***"),
        (ValueError("x" * 90_000), "x" * 200),
        (ValueError("one\ntwo\x1b[31m"), "one two"),
        (ConnectionResetError(104, "Connection reset by peer"), "[Errno 104] Connection reset by peer"),
        (ConnectionResetError(104, f"reset {API_KEY}"), "[Errno 104] reset ***"),
        (OSError(f"no errno: {API_KEY}"), "no errno"),
        (RuntimeError("can't start new thread"), "can't start new thread"),
        (RuntimeError(f"the peer's name isn't '{API_KEY}'"), "the peer's name isn't"),
        (RuntimeError(f"bad header b't {API_KEY}'"), "bad header b"),
        (RuntimeError("it's the hosts' fault"), "it's the hosts"),
        (ValueError(), "no reason given"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_library_error_is_described_without_what_it_quotes(failure: Exception, expected: str) -> None:
    assert described(failure, API_KEY) == expected


@pytest.mark.parametrize(
    ("api_key", "text", "expected"),
    [
        ("any", "Too many requests; any key: any.", "Too many requests; *** key: ***."),
        ("e", "Too many requests", "Too many requests"),
        ("e", '{"key":"e"}', '{"key":"***"}'),
        ("a.b", "a.b a-b xa.b", "*** a-b xa.b"),
        ("0123456789abcdef", r"\n0123456789abcdefx", r"\n***x"),  # where a word begins is not always to be seen
    ],
)
def test_a_short_api_key_is_masked_as_a_word(api_key: str, text: str, expected: str) -> None:
    assert masked(text, api_key) == expected
    assert cleaned(text, api_key) == expected


@given(st.text())
def test_a_text_is_clean(text: str) -> None:
    clean = cleaned(f"{text} {API_KEY} {text} {LISTEN_KEY}", API_KEY)
    assert len(clean) <= 200
    assert clean.isprintable()
    assert API_KEY not in clean
    assert LISTEN_KEY not in clean
