"""build/reference.html and build/python/, opened in a real browser, as wide as a desk's screen and as a phone's."""

import functools
import html
import http.server
import importlib
import inspect
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.toolchain, pytest.mark.timeout(300)]
BUILD = Path(__file__).parents[2] / "build"
PAGE = BUILD / "reference.html"
MODULES = ["listenkey", "listenkey.stream", "listenkey.sandbox"]
PAGES = [PAGE, *(BUILD / "python" / f"{module.replace('.', '/')}.html" for module in MODULES)]

# A frame of a phone's width: a browser's own window may not be so narrow. Named is every box that reaches beyond the
# frame, and every box that hides or scrolls a part of what it holds.
PHONE = """<!doctype html><body style="margin: 0">
<iframe src="{source}" style="width: 390px; height: 900px; border: 0"></iframe>
<script>
setTimeout(() => {{
  const page = document.querySelector("iframe").contentDocument
  const shown = [...page.body.querySelectorAll("*")].filter(box =>
    box.checkVisibility() && box.clientWidth && !box.closest("svg, select, nav, .sr-only, .visually-hidden"))
  const cut = shown.filter(box => box.getBoundingClientRect().right > 391 ||
    (box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).overflowX !== "visible"))
  const names = cut.map(box => `${{box.tagName}}.${{box.className}} ${{box.innerText.slice(0, 40)}}`)
  const wide = page.documentElement.scrollWidth  // a phone lays a page out as wide as its widest part
  if (wide > 390) names.push(`the page: ${{wide}}`)
  document.body.innerHTML = `<output>${{shown.length}}</output>`
  document.querySelector("output").title = JSON.stringify(names)
}}, 6000)
</script>"""


def chromium(*switches: str) -> str:
    """Run headless Chromium, and give what it prints."""
    program = shutil.which("chromium")
    assert program, "Chromium is not installed: `make chromium`, or `apt-get install chromium`"
    command = [program, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", *switches]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=200).stdout


def cut_on_a_phone(page: Path, folder: Path) -> list[str]:
    """Name what of a page cannot be read at a width of 390 pixels."""
    frame = folder / "phone.html"
    frame.write_text(PHONE.format(source=page.as_uri()), encoding="utf-8")
    text = chromium("--allow-file-access-from-files", "--dump-dom", frame.as_uri())
    found = re.search(r'<output title="(.*?)">(\d+)</output>', text, re.DOTALL)
    assert found, "the page was not measured"
    assert int(found[2]) > 150, "the page was empty when it was measured"
    names: list[str] = json.loads(html.unescape(found[1]))
    return names


def browse(page: Path, folder: Path) -> tuple[str, set[str]]:
    """Open a page: what stands there when its scripts ran, without the scripts, and every address it asked for."""
    log = folder / "net.json"
    switches = ["--no-first-run", "--disable-background-networking"]
    switches += ["--disable-component-update", "--disable-sync", "--disable-extensions", "--disable-default-apps"]
    switches += [f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}"]
    # Nothing but loopback resolves: a request to the outside is logged, and goes nowhere.
    switches += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--dump-dom"]
    text = chromium(*switches, page.as_uri())
    events = json.loads(log.read_text(encoding="utf-8"))["events"]
    requests = [event["params"] for event in events if "initiator" in event.get("params", {})]
    assert requests, "the log has no request at all, not even the browser's own"
    # The browser itself asks for updates; it is "not an origin". Every request of a page has that page's origin.
    asked = {request["url"] for request in requests if request["initiator"] != "not an origin"}
    return re.sub(r"<(style|script).*?</\1>", "", text, flags=re.DOTALL), {
        address for address in asked if not address.startswith(("data:", "file:"))
    }


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
    for operation in ("startUserDataStream", "keepaliveUserDataStream", "closeUserDataStream"):
        assert f'data-section-id="operation/{operation}"' in text
    for event in ("ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE", "listenKeyExpired"):
        assert f'data-section-id="operation/{event}"' in text
    for example in ("As the English page shows it.", "As the Chinese page shows it."):
        assert example in text
    assert "1762855900452" in text
    for word in ("client_order_id", "In contracts.", "EXPIRED_IN_MATCH", "mm7-000418", "demo-fstream.binance.com"):
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


def test_no_page_asks_for_a_secret_and_none_shows_internals(tmp_path: Path) -> None:
    text, _ = browse(PAGE, tmp_path)
    assert "<input" not in text
    assert "authorize" not in text
    words = re.sub(r"<[^>]*>", " ", text)
    assert re.findall(r"x-source|x-forms|x-lifetime|OrderedMap|\b[0-9a-f]{32,}\b", words) == []


def test_the_first_screen_is_an_overview(tmp_path: Path) -> None:
    text, _ = browse(PAGE, tmp_path)
    first = text[text.index('<main id="overview">') : text.index("</main>")]
    for word in (
        "POST",
        "PUT",
        "DELETE",
        "weight 1",
        "ORDER_TRADE_UPDATE",
        "listenKeyExpired",
        "python/listenkey.html",
    ):
        assert word in first


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_nothing_is_cut_at_390_pixels(page: Path, tmp_path: Path) -> None:
    assert cut_on_a_phone(page, tmp_path) == []


@pytest.mark.parametrize("planted", ["width: 800px", "width: 100px; overflow: hidden; white-space: nowrap"])
def test_what_is_cut_is_named(planted: str, tmp_path: Path) -> None:
    page = tmp_path / "planted.html"
    text = PAGES[2].read_text(encoding="utf-8")
    page.write_text(
        text.replace("</main>", f'<p style="{planted}">planted, and long enough for it</p></main>'), encoding="utf-8"
    )
    assert [name for name in cut_on_a_phone(page, tmp_path) if "planted" in name]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_screenshots(page: Path, tmp_path: Path) -> None:
    """Nothing but their being there is tested: they are for eyes, in build/screenshots/."""
    folder = BUILD / "screenshots"
    folder.mkdir(exist_ok=True)
    frame = tmp_path / "phone.html"
    frame.write_text(PHONE.partition("<script>")[0].format(source=page.as_uri()), encoding="utf-8")
    for width, source in ((1280, page), (500, frame)):
        picture = folder / f"{page.stem}-{390 if source is frame else width}.png"
        chromium("--hide-scrollbars", f"--window-size={width},900", f"--screenshot={picture}", source.as_uri())
        assert picture.stat().st_size > 10_000
        print(picture.relative_to(BUILD.parent))


@pytest.mark.parametrize(("module", "page"), list(zip(MODULES, PAGES[1:], strict=True)))
def test_the_page_of_the_package_has_every_public_name(module: str, page: Path, tmp_path: Path) -> None:
    text, asked = browse(page, tmp_path)
    assert asked == set()
    words = " ".join(html.unescape(re.sub(r"<[^>]*>", "", text)).split())
    names = importlib.import_module(module).__all__
    assert names
    assert [name for name in names if f'id="{name}"' not in text] == []
    values = [getattr(importlib.import_module(module), name) for name in names]
    members = [
        f"{value.__name__}.{member}"
        for value in values
        if inspect.isclass(value)
        for base in value.__mro__
        if base.__module__.startswith("listenkey")
        for member in {**vars(base), **vars(base).get("__annotations__", {})}
        if not member.startswith("_")
    ]
    assert members
    assert re.findall(r'class="n">_\w+', text) == [], "a parameter that is not public"
    assert [member for member in members if f'id="{member}"' not in text] == []
    first = [(inspect.getdoc(value) or "").partition("\n")[0] for value in values if inspect.isclass(value)]
    assert [line for line in first if line.replace("`", "") not in words] == []
