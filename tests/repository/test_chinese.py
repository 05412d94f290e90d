"""README.zh-CN.md and docs/zh-CN/ say what their English twins say, with the same skeleton, programs and numbers.

What no comparison can read, a changed sentence, is caught by digests: tools/pages/twins.py. Links: test_readme.py.
"""

import os
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from pages.twins import changes, record, twins

from tests.repository.test_programs import ROOT

NAMES = list(twins(ROOT))
SHELL = {"sh", "bash", "console"}  # their comments may be translated
DRAWINGS = {"", "text"}  # their words may be translated
NUMBER = re.compile(r"-?\d+(?:[.,]\d+)*", re.ASCII)
NAME = re.compile(r"-?\d+(?:[.,]\d+)*|[A-Za-z]+_\w+|[A-Z][a-z]+[A-Z]\w*|[A-Za-z]+\(\)", re.ASCII)


def blocks(page: Path) -> list[Token]:
    return MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8"))


def shape(token: Token) -> tuple[str, str, str]:
    return token.type, token.tag, token.info


def target(page: Path, link: str) -> Path | str:
    """Name what a link leads to, without the heading: headings are translated. A picture may have words, too."""
    path = link.partition("#")[0].replace(".zh-CN.svg", ".svg")
    return link if "://" in link else Path(os.path.normpath(page.parent / (path or page.name)))


def facts(page: Path, token: Token, other: dict[Path, Path]) -> Counter[object]:
    """Count what a translation leaves as it is; `other` leads a link to the page in the other language."""
    if token.type == "fence":
        words = token.info.split(" ")[0]
        if words in DRAWINGS:
            return Counter([*NAME.findall(token.content), f"{token.content.count(chr(10))} lines"])
        if words in SHELL:
            return Counter(re.sub(r"(^|\s+)#.*", "", line) for line in token.content.splitlines())
        return Counter(enumerate(token.content.splitlines(), 1))
    counted: Counter[object] = Counter()
    pictured = [words for child in token.children or [] for words in child.children or []]
    for child in [*(token.children or []), *pictured]:
        if child.type == "text":
            counted.update(NUMBER.findall(child.content))
        elif child.type == "code_inline":
            counted[f"`{child.content}`"] += 1
        elif child.type == "strong_open":
            counted["**"] += 1
        for link in (child.attrs.get("href"), child.attrs.get("src")):
            if link is not None:
                leads = target(page, str(link))
                counted[other.get(leads, leads) if isinstance(leads, Path) else leads] += 1
    return counted


def differences(root: Path, name: str) -> list[str]:
    """Name every block in which the Chinese twin of a page says something else."""
    both = {root / english: chinese for english, chinese in twins(root).items()}
    other = both | {chinese: english for english, chinese in both.items()}
    english, chinese = root / name, both[root / name]
    mine, theirs = blocks(english), blocks(chinese)
    for left, right in zip(mine, theirs, strict=False):
        if shape(left) != shape(right):
            return [f"{name}: {shape(left)} at {left.map}, but {shape(right)} at {right.map}"]
    if len(mine) != len(theirs):
        return [f"{name}: {len(mine)} blocks, but {len(theirs)}"]
    found = []
    for left, right in zip(mine, theirs, strict=True):
        here, there = facts(english, left, other), facts(chinese, right, {})
        if here != there:
            found.append(f"{name}: at {left.map}, only English {[*(here - there)]}, only Chinese {[*(there - here)]}")
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_twins_say_the_same(name: str) -> None:
    assert differences(ROOT, name) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_first_line_leads_to_the_other_language(name: str) -> None:
    for page, twin in ((ROOT / name, twins(ROOT)[name]), (twins(ROOT)[name], ROOT / name)):
        paragraph = next(token for token in blocks(page)[3:] if token.children)
        assert twin in [target(page, str(child.attrs["href"])) for child in paragraph.children or [] if child.attrs]


@pytest.mark.parametrize("chinese", sorted((ROOT / "docs").rglob("*.zh-CN.svg")), ids=lambda path: path.name)
def test_a_chinese_picture_draws_the_same(chinese: Path) -> None:
    words = re.compile(r"(?<=>)[^<>{}]+(?=<)")
    there = chinese.read_text(encoding="utf-8")
    here = chinese.with_name(chinese.name.replace(".zh-CN", "")).read_text(encoding="utf-8")
    assert words.sub("", there) == words.sub("", here)
    numbers = [[NUMBER.findall(text) for text in words.findall(picture)] for picture in (here, there)]
    assert numbers[0] == numbers[1]


