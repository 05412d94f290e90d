import copy
import inspect
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docs_check import __main__ as command
from docs_check import examples
from docs_check import page as pages
from docs_check.check import Project
from docs_check.lock import LOCK
from ruamel.yaml import YAML

from listenkey._http import route as _settings
from listenkey.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
PAGES = Path(__file__).parents[1] / "pages"
DOCUMENT: dict[str, Any] = YAML(typ="safe").load(PAGES / "openapi.yaml")
START = (PAGES / "start.md").read_text(encoding="utf-8")
ENGLISH, CHINESE = START.split("\n---\n\n# 生")
FRONT, ENGLISH = ENGLISH.split("\n---\n\n", 1)
FRONT, CHINESE = f"{FRONT}\n---\n\n", f"# 生{CHINESE}"
REQUEST = ENGLISH[ENGLISH.index("## HTTP Request") : ENGLISH.index("## Request Weight")]
WEIGHT = ENGLISH[ENGLISH.index("## Request Weight") : ENGLISH.index("## Request Parameters")]
EXPIRATION = '"expiration": 1700000000000'
KEY = '"examplekeyexamplekeyexamplekeyexamplekeyexamplekeyexamplekey1234"'
SECOND = """
# Get Listen Keys (USER_DATA)

## HTTP Request

GET `/eapi/v1/listenKeys`

## Request Weight

**1**

## Request Parameters

None

## Response Example

    []
"""


def both(*facts: str) -> list[str]:
    return [f"en, zh-CN: {fact}" for fact in facts]


def put(old: str, new: str, count: int = -1) -> str:
    assert old in START
    return START.replace(old, new, count)


class Folder:
    """A project's folder: a document, a lock file, and the pages that a test writes."""

    def __init__(self, path: Path, document: dict[str, Any]) -> None:
        self.path = path
        self.write(document)

    def write(self, document: dict[str, Any]) -> None:
        YAML(typ="safe").dump(document, self.path / "openapi.yaml")
        self.project: Project | None = None

    def page(self, text: str | bytes, name: str = "page.md") -> Path:
        (self.path / name).write_bytes(text.encode() if isinstance(text, str) else text)
        return self.path / name

    def run(self, verb: str, *words: str | Path) -> int:
        """Run the command as make does, and read the documents anew afterwards."""
        self.project = None
        return command.main([verb, *map(str, words), "--folder", str(self.path)])

    def rows(self, text: str | bytes, kinds: tuple[str, ...] = ("fact", "text", "unclear")) -> list[str]:
        """Check a page, and return its rows as `languages: fact`, in their order."""
        self.project = self.project or Project(self.path)
        report = self.project.page(self.page(text))
        differ = {row.kind for row in report.rows} - {"note"}
        assert report.exit == (2 if "unclear" in differ else int(bool(differ)))
        return [f"{row.language}: {row.fact}" for row in report.rows if row.kind in kinds]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """The frozen document, and a lock file that accepted start.md."""
    (tmp_path / LOCK).parent.mkdir(parents=True)
    shutil.copy(PAGES / "pages.lock.json", tmp_path / LOCK)
    return Folder(tmp_path, DOCUMENT)


FENCED = re.sub(
    r" {4}\n {4}\n((?: {4}.*\n?)+)", lambda m: "```json\n" + re.sub(r"(?m)^ {4}", "", m[1]).rstrip() + "\n```\n", START
)
NOISE = {
    "nothing": START,
    "CRLF": START.replace("\n", "\r\n"),
    "CR": START.replace("\n", "\r"),
    "byte order mark": f"\ufeff{START}",
    "deeper headings": re.sub("(?m)^#", "##", START),
    "all headings alike": re.sub("(?m)^#+", "##", START),
    "mixed levels": START.replace("## HTTP", "#### HTTP").replace("## 请求权重", "# 请求权重"),
    "underlined headings": re.sub("(?m)^## (.*)$", r"\1\n-----", START),
    "closed headings": re.sub("(?m)^(## .*)$", r"\1 ##", START),
    "bold headings": re.sub(r"(?m)^## (.*?)\[\]", r"## **\1** []", START),
    "no debris": re.sub(r"\[\]\([^)]*\)", "", START),
    "debris with an invisible space": START.replace("[](", "[\u200b]("),
    "debris with a hash": START.replace("[](", " [#]("),
    "debris with words": re.sub(r'\[\]\((\S+) "([^"]*)"\)', r"[\2](\1)", START),
    "parts swapped": f"{FRONT}{CHINESE}\n\n---\n\n{ENGLISH}",
    "no rule between the parts": START.replace("\n---\n\n# 生", "\n\n# 生"),
    "rules everywhere": re.sub("(?m)^## ", "---\n\n## ", START),
    "sections in another order": START.replace(REQUEST + WEIGHT, WEIGHT + REQUEST),
    "blank lines": START.replace("\n\n", "\n\n\n\n"),
    "no last line end": START.rstrip(),
    "spaces at line ends": FRONT + re.sub("(?m)$", "   ", START.removeprefix(FRONT)),
    "fenced JSON": FENCED,
    "tilde fences": FENCED.replace("```json", "~~~").replace("```", "~~~"),
    "address in JSON": put(KEY, '"wss://host//deprecated"', 1),
    "blank lines before the front matter": f"\n\n{START}",
    "numbered headings": re.sub(r"(?m)^## ", "## 1. ", START),
    "headings with pictures": re.sub(r"(?m)^## ", "## 📌 ", START),
    "invisible characters everywhere": START.replace('"listenKey"', '"\u200blisten\ufeffKey"')
    .replace("HTTP Request", "HTTP\u2060 Request")
    .replace("**1**", "**1\u200d**"),
    "comma at the end": put(EXPIRATION, f"{EXPIRATION},"),
    "other values": put("1700000000000", "1999999999999").replace(KEY, '"abc"'),
    "fields in another order": put(
        f'"listenKey": {KEY},  \n      {EXPIRATION}', f'{EXPIRATION},\n      "listenKey": {KEY}'
    ),
    "plain weight": put("**1**", "1"),
    "NONE": put("None", "NONE"),
    "none in Chinese": "".join(START.rpartition("None")[:1]) + "无" + START.rpartition("None")[2],
    "request in one code": put("POST `/eapi/v1/listenKey`", "`POST /eapi/v1/listenKey`"),
    "request in a fence": put("POST `/eapi/v1/listenKey`", "```\nPOST /eapi/v1/listenKey\n```"),
    "title without space": put(" (USER_STREAM)", "(USER_STREAM)"),
    "title with an escape": put("USER_STREAM", "USER\\_STREAM"),
    "title with Chinese brackets": put(" (USER_STREAM)", "（USER_STREAM）"),  # noqa: RUF001
    "wrapped prose": put("60 minutes later", "60 minutes\nlater"),
    "forced line break": put("60 minutes later", "60 minutes<br>later"),
    "bold prose": put("60 minutes", "**60 minutes**"),
    "no code marks": put("`listenKey` of", "listenKey of"),
    "list for prose": put("account. It", "account.\n* It").replace("Opens", "* Opens"),
    "quoted prose": put("Opens", "> Opens"),
    "spaces in Chinese": put("60分钟", " 60 分钟"),
    "a link within the site": put("`listenKey` of", "[`listenKey`](/docs/x) of"),
    "HTML comment": START.replace("## HTTP Request", "<!-- seen -->\n\n## HTTP Request"),
    "comment in a sentence": put("60 minutes later", "60 minutes <!-- seen --> later"),
    "anchor": START.replace("## HTTP Request", '<a id="http"></a>\n\n## HTTP Request'),
    "invisible characters": put("60 minutes", "60\u200b minutes"),
    "headings in capitals, with colons": re.sub(r"(?m)^(## [^\[]+)\[", lambda m: f"{m[1].upper()}:[", START),
    "Chinese part with English headings": START.replace("接口描述[]", "API Description[]").replace(
        "请求权重[]", "Request Weight[]"
    ),
}


