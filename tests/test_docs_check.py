import copy
import inspect
import json
import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import docs_check
import page as page_reader
import pytest
from ruamel.yaml import YAML

from listenkey import client, keeper
from listenkey.sandbox import Sandbox

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
TEXT: dict[str, list[str]] = DOCUMENT["paths"]["/eapi/v1/listenKey"]["post"]["x-source"]["text"]
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


@pytest.fixture
def document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The frozen document, whose POST was taken from start.md. Tests change it, then call check()."""
    found = copy.deepcopy(DOCUMENT)
    monkeypatch.setattr(docs_check, "DOCUMENT", tmp_path / "openapi.yaml")
    return found


def run(document: dict[str, Any], *pages: str | Path) -> tuple[int, list[dict[str, Any]]]:
    """Write pages and document, run the command, and return its exit status and its report of each page."""
    folder = docs_check.DOCUMENT.parent
    YAML(typ="safe").dump(document, docs_check.DOCUMENT)
    names = []
    for i, page in enumerate(pages):
        if isinstance(page, str):
            (folder / f"{i}.md").write_bytes(page.encode())
            page = folder / f"{i}.md"
        names.append(str(page))
    output = folder / "report.json"
    with output.open("w", encoding="utf-8") as stream, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", stream)
        status = docs_check.main([*names, "--format", "json"])
    report = json.loads(output.read_text(encoding="utf-8"))
    assert report["exit"] == status
    return status, report["pages"]


def found(document: dict[str, Any], page: str) -> list[str]:
    """Every difference of one page, as `language: fact`."""
    path = docs_check.DOCUMENT.with_name("page.md")
    path.write_bytes(page.encode())
    report = docs_check.check(path, docs_check.operations(document))
    rows = [f"{row.language}: {row.fact}" for row in report.rows if row.kind == "difference"]
    assert report.exit == bool(rows), report
    return rows


def both(*facts: str) -> list[str]:
    return [f"{language}: {fact}" for language in ("en", "zh-CN") for fact in facts]


def put(old: str, new: str, count: int = -1) -> str:
    assert old in START
    return START.replace(old, new, count)


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
    "line comment in JSON": put(EXPIRATION, f"{EXPIRATION} // milliseconds"),
    "address in JSON": put(KEY, '"wss://host//deprecated"', 1),
    "unit in a comment": put(EXPIRATION, f"{EXPIRATION} // in seconds, for 60 minutes"),
    "blank lines before the front matter": f"\n\n{START}",
    "numbered headings": re.sub(r"(?m)^## ", "## 1. ", START),
    "headings with pictures": re.sub(r"(?m)^## ", "## 📌 ", START),
    "invisible characters everywhere": START.replace('"listenKey"', '"\u200blisten\ufeffKey"')
    .replace("HTTP Request", "HTTP\u2060 Request")
    .replace("**1**", "**1\u200d**"),
    "block comment in JSON": put(EXPIRATION, f"/* the end */ {EXPIRATION}"),
    "comma at the end": put(EXPIRATION, f"{EXPIRATION},"),
    "other values": put("1700000000000", "1999999999999").replace(KEY, '"abc"'),
    "fields in another order": put(
        f'"listenKey": {KEY},  \n      {EXPIRATION}', f'{EXPIRATION},\n      "listenKey": {KEY}'
    ),
    "plain weight": put("**1**", "1"),
    "weight per IP": put("**1**", "**1 (IP)**"),
    "weight per IP in the heading": START.replace("Request Weight[]", "Request Weight(IP)[]"),
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
    "the lifetime in hours": put("60 minutes", "1 hour"),
    "documented error example": START.replace("    }\n\n---", '    }\n\n    {"code": -1125, "msg": "none"}\n\n---'),
    "the lifetime in seconds": put("60分钟", "3600秒"),
}


@pytest.mark.parametrize("name", NOISE)
def test_formatting_is_no_difference(document: dict[str, Any], name: str) -> None:
    assert found(document, NOISE[name]) == []


def in_english(text: str) -> str:
    """Add text at the end of the English part."""
    return f"{FRONT}{ENGLISH}\n{text}\n\n---\n\n{CHINESE}"


CHANGES = {
    "method": (put("POST", "PUT"), both("method")),
    "method in one language": (put("POST", "PUT", 1), ["en: method"]),
    "path": (put("/eapi/v1/", "/eapi/v2/"), both("path")),
    "no request": (put("POST `/eapi/v1/listenKey`", "see above"), both("method and path", "unread text")),
    "host": (put("`/eapi/v1/l", "`https://papi.binance.com/eapi/v1/l"), both("unread text")),
    "a word after a heading": (
        START.replace("HTTP Request[]", "HTTP Request (HMAC SHA256)[]"),
        ["en: unread text"],
    ),
    "security type": (put("USER_STREAM", "USER_DATA"), both("security type")),
    "security type gone": (put(" (USER_STREAM)", "", 1), ["en: security type"]),
    "weight": (put("**1**", "**5**"), both("request weight")),
    "weight per UID": (put("**1**", "**1(UID)**", 1), ["en: request weight"]),
    "weight per UID in the heading": (
        START.replace("Request Weight[]", "Request Weight(UID)[]"),
        ["en: request weight"],
    ),
    "weight in words": (put("**1**", "**2** with symbol, **5** without", 1), ["en: request weight"]),
    **{
        f"weight {text}": (put("**1**", text, 1), ["en: request weight"])
        for text in ("1, 5", "1-5", "1 5", "1<sup>2</sup>", "<del>1</del> <b>20</b>", "-1")
    },
    "deprecation in a comment": (
        put(EXPIRATION, f"{EXPIRATION} // deprecated, use expireAt"),
        ["en: unread text: deprecation notice"],
    ),
    "duration in a comment": (put(EXPIRATION, f"/* 5 days */ {EXPIRATION}"), ["en: unread text: duration 5 days"]),
    "deep JSON": (put("1700000000000", "[" * 5000 + "]" * 5000), ["en: response example"]),
    "200 durations": (
        put("Opens", "Never " + ", ".join(f"{i} seconds" for i in range(200)) + ". Opens"),
        ["en: unread text: duration " + ", ".join(f"{i} seconds" for i in range(200))],
    ),
    "weight table": (put("**1**", "| Limit | Weight |\n|---|---|\n| 5 | 2 |", 1), ["en: request weight"]),
    "a second weight": (put("**1**", "**1**\n\n**3** (UID)", 1), ["en: request weight"]),
    "weight empty": (put("**1**", "", 1), ["en: section Request Weight"]),
    "parameter": (
        put(
            "\nNone\n",
            "\nName| Type| Mandatory| Description\n---|---|---|---\nsize| INT| NO| how many\nat| LONG| YES|\n",
            1,
        ),
        ["en: parameter size", "en: parameter at"],
    ),
    "parameters in Chinese": (
        START.rpartition("None")[0]
        + "\n名称|类型|是否必需|描述\n--|--|--|--\nsize|INT|NO|数"
        + START.rpartition("None")[2],
        ["zh-CN: parameter size"],
    ),
    "a cell too many": (
        put("\nNone\n", "\nName| Type| Mandatory\n---|---|---\na| INT| NO| lost\n", 1),
        ["en: parameter a", "en: unread text"],
    ),
    "note on parameters": (put("\nNone\n", "\nNone\n\n> * Send nothing.\n", 1), ["en: unread text"]),
    "parameters in HTML": (
        put("\nNone\n", "\n<table><tr><td>size</td></tr></table>\n", 1),
        ["en: parameters", "en: unread text"],
    ),
    "new field": (put(EXPIRATION, f'{EXPIRATION}, "stream": "x"'), ["en: response field stream"]),
    "field gone": (put(f",  \n      {EXPIRATION}", ""), ["en: response field expiration"]),
    "required field gone": (put(f'"listenKey": {KEY},', ""), ["en: response field listenKey"]),
    "field renamed": (
        put('"expiration"', '"expires"'),
        ["en: response field expiration", "en: response field expires"],
    ),
    "known field, new in one language": (
        f"{START.rstrip().removesuffix('}').rstrip()},\n      {EXPIRATION}\n    }}",
        ["zh-CN: response field expiration"],
    ),
    "number to string": (put("1700000000000", '"1700000000000"'), ["en: response field expiration"]),
    "integer to fraction": (put("1700000000000", "1700000000000.5"), ["en: response field expiration"]),
    "integer to fraction .0": (put("1700000000000", "1700000000000.0"), ["en: response field expiration"]),
    "to null": (put("1700000000000", "null"), ["en: response field expiration"]),
    "to true": (put("1700000000000", "true"), ["en: response field expiration"]),
    "beyond int64": (put("1700000000000", "9223372036854775808"), ["en: response field expiration"]),
    "empty key": (put(KEY, '""', 1), ["en: response field listenKey"]),
    "nested answer": (
        put(EXPIRATION, f'"data": {{{EXPIRATION}}}'),
        ["en: response field expiration", "en: response field data"],
    ),
    "array in the answer": (put(EXPIRATION, f'{EXPIRATION}, "keys": [{{"a": 1}}]'), ["en: response field keys"]),
    "array for answer": (re.sub(r"(\{ *\n *\"listenKey[^}]*\})", r"[\1]", START, count=1), ["en: response"]),
    "array of other answers": (
        re.sub(r"\{( *\n *\"listenKey[^}]*)\}", r'[{\1, "a": 1}]', START, count=1),
        ["en: response", "en: response field [].a"],
    ),
    "a field twice": (put(EXPIRATION, f"{EXPIRATION}, {EXPIRATION}"), ["en: response example"]),
    "no JSON": (put(EXPIRATION, f"{EXPIRATION}, ..."), ["en: response example"]),
    "second example": (in_english('**OR**\n\n    {"listenKey": "abc"}'), ["en: response example"]),
    "second example, no label": (
        START.replace("    }\n\n---", '    }\n\n    {"listenKey": "abc"}\n\n---'),
        ["en: response example"],
    ),
    "error example": (
        in_english('```\n{"code": -9999, "msg": "none"}\n```'),
        ["en: error answer -9999"],
    ),
    "documented error example with a new field": (
        in_english('```\n{"code": -1125, "msg": "none", "data": 1}\n```'),
        ["en: response field data"],
    ),
    "no example": (re.sub(r" {4}\{[^}]*\}", "", START, count=1), ["en: section Response Example"]),
    "example is prose": (
        re.sub(r" {4}\{[^}]*\}", "To be written.", START, count=1),
        ["en: response example", "en: unread text"],
    ),
    "lifetime": (
        put("60 minutes", "30 minutes").replace("60分钟", "30分钟"),
        ["en: lifetime in minutes"] * 2 + ["zh-CN: lifetime in minutes"],
    ),
    "lifetime in one sentence": (put("60 minutes later", "90 minutes later"), ["en: lifetime in minutes"]),
    "lifetime in hours": (put("60分钟", "2小时"), ["zh-CN: lifetime in minutes"]),
    "lifetime in words": (
        put("60分钟", "六十分钟"),
        ["zh-CN: lifetime in minutes", "zh-CN: changed text: a duration that cannot be read"],
    ),
    "title": (put("# Start User", "# Begin User"), ["en: title"]),
    "title in Chinese": (put("# 生成", "# 创建"), ["zh-CN: title"]),
    "address": (put("Start-User-Data-Stream\napi", "Begin\napi"), ["None: source URL"]),
    "older": (put("2026-01-15", "2025-12-31"), ["None: date"]),
    "no date": (re.sub("updated_at.*\n", "", START), ["None: date"]),
    "no such date": (put("2026-01-15T", "2026-13-99T"), ["None: date"]),
    "another kind of API": (put("REST", "WebSocket"), ["None: api_type"]),
    "another exchange": (put("exchange: binance", "exchange: other"), ["None: exchange"]),
    "more front matter": (put("api_type", "status: retired\napi_type"), ["None: unread front matter 'status'"]),
    "deprecation notice": (
        put("Opens", "> **Deprecated** since May.\n\nOpens"),
        ["en: unread text: deprecation notice"],
    ),
    "deprecation in Chinese": (put("打开", "该接口即将下线。打开"), ["zh-CN: unread text: deprecation notice"]),
    "deprecation in a section": (
        START.replace("## HTTP Request", "## Notice\n\nTo be retired.\n\n## HTTP Request"),
        ["en: unread section 'Notice': deprecation notice"],
    ),
    "deprecation in the title": (put("Stream (U", "Stream [Deprecated] (U"), ["en: title"]),
    "error code": (in_english("Without a key: -1125."), ["en: unread text: error code -1125"]),
    "error codes": (
        in_english("## Errors\n\nCode| Text\n---|---\n-1125| a\n-4078| b"),
        ["en: unread section 'Errors': error code -1125 -4078"],
    ),
    "error code in wide letters": (
        put("打开", "错误码\uff0d1125。打开"),
        ["zh-CN: unread text: error code -1125"],
    ),
    "HTTP status": (in_english("Soon HTTP 410."), ["en: unread text: HTTP status 410"]),
    "last line": (f"{START}\n\n每个IP每分钟5次\n", ["zh-CN: unread text: a duration that cannot be read"]),
    "second endpoint": (in_english(f"---\n{SECOND}"), ["en: second endpoint"]),
    "second endpoint, no rule": (in_english(SECOND), ["en: second endpoint"]),
    "second request line": (
        put("POST `/eapi/v1/listenKey`", "POST `/eapi/v1/listenKey`\n\nPOST `/eapi/v2/listenKey`", 1),
        ["en: second endpoint"],
    ),
    "sentence": (put("60 minutes later", "60 minutes after the start"), ["en: changed text"]),
    "one small word": (put("hands out", "no longer hands out"), ["en: changed text: deprecation notice"]),
    "sentence gone": (put("Opens the private stream of an account. ", ""), ["en: text is gone"]),
    "sentence more": (put("account. It", "account. Ten at most. It"), ["en: unread text"]),
    "sentences in another order": (
        put(
            "Opens the private stream of an account. It ends 60 minutes later if nobody prolongs it.",
            "It ends 60 minutes later if nobody prolongs it. Opens the private stream of an account.",
        ),
        ["en: text in another order"],
    ),
    "section gone": (START.replace(REQUEST, ""), ["en: section HTTP Request"]),
    "description gone": (
        START.replace(CHINESE[CHINESE.index("## 接口描述") : CHINESE.index("## HTTP")], ""),
        ["zh-CN: section API Description", "zh-CN: lifetime in minutes", "zh-CN: text is gone", "zh-CN: text is gone"],
    ),
    "text before the title": (START.replace("# Start", "Old page.\n\n# Start"), ["en: unread text"]),
    "link to the outside": (put("private stream", "[private stream](https://example.com/)"), ["en: changed text"]),
    "image": (put("Opens", "![](/img/new.png) Opens"), ["en: changed text"]),
    "HTML": (START.replace("## HTTP Request", "<details>For VIPs.</details>\n\n## HTTP Request"), ["en: unread text"]),
    "code in the description": (
        START.replace("## HTTP Request", "    curl -X POST\n\n## HTTP Request"),
        ["en: unread text"],
    ),
    "third language": (f"{START}\n\n---\n\n# ストリーム\n\nテスト\n", ["zh-CN: unread section 'ストリーム'"]),
    "another endpoint": (
        put("Start-User-Data-Stream\napi", "Account\napi").replace(
            "POST `/eapi/v1/listenKey`", "GET `/eapi/v1/account`"
        ),
        ["en: endpoint"],
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_is_named_and_nothing_else(document: dict[str, Any], name: str) -> None:
    page, facts = CHANGES[name]
    assert page != START
    assert sorted(found(document, page)) == sorted(facts)


def test_a_row_says_where_what_and_what_to_do(document: dict[str, Any]) -> None:
    _, [report] = run(document, put(EXPIRATION, f'{EXPIRATION},\n      "stream": "x"'))
    assert report["rows"] == [
        {
            "kind": "difference",
            "fact": "response field stream",
            "language": "en",
            "line": 32,
            "page": 'new, string: "x"',
            "document": "none in ListenKeyResponse",
            "todo": "add it to ListenKeyResponse and to example withExpiration",
        }
    ]
    assert START.splitlines()[30].strip() == EXPIRATION


@pytest.mark.parametrize(
    ("page", "fact"),
    [
        (put("2026-01-15", "2026-02-01"), "date"),
        (put("2026-01-15T08:00:00.000001", "2026-05-27 18:55:51"), "date"),
        (put("api_type", "crawler: v2\napi_type"), "unread front matter 'crawler'"),
        (FRONT + ENGLISH, "language"),
        (FRONT + CHINESE, "language"),
    ],
)
def test_what_needs_no_change_is_a_note(document: dict[str, Any], page: str, fact: str) -> None:
    status, [report] = run(document, page)
    assert status == 0
    assert [(row["kind"], row["fact"]) for row in report["rows"]] == [("note", fact)]


CLEARED = {
    "no JSON": (put(EXPIRATION, f"{EXPIRATION}, ..."), "response example"),
    "parameters in HTML": (put("\nNone\n", "\n<table><tr><td>size</td></tr></table>\n", 1), "unread text"),
    "parameters in a list": (put("\nNone\n", "\n- size: how many\n", 1), "unread text"),
    "table without names": (put("\nNone\n", "\nThing| Type\n---|---\nsize| INT\n", 1), "unread text"),
    "weight of 60 minutes": (put("**1**", "**1** in 60 minutes", 1), "request weight"),
}


@pytest.mark.parametrize("name", CLEARED)
def test_what_cannot_be_compared_is_cleared_by_its_digests(document: dict[str, Any], name: str) -> None:
    page, fact = CLEARED[name]
    _, [report] = run(document, page)
    facts = [row for row in report["rows"] if row["fact"] == fact]
    assert facts
    for row in facts:
        recorded = document["paths"]["/eapi/v1/listenKey"]["post"]["x-source"]["text"]["en"]
        recorded += re.findall(r"\bput ([0-9a-f]{12})\b", row["todo"])
    assert [row for row in run(document, page)[1][0]["rows"] if "another order" not in row["fact"]] == []


def test_a_renamed_heading_is_cleared_by_its_name(document: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    page = START.replace("## Request Weight", "## IP Weight")
    _, [report] = run(document, page)
    assert [row["fact"] for row in report["rows"]] == ["section Request Weight", "unread section 'IP Weight'"]
    assert "HEADINGS in tools/page.py" in report["rows"][0]["todo"]
    monkeypatch.setitem(page_reader.KNOWN, "ipweight", ("weight", "en"))
    assert found(document, page) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x89PNG\r\n\xff\x00", "not UTF-8 text"),
        (b"---\na: b\n---\n# T\n\0", "a binary file"),
        (b"", "no front matter"),
        (b"# Title\n\n## HTTP Request\n\nPOST `/x`\n", "no front matter"),
        (b"---\na: [b\n---\n\n## HTTP Request\n", "not YAML"),
        (b"---\nonly words\n---\n\n## HTTP Request\n", "no `name: value` lines"),
        (b"---\nexchange: binance\n---\n\n# About us\n\nWe are here.\n", "none of its headings"),
    ],
)
def test_what_is_no_page_cannot_be_read(document: dict[str, Any], tmp_path: Path, content: bytes, reason: str) -> None:
    page = tmp_path / "page.md"
    page.write_bytes(content)
    status, [report] = run(document, page)
    assert status == 2
    assert reason in report["error"]


def test_a_missing_file_does_not_hide_the_other_pages(document: dict[str, Any], tmp_path: Path) -> None:
    status, reports = run(document, tmp_path / "none.md", tmp_path, START, put("POST", "PUT", 1))
    assert status == 2
    assert [report["exit"] for report in reports] == [2, 2, 0, 1]
    assert reports[0]["error"].startswith("No such file")
    assert reports[1]["error"].startswith("Is a directory")


@pytest.fixture
def with_parameters(document: dict[str, Any]) -> dict[str, Any]:
    """A document that says what parameters.md says."""
    operation = document["paths"]["/eapi/v1/listenKey"]["post"]
    operation["parameters"] = [
        {"name": "symbol", "in": "query", "required": True, "schema": {"type": "string"}},
        {"name": "limit", "in": "query", "schema": {"type": "integer", "format": "int32"}},
        {"name": "recvWindow", "in": "query", "schema": {"type": "integer", "format": "int64"}},
    ]
    operation["x-request-weight"] = {"scope": "ip", "table": [["1, 10", 2], ["100", 5]]}
    operation["x-source"]["text"] = {
        "en": [*TEXT["en"], "f3015c9885d6", "664e67a5089e", "046b632ff8aa", "543ad80ed6fc", "788c1a6bcc66"]
    }
    return document


PARAMETERS = (PAGES / "parameters.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "facts"),
    [
        (
            "Name| Type| Mandatory| Description  \n---|---|---|---  ",
            "| Name   |Type|  Mandatory | Description\n|:--|:-:|--:|---|",
            [],
        ),
        ("recvWindow| LONG| NO|   ", "| recvWindow | LONG | no |", []),
        ("symbol| STRING| YES|", "symbol| **STRING**| TRUE|", []),
        ("symbol| STRING| YES|", "\u200bsymbol| STRING\ufeff| Y\u200bES|", []),
        ("| STRING|", "| LONG|", ["en: parameter symbol: type"]),
        ("| STRING|", "| SET|", ["en: parameter symbol: type"]),
        ("| STRING|", "| STRING/LONG|", ["en: unread text"]),
        ("| LONG|", "| LONG INT|", ["en: unread text"]),
        ("| STRING|", "| STRING (up to 20 letters)|", ["en: unread text"]),
        ("| LONG|", "| INT|", ["en: parameter recvWindow: type"]),
        ("| INT|", "| LONG|", ["en: parameter limit: type"]),
        ("| YES|", "| NO|", ["en: parameter symbol: mandatory"]),
        ("| INT| NO|", "| INT| EITHER|", ["en: parameter limit: mandatory"]),
        ("at most 100", "at most 500", ["en: changed text"]),
        ("recvWindow| LONG| NO|   ", "recvWindow| LONG| NO| Up to 60 s", ["en: unread text: duration 60 s"]),
        ("recvWindow| LONG| NO|   \n", "", ["en: parameter recvWindow"]),
        ("recvWindow|", "window|", ["en: parameter window", "en: parameter recvWindow"]),
        ("| 100 | 5 |", "| 100 | 6 |", ["en: request weight"]),
        ("| Limit |", "| Rows |", ["en: changed text"]),
        ("an error", "no error", ["en: changed text"]),
        ("Name| Type| Mandatory| Description", "Param| Data Type| Required| Desc", []),
        ("Name| Type| Mandatory| Description", "参数名称| 参数类型| 是否必填| 备注", []),
        ("Name| Type|", "Thing| Type|", ["en: parameters", *["en: unread text"] * 4, *["en: text is gone"] * 2]),
        ("Name| Type|", "Name| Kind|", ["en: parameters: type", "en: unread text"]),
    ],
)
def test_tables_of_parameters_and_weights(
    with_parameters: dict[str, Any], old: str, new: str, facts: list[str]
) -> None:
    assert old in PARAMETERS
    assert sorted(found(with_parameters, PARAMETERS.replace(old, new))) == sorted(facts)


@pytest.mark.parametrize(
    ("cell", "facts"),
    [
        ("ENUM", []),
        ("ENUM (BUY, SELL)", []),
        ("ENUM: `SELL`/`BUY`", []),
        ("ENUM (BUY, SELL, HOLD)", ["en: parameter symbol: values"]),
        ("ENUM (BUY)", ["en: parameter symbol: values"]),
    ],
)
def test_the_values_of_an_enum(with_parameters: dict[str, Any], cell: str, facts: list[str]) -> None:
    schema = with_parameters["paths"]["/eapi/v1/listenKey"]["post"]["parameters"][0]["schema"]
    schema["enum"] = ["BUY", "SELL"]
    assert found(with_parameters, PARAMETERS.replace("| STRING|", f"| {cell}|")) == facts


@pytest.mark.parametrize(("text", "misread"), [("1, 5", 15), ("1-5", 15), ("1<sup>2</sup>", 12), ("1 <b>20</b>", 120)])
def test_a_weight_is_not_put_together(document: dict[str, Any], text: str, misread: int) -> None:
    document["paths"]["/eapi/v1/listenKey"]["post"]["x-request-weight"]["weight"] = misread
    assert found(document, put("**1**", text)) == both("request weight")


def test_none_where_parameters_are_documented(with_parameters: dict[str, Any]) -> None:
    with_parameters["paths"]["/eapi/v1/listenKey"]["post"]["x-source"]["text"] = TEXT
    facts = found(with_parameters, FRONT + ENGLISH)
    assert sorted(facts) == [
        "en: parameter limit",
        "en: parameter recvWindow",
        "en: parameter symbol",
        "en: request weight",
    ]


def test_nullable_and_nested_schemas(document: dict[str, Any]) -> None:
    schema = document["components"]["schemas"]["ListenKeyResponse"]["properties"]
    schema["limits"] = {
        "type": "array",
        "items": {"type": "object", "properties": {"per": {"type": "string", "nullable": True}}},
    }
    document["components"]["examples"]["withExpiration"]["value"]["limits"] = [{"per": None}]
    page = put(EXPIRATION, f'{EXPIRATION}, "limits": [{{"per": null}}]')
    assert found(document, page) == []
    assert found(document, page.replace("null", "5")) == ["en: response field limits[].per"]
    assert found(document, page.replace("null", 'null, "of": 1')) == ["en: response field limits[].of"]


def test_the_page_of_another_operation_is_compared_with_that(document: dict[str, Any]) -> None:
    page = START.replace("Start-User-Data-Stream\napi", "Keepalive-User-Data-Stream\napi").replace("POST `", "PUT `")
    _, [report] = run(document, page)
    assert report["operation"] == "PUT /eapi/v1/listenKey"
    [row] = [row for row in report["rows"] if row["fact"] == "response field listenKey" and row["language"] == "en"]
    assert row["todo"] == "add it to EmptyResponse and to the example"


def test_an_empty_object_is_no_news_where_the_document_has_no_content(document: dict[str, Any]) -> None:
    keepalive = document["paths"]["/eapi/v1/listenKey"]["put"]
    del keepalive["responses"]["200"]["content"]
    page = START.replace("Start-User-Data-Stream\napi", "Keepalive-User-Data-Stream\napi").replace("POST `", "PUT `")
    rows = run(document, re.sub(r"\{[^}]*\}", "{}", page))[1][0]["rows"]
    assert "response example" not in {row["fact"] for row in rows}
    rows = run(document, page)[1][0]["rows"]
    assert "response example" in {row["fact"] for row in rows}


def test_each_part_is_compared_with_its_own_operation(document: dict[str, Any]) -> None:
    keepalive = document["paths"]["/eapi/v1/listenKey"]["put"]
    second = SECOND.replace("Get Listen Keys (USER_DATA)", "Keepalive User Data Stream (USER_STREAM)").replace(
        "## HTTP Request\n\nGET `/eapi/v1/listenKeys`",
        "## API Description\n\nIt holds 60 minutes.\n\n## HTTP Request\n\nPUT `/eapi/v1/listenKey`",
    )
    page = f"{FRONT}{ENGLISH}\n---\n{second}"
    keepalive["x-source"]["text"] = {"en": [docs_check.digest("description", "It holds $.")]}
    assert sorted(found(document, page)) == ["None: source URL", "en: response"]
    keepalive["x-source"]["url"] = document["paths"]["/eapi/v1/listenKey"]["post"]["x-source"]["url"]
    assert found(document, page.replace("[]\n", "{}\n")) == []
    assert found(document, page.replace("**1**", "**5**")) == ["en: request weight"] * 2 + ["en: response"]


def test_a_locale_without_chinese(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(put("# 生成", "# 创建"), encoding="utf-8")
    command = [sys.executable, str(ROOT / "tools" / "docs_check.py"), str(page)]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    process = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert process.stderr == b""
    assert "创建" in process.stdout.decode()


def test_blank_lines_before_the_front_matter_count(document: dict[str, Any]) -> None:
    pages = [put("**1**", "**5**", 1).replace("REST", "SOAP")]
    lines = [[row["line"] for row in run(document, *page)[1][0]["rows"]] for page in (pages, [f"\n\n{pages[0]}"])]
    assert [line + 2 for line in lines[0]] == lines[1]


def test_text_and_markdown_carry_every_row(
    document: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    YAML(typ="safe").dump(document, docs_check.DOCUMENT)
    page = tmp_path / "page.md"
    page.write_text(put("**1**", "**2** | **5**"), encoding="utf-8")
    assert docs_check.main([str(page)]) == 1
    text = capsys.readouterr().out
    assert f"{page}:20 (en)" in text
    assert "    page      2 | 5\n    document  1 per ip\n    to do     change x-request-weight" in text
    assert docs_check.main([str(page), str(tmp_path / "none.md"), "--format", "markdown"]) == 2
    markdown = capsys.readouterr().out
    assert r"| difference | request weight (en) | 20 | 2 \| 5 | 1 per ip |" in markdown
    assert "Cannot be read: No such file" in markdown


@pytest.mark.parametrize("form", ["text", "json", "markdown"])
def test_without_a_page_it_lists_the_sources(
    form: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docs_check, "DOCUMENT", PAGES / "openapi.yaml")
    assert docs_check.main(["--format", form]) == 0
    output = capsys.readouterr().out
    for operation in docs_check.operations(DOCUMENT):
        assert operation.name in output
        assert operation.source["url"] in output
        assert operation.source["updated"] in output


LIVE = docs_check.operations(YAML(typ="safe").load(ROOT / "openapi.yaml"))


def test_the_document_says_its_sources_once() -> None:
    for operation in LIVE:
        assert operation.spec["externalDocs"] == {
            "description": f"Source page, updated {operation.source['updated']}.",
            "url": operation.source["url"],
        }


def test_the_package_lives_by_the_documents_lifetime() -> None:
    """If this fails, the lifetime in openapi.yaml has changed: change the constants too."""
    [life] = {op.spec["x-lifetime-minutes"] for op in LIVE if op.method != "DELETE"}
    assert timedelta(minutes=life) == client.LIFE
    assert life * 60 == keeper.LIFE
    assert life * 60 == inspect.signature(Sandbox).parameters["life"].default
