"""What docs/generated-client.md says of the generated client, driven bare; a new generator may change it."""

import json

import httpx  # noqa: TID251  it is how the generated client is set
import pytest
from binance_options_client import AuthenticatedClient  # noqa: TID251  it is what is tested
from binance_options_client.api.user_data_stream import (  # noqa: TID251  it is what is tested
    close_user_data_stream,
    keepalive_user_data_stream,
    start_user_data_stream,
)
from binance_options_client.models import BinanceError, ListenKeyResponse  # noqa: TID251  it is what is tested

from listenkey.sandbox import Sandbox
from tests.conftest import API_KEY


@pytest.fixture
def bare(listenkey_sandbox: Sandbox) -> AuthenticatedClient:
    return AuthenticatedClient(
        base_url=listenkey_sandbox.url, token=API_KEY, prefix="", auth_header_name="X-MBX-APIKEY"
    )


def test_a_documented_error_is_returned(bare: AuthenticatedClient) -> None:
    with bare:
        answer = keepalive_user_data_stream.sync(client=bare)
    assert isinstance(answer, BinanceError)
    assert answer.code == -1125


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [(520, b"{}", ValueError), (403, "<html>", json.JSONDecodeError), (200, {}, KeyError)],
)
def test_an_answer_that_is_not_documented_breaks_it(
    bare: AuthenticatedClient, listenkey_sandbox: Sandbox, status: int, body: object, error: type[Exception]
) -> None:
    listenkey_sandbox.faults.add("status", status=status, body=body)
    with bare, pytest.raises(error):
        start_user_data_stream.sync(client=bare)


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_put_and_delete_need_no_body(bare: AuthenticatedClient, listenkey_sandbox: Sandbox, body: bytes) -> None:
    listenkey_sandbox.faults.add("status", times=2, body=body)
    with bare:
        answers = [
            operation.sync_detailed(client=bare) for operation in (keepalive_user_data_stream, close_user_data_stream)
        ]
    assert [(answer.status_code, answer.parsed) for answer in answers] == [(200, None), (200, None)]


def test_a_hook_that_raises_tells_the_status_of_an_answer_without_json(listenkey_sandbox: Sandbox) -> None:
    def status_first(response: httpx.Response) -> None:
        response.read()
        response.raise_for_status()

    client = AuthenticatedClient(
        listenkey_sandbox.url, API_KEY, httpx_args={"event_hooks": {"response": [status_first]}}
    )
    listenkey_sandbox.faults.add("status", status=520, body="<html>")
    with client, pytest.raises(httpx.HTTPStatusError) as caught:
        start_user_data_stream.sync(client=client)
    assert (caught.value.response.status_code, caught.value.response.text) == (520, "<html>")


def test_another_timeout_changes_the_original_too(bare: AuthenticatedClient) -> None:
    with bare:
        bare.with_timeout(httpx.Timeout(3.0))
        assert bare.get_httpx_client().timeout == httpx.Timeout(3.0)


def test_null_passes_for_a_key(bare: AuthenticatedClient, listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("status", body={"listenKey": None})
    with bare:
        answer = start_user_data_stream.sync(client=bare)
    assert isinstance(answer, ListenKeyResponse)
    assert answer.listen_key is None


def test_its_repr_shows_the_api_key_and_it_waits_for_ever(bare: AuthenticatedClient) -> None:
    assert API_KEY in repr(bare)
    with bare:
        timeouts = bare.get_httpx_client().timeout
        assert (timeouts.connect, timeouts.read) == (None, None)
