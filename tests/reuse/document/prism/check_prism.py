"""Our client against the document itself: prism serves it, a forwarding server asks for one answer of it at a time."""

import asyncio
import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ruamel.yaml import YAML

from listenkey import AsyncListenKeyClient, ListenKey, ListenKeyClient, ListenKeyError

API_KEY = "made-up-api-key"
EXAMPLES = YAML(typ="safe").load(Path("openapi.yaml"))["components"]["examples"]
Outcome = ListenKey | bool | ListenKeyError | None


class Forwarder(BaseHTTPRequestHandler):
    """Passes a request on to prism, with the `Prefer` header that picks the answer."""

    protocol_version = "HTTP/1.1"
    prism: int
    prefer = ""

    def forward(self) -> None:
        upstream = http.client.HTTPConnection("127.0.0.1", self.prism)
        headers = {k: v for k, v in self.headers.items() if k.lower() != "host"} | {"Prefer": self.prefer}
        upstream.request(self.command, self.path, headers=headers)
        answer = upstream.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "content-length", "date", "keep-alive", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        upstream.close()

    do_POST = do_PUT = do_DELETE = forward  # noqa: N815  the base class calls them so

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def held_port() -> socket.socket:
    """Take a port that the system gives to nobody else; a server may listen there all the same."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            sys.exit(f"error: prism ended with status {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    sys.exit("error: prism does not listen after 60 s")


def sync_call(base_url: str, method: str) -> Outcome:
    with ListenKeyClient(API_KEY, base_url=base_url, attempts=1) as client:
        try:
            outcome: Outcome = getattr(client, method)()
        except ListenKeyError as error:
            outcome = error
        assert client.used_weight == 1, "the document's example of X-MBX-USED-WEIGHT-1M"
        return outcome


def async_call(base_url: str, method: str) -> Outcome:
    async def call() -> Outcome:
        async with AsyncListenKeyClient(API_KEY, base_url=base_url, attempts=1) as client:
            try:
                outcome: Outcome = await getattr(client, method)()
            except ListenKeyError as error:
                outcome = error
            assert client.used_weight == 1, "the document's example of X-MBX-USED-WEIGHT-1M"
            return outcome

    return asyncio.run(call())


def told(outcome: Outcome) -> object:
    """What a case compares: an error by class, status, code and wait; a key by its parts."""
    if isinstance(outcome, ListenKey):
        if outcome.estimated:
            about_an_hour = abs(outcome.expires_at - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)
            return outcome.value, "in an hour" if about_an_hour else outcome.expires_at
        return outcome.value, (outcome.expires_at - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)
    if isinstance(outcome, ListenKeyError):
        return type(outcome).__name__, *(getattr(outcome, name, None) for name in ("status", "code", "retry_after"))
    return outcome


def cases() -> list[tuple[str, str, object]]:
    """Method, value of `Prefer`, and what the client must tell."""
    with_expiration, without = EXAMPLES["withExpiration"]["value"], EXAMPLES["withoutExpiration"]["value"]
    rows: list[tuple[str, str, object]] = [
        ("start", "example=withExpiration", (with_expiration["listenKey"], with_expiration["expiration"])),
        ("start", "example=withoutExpiration", (without["listenKey"], "in an hour")),
        ("keepalive", "code=200", None),
        ("delete", "code=200", True),
    ]
    for method in ("start", "keepalive", "delete"):
        missing = False if method == "delete" else ("KeyNotFound", 400, -1125, None)
        rows += [
            (method, "code=400, example=invalidListenKey", missing),
            (method, "code=401, example=badApiKeyFormat", ("Unauthorized", 401, -2014, None)),
            (method, "code=401, example=rejectedApiKey", ("Unauthorized", 401, -2015, None)),
            (method, "code=418", ("Banned", 418, -1008, 30.0)),
            (method, "code=429", ("RateLimited", 429, -1008, 30.0)),
            (method, "code=503", ("ServerError", 503, -1001, None)),
        ]
    return rows


def main() -> int:
    holder = held_port()
    Forwarder.prism = holder.getsockname()[1]
    prism = subprocess.Popen(
        ["node_modules/.bin/prism", "mock", "--port", str(Forwarder.prism), "--host", "127.0.0.1", "openapi.yaml"],
        stdout=subprocess.DEVNULL,
        env=os.environ | {"NODE_NO_WARNINGS": "1"},
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), Forwarder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    failed = 0
    calls = {"sync": sync_call, "async": async_call}
    try:
        wait_for(Forwarder.prism, prism)
        for method, prefer, expected in cases():
            for name, call in calls.items():
                Forwarder.prefer = prefer
                got = told(call(f"http://127.0.0.1:{server.server_port}", method))
                print("ok" if got == expected else f"error: got {got}, not {expected}:", name, method, prefer)
                failed += got != expected
    finally:
        prism.terminate()
        prism.wait()
        holder.close()
        server.shutdown()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
