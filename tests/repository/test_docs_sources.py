"""docs_check: pages in another form, pages of events, the vendor's schema files, and what is accepted of them."""

import copy
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from docs_check import __main__ as command
from docs_check.check import Project
from docs_check.compare import Report
from docs_check.lock import LOCK
from docs_check.page import WORDS
from ruamel.yaml import YAML

from .test_docs_check import CHINESE, DOCUMENT, ENGLISH, FRONT, PAGES, ROOT, SECOND, START, Folder, put

PRESENT, EVENT = ((PAGES / name).read_text(encoding="utf-8") for name in ("present.md", "event.md"))
KEPT = ROOT / "tools/docs_check/accepted"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Both frozen documents, and a lock file that accepted start.md."""
    (tmp_path / LOCK).parent.mkdir(parents=True)
    shutil.copy(PAGES / "pages.lock.json", tmp_path / LOCK)
    shutil.copy(PAGES / "asyncapi.yaml", tmp_path)
    return Folder(tmp_path, DOCUMENT)


def report(folder: Folder, capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, list[dict[str, Any]]]:
    """Run the command, and return its exit status with the rows that are no notes."""
    capsys.readouterr()
    status = folder.run("check", *words, "--format", "json")
    rows = [row for source in json.loads(capsys.readouterr().out)["sources"] for row in source["rows"]]
    return status, [row for row in rows if row["kind"] != "note"]


# A page without a known heading

STRANGE = {
    "retired": "# Start User Data Stream\n\nThis call was taken away in May. It answers 410.\n",
    "other headings": "# Start User Data Stream (TRADE)\n\n## How\n\nPOST `/eapi/v9/x`\n\n## Toll\n\n50\n",
    "no heading": "Start User Data Stream\n\nPOST `/eapi/v9/listenKey`\n",
    "bold headings": "**Start User Data Stream**\n\n**How**\n\nPOST `/eapi/v9/listenKey`\n",
    "not found": "# Nothing here\n\nThe page that you look for has moved.\n",
    "Chinese": "# 生成listenKey\n\n## 概述\n\n此接口已下线。\n",
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_page_without_a_known_heading_cannot_be_told(
    folder: Folder, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    page = folder.page(FRONT + STRANGE[name])
    assert folder.run("check", page) == 2
    assert "no heading is one of an endpoint's page" in capsys.readouterr().out
    before = folder.path.joinpath(LOCK).read_bytes()
    assert folder.run("accept", page, "--reason", "no") == 2
    assert "accepted;" not in capsys.readouterr().out
    assert folder.path.joinpath(LOCK).read_bytes() == before


def test_half_a_page_that_was_taken_away_is_named(folder: Folder) -> None:
    assert folder.rows(f"{FRONT}{STRANGE['retired']}\n---\n\n{CHINESE}") == ["zh-CN: new in 'Start User Data Stream'"]


# The site's present form


@pytest.fixture
def present(folder: Folder) -> Folder:
    """A document that records the page of the present form, and a lock file that accepted it."""
    document = copy.deepcopy(DOCUMENT)
    for method, operation in document["paths"]["/eapi/v1/listenKey"].items():
        operation["x-source"]["present"] = f"{re.findall('source_url: (.*)', PRESENT)[0]}#{method}"
    folder.write(document)
    assert folder.run("accept", folder.page(PRESENT)) == 0
    return folder


@pytest.mark.parametrize(
    ("old", "new", "row"),
    [
        ("", "", None),
        ("IP Weight1", "IP Weight 1", None),
        ("IP Weight1", "IP Weight5", "en: weight"),
        ("IP Weight1", "UID Weight1", "en: weight counted per"),
        ("POST\n\n/eapi/v1/", "POST\n\n/eapi/v2/", "en: endpoint"),
        ("PUT\n", "PATCH\n", "en: endpoint"),
        ("stream. The stream will close after 60", "stream. The stream will close after 20", "en: lifetime"),
        (" (USER\\_STREAM)", " (TRADE)", "en: security type"),
        ("1700000000000", '"soon"', "en: field expiration"),
        ("## Start User", "## Begin User", "en: title"),
        ("POST\n\n", "", "en: gone from 'title'"),
        ('`{ "listenKey": "abc", "expiration": 1700000000000 }`', "", "en: gone from 'response'"),
        ("string · required", "string", "en: gone from 'Headers'"),
        ("## Close User Data Stream", "## Shut User Data Stream", "en: title"),
        (PRESENT[PRESENT.index("## Close User") :], "", ": endpoint"),
    ],
)
def test_the_sites_present_form_is_read(present: Folder, old: str, new: str, row: str | None) -> None:
    changed = PRESENT.replace(old, new) if old else PRESENT
    rows = present.rows(changed)
    assert (row in rows) if row else rows == []


def test_a_page_of_several_calls_is_none_of_their_former_pages(folder: Folder) -> None:
    document = copy.deepcopy(DOCUMENT)
    for operation in document["paths"]["/eapi/v1/listenKey"].values():
        operation["x-source"]["present"] = re.findall("source_url: (.*)", PRESENT)[0]
    folder.write(document)
    assert folder.rows(START) == []
    assert folder.rows(PRESENT) == ["en: text"]


def test_a_further_call_in_the_present_form(present: Folder) -> None:
    more = PRESENT[PRESENT.index("## Keepalive User") : PRESENT.index("## Close User")]
    more = more.replace("Keepalive User Data Stream", "List Keys").replace("PUT", "GET").replace("listenKey", "keys")
    assert present.rows(f"{PRESENT}\n---\n\n{more}") == ["en: endpoint of no operation"]


# The request line, misfiled bodies, a second endpoint, halves that disagree


@pytest.mark.parametrize(
    "line",
    [
        "POST`/eapi/v1/listenKey`",
        "POST/eapi/v1/listenKey",
        "**POST**`/eapi/v1/listenKey`",
        "POST: `/eapi/v1/listenKey`",
    ],
)
def test_a_request_line_needs_no_space(folder: Folder, line: str) -> None:
    assert folder.rows(put("POST `/eapi/v1/listenKey`", line)) == []
    moved = line.replace("v1", "v2")
    assert folder.rows(put("POST `/eapi/v1/listenKey`", moved)) == ["en, zh-CN: endpoint"]


@pytest.mark.parametrize("end", ["", "/Start-User-Data-Stream/v2", "/Stop"])
def test_a_body_whose_links_lie_elsewhere_is_another_pages(folder: Folder, end: str) -> None:
    filed = START.replace("](/docs", "](/x").replace(
        "user-data-streams/Start-User-Data-Stream#", f"user-data-streams{end}#"
    )
    assert folder.rows(filed.replace("](/x", "](/docs")) == [": page"]
    under = START.replace("user-data-streams/Start-User-Data-Stream\napi", f"user-data-streams{end}\napi")
    assert folder.rows(under) == [": page"]


def test_a_second_endpoint_is_looked_at_again(folder: Folder) -> None:
    page = f"{FRONT}{ENGLISH}\n\n---\n{SECOND}"
    assert folder.run("accept", folder.page(page), "--reason", "not ours") == 0
    assert folder.rows(page) == []
    for old, new in (
        ("Keys (USER", "Keys, old (USER"),
        ("**1**", "**9**"),
        ("    []", '    [{"a": 1}]'),
        ("None", "Nothing"),
    ):
        head, _, tail = page.rpartition(old)
        assert folder.rows(f"{head}{new}{tail}") == ["en: endpoint of no operation"]


def test_halves_that_disagree_are_told_so(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    half = START.rpartition("USER_STREAM")
    page = folder.page(f"{half[0]}TRADE{half[2]}")
    _, [row] = report(folder, capsys, page)
    assert row["todo"] == "the other half (en) says what the document says: accept this one with a REASON"
    _, rows = report(folder, capsys, folder.page(put("USER_STREAM", "TRADE")))
    assert [row["todo"][:22] for row in rows] == ["change x-security-type"]


def test_single_rows_are_accepted_and_nothing_else(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    text = put("**1**", "**5**").replace("Opens the private", "Opens a").replace("It ends", "It stops")
    _, rows = report(folder, capsys, folder.page(text))
    marks = {row["fact"]: row["digests"] for row in rows}
    assert folder.run("accept", folder.path / "page.md", "--reason", "why", "--only", " ".join(marks["weight"])) == 1
    assert [row for row in folder.rows(text) if "weight" in row] == []
    assert sorted(folder.rows(text)) == sorted(f"{r['language']}: {r['fact']}" for r in rows if r["fact"] != "weight")
    for fact in ("new in 'description'", "gone from 'description'"):
        assert folder.run("accept", folder.path / "page.md", "--only", marks[fact][0]) in {0, 1}
    assert folder.rows(text) == []


# Events


def test_a_page_of_an_event(folder: Folder) -> None:
    assert folder.run("accept", folder.page(EVENT)) == 0
    assert folder.rows(EVENT) == []
    assert folder.rows(EVENT.replace('"DEAL"', '"DEAL_DONE"')) == ["en, zh-CN: event"]
    assert folder.rows(EVENT.replace('"q"', '"n"')) == [f"en, zh-CN: field d.{name}" for name in "qn"]
    assert folder.rows(EVENT[: EVENT.index('    {"e"')]) == ["zh-CN: gone from '示例'"]
    more = EVENT.replace("    {\n", '    {"e": "DEAL_LIST", "E": 1}\n\n    {\n', 1)
    assert folder.rows(more) == ["en: event of no document"]
    gone = re.sub(r'(?m)^    (\{"e"|\{$|  .*|\}$).*\n?', "", EVENT)
    assert ": event" in folder.rows(gone)


def test_an_english_heading_in_the_chinese_half(folder: Folder) -> None:
    both = EVENT.replace("## Example", "## PATH\n\n`/x`\n\n## Example").replace("## 示例", "## PATH\n\n`/x`\n\n## 示例")
    folder.run("accept", folder.page(both))
    assert folder.rows(both) == []
    assert folder.rows(both[: both.index("\n---\n\n# 事件")]) == []
    assert folder.rows(both.replace("`/x`", "`/y`")) == [
        f"{language}: {what} 'PATH'" for language in ("en", "zh-CN") for what in ("gone from", "new in")
    ]


def test_a_comment_belongs_to_its_field(folder: Folder) -> None:
    said = EVENT.replace('"w": "UP",', '"w": "UP",        // which way', 1)
    folder.run("accept", folder.page(said))
    assert folder.rows(said) == []
    swapped = said.replace('"s": "OPEN"', '"w": "OPEN"', 1).replace('"w": "UP"', '"s": "UP"', 1)
    assert "en: new in 'Example'" in folder.rows(swapped)


@pytest.mark.parametrize(
    ("old", "new", "row"),
    [
        ("  * DONE\n", "  * DONE\n  * TORN\n", "en, zh-CN: values d.s"),
        ("  * HALF_DONE\n", "", "en, zh-CN: values d.s"),
        ("  * UP\n  * DOWN\n", "Either `UP`, or `DOWN`, or `ASIDE`.\n", "en: values d.w"),
        ("  * OPEN\n  * HALF_DONE\n  * DONE\n", "OPEN, HALF_DONE, DONE\n", None),
        ("## Example", "## URL of it", None),
    ],
)
def test_lists_of_values_are_compared(folder: Folder, old: str, new: str, row: str | None) -> None:
    folder.run("accept", folder.page(EVENT))
    rows = [each for each in folder.rows(EVENT.replace(old, new)) if "values" in each]
    assert rows == ([row] if row else [])


def test_the_page_of_all_events(folder: Folder) -> None:
    front = (
        "---\nsource_url: https://developers.binance.com/docs/products/options/user-data-streams\n---\n\n# Events\n\n"
    )
    deal = '    {"e": "DEAL", "E": 1700000000000, "d": {"s": "OPEN", "w": "UP", "q": "1.5"}}\n'
    pause = '```\n{"stream": "x", "data": {"e": "PAUSE", "E": 1700000000000, "r": "why"}}\n```\n'
    assert folder.run("accept", folder.page(f"{front}{deal}\n{pause}")) == 0
    assert folder.rows(f"{front}{deal}\n{pause}") == []
    assert folder.rows(f"{front}{pause}") == [": event"]
    assert folder.rows(f"{front}{deal}\n{pause.replace('PAUSE', 'BREAK')}") == ["en: event"]
    assert folder.rows(f'{front}{deal}\n{pause}\n    {{"e": "BREAK", "E": 1}}\n') == ["en: event of no document"]


# The vendor's schema files


@pytest.fixture
def schemas(folder: Folder) -> Folder:
    """The project's own documents and lock file, in a folder of their own."""
    for name in ("openapi.yaml", "asyncapi.yaml", str(LOCK)):
        shutil.copy(ROOT / name, folder.path / name)
    shutil.copytree(KEPT, (folder.path / LOCK).parent / "accepted")
    return folder


