"""The text of an error is a product: here is every one, word for word."""

import pickle
import re
from pathlib import Path

import pytest

from listenkey import (
    ApiError,
    Banned,
    ConfigurationError,
    KeyNotFound,
    LeaseLost,
    ListenKeyError,
    RateLimited,
    ServerError,
    TransportError,
    Unauthorized,
    UnexpectedResponse,
    errors,
)

CHECK = "Check the API key, its permissions and the addresses it may be used from."
TEXTS: list[tuple[ListenKeyError, str]] = [
    (ApiError(400), "Binance refused the call. (HTTP 400)"),
    (ApiError(400, -1102, "A parameter is missing."), "A parameter is missing. (HTTP 400, code -1102)"),
    (
        ApiError(403),
        "Binance refused the call. A firewall refused it: stop, and wait long before the next call. (HTTP 403)",
    ),
    (ApiError(404), "Binance refused the call. Check base_url. (HTTP 404)"),
    (ApiError(410), "Binance refused the call. The endpoint was withdrawn. (HTTP 410)"),
    (
        Unauthorized(401),
        f"Binance does not accept the API key. {CHECK} (HTTP 401)",
    ),
    (
        Unauthorized(401, -2014, "API-key format invalid."),
        f"API-key format invalid. {CHECK} (HTTP 401, code -2014)",
    ),
    (
        KeyNotFound(400, -1125, "This listenKey does not exist."),
        "This listenKey does not exist. Call start() for a new one. (HTTP 400, code -1125)",
    ),
    (
        RateLimited(429, -1008, "Too many requests."),
        "Too many requests. Stop, and wait before the next call; Binance did not say how long. (HTTP 429, code -1008)",
    ),
    (KeyNotFound(400, -1125), "There is no live listen key. Call start() for a new one. (HTTP 400, code -1125)"),
    (ApiError(400, -1102, "Stop!"), "Stop! (HTTP 400, code -1102)"),
    (ApiError(400, -1102, " ... "), "Binance refused the call. (HTTP 400, code -1102)"),
    (
        RateLimited(429, retry_after=0.0),
        "Too many requests. Stop, and wait before the next call; Binance did not say how long. (HTTP 429)",
    ),
    (RateLimited(429, retry_after=29.2), "Too many requests. Send nothing for 30 s. (HTTP 429)"),
    (Banned(418, retry_after=120.0), "This IP address is banned. Send nothing for 120 s. (HTTP 418)"),
    (
        ServerError(503),
        "Binance had a fault. The call may or may not have taken effect; it is safe to repeat. (HTTP 503)",
    ),
    (
        ServerError(503, retry_after=9.0),
        "Binance had a fault. The call may or may not have taken effect; it is safe to repeat after 9 s. (HTTP 503)",
    ),
    (
        UnexpectedResponse(200, "its body is not a JSON object"),
        "Not an answer that Binance documents: its body is not a JSON object. Check base_url and any proxy. (HTTP 200)",
    ),
    (ApiError(404, advice="Ask."), "Binance refused the call. Ask. (HTTP 404)"),
    (ServerError(503, reason="No.", retry_after=9.0, advice=""), "No. (HTTP 503)"),
    (
        UnexpectedResponse(200, "it is HTML", setting="stream_url"),
        "Not an answer that Binance documents: it is HTML. Check stream_url and any proxy. (HTTP 200)",
    ),
    (ConfigurationError("attempts must be a whole number, 1 or more."), "attempts must be a whole number, 1 or more."),
    (TransportError("No answer."), "No answer."),
    (LeaseLost("Not renewed in time."), "Not renewed in time."),
]


@pytest.mark.parametrize(("error", "text"), TEXTS, ids=lambda value: type(value).__name__)
def test_text(error: ListenKeyError, text: str) -> None:
    assert str(error) == text


BARE: list[ListenKeyError] = [
    KeyNotFound(400),
    Unauthorized(401),
    RateLimited(429),
    RateLimited(429, retry_after=30.0),
    Banned(418, retry_after=9.0),
]
BARE += [ServerError(503), ApiError(403), ApiError(404), ApiError(410), UnexpectedResponse(200, "it is HTML")]


def test_the_page_lists_the_texts() -> None:
    """A reader who has an error's text finds it by search."""
    page = (Path(__file__).parents[1] / "docs" / "errors.md").read_text(encoding="utf-8")
    table = page.partition("## The texts")[2].partition("\n## ")[0]
    rows = [row.split("…") for row in re.findall(r"^\| (.*?) \| ", table, re.MULTILINE)[1:]]
    texts = [str(error) for error in BARE] + [text for _, text in TEXTS]
    invented = [row for row in rows if not any(all(part in text for part in row) for text in texts)]
    assert invented == [["No answer from ", " (", ")"]]  # of a TransportError: tests/http/
    assert [str(error) for error in BARE if not any(all(part in str(error) for part in row) for row in rows)] == []


@pytest.mark.parametrize("error", [error for error, _ in TEXTS], ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling(error: ListenKeyError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


def test_the_tree_on_top_of_the_module_is_the_tree() -> None:
    assert errors.__doc__ is not None
    drawn: list[tuple[str, str]] = []
    above: list[str] = []
    for line in errors.__doc__.splitlines()[2:]:
        name = line.lstrip("│├└─ ").split()[0] if line.strip() else ""
        if name:
            depth = line.index(name) // 3
            above[depth:] = [name]
            drawn.append((name, above[depth - 1] if depth else "Exception"))
    real = [(name, kind.__bases__[0].__name__) for name, kind in vars(errors).items() if isinstance(kind, type)]
    assert sorted(drawn) == sorted(real)
