"""CONTRIBUTING's six steps, from a changed page to a client with a new typed field, in a copy of the project."""

import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from ruamel.yaml import YAML

pytestmark = [pytest.mark.toolchain, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "tests" / "pages" / "start.md").read_text(encoding="utf-8")
# What a maintainer writes after step 1; $EDITOR runs it.
EDITOR = """#!{python}
import pathlib, sys

EDITS = {{
    "openapi.yaml": [
        ("  version: {old}", "  version: {new}"),
        ("updated 2026-01-15", "updated 2026-02-01"),
        ('updated: "2026-01-15"', 'updated: "2026-02-01"'),
        ("        expiration: 1762855900452", "        expiration: 1762855900452\\n        stream: wss://example/ws"),
        ("        expiration:\\n          description", "        stream:\\n          description: Where to connect.\\n"
         "          type: string\\n          example: wss://example/ws\\n        expiration:\\n          description"),
    ],
    "CHANGELOG.md": [("## [", "## [Unreleased]\\n\\n- Answers carry `stream`.\\n\\n## [")],
}}
for name in sys.argv[1:]:
    text = pathlib.Path(name).read_text(encoding="utf-8")
    for old, new in EDITS[name]:
        assert old in text, old
        text = text.replace(old, new, 1)
    pathlib.Path(name).write_text(text, encoding="utf-8")
"""
PROBE = """
from binance_options_client.models import ListenKeyResponse

answer = ListenKeyResponse.from_dict({"listenKey": "abc", "stream": "wss://example/ws"})
reveal_type(answer.stream)
"""


def steps() -> list[str]:
    """Return the commands of CONTRIBUTING's section."""
    tokens = MarkdownIt("commonmark").parse((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    start = next(i for i, token in enumerate(tokens) if token.content == "When the page changes")
    block = next(token for token in tokens[start:] if token.type == "fence")
    return [line for line in block.content.splitlines() if line.strip()]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project that has just released, and whose document was taken from tests/pages/start.md."""
    folder = tmp_path / "project"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
    )
    for name in listed.stdout.decode().split("\0")[:-1]:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    # What make has installed is shared; .venv is the copy's own folder, so that nothing done there clears the real one.
    (folder / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (folder / ".venv" / name).symlink_to(Path(sys.prefix) / name)
    (folder / ".cache").symlink_to(ROOT / ".cache")
    shutil.copy(ROOT / "tests/pages/openapi.yaml", folder)
    shutil.copy(ROOT / "tests/pages/pages.lock.json", folder / "tools/docs_check")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    generating = {**os.environ, "PATH": path, "PYTHONPATH": "tools"}
    subprocess.run([sys.executable, "-m", "generate"], cwd=folder, env=generating, check=True, capture_output=True)
    version = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    (folder / "CHANGELOG.md").write_text(f"# Changelog\n\n## [{version}] - 2026-01-15\n\n- All.\n", encoding="utf-8")
    who = {f"GIT_{role}_{part}": "test@localhost" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"], ["tag", f"v{version}"]):
        subprocess.run(["git", *command], cwd=folder, env={**os.environ, **who}, check=True)
    for stamp in (".runs", ".pinned", ".ready"):
        (folder / ".venv" / stamp).touch()
    return folder


def test_the_six_steps(project: Path) -> None:
    field = '"expiration": 1700000000000'
    page = PAGE.replace(field, f'{field},\n      "stream": "wss://example/ws"').replace("2026-01-15", "2026-02-01")
    (project / "page.md").write_text(page, encoding="utf-8")
    old = re.findall(r"(?m)^  version: (\d+)\.(\d+)\.\d+$", (project / "openapi.yaml").read_text(encoding="utf-8"))[0]
    editor = project / ".venv" / "editor"
    new = f"{old[0]}.{int(old[1]) + 1}.0"
    text = EDITOR.format(python=sys.executable, old=f"{old[0]}.{old[1]}", new=new.removesuffix(".0"))
    editor.write_text(text, encoding="utf-8")
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    outputs = []
    for step in steps():
        command = ["bash", "-c", step]
        run = subprocess.run(
            command,
            cwd=project,
            env={**environment, "EDITOR": str(editor)},
            capture_output=True,
            text=True,
            check=False,
        )
        outputs.append(run.stdout + run.stderr)
        assert run.returncode == (2 if step == steps()[0] else 0), f"{step}\n{outputs[-1]}"
    assert len(outputs) == 6
    seen, _, accepted, agreed, generated, released = outputs
    assert "field stream: string; the document: nothing" in seen
    assert "1 to clear, 1 noted" in seen
    assert "Error 1" in seen
    assert "0 to clear, 0 noted" in accepted
    assert "0 to clear, 0 noted" in agreed
    assert "added: field ListenKeyResponse.stream: str | Unset" in generated
    assert "differs: models/listen_key_response.py" in generated
    assert f"smallest honest step: minor; openapi.yaml {old[0]}.{old[1]}.0 -> {new}" in released
    (project / "probe.py").write_text(PROBE, encoding="utf-8")
    mypy = subprocess.run(
        [Path(sys.executable).parent / "mypy", "probe.py"], cwd=project, capture_output=True, text=True, check=False
    )
    assert 'Revealed type is "str | ' in mypy.stdout
    assert "Success" in mypy.stdout
    # The project's own tests hold for the changed document, too.
    tests = [
        "tests/repository/test_docs_check.py",
        *(f"tests/repository/test_generate{end}.py" for end in ("", "_summary", "d")),
    ]
    pytest_run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-k", "not planted", *tests],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert pytest_run.returncode == 0, pytest_run.stdout


def test_a_further_endpoint(project: Path) -> None:
    """CONTRIBUTING's "A further endpoint", with what tests/pages/time.yaml has; every test holds afterwards."""
    yaml = YAML()
    document, more = (yaml.load(project / name) for name in ("openapi.yaml", "tests/pages/time.yaml"))
    document["paths"] |= more["paths"]
    document["components"]["schemas"] |= more["components"]["schemas"]
    document["tags"] += more["tags"]
    yaml.dump(document, project / "openapi.yaml")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    tests = " ".join(f"tests/repository/test_{name}.py" for name in ("docs_check", "generate", "generated", "package"))
    for step in (
        "make docs-accept PAGE=tests/pages/time.md",
        "make lint-spec generate docs-check PAGE=tests/pages/time.md",
        "make drift types",
        f"python -m pytest -q -k 'not planted' {tests}",
    ):
        path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        run = subprocess.run(
            ["bash", "-c", step],
            cwd=project,
            env={**environment, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, f"{step}\n{run.stdout[-4000:]}{run.stderr[-4000:]}"
