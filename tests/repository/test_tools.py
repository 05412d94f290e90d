"""The maintainers' programs: each function is small, and `make help` names each verb."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BRANCHES = 10
FORKS = ast.If | ast.IfExp | ast.For | ast.AsyncFor | ast.While | ast.ExceptHandler | ast.match_case | ast.Assert


def weight(node: ast.AST) -> int:
    """Count the ways that a node adds: also a comprehension, and each further `and` or `or`. ruff counts neither."""
    match node:
        case ast.BoolOp():
            return len(node.values) - 1
        case ast.comprehension():
            return 1 + len(node.ifs)
    return isinstance(node, FORKS) + (isinstance(node, ast.For | ast.While) and bool(node.orelse))


def branches(text: str) -> Iterator[tuple[str, int]]:
    """Give the branches of each function, with those of the functions inside."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, 1 + sum(map(weight, ast.walk(node)))


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("return a", 1),
        ("return a and b or c", 3),
        ("return [a for a in b if a if c]", 4),
        ("if a: return b\n elif c: return d\n else: return e", 3),
        ("for a in b: pass\n else: pass", 3),
        ("try: pass\n except E: pass", 2),
        ("match a:\n  case 1: pass\n  case 2: pass", 3),
        ("def g(): return a if b else c", 2),
    ],
)
def test_each_way_is_counted(line: str, count: int) -> None:
    assert dict(branches(f"def f():\n {line}"))["f"] == count


def test_no_function_has_more_than_ten_branches() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {name}": count
        for path in ROOT.glob("tools/**/*.py")
        for name, count in branches(path.read_text(encoding="utf-8"))
    }
    assert len(found) > 100
    assert {name: count for name, count in found.items() if count > BRANCHES} == {}


def test_make_help_has_each_verb_in_one_of_three_groups() -> None:
    told = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    groups = [part.splitlines() for part in told.strip().split("\n\n")]
    assert [lines[0].partition(":")[0] for lines in groups] == ["User", "Maintainer", "Release"]
    verbs = [line.split()[0] for lines in groups for line in lines[1:]]
    (phony,) = re.findall(r"(?m)^\.PHONY: (.*)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert sorted(verbs) == sorted(set(phony.split()) - {"help", "chromium"})
    assert {"run", "test"} <= {line.split()[0] for line in groups[0][1:]}


def test_contributing_names_verbs_and_files_that_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (phony,) = re.findall(r"(?m)^\.PHONY: (.*)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    verbs = set(re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)", text, re.MULTILINE))
    assert {one or other for one, other in verbs} <= set(phony.split())
    named = re.findall(r"`([\w.-]+/[\w./-]*|\w+\.py)`", text)
    assert len(named) > 20
    folders = (ROOT, ROOT / "listenkey", ROOT / "tools")
    assert [name for name in named if not any((folder / name).exists() for folder in folders)] == []