@pytest.mark.parametrize("name", NOISE)
def test_formatting_is_no_difference(folder: Folder, name: str) -> None:
    assert folder.rows(NOISE[name]) == []


def in_english(text: str) -> str:
    """Add text at the end of the English part."""
    return f"{FRONT}{ENGLISH}\n{text}\n\n---\n\n{CHINESE}"


SECOND_ENGLISH = in_english(f"---\n{SECOND}")
CHANGES = {
    "method": (put("POST", "PUT"), both("endpoint")),
    "method in one language": (put("POST", "PUT", 1), ["en: endpoint"]),
    "path": (put("/eapi/v1/", "/eapi/v2/"), both("endpoint")),
    "no request": (
        put("POST `/eapi/v1/listenKey`", "see above"),
        [*both("endpoint"), "en: new in 'request'", "zh-CN: new in 'request'"],
    ),
    "host": (
        put("`/eapi/v1/l", "`https://papi.binance.com/eapi/v1/l"),
        ["en: new in 'request'", "zh-CN: new in 'request'"],
    ),
    "a word after a heading": (
        START.replace("HTTP Request[]", "HTTP Request (HMAC SHA256)[]"),
        ["en: new in 'request'"],
    ),
    "a second request line": (
        put("POST `/eapi/v1/listenKey`", "POST `/eapi/v1/listenKey`\n\nPOST `/eapi/v2/listenKey`", 1),
        ["en: endpoint"],
    ),
    "security type": (put("USER_STREAM", "USER_DATA"), both("security type")),
    "security type gone": (put(" (USER_STREAM)", "", 1), ["en: security type"]),
    "weight": (put("**1**", "**5**"), both("weight")),
    "weight empty": (put("**1**", "", 1), ["en: weight"]),
    "weight per IP": (put("**1**", "**1 (IP)**", 1), ["en: new in 'weight'"]),
    "weight per UID": (put("**1**", "**1(UID)**", 1), ["en: new in 'weight'", "en: weight counted per"]),
    "weight per UID in the heading": (
        START.replace("Request Weight[]", "Request Weight(UID)[]"),
        ["en: new in 'weight'", "en: weight counted per"],
    ),
    "a second weight": (
        put("**1**", "**1**\n\n**3** (UID)", 1),
        ["en: new in 'weight'", "en: weight", "en: weight counted per"],
    ),
    "weight table": (
        put("**1**", "| Limit | Weight |\n|---|---|\n| 5 | 2 |", 1),
        ["en: new in 'weight'", "en: weight"],
    ),
    **{
        f"weight {text}": (put("**1**", text, 1), ["en: new in 'weight'", "en: weight"])
        for text in (
            "1, 5",
            "1-5",
            "1 5",
            "1<sup>2</sup>",
            "<del>1</del> <b>20</b>",
            "-1",
            "**2** with x, **5** without",
        )
    },
    "parameter": (
        put(
            "\nNone\n",
            "\nName| Type| Mandatory| Description\n---|---|---|---\nsize| INT| NO| how many\nat| LONG| YES|\n",
            1,
        ),
        ["en: gone from 'parameters'", "en: new in 'parameters'", "en: parameter at", "en: parameter size"],
    ),
    "a cell too many": (
        put("\nNone\n", "\nName| Type| Mandatory\n---|---|---\na| INT| NO| lost\n", 1),
        ["en: gone from 'parameters'", "en: new in 'parameters'", "en: parameter a"],
    ),
    "a note on parameters": (put("\nNone\n", "\nNone\n\n> * Send nothing.\n", 1), ["en: new in 'parameters'"]),
    "parameters in HTML": (
        put("\nNone\n", "\n<table><tr><td>size</td></tr></table>\n", 1),
        ["en: gone from 'parameters'", "en: new in 'parameters'"],
    ),
    "a new field": (put(EXPIRATION, f'{EXPIRATION}, "stream": "x"'), ["en: field stream"]),
    "a field gone": (put(f",  \n      {EXPIRATION}", ""), ["en: field expiration"]),
    "a required field gone": (put(f'"listenKey": {KEY},', ""), ["en: field listenKey"]),
    "a field renamed": (put('"expiration"', '"expires"'), ["en: field expiration", "en: field expires"]),
    "a known field, new in one language": (
        f"{START.rstrip().removesuffix('}').rstrip()},\n      {EXPIRATION}\n    }}",
        ["zh-CN: field expiration"],
    ),
    **{
        f"{value} for an integer": (put("1700000000000", value), ["en: field expiration"])
        for value in (
            '"1700000000000"',
            "1700000000000.5",
            "1700000000000.0",
            "null",
            "true",
            "9223372036854775808",
            "[1]",
        )[:6]
    },
    "a nested answer": (
        put(EXPIRATION, f'"data": {{{EXPIRATION}}}'),
        ["en: field data", "en: field data.expiration", "en: field expiration"],
    ),
    "a list in the answer": (
        put(EXPIRATION, f'{EXPIRATION}, "keys": [{{"a": 1}}]'),
        ["en: field keys", "en: field keys[]", "en: field keys[].a"],
    ),
    "a list of answers": (
        re.sub(r"(\{ *\n *\"listenKey[^}]*\})", r"[\1]", START, count=1),
        [
            "en: answer",
            "en: field []",
            "en: field [].expiration",
            "en: field [].listenKey",
            "en: field expiration",
            "en: field listenKey",
        ],
    ),
    "news in a comment": (put(EXPIRATION, f"{EXPIRATION} // deprecated"), ["en: new in 'response'"]),
    "no JSON": (
        put(EXPIRATION, f"{EXPIRATION}: 5"),
        ["en: answer", "en: field expiration", "en: field listenKey", "en: new in 'response'"],
    ),
    **{
        # More than Python's parser reads in 3.11, more than a walk over the values can take, one more than is read.
        f"JSON of {depth} levels": (
            put("1700000000000", "[" * depth + "]" * depth),
            ["en: answer", "en: field expiration", "en: field listenKey", "en: new in 'response'"],
        )
        for depth in (5000, 900, 100)
    },
    "a second example": (in_english('**OR**\n\n    {"listenKey": "abc"}'), ["en: new in 'response'"]),
    "an error": (in_english('```\n{"code": -9999, "msg": "none"}\n```'), ["en: new in 'response'"]),
    "no example": (
        re.sub(r" {4}\{[^}]*\}", "", START, count=1),
        ["en: answer", "en: field expiration", "en: field listenKey"],
    ),
    "lifetime": (
        put("60 minutes later", "30 minutes later"),
        ["en: gone from 'description'", "en: lifetime", "en: new in 'description'"],
    ),
    "a duration in words": (
        put("60分钟", "六十分钟"),
        ["zh-CN: gone from 'description'", "zh-CN: new in 'description'"],
    ),
    "title": (put("# Start User", "# Begin User"), ["en: title"]),
    "title in Chinese": (put("# 生成", "# 创建"), ["zh-CN: title"]),
    "a notice": (put("Opens", "> **Deprecated** since May.\n\nOpens"), ["en: new in 'description'"]),
    "a section": (
        START.replace("## HTTP Request", "## Notice\n\nTo be retired.\n\n## HTTP Request"),
        ["en: new in 'Notice'"],
    ),
    "the last line": (f"{START}\n\n每个IP每分钟5次\n", ["zh-CN: new in 'response'"]),
    "a second endpoint": (SECOND_ENGLISH, ["en: endpoint of no operation"]),
    "a second endpoint, no rule": (in_english(SECOND), ["en: endpoint of no operation"]),
    "a sentence": (
        put("60 minutes later", "60 minutes after the start"),
        ["en: gone from 'description'", "en: new in 'description'"],
    ),
    "a small word": (
        put("hands out", "no longer hands out"),
        ["en: gone from 'description'", "en: new in 'description'"],
    ),
    "a sentence gone": (put("Opens the private stream of an account. ", ""), ["en: gone from 'description'"]),
    "a sentence more": (put("account. It", "account. Ten at most. It"), ["en: new in 'description'"]),
    "sentences in another order": (
        put(
            "Opens the private stream of an account. It ends 60 minutes later if nobody prolongs it.",
            "It ends 60 minutes later if nobody prolongs it. Opens the private stream of an account.",
        ),
        ["en: gone from 'description'", "en: new in 'description'"],
    ),
    "no request section": (START.replace(REQUEST, ""), ["en: endpoint"]),
    "no description": (
        START.replace(CHINESE[CHINESE.index("## 接口描述") : CHINESE.index("## HTTP")], ""),
        ["zh-CN: gone from 'description'"],
    ),
    "text before the title": (START.replace("# Start", "Old page.\n\n# Start"), ["en: new in 'above the title'"]),
    "a link to the outside": (
        put("private stream", "[private stream](https://example.com/)"),
        ["en: gone from 'description'", "en: new in 'description'"],
    ),
    "an image": (put("Opens", "![](/img/new.png) Opens"), ["en: gone from 'description'", "en: new in 'description'"]),
    "HTML": (
        START.replace("## HTTP Request", "<details>For VIPs.</details>\n\n## HTTP Request"),
        ["en: new in 'description'"],
    ),
    "code in the description": (
        START.replace("## HTTP Request", "    curl -X POST\n\n## HTTP Request"),
        ["en: new in 'description'"],
    ),
    "a third language": (f"{START}\n\n---\n\n# ストリーム\n\nテスト\n", ["zh-CN: new in 'ストリーム'"]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_is_named_and_nothing_else(folder: Folder, name: str) -> None:
    page, rows = CHANGES[name]
    assert page != START
    assert sorted(folder.rows(page)) == sorted(rows)


def test_advice_is_not_lifetime(folder: Folder) -> None:
    page = (PAGES / "keepalive.md").read_text(encoding="utf-8")
    assert folder.rows(page) == []
    advice = page.replace("about every 60 minutes", "about every 30 minutes")
    assert folder.rows(advice) == ["en: gone from 'description'", "en: new in 'description'"]
    advice = page.replace("每60分钟", "每30分钟")
    assert folder.rows(advice) == ["zh-CN: gone from 'description'", "zh-CN: new in 'description'"]
    shorter = page.replace("expires after 60", "expires after 30")
    assert "en: lifetime" in folder.rows(shorter)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("The stream will close after 60 minutes unless it is kept.", "60"),
        ("Its validity is extended for 90 minutes.", "90"),
        ("A key is valid for an hour.", "60"),
        ("It ends 2 hours later.", "120"),
        ("有效期延长至本次调用后60分钟", "60"),
        ("并将其有效期延长2个小时。", "120"),
        ("Send a ping every 30 minutes.", None),
        ("To keep it valid, send a ping every 30 minutes.", None),
        ("Keep the stream valid by a ping every 30 minutes.", None),
        ("It is recommended to extend it after 30 minutes.", None),
        ("建议每30分钟发送一次。", None),
        ("At most 30 minutes of candles.", None),
    ],
)
def test_lifetimes(folder: Folder, capsys: pytest.CaptureFixture[str], text: str, minutes: str | None) -> None:
    page = folder.page(f"{FRONT}# T\n\n## API Description\n\n{text}\n\n## HTTP Request\n\nGET /x\n")
    assert folder.run("facts", page) == 0
    found = re.findall(r"lifetime: (.*)", capsys.readouterr().out)
    assert found == ([minutes] if minutes else [])


