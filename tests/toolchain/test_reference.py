"""build/reference.html, opened in a real browser."""

import functools
import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.toolchain, pytest.mark.timeout(300)]
PAGE = Path(__file__).parents[2] / "build" / "reference.html"


def browse(page: Path, folder: Path) -> tuple[str, set[str]]:
    """Open a page in headless Chromium: what stands there when its scripts ran, and every address it asked for."""
    chromium = shutil.which("chromium")
    assert chromium, "Chromium is not installed: `make chromium`, or `apt-get install chromium`"
    log = folder / "net.json"
    switches = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    switches += ["--disable-component-update", "--disable-sync", "--disable-extensions", "--disable-default-apps"]
    switches += [f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}", "--virtual-time-budget=20000"]
    # Nothing but loopback resolves: a request to the outside is logged, and goes nowhere.
    switches += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--dump-dom"]
    run = subprocess.run([chromium, *switches, page.as_uri()], capture_output=True, text=True, check=True, timeout=200)
    events = json.loads(log.read_text(encoding="utf-8"))["events"]
    requests = [event["params"] for event in events if "initiator" in event.get("params", {})]
    assert requests, "the log has no request at all, not even the browser's own"
    # The browser itself asks for updates; it is "not an origin". Every request of a page has that page's origin.
    asked = {request["url"] for request in requests if request["initiator"] != "not an origin"}
    return run.stdout, {address for address in asked if not address.startswith(("data:", "file:"))}


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/planted.png"
        server.shutdown()


def test_it_shows_the_operations_and_both_examples_and_asks_nobody(tmp_path: Path) -> None:
    assert PAGE.exists(), "run `make reference`"
    text, asked = browse(PAGE, tmp_path)
    for operation in ("post", "put", "delete"):
        assert f'class="opblock opblock-{operation}' in text
    for operation in ("startUserDataStream", "keepaliveUserDataStream", "closeUserDataStream"):
        assert f"User_Data_Stream-{operation}" in text
    for example in ("withExpiration", "withoutExpiration"):
        assert f'value="{example}"' in text
    assert "1762855900452" in text
    for event in ("ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE", "listenKeyExpired"):
        assert f">{event}<" in text.replace("<wbr>", "").replace("\u200b", "")
    for word in ("client_order_id", "mm7-000418", "demo-fstream.binance.com"):
        assert word in text
    assert asked == set()


def test_a_request_to_the_outside_is_seen(tmp_path: Path, outside: str) -> None:
    page = tmp_path / "page.html"
    page.write_text(f'<!doctype html><p>here</p><img src="{outside}">', encoding="utf-8")
    text, asked = browse(page, tmp_path)
    assert "here" in text
    assert asked == {outside}


def test_the_page_may_not_ask_anybody(tmp_path: Path, outside: str) -> None:
    page = tmp_path / "page.html"
    text = PAGE.read_text(encoding="utf-8").replace(
        '<div id="reference">', f'<img src="{outside}"><div id="reference">'
    )
    page.write_text(text, encoding="utf-8")
    assert browse(page, tmp_path)[1] == set()
