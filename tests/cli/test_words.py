"""What the command line says: its own words in every error, ids and amounts in JSON that no reader rounds."""

import ast
import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from binance_options_events import EVENTS, FIELDS, Field  # noqa: TID251  the table of all events

import listenkey
from listenkey import KeeperStatus, ServerError, TransportError
from listenkey.cli import _exits, _options
from listenkey.cli._exits import in_our_words
from listenkey.cli._lines import COUNTS, fields, live, live_stream
from listenkey.sandbox import Sandbox
from listenkey.stream import Gap, StreamStatus, UnknownEvent
from tests.cli.test_commands import environment, run
from tests.cli.test_docs import PAGE

PACKAGE = Path(listenkey.__file__).parent
# Texts that no command line can bring about, by a part of the text.
NEVER = {
    "must be a str, not": "the command line gives text",
    "ssl_context must be": "no option",
    "certificates of ssl_context": "no option",
    "key_life": "no option",
    "account must be": "no option",
    "the options of the fixture": "no command uses pytest",
    "Callable[": "a type",
    " | None": "a type",
    "pickled": "no command copies",
    "copied": "no command copies",
    "another process's": "no command forks",
    "another event loop": "no command uses asyncio",
    "asyncio": "no command uses asyncio",
    "An event loop runs": "no command runs in one",
    "forever=True needs": "the command gives a client",
    "merged() needs": "no command merges",
    "This is the sandbox of": "a page for every language",
    "needs a client of type": "the command makes the client",
    "is not running": "the command enters blocks",
    "is entered once": "the command enters blocks once",
    "This keeper is closed": "the command leaves blocks last",
    "This client is closed": "the command leaves blocks last",
    "main thread has ended": "the main thread is the command",
    "A ListenKey is no text": "the command prints the value",
    "accounts: an API key": "no option",
    "This sandbox does not run": "the command enters the sandbox",
    "needs the package websockets": "the command names the extra, and so does the sandbox to its clients",
}


