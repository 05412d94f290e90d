"""Binance's own SDK receives an event from the sandbox. Exit status 0: it did."""

import asyncio
import json
import subprocess
import urllib.request

from binance_common.configuration import ConfigurationRestAPI, ConfigurationWebSocketStreams
from binance_sdk_derivatives_trading_options.derivatives_trading_options import DerivativesTradingOptions

RISK = {"e": "RISK_LEVEL_CHANGE", "E": 1774605600931, "s": "REDUCE_ONLY", "mb": "1531.20840000", "mm": "1498.77120000"}


async def receive(base: str) -> str:
    client = DerivativesTradingOptions(
        config_rest_api=ConfigurationRestAPI(api_key="any-key", api_secret="none", base_path=base),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=base.replace("http", "ws")),
    )
    key = client.rest_api.start_user_data_stream().data().listen_key
    connection = await client.websocket_streams.create_connection()
    seen: list[str] = []
    try:
        stream = await connection.user_data(key)
        stream.on("message", lambda message: seen.append(str(message)))
        for _ in range(50):
            await asyncio.sleep(0.2)
            body = json.dumps({"event": RISK}).encode()
            request = urllib.request.Request(f"{base}/events", body, method="POST")
            (await asyncio.to_thread(urllib.request.urlopen, request)).close()
            if seen:
                return seen[0]
        raise SystemExit("no event came")
    finally:
        await connection.close_connection(close_session=True)


with subprocess.Popen(["listenkey", "sandbox"], stdout=subprocess.PIPE, text=True) as sandbox:
    try:
        assert sandbox.stdout is not None
        base = sandbox.stdout.readline().strip().removeprefix("export LISTENKEY_BASE_URL=")
        seen = asyncio.run(receive(base))
    finally:
        sandbox.terminate()
assert "1531.20840000" in seen, seen
print(f"received {seen}")
