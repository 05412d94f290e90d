"""`make generate` and `make drift`: what is committed is what the document gives, and the check can fail."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(300)  # each test runs the generator twice or more


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Copy what generation needs."""
    for name in ("openapi.yaml", "asyncapi.yaml", "generator-config.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("generated", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def generate(project: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "generate", *options]
    environment = {**os.environ, "PYTHONPATH": "tools"}
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


PACKAGE = "generated/binance_options_client"


def test_nothing_changed_is_a_no_op(project: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (project / PACKAGE).rglob("*")}
    assert generate(project).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in (project / PACKAGE).rglob("*")} == before
    assert generate(project, "--check").returncode == 0


def test_drift_fails_on_a_byte_a_missing_and_an_extra_file(project: Path) -> None:
    edit(project / PACKAGE / "client.py", "import", " import")
    (project / PACKAGE / "py.typed").unlink()
    (project / PACKAGE / "models" / "mine.py").touch()
    run = generate(project, "--check")
    assert run.returncode == 1
    for row in ("differs: client.py", "extra: models/mine.py", "missing: py.typed"):
        assert row in run.stdout
    assert not (project / PACKAGE / "py.typed").exists()  # it writes nothing
    generate(project)
    assert generate(project, "--check").returncode == 0


@pytest.mark.parametrize(
    ("document", "old", "new"),
    [("openapi.yaml", "type: integer", "type: number"), ("asyncapi.yaml", "x-name: symbol", "x-name: option")],
)
def test_a_change_of_a_document_is_drift(project: Path, document: str, old: str, new: str) -> None:
    edit(project / document, old, new)
    run = generate(project, "--check")
    assert run.returncode == 1
    assert document in run.stderr


def test_an_edit_of_the_events_is_drift(project: Path) -> None:
    edit(project / "generated" / "binance_options_events" / "__init__.py", "symbol: str", "symbol: object")
    run = generate(project, "--check")
    assert run.returncode == 1
    assert "retyped: field Order.symbol: object -> str" in run.stdout


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (
            "openapi.yaml",
            "application/json:",
            "application/x-odd:",
            "Warning",
        ),
        ("asyncapi.yaml", "x-name: vega", "x-name: theta", "x-name used twice: theta"),
        ("generator-config.yaml", "ruff format --isolated", "no-such-program --isolated", "not in PATH"),
        ("generator-config.yaml", "ruff format --isolated", "ruff format --no-such-option", "no-such-option"),
        (
            "generator-config.yaml",
            "- ruff format --isolated --no-cache .",
            "- ruff format --isolated --no-cache . && echo odd >&2",
            "odd",
        ),
    ],
    ids=["generator", "events", "missing hook", "failing hook", "warning hook"],
)
def test_a_warning_fails_and_changes_nothing(project: Path, file: str, old: str, new: str, said: str) -> None:
    edit(project / file, old, new)
    for options in ((), ("--check",)):
        run = generate(project, *options)
        assert run.returncode == 1
        assert said in run.stderr
    shutil.copy(ROOT / file, project / file)
    assert generate(project, "--check").returncode == 0


def test_what_generates_is_pinned_exactly() -> None:
    pins = (ROOT / "pyproject.toml").read_text()
    locked = (ROOT / "requirements-dev.txt").read_text()
    for tool in ("openapi-python-client", "ruff"):
        (version,) = re.findall(rf'"{tool}==([\d.]+)"', pins)
        assert f"\n{tool}=={version} " in locked