def texts() -> Iterator[str]:
    """Every sentence that the package could say, with … for what is filled in."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if "cli" not in path.relative_to(PACKAGE).parts:
            tree = ast.parse(path.read_text())
            skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
            skipped |= {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
            nodes = (node for node in ast.walk(tree) if isinstance(node, ast.expr) and id(node) not in skipped)
            yield from (text for text in map(text_of, nodes) if text is not None and text.count(" ") >= 2)


def text_of(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(each) or "…" for each in node.values)
    return None


def pythons_words(text: str) -> list[str]:
    """What a person at a terminal cannot type or see."""
    settings = "timeout|attempts|form|life|limit|port|host|wait|speed"
    return re.findall(
        rf"\b[a-z]+_[a-z_]+\b|\w+\(\)|\bNone\b|(?<!-)\b(?:{settings}) must|\bnew (?:keeper|client|stream)\b"
        r"|\ba client\b|\bMake a new\b|\basync with\b|binance-options-listenkey\[",
        text,
    )


def test_every_error_of_the_package_speaks_the_command_lines_words() -> None:
    found = {text for text in texts() if not any(part in text for part in NEVER)}
    assert len(found) > 60, "the search still finds the texts"
    python = {text: words for text in found if (words := pythons_words(in_our_words(text)))}
    assert not python, "give these words a row in `_exits.WORDS`, or the text a row in NEVER"


def test_every_row_of_the_table_is_needed() -> None:
    known = list(texts())
    assert [theirs for theirs, _ in _exits.WORDS if not any(re.search(theirs, text) for text in known)] == []


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["start", "--timeout", "0"], "--timeout must be a number of seconds, above 0 and at most a day."),
        (["keep", "--timeout", "60"], "A kept key needs a --timeout of at most 15 seconds."),
        (["start", "--attempts", "0"], "--attempts must be a whole number, 1 or more."),
        (
            ["start", "--base-url", "http://a.test"],
            "--base-url or LISTENKEY_BASE_URL must start with https: plain http is for loopback addresses, and for "
            + "the host that --plain-http names.",
        ),
        (
            ["events", "--stream-url", "http://a.test"],
            "--stream-url or LISTENKEY_STREAM_URL must start with wss://, like wss://fstream.binance.com/private.",
        ),
        (["keepalive"], "This listenKey does not exist. `listenkey start` gets a new one. (HTTP 400, code -1125)"),
        (["sandbox", "--life", "0"], "--life must be a number of seconds above 0, not 0.0."),
        (["sandbox", "--limit", "-1"], "--limit must be at least 1, or 0 for no limit, not -1."),
        (
            ["sandbox", "--fault", 'status {"times": 0}'],
            "times must be a whole number from 1, or null for every request, not 0.",
        ),
        (
            ["sandbox", "--fault", "status {"],
            "The options of fault status are not JSON: Expecting property name enclosed in double quotes: "
            + "line 1 column 2 (char 1).",
        ),
    ],
)
def test_errors_word_for_word(listenkey_sandbox: Sandbox, args: list[str], said: str) -> None:
    ended = run(environment(listenkey_sandbox.url), *args)
    assert ended.stderr == f"listenkey: {said}\n"
    assert ended.returncode == (4 if args == ["keepalive"] else 2)


def test_an_api_key_that_cannot_be(listenkey_sandbox: Sandbox) -> None:
    env = environment(listenkey_sandbox.url)
    assert run({**env, "BINANCE_API_KEY": " "}, "start").stderr == (
        "listenkey: The API key is empty: give the API key of your Binance account.\n"
    )
    assert run({**env, "BINANCE_API_KEY": "a b"}, "start").stderr.startswith("listenkey: The API key has a space, ")


# Options of every command, before and after its name


@pytest.mark.parametrize("command", ["start", "keepalive", "delete", "keep", "events", "sandbox"])
def test_common_options_stand_before_and_after_the_command(command: str) -> None:
    for given in (["-v", "--json", command], [command, "-v", "--json"], ["-v", command, "--json"]):
        args = _options.parsed(given)
        assert (args.command, args.verbose, args.json) == (command, True, True)
    args = _options.parsed([command])
    assert (args.verbose, args.json) == (False, False)


def test_verbose_before_the_command(listenkey_sandbox: Sandbox) -> None:
    ended = run(environment(listenkey_sandbox.url), "-v", "--json", "start")
    assert "HTTP Request: POST http" in ended.stderr
    assert "listenKey" in json.loads(ended.stdout)


# JSON

NOW = datetime(2026, 3, 27, 9, 0, 0, 412000, UTC)
BIG = 2**53 + 1
SAMPLES: dict[str, Any] = {
    "text": "t",
    "flag": True,
    "integer": BIG,
    "decimal": Decimal("0E-8"),
    "time": NOW,
}
EXPECTED = {"text": "t", "flag": True, "integer": str(BIG), "decimal": "0.00000000", "time": NOW.isoformat()}


def sample(cls: type) -> Any:
    values = {each.name: sample_of(each) for each in FIELDS[cls]}
    return cls(**values, **({"raw": {"i": BIG}} if cls in EVENTS.values() else {}))


def sample_of(field: Field) -> Any:
    if field.of is None:
        return SAMPLES[field.kind]
    return sample(field.of) if field.kind == "object" else (sample(field.of), sample(field.of))


def expected(cls: type) -> dict[str, Any]:
    found: dict[str, Any] = {"type": cls.__name__}
    for field in FIELDS[cls]:
        if field.of is None:
            found[field.name] = EXPECTED[field.kind]
        else:
            found[field.name] = expected(field.of) if field.kind == "object" else [expected(field.of)] * 2
    return found


@pytest.mark.parametrize("cls", FIELDS, ids=lambda cls: cls.__name__)
def test_every_field_of_every_event_by_its_kind(cls: type) -> None:
    item = sample(cls)
    assert json.loads(json.dumps(fields(item))) == expected(cls)
    empty = dataclasses.replace(item, **{each.name: None for each in FIELDS[cls] if not each.required})
    names = [each.name for each in FIELDS[cls] if not each.required]
    assert [fields(empty)[name] for name in names] == [None] * len(names)


def test_no_event_has_a_count() -> None:
    """Else the count would be a number, and an id of the same name, too."""
    assert not {each.name for each_class in FIELDS.values() for each in each_class} & COUNTS


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        ("0E-8", "0.00000000"),
        ("1E+3", "1000"),
        ("-1.50", "-1.50"),
        ("1E-30", "0.000000000000000000000000000001"),
        ("-0E-2", "-0.00"),
        ("1E+999999", "1E+999999"),  # written out, it would be a million signs
    ],
)
def test_an_amount_is_written_out(amount: str, written: str) -> None:
    assert fields(UnknownEvent("k", "w", {"a": Decimal(amount)}))["raw"] == {"a": written}


def test_gaps_and_unknown_events() -> None:
    gap = Gap("overflow", NOW, NOW, dropped=30_277)
    assert fields(gap) == {
        "type": "Gap",
        "reason": "overflow",
        "since": NOW.isoformat(),
        "until": NOW.isoformat(),
        "dropped": 30_277,
    }
    raw = {"e": "NEWS", "x": 1, "y": True, "n": None, "i": BIG, "d": [Decimal("0E-8"), {"z": -BIG}, 2**53 - 1]}
    found = json.loads(json.dumps(fields(UnknownEvent("NEWS", "why", raw))))
    assert found["raw"] == {**raw, "i": str(BIG), "d": ["0.00000000", {"z": str(-BIG)}, 2**53 - 1]}


def test_the_program_of_the_page(listenkey_sandbox: Sandbox, tmp_path: Path) -> None:
    """With an order id that jq 1.6 and JavaScript would round to another order's."""
    (program,) = re.findall(r"^listenkey events \| (jq .*)$", PAGE, re.MULTILINE)
    order = next(cls for cls in EVENTS.values() if cls.__name__ == "OrderTradeUpdate")
    event = dataclasses.replace(sample(order))
    (tmp_path / "items").write_text(f"{json.dumps(fields(Gap('started', None, NOW)))}\n{json.dumps(fields(event))}\n")
    shown = subprocess.run(
        ["sh", "-c", f"{program} <items"], cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ
    )
    if shown.returncode == 127:
        pytest.skip("no jq")
    assert shown.stdout == f"{BIG} t\n"


