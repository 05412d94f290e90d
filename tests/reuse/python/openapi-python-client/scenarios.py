"""Does the steps of a scenario and prints, a line each, what the generated client saw."""

import json
import os

from binance_options_client import AuthenticatedClient  # noqa: TID251  the generated client is what is tried
from binance_options_client.api.user_data_stream import (  # noqa: TID251
    close_user_data_stream,
    keepalive_user_data_stream,
    start_user_data_stream,
)
from binance_options_client.models import BinanceError, EmptyResponse, ListenKeyResponse  # noqa: TID251
from binance_options_client.types import Response, Unset  # noqa: TID251


def seen(
    answer: Response[BinanceError | ListenKeyResponse] | Response[BinanceError | EmptyResponse],
) -> dict[str, object]:
    match answer.parsed:
        case ListenKeyResponse(listen_key=key, expiration=expiration):
            return {"key": key, "expiration": None if isinstance(expiration, Unset) else str(expiration)}
        case EmptyResponse():
            return {"done": True}
        case BinanceError(code=code):
            retry_after = answer.headers.get("Retry-After")
            return {"error": True, "status": answer.status_code, "code": code, "retryAfter": retry_after}
        case None:
            return {"error": True, "status": answer.status_code}


def main() -> None:
    api_key = os.environ["BINANCE_API_KEY"]
    client = AuthenticatedClient(os.environ["BASE_URL"], api_key, prefix="", auth_header_name="X-MBX-APIKEY")
    for step in os.environ["STEPS"].split():
        if step == "post":
            print(json.dumps(seen(start_user_data_stream.sync_detailed(client=client))))
        elif step == "put":
            print(json.dumps(seen(keepalive_user_data_stream.sync_detailed(client=client))))
        else:
            print(json.dumps(seen(close_user_data_stream.sync_detailed(client=client))))


if __name__ == "__main__":
    main()
