import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docs_check import __main__ as command
from docs_check.check import Project
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
PAGES = Path(__file__).parent / "pages"
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
        report = self.project.check(self.page(text))
        differ = {row.kind for row in report.rows} - {"note"}
        assert report.exit == (2 if "unclear" in differ else int(bool(differ)))
        return [f"{row.language}: {row.fact}" for row in report.rows if row.kind in kinds]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """The frozen document, and a lock file that accepted start.md."""
    shutil.copy(PAGES / "pages.lock.json", tmp_path)
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
        [*both("endpoint"), "en: new section 'request'", "zh-CN: new section 'request'"],
    ),
    "host": (
        put("`/eapi/v1/l", "`https://papi.binance.com/eapi/v1/l"),
        ["en: new section 'request'", "zh-CN: new section 'request'"],
    ),
    "a word after a heading": (
        START.replace("HTTP Request[]", "HTTP Request (HMAC SHA256)[]"),
        ["en: new section 'request'"],
    ),
    "a second request line": (
        put("POST `/eapi/v1/listenKey`", "POST `/eapi/v1/listenKey`\n\nPOST `/eapi/v2/listenKey`", 1),
        ["en: endpoint"],
    ),
    "security type": (put("USER_STREAM", "USER_DATA"), both("security type")),
    "security type gone": (put(" (USER_STREAM)", "", 1), ["en: security type"]),
    "weight": (put("**1**", "**5**"), both("weight")),
    "weight empty": (put("**1**", "", 1), ["en: weight"]),
    "weight per IP": (put("**1**", "**1 (IP)**", 1), ["en: new section 'weight'"]),
    "weight per UID": (put("**1**", "**1(UID)**", 1), ["en: new section 'weight'", "en: weight counted per"]),
    "weight per UID in the heading": (
        START.replace("Request Weight[]", "Request Weight(UID)[]"),
        ["en: new section 'weight'", "en: weight counted per"],
    ),
    "a second weight": (
        put("**1**", "**1**\n\n**3** (UID)", 1),
        ["en: new section 'weight'", "en: weight", "en: weight counted per"],
    ),
    "weight table": (
        put("**1**", "| Limit | Weight |\n|---|---|\n| 5 | 2 |", 1),
        ["en: new section 'weight'", "en: weight"],
    ),
    **{
        f"weight {text}": (put("**1**", text, 1), ["en: new section 'weight'", "en: weight"])
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
    "news in a comment": (put(EXPIRATION, f"{EXPIRATION} // deprecated"), ["en: new section 'response'"]),
    "no JSON": (
        put(EXPIRATION, f"{EXPIRATION}: 5"),
        ["en: answer", "en: field expiration", "en: field listenKey", "en: new section 'response'"],
    ),
    "deep JSON": (
        put("1700000000000", "[" * 5000 + "]" * 5000),
        ["en: answer", "en: field expiration", "en: field listenKey", "en: new section 'response'"],
    ),
    "a second example": (in_english('**OR**\n\n    {"listenKey": "abc"}'), ["en: new section 'response'"]),
    "an error": (in_english('```\n{"code": -9999, "msg": "none"}\n```'), ["en: new section 'response'"]),
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
        ["en: new section 'Notice'"],
    ),
    "the last line": (f"{START}\n\n每个IP每分钟5次\n", ["zh-CN: new section 'response'"]),
    "a second endpoint": (SECOND_ENGLISH, ["en: endpoint GET /eapi/v1/listenKeys"]),
    "a second endpoint, no rule": (in_english(SECOND), ["en: endpoint GET /eapi/v1/listenKeys"]),
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
        ["en: another order in 'description'"],
    ),
    "no request section": (START.replace(REQUEST, ""), ["en: endpoint"]),
    "no description": (
        START.replace(CHINESE[CHINESE.index("## 接口描述") : CHINESE.index("## HTTP")], ""),
        ["zh-CN: section 'description' is gone"],
    ),
    "text before the title": (START.replace("# Start", "Old page.\n\n# Start"), ["en: new section 'above the title'"]),
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
    "a third language": (f"{START}\n\n---\n\n# ストリーム\n\nテスト\n", ["zh-CN: new section 'ストリーム'"]),
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
    before = (tmp_path / "pages.lock.json").read_bytes()
    assert folder.run("accept", page, "--reason", "again") == 0
    assert (tmp_path / "pages.lock.json").read_bytes() == before
    assert set(re.findall(rb'"reason": "(.*)"', before)) <= {b"seen by hand", b""}


def plain_lines(page: str) -> Iterator[tuple[int, str, bool]]:
    """A page's lines that carry meaning, without the debris of links: number, text, and whether it is code."""
    fenced, body = False, page.index("\n---\n", 4)
    for i, line in enumerate(page.split("\n")):
        fenced ^= line.startswith("```")
        header = re.match(r"\|? ?(Name|名称) ?\|", line)
        heading = re.match(r"## (?!Levels)", line)
        skipped = line.startswith("```") or header or heading or re.fullmatch(r"[\s|:-]*", line)
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
            for new in (f"{word}q", "") if word.isalnum() else ("",):
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


@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_planted_is_named(tmp_path: Path, name: str) -> None:
    page = of(name)
    folder = Folder(tmp_path, bare(page))
    folder.run("accept", folder.page(page), "--reason", "seen")
    changes = [*planted(page), *reshaped(page)]
    missed = [what for what, text in changes if not folder.rows(text)]
    assert missed == []
    assert len(changes) > 60