NAMES = ("start", "keepalive", "close", "time", "order", "trades", "account")


def of(name: str) -> str:
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def bare(page: str) -> dict[str, Any]:
    """A document that has a page's operation, and says nothing of it."""
    url = re.findall(r"source_url: (.*)", page)[0]
    [(method, path), *_] = re.findall(r"(?m)^(GET|POST|PUT|DELETE) `(/\S+)`", page)
    return {"paths": {path: {method.lower(): {"x-source": {"url": url}, "responses": {"200": {}}}}}}


@pytest.mark.parametrize("name", NAMES)
def test_every_page_reaches_a_clean_end(tmp_path: Path, name: str) -> None:
    folder = Folder(tmp_path, bare(of(name)))
    page = folder.page(of(name))
    assert folder.run("check", page) == 1
    assert folder.run("accept", page) == 1  # sentences and titles; what differs wants a reason
    left = folder.rows(of(name))
    assert left
    assert not any("text" in row or "title" in row for row in left)
    assert folder.run("accept", page, "--reason", "seen by hand") == 0
    assert folder.rows(of(name)) == []
    before = (tmp_path / LOCK).read_bytes()
    assert folder.run("accept", page, "--reason", "again") == 0
    assert (tmp_path / LOCK).read_bytes() == before
    assert set(re.findall(rb'"reason": "(.*)"', before)) <= {b"seen by hand", b""}


def mangled(page: str, seed: int) -> str:
    """Cut, swap, drop and litter some lines of a page, as no crawler ever would."""
    chance = random.Random(seed)
    head, body = page.split("\n---\n", 1)
    lines = body.split("\n")
    litter = (
        "",
        "| a | b |",
        "---|---",
        "```",
        "## Response Example",
        "---",
        "# T (TRADE)",
        "{",
        "    {",
        "<b>",
        "<!--",
    )
    for _ in range(chance.randint(1, 6)):
        i, j = chance.randrange(len(lines)), chance.randrange(len(lines))
        lines[i], lines[j] = lines[j], lines[i][: chance.randrange(200)]
        lines.insert(i, chance.choice((*litter, "> x", "## 请求权重(IP)", "**1** (UID)", "Name| Type| Mandatory")))
        del lines[chance.randrange(len(lines))]
    return f"{head}\n---\n" + "\n".join(lines)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NAMES)
def test_even_a_mangled_page_reaches_a_clean_end(tmp_path: Path, name: str) -> None:
    folder = Folder(tmp_path, bare(of(name)))
    for seed in range(12):
        page = folder.page(mangled(of(name), seed))
        assert folder.run("accept", page, "--reason", "seen") in {0, 2}, page.read_text(encoding="utf-8")


