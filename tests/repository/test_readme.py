"""README.md and docs/: short, complete, and every link leads somewhere. Their programs: test_programs.py."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt

import listenkey
from listenkey.sandbox import FAULTS
from tests.repository.test_programs import BOT, PAGES, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = [ROOT / "README.zh-CN.md", *sorted((ROOT / "docs/zh-CN").glob("*.md"))]
OTHERS = [ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "examples/README.md")]
LINKING = [*PAGES, *CHINESE, *OTHERS]


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) < 200


def test_the_first_program_comes_soon() -> None:
    assert BOT.page == ROOT / "README.md"
    assert BOT.line < 30
    assert "pip install" in README[: README.index(BOT.text)]


def test_the_readme_links_every_page() -> None:
    assert [page.name for page in PAGES[1:] if f"](docs/{page.name})" not in README] == []


@pytest.mark.parametrize("page", [*PAGES, *CHINESE, *OTHERS], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_lines_are_short(page: Path) -> None:
    """120 columns, but for code, the rows of tables, and a line that would be short without its addresses."""
    text = page.read_text(encoding="utf-8")
    code = {line for block in MarkdownIt().parse(text) if block.type == "fence" for line in range(*block.map or ())}
    lines = [line for number, line in enumerate(text.splitlines()) if number not in code and not line.startswith("|")]
    assert [line for line in lines if len(re.sub(r"https?://[^\s)]+", "", line)) > 120] == []


def test_every_fault_is_named() -> None:
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    assert set(FAULTS) <= set(re.findall(r"`([\w-]+)`", page))


def test_every_public_name_is_mentioned() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in listenkey.__all__ if not re.search(rf"\b{name}\b", text)] == []


def links(page: Path) -> list[str]:
    inline = [token for token in MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8")) if token.children]
    return [str(child.attrs["href"]) for token in inline for child in token.children or [] if "href" in child.attrs]


def anchors(page: Path) -> set[str]:
    """Name the headings of a page as GitHub does."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKING, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if "://" not in link and (not target.exists() or (anchor and unquote(anchor) not in anchors(target))):
            broken.append(link)
    assert broken == []


def test_the_readme_links_the_pages_that_the_document_was_taken_from() -> None:
    document = (ROOT / "openapi.yaml").read_text(encoding="utf-8")
    sources = {link for link in links(ROOT / "README.md") if "binance.com" in link}
    assert sources
    assert [link for link in sources if link not in document] == []
