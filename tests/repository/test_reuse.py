"""What of `make reuse` needs no other language: the page shows its programs line for line, and its driver judges."""

import contextlib
import re
import shutil
import subprocess
import textwrap
from pathlib import Path
from types import ModuleType

import pytest
from pages import events, other_languages
from ruamel.yaml import YAML

from tests.reuse.clients import settle
from tests.reuse.rows import COLUMNS, HERE, PASSED, ROOT, SCENARIOS, Row, judge


@pytest.mark.parametrize("module", [events, other_languages], ids=lambda module: module.PAGE.name)
def test_the_page_is_what_make_pages_writes(module: ModuleType) -> None:
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "make pages"


def test_every_row_with_a_program_for_readers_has_it_on_the_page() -> None:
    page = other_languages.PAGE.read_text()
    for folder, manifest in other_languages.rows():
        assert f"{manifest['title']}" in page
        if "run" in manifest:
            program = [path for path in folder.rglob("*") if path.suffix in other_languages.FENCES]
            assert any(other_languages.shown(path) for path in program), folder


def test_the_lines_for_events_are_those_of_programs_that_run() -> None:
    page = (HERE / "page.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^  ```(?:js|ts)\n(.*?)^  ```", page, re.MULTILINE | re.DOTALL)
    programs = (HERE / "typescript/event-types/decode.ts", HERE / "typescript/modelina/models.mjs")
    assert len(blocks) == len(programs)
    for block, program in zip(blocks, programs, strict=True):
        assert textwrap.dedent(block) in program.read_text(encoding="utf-8")


def test_the_copy_without_ranges_says_the_same(tmp_path: Path) -> None:
    page = (HERE / "page.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^sed .*$", page, re.MULTILINE)
    shutil.copy(ROOT / "openapi.yaml", tmp_path)
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    before, after = ((tmp_path / name).read_text() for name in ("openapi.yaml", "openapi-numbers.yaml"))
    responses = YAML(typ="safe").load(after)["paths"]["/eapi/v1/listenKey"]["post"]["responses"]
    assert list(responses) == ["200", "418", "429", "400", "500"]
    assert after.replace('"400":', "4XX:").replace('"500":', "5XX:") == before


def test_a_mark_without_an_end_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "main.go"
    program.write_text("// docs: begin\nx\n// docs: end\n// docs: begin\ny\n")
    with pytest.raises(ValueError, match="'docs: begin' without 'docs: end'"):
        other_languages.shown(program)


@pytest.mark.parametrize(
    "path", sorted(HERE.glob("*/*/reuse.yaml")), ids=lambda path: path.parent.relative_to(HERE).as_posix()
)
def test_a_known_shortfall_names_a_column_that_there_is(path: Path) -> None:
    assert Row(path.parent, path).shortfalls.keys() <= set(COLUMNS)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_a_scenario_expects_something_of_each_step(scenario: dict[str, list[object]]) -> None:
    assert len(scenario["steps"]) == len(scenario["expect"])
    assert all(scenario["expect"])


SCENARIO = {
    "steps": ["post", "post"],
    "expect": [{"key": "$key", "expiration": "9007199254740993"}, {"key": "$key"}],
}
FIRST = '{"key": "a", "expiration": "9007199254740993"}\n'


@pytest.mark.parametrize(
    ("stdout", "outcome"),
    [
        (FIRST + '{"key": "a"}\n', PASSED),
        (FIRST + '{"key": "b"}\n', 'post: key is "b", not "a"'),
        (FIRST.replace("993", "992"), 'post: expiration is "9007199254740992", not "9007199254740993"'),
        (FIRST.replace('"9007199254740993"', "9007199254740993"), "post: expiration is 9007199254740993, not"),
        ('{"error": true}\n', "post: key is null"),
        (FIRST, "post crashes: some.Error: told"),
        (FIRST + "key\n", "post prints something that is not JSON: key"),
        (FIRST + '{"key": "a"}\n{}\n', "exit status 0 and 3 lines"),
    ],
)
def test_an_answer_passes_only_if_every_expected_digit_is_there(stdout: str, outcome: str) -> None:
    run = subprocess.CompletedProcess([], 0, stdout, "Traceback:\n  File\nsome.Error: told\n")
    assert judge(SCENARIO, run).startswith(outcome)


def test_a_program_that_prints_all_and_then_fails_has_not_passed() -> None:
    run = subprocess.CompletedProcess([], 1, FIRST + '{"key": "a"}\n', "panic: late\n")
    assert judge(SCENARIO, run) == "exit status 1 and 2 lines: panic: late"


@pytest.mark.parametrize(
    ("outcome", "known", "end"),
    [
        (PASSED, False, None),
        ("post: key is null", False, pytest.fail.Exception),
        ("post: key is null", True, pytest.xfail.Exception),
        ("post crashes: told", True, pytest.fail.Exception),
        (PASSED, True, pytest.fail.Exception),
    ],
)
def test_a_known_shortfall_must_stay_exactly_as_it_is_known(
    outcome: str, known: bool, end: type[BaseException] | None
) -> None:
    row = Row(HERE / "python" / "listenkey", HERE)
    row.shortfalls = (
        {"401": {"how": "post: key is null", "note": "Why.", "bug": "https://example.com/1"}} if known else {}
    )
    cells: list[tuple[str, object]] = []
    with pytest.raises(end) if end else contextlib.nullcontext():
        settle(row, lambda *cell: cells.append(cell), "401", outcome)
    assert cells == [("python/listenkey", "401")]


CLIENT = """
import json, os, urllib.request
class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_): return None
opener = urllib.request.build_opener(*([Stay] if os.environ.get("STAY") else []))
for step in os.environ["STEPS"].split():
    url = os.environ["BASE_URL"] + "/eapi/v1/listenKey"
    headers = {"X-MBX-APIKEY": os.environ["BINANCE_API_KEY"]}
    try:
        opener.open(urllib.request.Request(url, method=step.upper(), headers=headers))
        print(json.dumps({"done": True}))
    except urllib.error.HTTPError as error:
        print(json.dumps({"error": True, "status": error.code}))
"""


@pytest.mark.parametrize(
    ("run", "outcome"),
    [
        ("env STAY=1 python program.py", PASSED),
        ("python program.py", "carries the API key to another host, by get"),
    ],
)
def test_a_client_that_carries_the_key_to_another_host_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: str, outcome: str
) -> None:
    monkeypatch.setattr("tests.reuse.rows.CACHE", tmp_path)
    folder = HERE / "python" / "listenkey"
    row = Row(folder, folder)
    row.manifest["run"] = run
    row.work.mkdir(parents=True)
    (row.work / "program.py").write_text(CLIENT)
    assert row.act(SCENARIOS["302, elsewhere"]) == outcome