def formatted(page: str) -> Iterator[tuple[str, str]]:
    """Write a page in other ways that mean the same."""
    front, body = page.split("\n---\n", 1)
    head, halves = f"{front}\n---\n\n", body.strip("\n").split("\n\n---\n\n")
    code = r"(?m)^ {4}\n {4}\n((?:^ {4}.*\n?)+)"
    fence = re.sub(code, lambda m: "```\n" + re.sub(r"(?m)^ {4}", "", m[1]).rstrip() + "\n```\n", page)
    yield "CRLF", page.replace("\n", "\r\n")
    yield "CR", page.replace("\n", "\r")
    yield "deeper headings", head + re.sub(r"(?m)^(?=#)", "##", body)
    yield "all headings alike", head + re.sub(r"(?m)^#+ ", "# ", body)
    yield "no debris", re.sub(r'\[\]\(\S+ "[^"]*"\)', "", page)
    yield "debris with a hash", page.replace("[](", "[#](")
    yield "spaces at line ends", head + re.sub(r"(?m)$", "  ", body)
    yield "blank lines", head + body.replace("\n\n", "\n\n\n")
    yield "halves swapped", head + "\n\n---\n\n".join(reversed(halves)) + "\n"
    yield "no rule", head + "\n\n".join(halves) + "\n"
    yield "fenced code", fence
    yield "other fences", fence.replace("```javascript", "~~~json").replace("```", "~~~")
    yield "bars around tables", re.sub(r"(?m)^(?![|#>\s])(.*\|.*?) *$", r"| \1 |", page)
    yield "other numbers", re.sub(r'((?:"|”)[:：] ?)(\d)(\d*)', r"\g<1>1\3", page)  # noqa: RUF001
    yield "other texts", re.sub(r'("[:：] ?")[^"\n]*"', r'\1other"', page)  # noqa: RUF001


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NAMES)
def test_no_form_of_a_page_is_a_difference(tmp_path: Path, name: str) -> None:
    folder = Folder(tmp_path, bare(of(name)))
    folder.run("accept", folder.page(of(name)), "--reason", "seen")
    forms = dict(formatted(of(name)))
    assert {form: rows for form, text in forms.items() if (rows := folder.rows(text))} == {}
    assert sum(text != of(name) for text in forms.values()) > 8


def plain_lines(page: str) -> Iterator[tuple[int, str, bool]]:
    """A page's lines that carry meaning, without the debris of links: number, text, and whether it is code."""
    fenced, body = False, page.index("\n---\n", 4)
    for i, line in enumerate(page.split("\n")):
        fenced ^= line.startswith("```")
        header = re.match(r"\|? ?(Name|名称) ?\|", line)
        heading = re.match(r"## (?!Levels)", line)
        skipped = line.startswith("```") or header or heading or re.fullmatch(r"[\s|:-]*|On this page", line)
        if i > page[:body].count("\n") + 1 and not skipped:
            yield i, re.sub(r"\[\]\([^)]*\)", "", line), fenced or line.startswith("    ")


def planted(page: str) -> Iterator[tuple[str, str]]:
    """Change each word, number and mark that counts, one at a time: all of the prose; names and comments of JSON."""
    lines = page.split("\n")
    for i, line, code in plain_lines(page):
        comment = re.search(r"//|/\*", line) if code else None
        for match in re.finditer(
            r"\w+|[<>=!%\"“”()\-,.;/+]|[\u3002\uff0c\uff1b\uff1a]", re.sub(r"<br>|^> ", lambda m: "_" * len(m[0]), line)
        ):
            word, start, end = match[0], match.start(), match.end()
            name = line[start - 1 : start] in {'"', "“"} and re.match(r'["”]\s*[:：]', line[end:])  # noqa: RUF001
            said = comment and start >= comment.end() and not line[start:].startswith("*/")
            if set(word) == {"_"} or (code and not (name or said)):
                continue
            new = f"{word}q" if word.isalnum() else ""
            changed = [*lines[:i], line[:start] + new + line[end:], *lines[i + 1 :]]
            yield f"{line!r}: {word!r} to {new!r}", "\n".join(changed)


def reshaped(page: str) -> Iterator[tuple[str, str]]:
    """Change the type of each value of the examples, and leave out each line of the page."""
    lines = page.split("\n")
    for i, line, code in plain_lines(page):
        if code and (match := re.match(r'(.*?["”]\s*[:：]\s*)("[^"]*"|“[^”]*”|[\w.-]+)(.*)', line)):  # noqa: RUF001
            for new in {'"x"', "1.5", "true", "null"} - {match[2]}:
                if not (match[2][0] in '"“' and new[0] == '"') and not (
                    match[2] in {"true", "false"} and new == "true"
                ):
                    yield f"{line!r} to {new}", "\n".join([*lines[:i], match[1] + new + match[3], *lines[i + 1 :]])
        if re.search(r"\w", line) and not (code and re.fullmatch(r"[\s\w\[\]{},.\"-]*", line)):
            yield f"without {line!r}", "\n".join(lines[:i] + lines[i + 1 :])


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_planted_is_named(tmp_path: Path, name: str) -> None:
    page = of(name)
    folder = Folder(tmp_path, bare(page))
    folder.run("accept", folder.page(page), "--reason", "seen")
    changes = [*planted(page), *reshaped(page)]
    missed = [what for what, text in changes if not folder.rows(text)]
    assert missed == []
    assert len(changes) > 40


@pytest.fixture
def with_parameters(tmp_path: Path) -> Folder:
    """A document that says what parameters.md says, and a lock file that accepted its sentences."""
    document = copy.deepcopy(DOCUMENT)
    operation = document["paths"]["/eapi/v1/listenKey"]["post"]
    operation["parameters"] = [
        {"name": "symbol", "in": "query", "required": True, "schema": {"type": "string"}},
        {"name": "limit", "in": "query", "schema": {"type": "integer", "format": "int32"}},
        {"name": "recvWindow", "in": "query", "schema": {"type": "integer", "format": "int64"}},
    ]
    operation["x-request-weight"] = {"scope": "ip", "table": [["1, 10", 2], ["100", 5]]}
    folder = Folder(tmp_path, document)
    assert folder.run("accept", folder.page(PARAMETERS)) == 0
    return folder


PARAMETERS = (PAGES / "parameters.md").read_text(encoding="utf-8")
SAID = ["en: gone from 'parameters'", "en: new in 'parameters'"]