def changed(name: str, *steps: str | int, **values: Any) -> dict[str, Any]:
    """Return an accepted schema file with other values at a place. None takes a key away."""
    root: dict[str, Any] = YAML(typ="safe").load(KEPT / name)
    place: Any = root
    for step in steps:
        place = place[step]
    for key, value in values.items():
        place[key.replace("__", "-")] = value
        if value is None:
            del place[key.replace("__", "-")]
    return root


REST, STREAMS = "schema-of-operations.yaml", "schema-of-events.yaml"
PATH = ("paths", "/eapi/v1/listenKey")
GOOD = (*PATH, "post", "responses", "200", "content", "application/json", "schema")
ORDER = ("components", "schemas", "ORDER_TRADE_UPDATE", "properties", "o", "properties")
EVENT_NAMES = [*changed(STREAMS)["components"]["schemas"]]


def listing(*names: str) -> dict[str, Any]:
    return {"oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in names]}


SCHEMA_CHANGES = {
    "another server": (changed(REST, servers=[{"url": "https://x.example.com"}]), "new in 'the file: servers 0 url'"),
    "deprecated": (changed(REST, *PATH, "post", deprecated=True), "new in 'POST /eapi/v1/listenKey: deprecated'"),
    "another lifetime": (changed(REST, *PATH, "put", description="Keys are valid for 5 minutes."), "lifetime"),
    "what must come": (
        changed(REST, *GOOD, required=["expiration"]),
        f"new in 'POST {PATH[1]}: {' '.join(GOOD[3:])} required'",
    ),
    "must be signed": (changed(REST, *PATH, "put", **{"x-signed": True}), "new in 'PUT /eapi/v1/listenKey: x-signed'"),
    "a note": (
        changed(REST, *PATH, "put", **{"x-response-notes": ["no"]}),
        f"new in 'PUT {PATH[1]}: x-response-notes'",
    ),
    "a body": (
        changed(REST, *PATH, "put", requestBody={"required": True}),
        f"new in 'PUT {PATH[1]}: requestBody required'",
    ),
    "no API key": (changed(REST, *PATH, "delete", parameters=[]), "api key"),
    "the API key may be left out": (
        changed(
            REST, *PATH, "put", parameters=[{"in": "header", "name": "X-MBX-APIKEY", "schema": {"type": "string"}}]
        ),
        "api key",
    ),
    "another type of the API key": (
        changed(REST, *PATH, "put", "parameters", 0, schema={"type": "integer"}),
        "new in 'PUT /eapi/v1/listenKey: parameters header:X-MBX-APIKEY schema type'",
    ),
    "where a parameter stands": (
        changed(REST, *PATH, "put", parameters=[{"in": "cookie", "name": "id"}]),
        "new in 'PUT /eapi/v1/listenKey: parameters cookie:id in'",
    ),
    "an integer of any size": (changed(REST, *GOOD, "properties", expiration={"type": "integer"}), "field expiration"),
    "a size in a list of types": (
        changed(REST, *GOOD, "properties", expiration={"type": ["integer"], "format": "int32"}),
        "field expiration",
    ),
    "a parameter": (
        changed(REST, *PATH, "delete", parameters=[{"in": "query", "name": "id", "required": True}]),
        "parameter id",
    ),
    "another name": (changed(REST, *PATH, "post", operationId="begin"), f"gone from 'POST {PATH[1]}: operationId'"),
    "another weight": (changed(REST, *PATH, "post", **{"x-ip-weight": "**2**"}), "weight"),
    "another type": (changed(REST, *GOOD, "properties", expiration={"type": "string"}), "field expiration"),
    "another field": (changed(REST, *GOOD, "properties", url={"type": "string"}), "field url"),
    "a call is gone": (changed(REST, *PATH, delete=None), "endpoint"),
    "the same call elsewhere": (
        changed(REST, "paths", **{"/eapi/v2/listenKey": {"post": {"responses": {"200": {}}}}}),
        "endpoint of no operation",
    ),
    "another status": (
        changed(
            REST, *PATH, "post", responses={"201": changed(REST, *PATH)["paths"][PATH[1]]["post"]["responses"]["200"]}
        ),
        "new in 'POST /eapi/v1/listenKey: responses 201 content application/json schema type'",
    ),
    "another media type": (
        changed(REST, *GOOD[:-2], **{"application/json": None, "text/plain": {"schema": {"type": "object"}}}),
        "new in 'POST /eapi/v1/listenKey: responses 200 content text/plain schema type'",
    ),
    "a server of the path": (
        changed(REST, *PATH, servers=[{"url": "https://x.example.com"}]),
        "new in 'PUT /eapi/v1/listenKey: servers 0 url'",
    ),
    "a bold weight": (changed(REST, *PATH, "post", **{"x-ip-weight": "**1**"}), None),
    "a status is a number": (changed(REST, *PATH, "put", responses={200: {}}), None),
    "a newer file": (changed(REST, "info", version="1.0.1"), None),
    "a call that is not ours": (changed(REST, "paths", **{"/eapi/v1/x": {"get": {"responses": {200: {}}}}}), None),
    "a field of an event": (changed(STREAMS, *ORDER, zz={"type": "string"}), "field o.zz"),
    "a field is gone": (changed(STREAMS, *ORDER, rp=None), "field o.rp"),
    "a field has another type": (changed(STREAMS, *ORDER, i={"type": "string"}), "field o.i"),
    "a value of an event": (
        changed(STREAMS, *ORDER, S={"type": "string", "enum": ["BUY", "SELL", "SHORT"]}),
        "values o.S",
    ),
    "what an event must have": (
        changed(STREAMS, "components", "schemas", "RISK_LEVEL_CHANGE", required=["e"]),
        "new in 'event RISK_LEVEL_CHANGE: payload required'",
    ),
    "another name of an event": (
        changed(
            STREAMS, "components", "schemas", "GREEK_UPDATE", "properties", e={"type": "string", "enum": ["GREEKS"]}
        ),
        "event of no document",
    ),
    "a further event": (
        changed(
            STREAMS,
            "components",
            "schemas",
            margin={"properties": {"e": {"enum": ["MARGIN_CALL"]}, "E": {"type": "integer"}}},
        ),
        "event of no document",
    ),
    "a further event within another schema": (
        changed(
            STREAMS,
            "components",
            "schemas",
            all={"oneOf": [{"properties": {"e": {"enum": ["MARGIN_CALL"]}, "E": {"type": "integer"}}}]},
        ),
        "event of no document",
    ),
    "a second name": (
        changed(
            STREAMS,
            "components",
            "schemas",
            "GREEK_UPDATE",
            "properties",
            e={"type": "string", "enum": ["GREEK_UPDATE", "G"]},
        ),
        "values e",
    ),
    "a field is never null": (changed(STREAMS, *ORDER, N={"type": "string"}), "field o.N"),
    "a list of all events": (changed(STREAMS, "components", "schemas", all=listing(*EVENT_NAMES)), None),
    "a list of all events but one": (changed(STREAMS, "components", "schemas", all=listing(*EVENT_NAMES[1:])), "event"),
    "a list in an envelope": (
        changed(STREAMS, "components", "schemas", zz={"properties": {"data": listing(*EVENT_NAMES)}}),
        None,
    ),
    "a list in an envelope lacks one": (
        changed(STREAMS, "components", "schemas", zz={"properties": {"data": listing(*EVENT_NAMES[:-1])}}),
        "event",
    ),
    "a list of events that are not ours": (
        changed(STREAMS, "components", "schemas", all={"oneOf": [{"properties": {"e": {"enum": ["trade"]}}}]}),
        "event of no document",
    ),
    "an event whose name is not said": (
        changed(STREAMS, "components", "schemas", "GREEK_UPDATE", "properties", e={"type": "string"}),
        "event",
    ),
    "an event without a time": (
        changed(STREAMS, "components", "schemas", margin={"properties": {"e": {"enum": ["MARGIN_CALL"]}}}),
        "event of no document",
    ),
    "another form of an event": (
        changed(
            STREAMS,
            "components",
            "schemas",
            zz={"properties": {"e": {"enum": ["GREEK_UPDATE"]}, "E": {"type": "integer"}, "zz": {"type": "string"}}},
        ),
        "field zz",
    ),
    "an event among operations": (
        changed(REST, components={"schemas": {"margin": {"properties": {"e": {"enum": ["MARGIN_CALL"]}}}}}),
        "event of no document",
    ),
    "an operation among events": (
        changed(STREAMS, paths={PATH[1]: {"put": {"responses": {"200": {}}}}}),
        "security type",
    ),
    "an event is gone": (changed(STREAMS, "components", "schemas", GREEK_UPDATE=None), "event"),
    "a market stream": (
        changed(
            STREAMS, "paths", **{"/{symbol}@rows": {"post": {"responses": {"Raw Stream": {"description": "rows"}}}}}
        ),
        None,
    ),
}


@pytest.mark.parametrize("name", SCHEMA_CHANGES)
def test_each_change_of_a_schema_file_is_a_row(schemas: Folder, capsys: pytest.CaptureFixture[str], name: str) -> None:
    root, fact = SCHEMA_CHANGES[name]
    path = schemas.path / "schema.yaml"
    YAML(typ="safe").dump(root, path)
    status, rows = report(schemas, capsys, "--schema", path)
    facts = [row["fact"] for row in rows]
    assert (fact in facts) if fact else facts == []
    assert status == bool(fact)


def test_what_is_accepted_of_a_page_is_not_accepted_of_a_schema_file(
    schemas: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    page = schemas.page(
        "---\nsource_url: https://developers.binance.com/en/docs/products/derivatives-trading-options/user-data-streams\n"
        '---\n\n# Events\n\n    {"e": "listenKeyExpired", "E": "1", "listenKey": "abc"}\n'
    )
    assert schemas.run("accept", page, "--reason", "the page names one event of six") == 0
    path = schemas.path / "schema.yaml"
    YAML(typ="safe").dump(SCHEMA_CHANGES["an event is gone"][0], path)
    _, rows = report(schemas, capsys, "--schema", path)
    assert [(row["fact"], row["document"]) for row in rows] == [("event", "GREEK_UPDATE")]


def test_an_accepted_file_that_does_not_read(schemas: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    kept = (schemas.path / LOCK).parent / "accepted" / REST
    kept.write_text("paths: [", encoding="utf-8")
    assert schemas.run("check", "--schema", KEPT / REST) == 2
    assert f"{REST}:1: " in capsys.readouterr().out


@pytest.mark.parametrize("name", ["a body", "another name", "another name of an event"])
def test_a_changed_schema_file_reaches_a_clean_end(
    schemas: Folder, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = schemas.path / "schema.yaml"
    YAML(typ="safe").dump(SCHEMA_CHANGES[name][0], path)
    assert schemas.run("accept", "--schema", path, "--reason", "seen") == 0
    assert report(schemas, capsys, "--schema", path) == (0, [])


def test_what_is_not_ours_is_one_note(schemas: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    path = schemas.path / "schema.yaml"
    more: dict[str, Any] = {f"/eapi/v1/{i}": {"get": {"responses": {"200": {}}}} for i in range(41)}
    YAML(typ="safe").dump(changed(REST, "paths", **more), path)
    assert schemas.run("check", "--schema", path) == 0
    assert capsys.readouterr().out.count("note: not ours: 41 operations: ") == 1


def test_what_is_gone_of_a_schema_file_is_told_in_its_own_words(
    schemas: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    path = schemas.path / "schema.yaml"
    YAML(typ="safe").dump(changed(REST, servers=[{"url": "https://x.example.com"}]), path)
    _, rows = report(schemas, capsys, "--schema", path)
    assert [row["page"] for row in rows] == ['"https://eapi.binance.com"', '"https://x.example.com"']


def test_one_row_of_a_schema_file_is_accepted_and_the_file_is_kept_when_none_is_left(
    schemas: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    path, kept = schemas.path / "schema.yaml", (schemas.path / LOCK).parent / "accepted" / REST
    before = kept.read_bytes()
    YAML(typ="safe").dump(changed(REST, *PATH, "put", deprecated=True, summary="Renew"), path)
    _, rows = report(schemas, capsys, "--schema", path)
    assert [row["page"] for row in rows] == ["true", '"Renew"']
    assert schemas.run("accept", "--schema", path, "--only", rows[0]["digests"][0]) == 1
    assert kept.read_bytes() == before
    assert [row["page"] for row in report(schemas, capsys, "--schema", path)[1]] == ['"Renew"']
    assert schemas.run("accept", "--schema", path) == 0
    assert YAML(typ="safe").load(kept)["paths"]["/eapi/v1/listenKey"]["put"]["summary"] == "Renew"
    lock = json.loads((schemas.path / LOCK).read_text(encoding="utf-8"))["sources"]["schema of operations"]
    assert {name.split(": ")[0] for name in lock["lines"][""]} == {
        "the file",
        *(f"{method} /eapi/v1/listenKey" for method in ("POST", "PUT", "DELETE")),
    }
    assert lock["lines"].keys() == {""}  # and no line of a page


@pytest.mark.parametrize("text", ["openapi: 3.0.0\n", "openapi: 3.0.0\npaths: {}\n", "components: {schemas: {}}\n"])
def test_a_file_without_operations_cannot_be_told(schemas: Folder, text: str) -> None:
    (schemas.path / "schema.yaml").write_text(text, encoding="utf-8")
    assert schemas.run("check", "--schema", schemas.path / "schema.yaml") == 2


def test_a_report_that_compared_nothing_is_never_clean() -> None:
    assert Report("page.md").exit == 2


# Documents and lock files in the middle of an edit


@pytest.mark.parametrize(
    "steps",
    [
        ("x-security-type",),
        ("x-lifetime-minutes",),
        ("x-request-weight",),
        ("x-source",),
        ("x-source", "url"),
        ("x-source", "title"),
        ("x-source", "title", "en"),
        ("security",),
        ("responses",),
        ("responses", "200"),
        ("responses", "200", "content"),
        ("responses", "200", "content", "application/json", "schema"),
    ],
)
def test_a_value_that_is_not_written_yet(
    folder: Folder, capsys: pytest.CaptureFixture[str], steps: tuple[str, ...]
) -> None:
    document = copy.deepcopy(DOCUMENT)
    place: Any = document["paths"]["/eapi/v1/listenKey"]["post"]
    for step in steps[:-1]:
        place = place[step]
    place[steps[-1]] = None
    folder.write(document)
    assert folder.run("check", PAGES / "start.md") == 2
    output = capsys.readouterr().err
    assert re.fullmatch(r"openapi.yaml: paths\./eapi/v1/listenKey\.post\.[^\n]* None is not of type '\w+'\n", output)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"sources": []}',
        '{"sources": {"x": {}}}',
        '{"sources": {"x": {"updated": "", "lines": [], "facts": {}}}}',
        '{"sources": {"x": {"updated": "", "lines": {"en": {"a": "b"}}, "facts": {}}}}',
        '{"sources": {"x": {"updated": "", "lines": {}, "facts": {"a": {"fact": "weight"}}}}}',
    ],
)
def test_a_lock_file_of_another_shape(folder: Folder, capsys: pytest.CaptureFixture[str], text: str) -> None:
    (folder.path / LOCK).write_text(text, encoding="utf-8")
    assert folder.run("check", PAGES / "start.md") == 2
    assert capsys.readouterr().err.startswith("pages.lock.json: it cannot be read; restore it from git (another form: ")


# The places that state a fact


def test_a_shorter_lifetime_is_listed_wherever_it_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = WORDS["places"]["lifetime"]
    for pattern in (*place["files"], str(LOCK)):
        for path in filter(Path.is_file, ROOT.glob(pattern)):
            (tmp_path / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / path.relative_to(ROOT))
    assert Project(tmp_path).stale().rows == []
    document = (tmp_path / "openapi.yaml").read_text(encoding="utf-8")
    (tmp_path / "openapi.yaml").write_text(document.replace("minutes: 60", "minutes: 30"), encoding="utf-8")
    assert command.main(["check", "--folder", str(tmp_path)]) == 1
    listed = set(re.findall(r"lifetime: (\S+), line [\d, ]+: still 60; the document: 30", capsys.readouterr().out))
    code = {"_http/route.py", "client.py", "cli/_options.py", "keeper/_lease.py", "sandbox/_server.py"}
    assert {f"listenkey/{name}" for name in code} | {"README.md", "docs/keeper.md", "openapi.yaml"} <= listed
    assert {"asyncapi.yaml", "README.zh-CN.md", "docs/zh-CN/keeper.md", "tools/docs_check/words.yaml"} <= listed


def test_the_table_of_places_is_that_of_the_document() -> None:
    """If this fails, the document's lifetime has changed: `make docs-check` lists what else must."""
    assert Project(ROOT).stale().rows == []
    lives = {each.spec.get("x-lifetime-minutes") for each in Project(ROOT).operations} - {None}
    assert lives == {WORDS["places"]["lifetime"]["value"]}


def test_the_table_of_places_lacks_none() -> None:
    place = WORDS["places"]["lifetime"]
    words = "|".join(place["words"]).replace("{minutes}", "60").replace("{seconds}", "3600")
    listed = {path.relative_to(ROOT).as_posix() for pattern in place["files"] for path in ROOT.glob(pattern)}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    # What was, what is written by a program, and tests, whose lives are shorter ones of their own.
    others = [
        name for name in tracked if not name.startswith(("CHANGELOG", "generated/", "tests/")) and name not in listed
    ]
    said = {name for name in others if (ROOT / name).is_file()}
    assert [
        name for name in said if re.search(words, (ROOT / name).read_text(encoding="utf-8", errors="replace"))
    ] == []
