"""Does the steps of a scenario and prints, a line each, what the generated client saw."""

import json
import os

import httpx  # noqa: TID251  it is how the generated client is set
from binance_options_client import AuthenticatedClient  # noqa: TID251  the generated client is what is tried
from binance_options_client.api.user_data_stream import (  # noqa: TID251
    close_user_data_stream,
    keepalive_user_data_stream,
    start_user_data_stream,
)
from binance_options_client.models import ListenKeyResponse  # noqa: TID251
from binance_options_client.types import Unset  # noqa: TID251


def status_first(response: httpx.Response) -> None:
    """Raise for every status but 2xx: the generated parser takes every body for JSON, an empty one too."""
    response.read()
    response.raise_for_status()


def act(client: AuthenticatedClient, step: str) -> dict[str, object]:
    if step == "post":
        answer = start_user_data_stream.sync(client=client)
        if not isinstance(answer, ListenKeyResponse) or not isinstance(answer.listen_key, str):
            return {"error": True}
        expiration = None if isinstance(answer.expiration, Unset) else str(answer.expiration)
        return {"key": answer.listen_key, "expiration": expiration}
    if step == "put":
        keepalive_user_data_stream.sync(client=client)
    else:
        close_user_data_stream.sync(client=client)
    return {"done": True}


def failure(response: httpx.Response) -> dict[str, object]:
    retry_after = response.headers.get("Retry-After")
    try:
        code = response.json().get("code")
    except (ValueError, AttributeError):  # an empty body, or a firewall's page
        code = None
    return {"error": True, "status": response.status_code, "code": code, "retryAfter": retry_after}


def main() -> None:
    client = AuthenticatedClient(
        os.environ["BASE_URL"],
        os.environ["BINANCE_API_KEY"],
        prefix="",
        auth_header_name="X-MBX-APIKEY",
        timeout=httpx.Timeout(10.0),
        httpx_args={"event_hooks": {"response": [status_first]}},
    )
    for step in os.environ["STEPS"].split():
        try:
            seen = act(client, step)
        except httpx.HTTPStatusError as error:
            seen = failure(error.response)
        except (KeyError, ValueError):  # a 200 without a key, or without JSON
            seen = {"error": True}
        print(json.dumps(seen))


if __name__ == "__main__":
    main()