@pytest.mark.parametrize(
    ("old", "new", "rows"),
    [
        (
            "Name| Type| Mandatory| Description  \n---|---|---|---  ",
            "| Name   |Type|  Mandatory | Description\n|:--|:-:|--:|---|",
            [],
        ),
        ("recvWindow| LONG| NO|   ", "| recvWindow | LONG | no |", []),
        ("symbol| STRING| YES|", "symbol| **STRING**| TRUE|", []),
        ("symbol| STRING| YES|", "\u200bsymbol| STRING\ufeff| Y\u200bES|", []),
        ("at most 100", "at\nmost 100", []),
        ("at most 100", "at<br>most 100", []),
        ("at most 100", "at\n\nmost 100", []),
        ("The option's symbol  \n", "The option's symbol  \n\n", []),
        ("Name| Type| Mandatory| Description", "Param| Data Type| Required| Desc", []),
        ("Name| Type| Mandatory| Description", "参数名称| 参数类型| 是否必填| 备注", []),
        ("| STRING|", "| LONG|", ["en: parameter symbol"]),
        ("| STRING|", "| SET|", ["en: parameter symbol"]),
        ("| STRING|", "| ENUM|", ["en: parameter symbol"]),
        ("| STRING|", "| STRING/LONG|", ["en: new in 'parameters'"]),
        ("| STRING|", "| STRING (up to 20 letters)|", ["en: new in 'parameters'"]),
        ("| LONG|", "| INT|", ["en: parameter recvWindow"]),
        ("| INT|", "| LONG|", ["en: parameter limit"]),
        ("| INT|", "| BIGDECIMAL|", ["en: parameter limit"]),
        ("| YES|", "| NO|", ["en: parameter symbol"]),
        ("| INT| NO|", "| INT| EITHER|", ["en: new in 'parameters'"]),
        ("| INT| NO|", "| INT| NO (but soon)|", ["en: new in 'parameters'"]),
        ("| INT| NO|", "| INT| PERHAPS|", ["en: parameter limit"]),
        ("at most 100", "at most 500", SAID),
        ("recvWindow| LONG| NO|   ", "recvWindow| LONG| NO| Up to 60 s", ["en: new in 'parameters'"]),
        ("recvWindow| LONG| NO|   \n", "", ["en: parameter recvWindow"]),
        ("recvWindow|", "window|", ["en: parameter recvWindow", "en: parameter window"]),
        ("| 100 | 5 |", "| 100 | 6 |", ["en: weight"]),
        ("| Limit |", "| Rows |", ["en: gone from 'weight'", "en: new in 'weight'"]),
        ("an error", "no error", SAID),
        ("Name| Type|", "Name| Kind|", [f"en: parameter {name}" for name in ("limit", "recvWindow", "symbol")]),
    ],
)
def test_tables_of_parameters_and_weights(with_parameters: Folder, old: str, new: str, rows: list[str]) -> None:
    assert old in PARAMETERS
    found = with_parameters.rows(PARAMETERS.replace(old, new))
    assert [row for row in sorted(found) if not new.startswith("Name| Kind") or "parameter " in row] == sorted(rows)


@pytest.mark.parametrize(("text", "misread"), [("1, 5", 15), ("1-5", 15), ("1<sup>2</sup>", 12), ("1 <b>20</b>", 120)])
def test_a_weight_is_not_put_together(folder: Folder, text: str, misread: int) -> None:
    document = copy.deepcopy(DOCUMENT)
    document["paths"]["/eapi/v1/listenKey"]["post"]["x-request-weight"]["weight"] = misread
    folder.write(document)
    assert folder.rows(put("**1**", text))[0] == "en, zh-CN: weight"


MARKS = [
    ("1-5", "15"),
    ("!= 3", "= 3"),
    ('"true"', "true"),
    ("(IP)", "(UID)"),
    ("> 5", "< 5"),
    ("10²", "102"),
    ("-1", "1"),
    ("1.5", "15"),
    ("a, b", "a b"),
    ("50%", "50"),
    ("a/b", "ab"),
    ("1 5", "15"),
    ("`a`", "a"),
]


@pytest.mark.parametrize(("old", "new"), MARKS)
def test_marks_count(old: str, new: str) -> None:
    same = old.strip("`") == new
    assert (pages.normal(old.strip("`")) == pages.normal(new)) is same


@pytest.mark.parametrize(
    ("text", "shape", "odd"),
    [
        ('{"a": 1}', ["{a: integer}"], False),
        ('{"a": 1\n "b": "x" "c": true}', ["{a: integer, b: string, c: boolean}"], True),
        ('{"a": 1,, "b": 2,}', ["{a: integer, b: integer}"], True),
        ('{"a"：1，"b": 2}', ["{a: integer, b: integer}"], True),  # noqa: RUF001
        ('{“a”: “x”, "b": "he said “x”"}', ["{a: string, b: string}"], True),
        ("{'a': 'x'}", ["{a: string}"], True),
        ("{a: NEW, b: null}", ["{a: string, b: null}"], True),
        ('{"a": 1, // one\n "b": 2 /* two */}', ["{a: integer, b: integer}"], False),
        ('[{"a": 1}, ...]', ["[{a: integer}]"], True),
        ('{"u": "https://x//y"}', ["{u: string}"], False),
        ('[[1, "a"]]', ["[[integer|string]]"], False),
        ('[{"a": 1}, {"b": null}]', ["[{a: integer}|{b: null}]"], False),
        ("[]", ["[]"], False),
        ('{"a": []}\n\n{"a": 1.5}', ["{a: []}", "{a: number}"], False),
        ('{"a": 1} OR {"b": 2}', ["{a: integer}", "{b: integer}"], False),
        ('{"a": 9223372036854775808}', ["{a: integer beyond int64}"], False),
        ("* a\n* b: 1", None, False),
        ("- a: 1\n- b: 2", None, False),
        ("[Note]: do not send {x}", None, False),
        ("GET /x", None, False),
        ('"a"', None, False),
        ('{"a" 1}', None, False),
        ("[" * 5000, None, False),
        ("", None, False),
    ],
)
def test_examples_that_are_not_quite_json(text: str, shape: list[str] | None, odd: bool) -> None:
    if shape is None:
        with pytest.raises(ValueError, match=r"\A.*\Z"):
            examples.read(text)
        return
    values, _, found = examples.read(text)
    assert [examples.shape(value) for value in values] == shape
    assert found is odd


def test_an_odd_example_is_told_and_its_types_count(folder: Folder) -> None:
    odd = put(f",  \n      {EXPIRATION}", f"  \n      {EXPIRATION}")
    assert folder.rows(odd) == []
    assert folder.rows(odd, ("note",)) == ["en: example"]
    assert folder.rows(odd.replace("1700000000000", '"x"')) == ["en: field expiration"]


def test_lists_are_the_union_of_their_items(tmp_path: Path) -> None:
    document = copy.deepcopy(DOCUMENT)
    post = document["paths"]["/eapi/v1/listenKey"]["post"]
    item = {"type": "object", "properties": {"per": {"type": "string", "nullable": True}, "of": {"type": "integer"}}}
    post["responses"]["200"]["content"]["application/json"] = {"schema": {"type": "array", "items": item}}
    folder = Folder(tmp_path, document)
    page = f"{FRONT}{ENGLISH}".replace(
        ENGLISH[ENGLISH.index("    {") :], '```\n[{"per": null}, {"of": 1, "per": "x"}]\n```\n'
    )
    folder.run("accept", folder.page(page))
    assert folder.rows(page) == []
    assert folder.rows(page.replace('"of": 1', '"of": 2')) == []
    assert "en: field [].per" in folder.rows(page.replace("null", "5"))
    assert "en: field [].at" in folder.rows(page.replace("null", 'null, "at": 1'))
    assert "en: field [].of" in folder.rows(page.replace('"of": 1, ', ""))
    assert "en: field []" in folder.rows(page.replace('[{"per": null}, {"of": 1, "per": "x"}]', "[]"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x89PNG\r\n\xff\x00", "not UTF-8 text"),
        (b"---\nsource_url: b\n---\n# T\n\0", "a binary file"),
        (b"", "no front matter"),
        (b"# Title\n\n## HTTP Request\n\nPOST `/x`\n", "no front matter"),
        (b"---\nonly words\n---\n\n## HTTP Request\n", "no front matter"),
        (b"---\nsource_url: x\n---\n", "empty"),
        (b"---\nsource_url: x\n---\n\n\n# T\n", "empty"),
        (b"<!DOCTYPE html>\n<html><body>x</body></html>", "HTML"),
        (b"---\nsource_url: x\n---\n\n<html>\n<body>x</body></html>", "HTML"),
        (
            b"---\nsource_url: x\n---\n\n# Access Denied\n\nYou have been blocked. Request blocked.\n",
            "a firewall's answer",
        ),
        (b"---\nsource_url: x\n---\n\n# About us\n\nWe are here.\n", "no document cites its address"),
        (
            b"---\nsource_url: http://[x\n---\n\n# [T](http://[x#t)\n\n[We](http://[x).\n",
            "no document cites its address",
        ),
        (b"---\nsource_url: x\n---\n\n# T\n\n## Response Example\n\n    {}\n", "names no endpoint"),
    ],
)
def test_what_is_no_page_cannot_be_compared(
    folder: Folder, capsys: pytest.CaptureFixture[str], content: bytes, reason: str
) -> None:
    page = folder.page(content)
    assert folder.run("check", page) == 2
    assert reason in capsys.readouterr().out
    assert folder.run("accept", page, "--reason", "no") == 2
    assert folder.run("facts", page) in {0, 2}


