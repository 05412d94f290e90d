"""build/site/, opened in Chromium without a server: what `make docs` wrote is read, searched and asks nobody."""

from __future__ import annotations

import importlib
import inspect
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

playwright = pytest.importorskip("playwright.sync_api", reason="`make docs` installs playwright")
ROOT = Path(__file__).parents[2]
SITE = ROOT / "build" / "site"
AXE = ROOT / ".cache" / "node" / "node_modules" / "axe-core" / "axe.min.js"
PAGES = sorted(path for path in SITE.rglob("*.html") if path.name != "404.html")
DOCUMENTS = SITE / "documents.html"
MODULES = ["listenkey", "listenkey.stream", "listenkey.sandbox"]
pytestmark = [
    pytest.mark.toolchain,
    pytest.mark.timeout(300),
    # A socket of Playwright's own event loop is closed when Python ends.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    assert program, "Chromium is not installed: `make chromium`, or `apt-get install chromium`"
    assert PAGES, "run `make docs`"
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def opened(browser: Browser, path: Path, *, width: int = 1280, scheme: Any = "light") -> tuple[Page, list[str]]:
    """Open a page, and note each address outside of this machine that the page asks."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    asked: list[str] = []

    def ask(request: Request) -> None:
        if not request.url.startswith(("file:", "data:")):
            asked.append(request.url)

    def fail(request: Request) -> None:
        if request.failure == "csp":  # the page's own policy forbade the request, so nothing left
            asked.remove(request.url)

    page.on("request", ask)
    page.on("requestfailed", fail)
    page.goto(path.as_uri())
    if path == DOCUMENTS:
        page.wait_for_selector("[data-section-id='operation/listenKeyExpired']", state="attached")
    return page, asked


def test_a_request_to_the_outside_is_seen(browser: Browser, tmp_path: Path) -> None:
    planted = tmp_path / "planted.html"
    planted.write_text('<!doctype html><img src="http://127.0.0.1:1/planted.png">', encoding="utf-8")
    assert opened(browser, planted)[1] == ["http://127.0.0.1:1/planted.png"]


@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_fits_and_asks_nobody(browser: Browser, width: int) -> None:
    wrong = []
    for path in PAGES:
        page, asked = opened(browser, path, width=width)
        wide = page.evaluate("document.documentElement.scrollWidth")
        name = path.relative_to(SITE).as_posix()
        wrong += [f"{name} asks {address}" for address in asked]
        wrong += [f"{name} is {wide} pixels wide"] if wide > width else []
        page.close()
    assert wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_contrast_is_enough(browser: Browser, scheme: str) -> None:
    """By the rule of axe-core, on a page of prose, tables and programs, and on one of the package."""
    for name in ("index.html", "stream.html", "events.html", "reference/listenkey.html", "zh-CN/index.html"):
        page, _ = opened(browser, SITE / name, scheme=scheme)
        page.add_script_tag(path=AXE)
        found = page.evaluate("axe.run('.md-content', {runOnly: ['color-contrast']})")
        assert found["passes"], "nothing was looked at"
        nodes = {node["html"][:120] for rule in found["violations"] for node in rule["nodes"]}
        assert nodes == set(), name
        page.close()


@pytest.mark.parametrize(
    ("start", "words", "page"),
    [
        ("index.html", "reconnected", "stream.html"),
        ("index.html", "-2015", "questions.html"),
        ("index.html", "FILLED", "events.html"),
        ("index.html", "no events", "questions.html"),
        ("index.html", "next_within", "reference/listenkey.stream.html"),
        ("index.html", "This listenKey does not exist", "errors.html"),
        ("zh-CN/index.html", "封禁", "errors.html"),
    ],
)
def test_the_search_finds(browser: Browser, start: str, words: str, page: str) -> None:
    shown, asked = opened(browser, SITE / start)
    shown.keyboard.press("Control+k")
    shown.get_by_role("textbox").or_(shown.get_by_role("combobox")).or_(shown.get_by_role("searchbox")).first.fill(
        words
    )
    shown.wait_for_selector(f"a[href*='{page}'] mark, a[href*='{page}'] u, a[href*='{page}'] b", state="attached")
    assert asked == []
    shown.close()


def test_every_link_leads_somewhere(browser: Browser) -> None:
    ids = {path: set(re.findall(r'\b(?:id|name)="([^"]+)"', path.read_text(encoding="utf-8"))) for path in PAGES}
    broken = []
    for path in PAGES:
        if path == DOCUMENTS:
            continue  # Redoc makes its places when the page is shown
        for link in re.findall(r'<a[^>]* href="([^"]+)"', path.read_text(encoding="utf-8")):
            target, _, anchor = link.partition("#")
            if "://" in link or link.startswith("mailto:"):
                continue
            file = (path.parent / target).resolve() if target else path
            if not file.exists() or (anchor and file in ids and file != DOCUMENTS and anchor not in ids[file]):
                broken.append(f"{path.relative_to(SITE)}: {link}")
    assert broken == []


def test_the_documents_show_each_call_and_event(browser: Browser) -> None:
    page, asked = opened(browser, DOCUMENTS)
    text = page.inner_text("body")
    calls = ("startUserDataStream", "keepaliveUserDataStream", "closeUserDataStream")
    for operation in (*calls, "openOrders", "position", "marginAccount", "ORDER_TRADE_UPDATE"):
        assert page.query_selector(f"[data-section-id='operation/{operation}']")
    for words in ("As the English page shows it.", "As the Chinese page shows it.", "1762855900452", "client_order_id"):
        assert words in text
    for words in ("In contracts.", "EXPIRED_IN_MATCH", "mm7-000418", "demo-fstream.binance.com"):
        assert words in text
    assert page.query_selector("input") is None, "the page asks for a secret"
    (signature,) = re.findall(r"example: ([0-9a-f]{64})", (ROOT / "account.yaml").read_text(encoding="utf-8"))
    assert set(re.findall(r"x-source|x-forms|x-lifetime|OrderedMap|\b[0-9a-f]{32,}\b", text)) == {signature}
    first = page.inner_text("#overview")
    assert {"POST", "PUT", "DELETE", "GET"} <= set(re.findall("[A-Z]+", first))
    assert asked == []
    page.close()


def test_the_documents_may_not_ask_anybody(browser: Browser, tmp_path: Path) -> None:
    planted = tmp_path / "planted.html"
    text = DOCUMENTS.read_text(encoding="utf-8")
    planted.write_text(
        text.replace('<div id="reference">', '<img src="http://127.0.0.1:1/planted.png"><div id="reference">')
    )
    assert "planted.png" in planted.read_text()
    assert opened(browser, planted)[1] == []


@pytest.mark.parametrize("module", MODULES)
def test_the_page_of_a_module_has_every_public_name(browser: Browser, module: str) -> None:
    text = (SITE / "reference" / f"{module}.html").read_text(encoding="utf-8")
    names = importlib.import_module(module).__all__
    assert names
    values = {name: getattr(importlib.import_module(module), name) for name in names}
    expected = {
        f"{module}.{name}" for name in names if inspect.isroutine(values[name]) or inspect.isclass(values[name])
    } | {
        f"{module}.{name}.{member}"
        for name, value in values.items()
        if inspect.isclass(value)
        for base in value.__mro__
        if base.__module__.startswith("listenkey")
        for member in vars(base)
        if not member.startswith("_") and callable(getattr(value, member, None))
    }
    assert sorted(name for name in expected if f'id="{name}"' not in text) == []


def test_screenshots(browser: Browser) -> None:
    """Nothing but their being there is tested: they are for eyes, in build/screenshots/."""
    folder = ROOT / "build" / "screenshots"
    folder.mkdir(exist_ok=True)
    for name in ("index", "events", "documents", "reference/listenkey.stream", "zh-CN/index"):
        for width in (1280, 390):
            for scheme in ("light", "dark"):
                page, _ = opened(browser, SITE / f"{name}.html", width=width, scheme=scheme)
                picture = folder / f"{name.replace('/', '-')}-{width}-{scheme}.png"
                page.screenshot(path=picture)
                assert picture.stat().st_size > 10_000
                page.close()
