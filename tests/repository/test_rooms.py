"""The house: machines move nothing, and no room looks into another."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "listenkey"
ROOMS = ["_http", "_limits", "keeper", "stream", "sandbox", "cli"]
# The machines: they decide, and are told news and the time.
MACHINES = [
    *("errors.py", "_http/answer.py", "_limits/wait.py", "_limits/turns.py", "keeper/_lease.py", "keeper/_machine.py"),
    *("stream/_account.py", "stream/_events.py", "stream/_copies.py", "stream/_machine.py"),
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
    allowed = {"ssl"} if name == "_http/answer.py" else set()  # the class of an error
    assert {module.partition(".")[0] for module in imports(PACKAGE / name)} & MOVING <= allowed


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_is_for(room: str) -> None:
    text = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8")))
    assert text is not None
    assert text.count(".") >= 3


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
