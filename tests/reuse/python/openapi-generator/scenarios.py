"""Does the steps of a scenario and prints, a line each, what the generated client saw."""

import json
import os

# docs: begin
import openapi_client
import urllib3

# docs: end


def main() -> None:
    base_url = os.environ["BASE_URL"]
    # docs: begin
    api_key = {"ApiKey": os.environ["BINANCE_API_KEY"]}
    # Otherwise urllib3 follows redirects, with the API key, and sends PUT and DELETE again after Retry-After.
    send_once = urllib3.Retry(total=False)
    configuration = openapi_client.Configuration(host=base_url, api_key=api_key, retries=send_once)
    client = openapi_client.ApiClient(configuration)
    api = openapi_client.UserDataStreamApi(client)
    # docs: end
    for step in os.environ["STEPS"].split():
        try:
            seen = act(api, step)
        except openapi_client.ApiException as error:
            seen = failure(error)
        except ValueError:  # a 200 that is not the documented answer
            seen = {"error": True}
        print(json.dumps(seen))


def act(api: openapi_client.UserDataStreamApi, step: str) -> dict[str, object]:
    if step == "post":
        # docs: begin
        answer = api.start_user_data_stream()
        key, expiration = answer.listen_key, answer.expiration
        # docs: end
        return {"key": key, "expiration": None if expiration is None else str(expiration)}
    if step == "put":
        # docs: begin
        # A fresh 60 minutes. The body of a 200, {} or nothing, says nothing.
        api.keepalive_user_data_stream()
        # docs: end
    else:
        api.close_user_data_stream()
    return {"done": True}


def failure(error: openapi_client.ApiException) -> dict[str, object]:
    code = error.data.code if isinstance(error.data, openapi_client.BinanceError) else None
    return {"error": True, "status": error.status, "code": code, "retryAfter": (error.headers or {}).get("Retry-After")}


if __name__ == "__main__":
    main()
