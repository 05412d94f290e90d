"""What README says of the generated client when it is driven bare; a new generator may change it."""

import json

import pytest
from binance_options_client import AuthenticatedClient  # noqa: TID251  it is what is tested
from binance_options_client.api.user_data_stream import (  # noqa: TID251  it is what is tested
    keepalive_user_data_stream,
    start_user_data_stream,
)
from binance_options_client.models import BinanceError, ListenKeyResponse  # noqa: TID251  it is what is tested

from listenkey.sandbox import Sandbox

from .conftest import API_KEY


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