def test_no_section_changed_in_one_language_alone() -> None:
    assert [*changes(ROOT)] == [], "translate what changed, then: make twins"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for page in ROOT.glob("README*.md"):
        shutil.copy(page, tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copytree(ROOT / "tools/pages", tmp_path / "tools/pages")
    return tmp_path


def edit(page: Path, old: str, new: str) -> None:
    text = page.read_text(encoding="utf-8")
    assert old in text
    page.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize("folder", ["docs", "docs/zh-CN"])
@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("2400", "2401", "'2400'"),
        ("`at_risk`", "`risk`", "'`at_risk`'"),
        ("45", "46", "'45'"),  # in what stands for a picture
        ("worked = False  # whether", "worked = False  # if", "worked = False  # whether"),
        ("**", "", "'**'"),
        ("https://developers.binance.com/", "https://example.com/", "https://developers.binance.com/"),
        ("```python anew", "```python", "'python anew'"),
        ("\n## ", "\n### ", "'h2'"),
        ("\n| `wait()` |", "\n\n- | `wait()` |", "tbody_close"),
        ("\n\n- ", "\n\n", "bullet_list_open"),
    ],
)
def test_a_change_of_one_twin_is_named(copy: Path, folder: str, old: str, new: str, named: str) -> None:
    edit(copy / folder / "keeper.md", old, new)
    assert named in "".join(differences(copy, "docs/keeper.md"))
    assert differences(copy, "docs/errors.md") == []


@pytest.mark.parametrize("folder", ["docs", "docs/zh-CN"])
def test_a_name_changed_in_a_drawing_is_named(copy: Path, folder: str) -> None:
    edit(copy / folder / "errors.md", "├─ TransportError", "├─ TransferError")
    assert "'TransferError'" in "".join(differences(copy, "docs/errors.md"))


AHEAD = re.compile(r"\]\((?!https?://)([^)\s#]+\.md)(?:#[^)\s]*)?\)(\W英文\W)?")


def test_a_link_to_an_english_page_is_marked() -> None:
    """Except the first one of a page, which says English."""
    chinese = set(twins(ROOT).values())
    found = [(page, *ahead) for page in chinese for ahead in AHEAD.findall(page.read_text(encoding="utf-8"))[1:]]
    assert {bool(mark) for _, _, mark in found} == {True, False}
    assert [(page, link) for page, link, mark in found if bool(mark) == (target(page, link) in chinese)] == []


def test_a_chinese_page_links_chinese_pages(copy: Path) -> None:
    for page in (copy / "docs/errors.md", copy / "docs/zh-CN/errors.md"):
        page.write_text(page.read_text(encoding="utf-8") + "\n[keeper](keeper.md#the-log)\n", encoding="utf-8")
    assert differences(copy, "docs/errors.md") == []
    edit(copy / "docs/zh-CN/errors.md", "(keeper.md", "(../keeper.md")
    assert "docs/keeper.md" in "".join(differences(copy, "docs/errors.md"))


@pytest.mark.parametrize("folder", ["docs", "docs/zh-CN"])
def test_a_sentence_changed_alone_is_named_and_not_recorded(copy: Path, folder: str) -> None:
    with (copy / folder / "stream.md").open("a", encoding="utf-8") as page:
        page.write("\nNobody translated this.\n")
    section = "docs/stream.md: Without a network"
    assert changes(copy) == {section: False}
    with pytest.raises(SystemExit, match=section):
        record(copy, same=False)
    assert changes(copy) == {section: False}
    record(copy, same=True)
    assert changes(copy) == {}


def test_a_sentence_changed_in_both_is_recorded(copy: Path) -> None:
    for folder in ("docs", "docs/zh-CN"):
        with (copy / folder / "stream.md").open("a", encoding="utf-8") as page:
            page.write("\nThis stands in both.\n")
    assert changes(copy) == {"docs/stream.md: Without a network": True}
    record(copy, same=False)
    assert changes(copy) == {}


def test_a_section_of_one_twin_alone_is_refused(copy: Path) -> None:
    with (copy / "docs/stream.md").open("a", encoding="utf-8") as page:
        page.write("\n## Nobody translated this\n")
    with pytest.raises(SystemExit, match=r"docs/stream\.md has 10 sections"):
        record(copy, same=True)
