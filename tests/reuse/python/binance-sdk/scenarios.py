"""Does the steps of a scenario and prints, a line each, what Binance's own SDK saw."""

import json
import os

from binance_common.configuration import ConfigurationRestAPI
from binance_common.errors import (
    BadRequestError,
    Error,
    ForbiddenError,
    ServerError,
    TooManyRequestsError,
    UnauthorizedError,
)
from binance_sdk_derivatives_trading_options.derivatives_trading_options import DerivativesTradingOptions

# The SDK tells the HTTP status by the class alone; its `status_code` is the error code of the body.
STATUS = {
    BadRequestError: 400,
    UnauthorizedError: 401,
    ForbiddenError: 403,
    TooManyRequestsError: 429,
    ServerError: 503,
}


def act(client: DerivativesTradingOptions, step: str) -> dict[str, object]:
    if step == "post":
        answer = client.rest_api.start_user_data_stream().data()
        return {"key": answer.listen_key, "expiration": None if answer.expiration is None else str(answer.expiration)}
    if step == "put":
        client.rest_api.keepalive_user_data_stream()
    else:
        client.rest_api.close_user_data_stream()
    return {"done": True}


def failure(error: Error) -> dict[str, object]:
    seconds = error.retry_after if isinstance(error, TooManyRequestsError) else None
    retry_after = None if seconds is None else str(seconds)
    code = getattr(error, "status_code", None)
    return {"error": True, "status": STATUS.get(type(error)), "code": code, "retryAfter": retry_after}


def main() -> None:
    configuration = ConfigurationRestAPI(
        api_key=os.environ["BINANCE_API_KEY"],
        base_path=os.environ["BASE_URL"],
        retries=0,  # a scenario counts the requests
    )
    client = DerivativesTradingOptions(config_rest_api=configuration)
    for step in os.environ["STEPS"].split():
        try:
            seen = act(client, step)
        except Error as error:
            seen = failure(error)
        print(json.dumps(seen))


if __name__ == "__main__":
    main()
