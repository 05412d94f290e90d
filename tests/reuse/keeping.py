"""Run a program that keeps a listen key, with short minutes, and hold what it does against the sandbox's ledger."""

import os
import subprocess
import sys
from pathlib import Path

from websockets.sync.client import connect  # noqa: TID251  as a reader of the page connects

from listenkey.sandbox import Sandbox

program, *command = sys.argv[1:]
text = Path(program).read_text(encoding="utf-8")
assert text.count("60_000") == 1
assert text.count("wss://fstream.binance.com/private/ws/") == 1
with Sandbox() as sandbox:
    short = Path(program).with_stem("short")
    text = text.replace("60_000", "30").replace("wss://fstream.binance.com/private", sandbox.stream_url)
    short.write_text(text, encoding="utf-8")
    environment = {**os.environ, "BASE_URL": sandbox.url, "BINANCE_API_KEY": "made-up-api-key"}
    with subprocess.Popen([*command, str(short)], env=environment, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            first = running.stdout.readline().strip()
            with connect(first) as stream:
                assert sandbox.emit({"e": "RISK_LEVEL_CHANGE", "E": 1774602000412, "mb": "1", "mm": "2"}) == 1
                assert "RISK_LEVEL_CHANGE" in str(stream.recv(30))
            sandbox.faults.add("reset")
            sandbox.faults.add("status", status=503)
            sandbox.faults.add("status", headers={"Content-Type": "text/html"}, body="<html></html>")
            sandbox.faults.add("status", status=429, headers={"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"})
            sandbox.expire()
            second = running.stdout.readline().strip()
            assert second.startswith(sandbox.stream_url)
            assert second != first
            statuses = [request.status for request in sandbox.requests if "listenKey" in request.path]
            assert {503, 429} <= set(statuses)
            assert {request.method for request in sandbox.requests if "listenKey" in request.path} == {"POST"}
        finally:
            running.kill()
print("kept a key, through each fault")
