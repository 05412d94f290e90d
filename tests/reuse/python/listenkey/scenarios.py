"""Does the steps of a scenario and prints, a line each, what this project's own client saw."""

import json
import os
from datetime import UTC, datetime, timedelta

from listenkey import ApiError, ListenKeyClient, ListenKeyError, UnexpectedResponse

EPOCH = datetime.fromtimestamp(0, UTC)


def act(client: ListenKeyClient, step: str) -> dict[str, object]:
    if step == "post":
        key = client.start()
        milliseconds = (key.expires_at - EPOCH) // timedelta(milliseconds=1)
        return {"key": key.value, "expiration": None if key.estimated else str(milliseconds)}
    if step == "put":
        client.keepalive()
        return {"done": True}
    return {"done": client.delete()}


def failure(error: ListenKeyError) -> dict[str, object]:
    if isinstance(error, UnexpectedResponse):
        return {"error": True, "status": error.status}
    if not isinstance(error, ApiError):
        return {"error": True}
    retry_after = None if error.retry_after is None else f"{error.retry_after:g}"
    return {"error": True, "status": error.status, "code": error.code, "retryAfter": retry_after}


def main() -> None:
    # One attempt: a scenario counts the requests.
    with ListenKeyClient(os.environ["BINANCE_API_KEY"], base_url=os.environ["BASE_URL"], attempts=1) as client:
        for step in os.environ["STEPS"].split():
            try:
                seen = act(client, step)
            except ListenKeyError as error:
                seen = failure(error)
            print(json.dumps(seen))


if __name__ == "__main__":
    main()
