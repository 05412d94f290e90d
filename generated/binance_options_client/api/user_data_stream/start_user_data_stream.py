from http import HTTPStatus
from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.binance_error import BinanceError
from ...models.listen_key_response import ListenKeyResponse
from ...types import Response


def _get_kwargs() -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/eapi/v1/listenKey",
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> BinanceError | ListenKeyResponse | None:
    if response.status_code == 200:
        response_200 = ListenKeyResponse.from_dict(response.json())

        return response_200

    if response.status_code == 418:
        response_418 = BinanceError.from_dict(response.json())

        return response_418

    if response.status_code == 429:
        response_429 = BinanceError.from_dict(response.json())

        return response_429

    if 400 <= response.status_code <= 499:
        response_4xx = BinanceError.from_dict(response.json())

        return response_4xx

    if 500 <= response.status_code <= 599:
        response_5xx = BinanceError.from_dict(response.json())

        return response_5xx

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[BinanceError | ListenKeyResponse]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
) -> Response[BinanceError | ListenKeyResponse]:
    """Start User Data Stream

     Makes the account's listen key, valid for 60 minutes. While the account has a live key, returns that
    same key and puts its validity back to 60 minutes. The stream closes after 60 minutes unless a
    keepalive is sent.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[BinanceError | ListenKeyResponse]
    """

    kwargs = _get_kwargs()

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
) -> BinanceError | ListenKeyResponse | None:
    """Start User Data Stream

     Makes the account's listen key, valid for 60 minutes. While the account has a live key, returns that
    same key and puts its validity back to 60 minutes. The stream closes after 60 minutes unless a
    keepalive is sent.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        BinanceError | ListenKeyResponse
    """

    return sync_detailed(
        client=client,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
) -> Response[BinanceError | ListenKeyResponse]:
    """Start User Data Stream

     Makes the account's listen key, valid for 60 minutes. While the account has a live key, returns that
    same key and puts its validity back to 60 minutes. The stream closes after 60 minutes unless a
    keepalive is sent.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[BinanceError | ListenKeyResponse]
    """

    kwargs = _get_kwargs()

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
) -> BinanceError | ListenKeyResponse | None:
    """Start User Data Stream

     Makes the account's listen key, valid for 60 minutes. While the account has a live key, returns that
    same key and puts its validity back to 60 minutes. The stream closes after 60 minutes unless a
    keepalive is sent.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        BinanceError | ListenKeyResponse
    """

    return (
        await asyncio_detailed(
            client=client,
        )
    ).parsed
