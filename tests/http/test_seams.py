"""Mocks, recorders and telemetry that know httpx: each real tool sees the calls of both twins."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx  # noqa: TID251  pytest-httpx says with httpx's errors that nothing was mocked
import pytest
import respx
import vcr  # type: ignore[import-untyped]
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pytest_httpx import HTTPXMock

from listenkey import AsyncListenKeyClient, ListenKey, ListenKeyClient, ServerError, TransportError, Unauthorized
from listenkey.sandbox import Sandbox
from tests.conftest import API_KEY

URL = "https://eapi.binance.com/eapi/v1/listenKey"
ANSWER = {"listenKey": "L" * 64, "expiration": 1900000000000}
Start = Callable[..., ListenKey]


@pytest.fixture(params=["sync", "async"])
def start(request: pytest.FixtureRequest) -> Start:
    def call(**settings: Any) -> ListenKey:
        if request.param == "sync":
            with ListenKeyClient(API_KEY, **settings) as client:
                return client.start()

        async def twin() -> ListenKey:
            async with AsyncListenKeyClient(API_KEY, **settings) as client:
                return await client.start()

        return asyncio.run(twin())

    return call


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


class TestPytestHttpx:
    def test_an_answer_is_taken(self, httpx_mock: HTTPXMock, start: Start) -> None:
        httpx_mock.add_response(method="POST", url=URL, json=ANSWER)
        assert start().value == ANSWER["listenKey"]
        (request,) = httpx_mock.get_requests()
        assert API_KEY not in str(request.headers)

    def test_an_error_is_named(self, httpx_mock: HTTPXMock, start: Start) -> None:
        httpx_mock.add_response(status_code=401, json={"code": -2015, "msg": "No."})
        with pytest.raises(Unauthorized, match="-2015"):
            start()

    def test_an_answer_that_is_too_long_is_unexpected(self, httpx_mock: HTTPXMock, start: Start) -> None:
        httpx_mock.add_response(text="x" * 100_000)
        with pytest.raises(Exception, match="its body is not a JSON object"):
            start()

    @pytest.mark.httpx_mock(assert_all_requests_were_expected=False)
    def test_nothing_is_sent_that_is_not_mocked(self, httpx_mock: HTTPXMock, start: Start) -> None:
        httpx_mock.add_response(url="https://another.test/", is_optional=True)
        with pytest.raises(TransportError) as raised:
            start(attempts=1)
        assert isinstance(raised.value.__cause__, httpx.TimeoutException)  # the rule of pytest-httpx


class TestRespx:
    @respx.mock
    def test_an_answer_is_taken(self, start: Start) -> None:
        route = respx.post(URL).respond(json=ANSWER)
        assert start().value == ANSWER["listenKey"]
        assert route.call_count == 1

    def test_nothing_is_sent_that_is_not_mocked_nor_is_it_tried_again(self, start: Start) -> None:
        with respx.mock(assert_all_called=False) as router:
            router.get("https://another.test/")
            with pytest.raises(AssertionError, match="not mocked"):
                start()
            assert len(router.calls) <= 1


def test_a_recording_is_played_back(start: Start, listenkey_sandbox: Sandbox, tmp_path: Path) -> None:
    cassette = str(tmp_path / "start.yaml")
    with vcr.use_cassette(cassette):
        first = start(base_url=listenkey_sandbox.url)
    with vcr.use_cassette(cassette):
        assert start(base_url=listenkey_sandbox.url) == first
    assert len(listenkey_sandbox.requests) == 1
    assert API_KEY not in Path(cassette).read_text(encoding="utf-8")  # the listen key is there: it is the answer


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    HTTPXClientInstrumentor().instrument(tracer_provider=provider)
    yield exporter
    HTTPXClientInstrumentor().uninstrument()


def test_each_attempt_is_a_span_without_a_secret(
    spans: InMemorySpanExporter, start: Start, listenkey_sandbox: Sandbox
) -> None:
    listenkey_sandbox.faults.add("status", status=503, body={})
    key = start(base_url=listenkey_sandbox.url)
    listenkey_sandbox.faults.add("status", status=503, body={})
    with pytest.raises(ServerError):
        start(base_url=listenkey_sandbox.url, attempts=1)
    told = spans.get_finished_spans()
    assert [(span.attributes or {})["http.status_code"] for span in told] == [503, 200, 503]
    for span in told:
        assert API_KEY not in span.to_json()
        assert key.value not in span.to_json()
