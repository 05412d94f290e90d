"""The house: machines move nothing, and no room looks into another."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import listenkey

PACKAGE = Path(__file__).parents[2] / "listenkey"
TESTS = Path(__file__).parents[1]
ROOMS = ["_http", "_limits", "keeper", "stream", "sandbox", "check", "cli"]
# The machines: they decide, and are told news and the time.
MACHINES = [
    *("errors.py", "_http/answer.py", "_http/faults.py", "_http/masking.py", "_limits/wait.py", "_limits/turns.py"),
    *("keeper/_lease.py", "keeper/_machine.py", "stream/_events.py", "stream/_machine.py", "stream/_pace.py"),
    *("stream/_sockets.py", "stream/_succession.py", "stream/_known_key.py", "stream/_gaps.py", "stream/_copies.py"),
    *("stream/_attempts.py", "stream/_reading.py", "stream/_buffer.py", "stream/_account.py"),
    *("stream/_blindness.py", "stream/_snapshot.py"),
    *("check/_course.py", "check/_findings.py"),
]
MOVING = {"time", "threading", "socket", "asyncio", "ssl", "httpx", "httpcore", "websockets", "select", "subprocess"}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_imports_nothing_that_moves_bytes_or_time(name: str) -> None:
    allowed = {"ssl"} if name == "_http/faults.py" else set()  # the class of an error
    assert {module.partition(".")[0] for module in imports(PACKAGE / name)} & MOVING <= allowed


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_is_for(room: str) -> None:
    text = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8")))
    assert text is not None
    assert text.count(".") >= 3


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_names_its_files(room: str) -> None:
    text = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8")))
    named = set(re.findall(r"`(\w+)`", str(text)))
    files = {path.stem for path in (PACKAGE / room).glob("*.py")} - {"__init__"}
    assert files - named == set()
    assert {name for name in named if name.startswith("_")} <= files


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_rules(room: str) -> None:
    assert "banned-api" in (PACKAGE / room / "ruff.toml").read_text(encoding="utf-8")


def test_the_listing_tells_the_story() -> None:
    files = {path.name for path in PACKAGE.iterdir() if path.suffix == ".py"}
    assert {name for name in files if not name.startswith("_")} == {"client.py", "errors.py", "pytest_plugin.py"}
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(ROOMS)


# The rooms of a file: each folder is one, and the files beside the folders are one.
def rooms() -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        found.setdefault(path.relative_to(PACKAGE).parent.as_posix(), []).append(path)
    return found


def private_names(path: Path) -> tuple[set[str], dict[str, int]]:
    """The private names that a file defines, and those that the file reads of something."""
    defined, read = set(), {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Name):
            defined.add(node.id)
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            if isinstance(node.ctx, ast.Store):
                defined.add(node.attr)
            else:
                read[node.attr] = node.lineno
    return defined, read


@pytest.mark.parametrize("room", rooms())
def test_no_room_looks_into_another(room: str) -> None:
    """A private name is one that the room itself defines. A door is a file that shows what others may see."""
    files = {path: private_names(path) for path in rooms()[room]}
    ours = set().union(*(defined for defined, _ in files.values())) | STRANGERS
    read = ((path.name, line, name) for path, (_, names) in files.items() for name, line in names.items())
    assert [each for each in read if each[2] not in ours] == []


# Private names of other people's objects, each with a reason.
STRANGERS = {
    "_exit",  # os._exit
    "_is_owned",  # of Python's lock, as threading.Condition asks
    "_at_fork_reinit",  # of Python's lock, as threading does after a fork
}


def test_no_two_classes_have_one_name() -> None:
    found: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name.strip("_"), []).append(path.relative_to(PACKAGE).as_posix())
    assert {name: files for name, files in found.items() if len(files) > 1} == {}


@pytest.mark.parametrize("room", ["_http", "_limits", "keeper", "stream"])
def test_a_file_that_is_private_names_things_openly(room: str) -> None:
    for path in (PACKAGE / room).rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                assert not node.name.startswith("_"), f"{path}: {node.name}"
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                (target,) = node.targets if isinstance(node, ast.Assign) else [node.target]
                assert ast.unparse(target) == "__all__" or not ast.unparse(target).startswith("_"), path


def test_an_attempt_is_written_by_its_own_file() -> None:
    written = {
        (path.name, node.attr)
        for path in (PACKAGE / "_http").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        if isinstance(node.value, ast.Name) and (node.value.id == "attempt" or path.name == "attempt.py")
    }
    assert ("attempt.py", "answer") in written
    assert {file for file, _ in written} == {"attempt.py"}


# What an import loads. Code lines: those with anything but blanks, comments and docstrings.

WITHOUT_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def code_lines(text: str) -> int:
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in WITHOUT_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        match node:  # a docstring, or any other text that does nothing
            case ast.Expr(value=ast.Constant(value=str())):
                lines -= set(range(node.lineno, (node.end_lineno or 0) + 1))
    return len(lines)


def test_the_counter_counts_code() -> None:
    text = '"""Text."""\n\n# a comment\nx = """\n\n"""  # and another\ndef f():\n    """Two\n    lines."""\n'
    assert code_lines(text) == 4


@pytest.mark.parametrize(("name", "most"), [("ListenKeyClient", 750), ("ListenKeyError", 120)])
def test_an_import_loads_little(name: str, most: int) -> None:
    code = f"""
import sys
from listenkey import {name}
print(*[module.__file__ for key, module in sys.modules.items() if key.partition(".")[0] == "listenkey"], sep="\\n")
"""
    command = [sys.executable, "-c", code]
    files = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    loaded = {file: code_lines(Path(file).read_text(encoding="utf-8")) for file in files}
    assert any(file.endswith("errors.py") for file in loaded)
    assert sum(loaded.values()) <= most, loaded


def test_type_checkers_see_the_names_that_a_program_sees() -> None:
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    found = {
        (alias.name, node.module) for node in ast.walk(stub) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    expected = {(name, f"listenkey.{module}") for name, module in listenkey._MODULES.items()}  # type: ignore[attr-defined]
    assert found == expected | {("__version__", "listenkey._version")}
    (names,) = [node.value for node in stub.body if isinstance(node, ast.Assign)]
    assert ast.literal_eval(names) == listenkey.__all__


# Tests look into the package in one place, tests/inside.py. What other files name that is private stands here.

LOOKS_INSIDE = {
    "tests/repository/test_rooms.py": {"_MODULES"},
    "tests/sandbox/test_sandbox.py": {"_accounts", "_usages"},  # which loads nothing but the sandbox
    "tests/stream/test_account.py": {"_orders"},
    "tests/stream/test_merged.py": {"_leave", "_moved_to"},
    "tests/test_client.py": {"_backoff"},
}


def names_looked_into(path: Path, private: set[str]) -> set[str]:
    """The private attributes of the package that a file of tests names, of another object than its own."""
    return {
        node.attr
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in private
        if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
    }


def test_tests_look_inside_in_one_place() -> None:
    defined = set().union(*(private_names(path)[0] for path in PACKAGE.rglob("*.py")))
    private = {name for name in defined if name.startswith("_") and not name.startswith("__")}
    found = {
        path.relative_to(TESTS.parent).as_posix(): names
        for path in sorted(TESTS.rglob("*.py"))
        if path != TESTS / "inside.py" and (names := names_looked_into(path, private))
    }
    assert found == LOOKS_INSIDE
