"""Does the steps of a scenario and prints, a line each, what the generated client saw."""

import json
import os

# README: begin
import openapi_client

# README: end


def main() -> None:
    base_url = os.environ["BASE_URL"]
    # README: begin
    api_key = {"ApiKey": os.environ["BINANCE_API_KEY"]}
    # Without retries=0 urllib3 sends PUT and DELETE again after the seconds of Retry-After.
    configuration = openapi_client.Configuration(host=base_url, api_key=api_key, retries=0)
    client = openapi_client.ApiClient(configuration)
    api = openapi_client.UserDataStreamApi(client)
    # README: end
    for step in os.environ["STEPS"].split():
        try:
            seen = act(api, step)
        except openapi_client.ApiException as error:
            seen = failure(error)
        print(json.dumps(seen))


def act(api: openapi_client.UserDataStreamApi, step: str) -> dict[str, object]:
    if step == "post":
        # README: begin
        answer = api.start_user_data_stream()
        key, expiration = answer.listen_key, answer.expiration
        # README: end
        return {"key": key, "expiration": None if expiration is None else str(expiration)}
    if step == "put":
        api.keepalive_user_data_stream()
    else:
        api.close_user_data_stream()
    return {"done": True}


def failure(error: openapi_client.ApiException) -> dict[str, object]:
    code = error.data.code if isinstance(error.data, openapi_client.BinanceError) else None
    return {"error": True, "status": error.status, "code": code, "retryAfter": (error.headers or {}).get("Retry-After")}


if __name__ == "__main__":
    main()