# The live line

KEY = KeeperStatus(
    "running", 10.0, 1630.0, 3500.0, at_risk=False, last_error=None, renewals=1, failures=0, replacements=0
)
STREAM = StreamStatus("connected", NOW, NOW, 0, None, None, key_proven=True)
BLIND = dataclasses.replace(STREAM, state="connecting", blind_since=NOW, key_proven=False)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ({}, "● alive · renews 09:27, in 27:10 · valid until 09:58"),
        (
            {"last_error": ServerError(503), "next_renewal": 5.0},
            "▲ Binance had a fault. The call… · tries 09:00, in 0:05 · valid until 09:58",
        ),
        (
            {"last_error": TransportError("short"), "at_risk": True, "next_renewal": 61.0},
            "■ AT RISK: short · tries 09:01, in 1:01 · valid until 09:58",
        ),
    ],
)
def test_what_the_live_line_of_keep_says(key: dict[str, Any], text: str) -> None:
    assert live(dataclasses.replace(KEY, **key), NOW) == text


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (STREAM, "● connected · 12 printed"),
        (BLIND, "▲ blind since 09:00:00 · 12 printed · connecting"),
        (
            dataclasses.replace(BLIND, last_error=TransportError("No answer from https://a.test (refused).")),
            "▲ blind since 09:00:00 · 12 printed · No answer from https://a.test (refused).",
        ),
    ],
)
def test_what_the_live_line_of_events_says(stream: Any, text: str) -> None:
    assert live_stream(stream, NOW, 12) == text


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX terminals")
def test_the_live_line_of_events_on_a_terminal(listenkey_sandbox: Sandbox) -> None:
    from tests.cli.test_commands import on_terminal

    typed = {"● connected · 1 printed": "\x03"}
    status, shown = on_terminal(environment(listenkey_sandbox.url), "events", typed=typed)
    assert status == 130
    assert "  gap: started, events may be missing" in shown