def test_a_missing_file_does_not_hide_the_other_pages(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    start, changed = folder.page(START, "start.md"), folder.page(put("POST", "PUT", 1), "put.md")
    capsys.readouterr()
    assert folder.run("check", folder.path / "none.md", folder.path, start, changed, "--format", "json") == 2
    report = json.loads(capsys.readouterr().out)
    assert [each["exit"] for each in report["sources"]] == [2, 2, 0, 1]
    assert "No such file" in report["sources"][0]["rows"][0]["page"]
    assert "Is a directory" in report["sources"][1]["rows"][0]["page"]


@pytest.mark.parametrize("name", NAMES)
def test_another_pages_body_is_one_row(folder: Folder, name: str) -> None:
    for filed in set(NAMES) - {name}:
        front, body = of(filed).split("\n---\n", 1)[0], of(name).split("\n---\n", 1)[1]
        assert folder.rows(f"{front}\n---\n{body}") == [": page"]


def test_half_of_another_page_is_another_pages_body(folder: Folder) -> None:
    other = of("keepalive").split("\n---\n\n")[-1]
    assert folder.rows(f"{FRONT}{ENGLISH}\n---\n\n{other}") == [": page"]


def test_a_body_without_links_is_told_by_its_title(folder: Folder) -> None:
    body = re.sub(r"\[\]\([^)]*\)", "", of("keepalive").split("\n---\n", 1)[1])
    front = START.split("\n---\n", 1)[0]
    assert folder.rows(f"{front}\n---\n{body}") == [": page"]
    assert "en, zh-CN: endpoint" in folder.rows(
        f"{front}\n---\n{body}".replace("# Keepalive", "# Start").replace("延长", "生成")
    )


def test_what_stands_twice_is_accepted_twice(folder: Folder) -> None:
    twice = ENGLISH.replace(EXPIRATION, '"late": 1')
    page = f"{FRONT}{ENGLISH}\n\n{twice}"
    folder.run("accept", folder.page(page), "--reason", "two forms")
    assert folder.rows(page) == []
    assert "en: field expiration" in folder.rows(page.replace(f",  \n      {EXPIRATION}", ""))


def test_the_sites_own_words_are_no_text(folder: Folder) -> None:
    assert (
        folder.rows(START.replace("# Start", "On this page\n\n# Start").replace("# 生成", "本页总览\n\n# 生成")) == []
    )


def test_a_page_may_move(folder: Folder) -> None:
    moved = START.replace("derivatives/options-trading", "products/options")
    assert folder.rows(moved) == ["en, zh-CN: address"]
    assert folder.run("accept", folder.page(moved)) == 0  # an address wants no reason
    assert folder.rows(moved) == []
    document = copy.deepcopy(DOCUMENT)
    source = document["paths"]["/eapi/v1/listenKey"]["post"]["x-source"]
    source["present"] = source["url"].replace("derivatives/options-trading", "products/options")
    folder.write(document)
    assert folder.rows(moved) == []
    assert folder.rows(START) == []


DOCUMENTS = {
    "no responses": (
        "      responses:\n        '200':",
        "      answers:\n        '200':",
        "'responses' is a required property",
    ),
    "nothing below responses": (None, None, "paths./x.get.responses"),
    "a $ref to nothing": ("#/components/schemas/T", "#/components/schemas/U", "$ref to #/components/schemas/U"),
    "a tab": ("      responses:", "\t  responses:", "openapi.yaml:5: found character"),
    "an empty list": ("openapi: 3.0.3", "[]", "openapi.yaml"),
    "paths empty": ("  /x:\n", "  []\n", "openapi.yaml"),
    "a name twice": ("    get:", "    get: {}\n    get:", "openapi.yaml"),
    "parameters of nothing": ("      responses:", "      parameters:\n      responses:", "None is not of type 'array'"),
    "a schema of nothing": ("{type: object}", "", "None is not of type 'object'"),
    "a source of a part": (
        "{type: object}",
        "{x-source: {present: [a]}}",
        "the x-source of schema: present: ['a'] is not of",
    ),
    "a source in a list": (
        "{type: object}",
        "{allOf: [{x-source: {present: [a]}}]}",
        "the x-source of allOf: present: ['a'] is not of",
    ),
    "a part within itself": ("{type: object}", "&a {allOf: [*a]}", "a part of it contains itself"),
    "deeper than is read": ("{type: object}", "[" * 800, "or is too deep"),
    "an empty allOf": ("{type: object}", "{allOf: []}", "[]"),
}
SMALL = """openapi: 3.0.3
paths:
  /x:
    get:
      responses:
        '200':
          content: {application/json: {schema: {$ref: '#/components/schemas/T'}}}
components:
  schemas:
    T: {type: object}
"""


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_in_the_middle_of_an_edit(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    old, new, said = DOCUMENTS[name]
    text = SMALL.replace(old, new or "") if old else SMALL[: SMALL.index("        '200'")]
    assert text != SMALL
    (tmp_path / "openapi.yaml").write_text(text, encoding="utf-8")
    assert command.main(["check", str(PAGES / "start.md"), "--folder", str(tmp_path)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert said in output.err
    assert len(output.err.splitlines()) == 1


def test_no_document_and_a_broken_lock_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["check", str(PAGES / "start.md"), "--folder", str(tmp_path)]
    assert command.main(words) == 2
    assert capsys.readouterr().err == "openapi.yaml: No such file or directory\n"
    (tmp_path / "openapi.yaml").write_text(SMALL, encoding="utf-8")
    (tmp_path / LOCK).parent.mkdir(parents=True)
    (tmp_path / LOCK).write_text("<<<<<<< HEAD\n", encoding="utf-8")
    assert command.main(words) == 2
    assert capsys.readouterr().err.startswith("pages.lock.json: it cannot be read; restore it from git")


@pytest.mark.parametrize(
    ("page", "note"),
    [
        (put("2026-01-15", "2026-02-01"), ": a newer date"),
        (put("2026-01-15T08:00:00.000001", "2026-05-27 18:55:51"), ": a newer date"),
        (put("2026-01-15", "2025-12-31"), ": an older date"),
        (re.sub("updated_at.*\n", "", START), ": an older date"),
        (put("api_type", "crawler: v2\napi_type"), ": crawler"),
        (put("REST", "Account"), None),
        (START.replace("source_url: ", 'source_url: "').replace("Stream\napi", 'Stream"\napi'), None),
        (FRONT + ENGLISH, "zh-CN: language"),
        (FRONT + CHINESE, "en: language"),
    ],
)
def test_what_needs_no_change_is_a_note(folder: Folder, page: str, note: str | None) -> None:
    assert folder.rows(page) == []
    assert folder.rows(page, ("note",)) == ([note] if note else [])


def test_accepting_one_half_leaves_the_other_as_it_is(folder: Folder) -> None:
    page = folder.page(f"{FRONT}{ENGLISH}".replace("Opens", "Starts"))
    assert folder.run("accept", page) == 0
    assert folder.rows(f"{FRONT}{ENGLISH}\n---\n\n{CHINESE}".replace("Opens", "Starts")) == []


def test_what_is_accepted_is_shown_and_single_facts_can_be_chosen(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    page = folder.page(put("**1**", "**5**").replace("1700000000000", '"x"').replace("Opens", "Starts"))
    assert folder.run("accept", page) == 1
    output = capsys.readouterr().out
    assert output.index("new in 'description': Starts the private") < output.index("accepted; rows that are left: 2")
    assert 'of which facts want REASON="…"' in output
    [digest] = re.findall(r"weight: 5; the document: 1  \[(\w+)\]", output)
    assert folder.run("accept", page, "--reason", "it depends", "--only", digest) == 1
    assert "rows that are left: 1" in capsys.readouterr().out
    assert folder.run("check", page, "--format", "json") == 1
    report = json.loads(capsys.readouterr().out)
    assert [row["fact"] for row in report["sources"][0]["rows"]] == ["field expiration"]
    lock = json.loads((folder.path / LOCK).read_text(encoding="utf-8"))
    told = [each for source in lock["sources"].values() for each in source["facts"].values()]
    assert {each["language"] for each in told} == {"en", "zh-CN"}
    assert {each["reason"] for each in told} == {"it depends"}


def test_what_was_accepted_and_is_gone_is_named(folder: Folder) -> None:
    page = put(EXPIRATION, f'{EXPIRATION}, "stream": "x"')
    folder.run("accept", folder.page(page), "--reason", "new, and not of use")
    assert folder.rows(page) == []
    assert folder.rows(START) == ["en: gone: field stream"]
    folder.run("accept", folder.page(START))
    assert folder.rows(START) == []
    assert folder.rows(page) == ["en: field stream"]


def test_a_gone_line_names_its_section_and_place(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.run("check", folder.page(put("It ends 60 minutes later if nobody prolongs it. ", "")))
    said = "gone from 'description': 1 of its 3 lines, after 'Opens the private stream of an account.'"
    assert said in capsys.readouterr().out


def test_rows_say_where_what_and_what_to_do(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    page = folder.page(put(EXPIRATION, f'{EXPIRATION},\n      "keys": [1, "a"]'))
    assert folder.run("check", page) == 1
    text = capsys.readouterr().out
    assert text.count(str(page)) == 1
    assert re.search(r"(?m)^    32 en        field keys: array; the document: nothing  \[\w{12}\]$", text)
    assert re.search(r"(?m)^ {17}change the schema, and the example of this language", text)
    assert folder.run("check", page, folder.path / "none.md", "--format", "markdown") == 2
    markdown = capsys.readouterr().out
    assert r"| fact | field keys[] | en | 32 | integer\|string | nothing | change the schema" in markdown
    assert "| unclear | page |  | 1 | No such file" in markdown
    assert folder.run("check", page, "--format", "json") == 1
    row = next(row for row in json.loads(capsys.readouterr().out)["sources"][0]["rows"] if row["fact"] == "field keys")
    assert {key: row[key] for key in ("kind", "fact", "language", "line", "page", "document")} == {
        "kind": "fact",
        "fact": "field keys",
        "language": "en",
        "line": 32,
        "page": "array",
        "document": "nothing",
    }
    assert START.splitlines()[30].strip() == EXPIRATION


def test_rows_come_in_the_same_order(tmp_path: Path) -> None:
    Folder(tmp_path, bare(of("order"))).page(of("order"))
    code = "import sys; from docs_check.__main__ import main; main(sys.argv[1:])"
    words = [sys.executable, "-c", code, "check", str(tmp_path / "page.md"), "--folder", str(tmp_path)]
    outputs = set()
    for seed in ("1", "2", "3"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT / "tools")}
        outputs.add(subprocess.run(words, env=environment, capture_output=True, check=False).stdout)
    assert len(outputs) == 1


def test_a_locale_without_chinese(folder: Folder) -> None:
    page = folder.page(put("# 生成", "# 创建"))
    words = [sys.executable, "-m", "docs_check", "check", str(page), "--folder", str(folder.path)]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT / "tools")}
    process = subprocess.run(words, env=environment, capture_output=True, check=False)
    assert process.stderr == b""
    assert "创建" in process.stdout.decode()


def test_several_operations_on_one_page(folder: Folder) -> None:
    document = copy.deepcopy(DOCUMENT)
    for operation in document["paths"]["/eapi/v1/listenKey"].values():
        operation["x-source"]["present"] = "https://developers.binance.com/en/docs/catalog/user-data-streams#x"
    folder.write(document)
    parts = [of(name).split("\n---\n\n", 1)[1] for name in ("start", "keepalive", "close")]
    halves = [re.sub(r"\[\]\([^)]*\)", "", part).split("\n---\n\n") for part in parts]
    url = "https://developers.binance.com/en/docs/catalog/user-data-streams"
    front = f"---\nsource_url: {url}\nupdated_at: 2026-07-01\n---\n\n"
    page = front + "\n\n".join([*(half[0] for half in halves), *(half[1] for half in halves)])
    assert folder.run("accept", folder.page(page)) == 0
    assert folder.rows(page) == []
    assert folder.rows(page.replace("**1**", "**5**", 1)) == ["en: weight"]
    assert folder.rows(page.replace("PUT `", "PATCH `", 1)) == ["en: endpoint"]
    assert folder.rows(page.replace("Shuts", "Ends")) == [
        "en: gone from 'DELETE /eapi/v1/listenKey: description'",
        "en: new in 'DELETE /eapi/v1/listenKey: description'",
    ]


def test_a_further_endpoint(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    """CONTRIBUTING, "A further endpoint": each row says what is missing, until none is left."""
    page = folder.page(of("time"))
    assert folder.rows(of("time")) == ["en, zh-CN: endpoint of no operation"]
    more = YAML(typ="safe").load(PAGES / "time.yaml")
    document = copy.deepcopy(DOCUMENT)
    document["components"]["schemas"] |= more["components"]["schemas"]
    document["paths"] |= {"/eapi/v1/time": {"get": {"responses": {"200": {"description": "The time."}}}}}
    folder.write(document)
    rows = folder.rows(of("time"))
    assert {row.partition(": ")[2] for row in rows} == {
        "address",
        "answer",
        "field serverTime",
        "text",
        "title",
        "weight",
    }
    assert folder.run("check", page) == 1
    assert "write it to x-source.url" in capsys.readouterr().out
    document["paths"] |= more["paths"]
    folder.write(document)
    assert folder.rows(of("time")) == ["en: text", "zh-CN: text"]
    assert folder.run("accept", page) == 0
    assert folder.rows(of("time")) == []


GENERAL = """---
source_url: https://developers.binance.com/en/docs/products/derivatives-trading-options/error-code
updated_at: 2026-05-28
---

# Error Codes

What may go wrong.

## 10xx - General

### -1000 UNKNOWN

* Nobody knows why.

Code| Means
---|---
-1125| no such key

# 错误代码

可能出现的错误。
"""


def test_a_general_page_is_lines_of_text(folder: Folder) -> None:
    assert folder.run("check", folder.page(GENERAL)) == 1
    assert folder.run("accept", folder.page(GENERAL)) == 0
    assert folder.rows(GENERAL) == []
    assert folder.rows(GENERAL.replace("-1125", "-1126")) == [
        "en: gone from '-1000 UNKNOWN'",
        "en: new in '-1000 UNKNOWN'",
    ]
    assert folder.rows(GENERAL.replace("可能", "不会")) == ["zh-CN: gone from '错误代码'", "zh-CN: new in '错误代码'"]
    assert (
        folder.rows(GENERAL.replace("---\n\n# Error Codes", "---\n\n# Access Denied\n\nRequest blocked.\n")[:200]) != []
    )


SCHEMA = """openapi: 3.0.0
info: {title: Options REST API, version: 1.0.0}
paths:
  /eapi/v1/listenKey:
    post:
      x-ip-weight: 1
      x-security-type: USER_STREAM
      parameters: [{name: X-MBX-APIKEY, in: header, required: true, schema: {type: string}}]
      responses:
        "200":
          content:
            application/json:
              schema:
                type: object
                properties: {listenKey: {type: string}, expiration: {type: integer, format: int64}}
    put: &put
      x-ip-weight: 1
      x-security-type: USER_STREAM
      parameters: [{name: X-MBX-APIKEY, in: header, required: true, schema: {type: string}}]
      responses: {"200": {}}
    delete: *put
  /eapi/v1/ping:
    get: {responses: {"200": {}}}
"""


def accept_schema(folder: Folder, text: str) -> None:
    (folder.path / "schema.yaml").write_text(text, encoding="utf-8")
    assert folder.run("accept", "--schema", folder.path / "schema.yaml") == 0


def schema_rows(folder: Folder, capsys: pytest.CaptureFixture[str], text: str) -> list[str]:
    (folder.path / "schema.yaml").write_text(text, encoding="utf-8")
    capsys.readouterr()
    status = folder.run("check", "--schema", folder.path / "schema.yaml", "--format", "json")
    rows = json.loads(capsys.readouterr().out)["sources"][-1]["rows"]
    found = [f"{row['language']}: {row['fact']}" for row in rows if row["kind"] != "note"]
    assert status == bool(found)
    return found


def test_the_vendors_schema_is_a_second_source(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    document = copy.deepcopy(DOCUMENT)
    for method in ("put", "delete"):
        del document["paths"]["/eapi/v1/listenKey"][method]["responses"]["200"]["content"]
    folder.write(document)
    accept_schema(folder, SCHEMA)
    assert schema_rows(folder, capsys, SCHEMA) == []
    for old, new, fact in (
        ("x-ip-weight: 1", "x-ip-weight: 2", "weight"),
        ("x-ip-weight: 1", "x-uid-weight: 1", "weight counted per"),
        ("USER_STREAM", "USER_DATA", "security type"),
        ("X-MBX-APIKEY", "X-OTHER-APIKEY", "api key"),
        ("format: int64", "format: int32", "field expiration"),
        ("listenKey: {type: string}", "listenKey: {type: integer}", "field listenKey"),
        ("listenKey: {type: string}, ", "", "field listenKey"),
        ("    delete: *put\n", "", "endpoint"),
        ("in: header", "in: query", "parameter X-MBX-APIKEY"),
    ):
        assert old in SCHEMA
        assert f": {fact}" in schema_rows(folder, capsys, SCHEMA.replace(old, new)), (old, new)


EVENTS = """asyncapi: 3.0.0
info: {title: Options streams, version: 1.0.0}
channels:
  userData:
    messages:
      risk:
        name: RISK_LEVEL_CHANGE
        x-source: {url: https://developers.binance.com/docs/derivatives/options-trading/user-data-streams/Event-Risk}
        payload:
          type: object
          properties: {e: {type: string}, E: {type: integer, format: int64}, s: {type: string}, mb: {type: string}}
"""
EVENT_PAGE = """---
source_url: https://developers.binance.com/docs/derivatives/options-trading/user-data-streams/Event-Risk
updated_at: 2026-01-15
---

# Event: Risk level

Sent when the level of an account changes.

```
{
  "e": "RISK_LEVEL_CHANGE",
  "E": 1700000000000, // when
  "s": "NORMAL",
  "mb": "10.5"
}
```
"""


def test_events_of_pages_and_of_the_vendors_schema(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    (folder.path / "asyncapi.yaml").write_text(EVENTS, encoding="utf-8")
    assert folder.run("accept", folder.page(EVENT_PAGE)) == 0
    assert folder.rows(EVENT_PAGE) == []
    wrapped = EVENT_PAGE.replace("{\n", '{"stream": "x", "data": {\n').replace("}\n```", "}}\n```")
    assert folder.rows(wrapped) == []
    assert folder.rows(wrapped.replace('"stream"', '"topic"')) == ["en: new in 'Event: Risk level'"]
    assert folder.rows(EVENT_PAGE.replace("1700000000000", '"17"')) == ["en: field E"]
    assert folder.rows(EVENT_PAGE.replace('"mb"', '"mm"')) == ["en: field mb", "en: field mm"]
    assert folder.rows(EVENT_PAGE.replace("NORMAL", "REDUCE_ONLY").replace("10.5", "11")) == []
    assert "en: new in 'Event: Risk level'" in folder.rows(EVENT_PAGE.replace("// when", "// sent"))
    accept_schema(folder, EVENTS)
    assert schema_rows(folder, capsys, EVENTS) == []
    assert schema_rows(folder, capsys, EVENTS.replace("mb: {type: string}", "mb: {type: number}")) == [": field mb"]
    assert schema_rows(folder, capsys, EVENTS.replace("RISK_LEVEL_CHANGE", "RISK")) == [
        ": event of no document",
        ": event",
    ]


def test_without_a_page_it_lists_the_sources(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    assert folder.run("check") == 0
    output = capsys.readouterr().out
    assert re.search(r"(?m)^2026-01-15  https://\S+/Close-User-Data-Stream  DELETE /eapi/v1/listenKey$", output)
    assert re.search(r"(?m)^2026-05-28  https://\S+/error-code  .*BinanceError", output)
    assert re.search(r"(?m)^2026-06-30  https://\S+/general-info  ", output)


LIVE = [each for each in Project(ROOT).operations if not each.name.startswith("event ")]


def test_the_document_says_its_sources_once() -> None:
    for operation in LIVE:
        said = f"{operation.name} in openapi.yaml: externalDocs and x-source name the same page and day"
        assert operation.spec.get("externalDocs") == {
            "description": f"Source page, updated {operation.source.get('updated')}.",
            "url": operation.source.get("url"),
        }, said


def test_the_package_lives_by_the_documents_lifetime() -> None:
    """If this fails, the lifetime in openapi.yaml has changed: change the constants too."""
    lives = {each.spec["x-lifetime-minutes"] for each in LIVE if "x-lifetime-minutes" in each.spec}
    assert {life * 60 for life in lives} == {_settings.KEY_LIFE}
    assert {life * 60 for life in lives} == {inspect.signature(Sandbox).parameters["life"].default}
