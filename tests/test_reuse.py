"""What of `make reuse` needs no other language: README shows its programs line for line, and its driver judges."""

import subprocess
import textwrap
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from ruamel.yaml import YAML

from .reuse.run import PASSED, judge, verdict

ROOT = Path(__file__).resolve().parent.parent
HEADING = "In another language"
ROWS = sorted(path.parent for path in ROOT.glob("tests/reuse/*/*/reuse.yaml"))


def snippet(row: Path) -> str:
    """What stands between the marks of the row's program; empty if it has none."""
    parts: list[str] = []
    for program in sorted(
        path for path in row.rglob("*") if path.suffix in {".go", ".java", ".kt", ".py", ".rs", ".ts"}
    ):
        for part in program.read_text().split("README: begin\n")[1:]:
            shown, mark, _ = part.partition("README: end")
            assert mark, f"{program}: README: begin without an end"
            parts.append(textwrap.dedent(shown.rpartition("\n")[0]).strip())
    return "\n\n".join(parts)


def command(row: Path) -> str:
    return str(YAML(typ="safe").load(row / "reuse.yaml").get("generate", "")).strip()


def fences() -> list[tuple[str, str]]:
    """Language and content of each code block of the section."""
    tokens = MarkdownIt().parse((ROOT / "README.md").read_text())
    titles = [
        (i, tokens[i + 1].content)
        for i, token in enumerate(tokens)
        if token.type == "heading_open" and token.tag == "h2"
    ]
    start = next(i for i, title in titles if title == HEADING)
    end = next((i for i, _ in titles if i > start), len(tokens))
    return [(token.info, token.content.strip()) for token in tokens[start:end] if token.type == "fence"]


def test_every_tested_program_is_shown_and_nothing_else() -> None:
    shown = sorted(content for info, content in fences() if info != "sh")
    assert shown == sorted(filter(None, map(snippet, ROWS)))


def test_every_command_that_generates_is_shown_and_nothing_else() -> None:
    # A row without marks is none of the section's: it does not show another language.
    others = [row for row in ROWS if snippet(row) or not any(row.glob("scenarios.*"))]
    shown = sorted(line for info, content in fences() if info == "sh" for line in content.splitlines())
    assert shown == sorted(line for row in others for line in command(row).splitlines())


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


KNOWN = {"how": "post: key is null", "note": "Why.", "bug": "https://example.com/1"}


@pytest.mark.parametrize(
    ("outcome", "known", "mark"),
    [
        (PASSED, None, "ok"),
        ("post: key is null", None, "FAILED"),
        ("post: key is null", KNOWN, "known"),
        ("post crashes: told", KNOWN, "FAILED"),
        (PASSED, KNOWN, "MENDED"),
    ],
)
def test_a_known_shortfall_must_stay_exactly_as_it_is_known(
    outcome: str, known: dict[str, str] | None, mark: str
) -> None:
    assert verdict("a/b: c", outcome, known)[0] == mark
