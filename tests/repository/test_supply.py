"""What a release relies on: breaks of the Python API are named, workflows are sound."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.repository.test_readme import links

ROOT = Path(__file__).parents[2]


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True)


@pytest.mark.long
def test_make_api_names_every_break_of_the_python_api(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "listenkey", tmp_path / "listenkey", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Makefile", tmp_path)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "released")
    make = ["make", "-s", "-o", ".venv/.ready", "api", f"CURDIR={ROOT}"]

    def api() -> tuple[int, str]:
        done = subprocess.run(make, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    assert api() == (0, "no tag yet: there is nothing to compare with\n")
    git(tmp_path, "tag", "-a", "v1", "-m", "v1")
    assert api() == (0, "")
    stub, client = tmp_path / "listenkey" / "__init__.pyi", tmp_path / "listenkey" / "client.py"
    stub.write_text(stub.read_text().replace("    Banned,\n", "").replace('    "Banned",\n', ""))
    client.write_text(client.read_text().replace("def start(self)", "def start(self, symbol: str)"))
    status, said = api()
    assert status != 0
    assert "Banned: Public object was removed" in said
    assert "start(symbol): Parameter was added as required" in said


def test_workflows_have_no_finding_of_zizmor() -> None:
    zizmor, folder = Path(sys.executable).with_name("zizmor"), ROOT / ".github/workflows"
    command = [str(zizmor), "--offline", "--quiet", "--pedantic", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_release_makes_every_link_of_the_readme_absolute(tmp_path: Path) -> None:
    steps = YAML(typ="safe").load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]["build"]["steps"]
    (command,) = [step["run"] for step in steps if "README.md" in step.get("run", "")]
    readme = Path(shutil.copy(ROOT / "README.md", tmp_path))
    before = links(readme)
    home = "https://forge.example/owner/name"
    subprocess.run(["bash", "-ec", command], cwd=tmp_path, env={"HOME_PAGE": home, "TAG": "v9.9.9"}, check=True)
    assert links(readme) == [link if "://" in link else f"{home}/blob/v9.9.9/{link}" for link in before]


def test_workflows_test_what_the_package_names() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    jobs = YAML(typ="safe").load((ROOT / ".github/workflows/test.yml").read_text())["jobs"]
    tested = jobs["pythons"]["strategy"]["matrix"]["python"]
    assert re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project) == [
        python
        for python in tested
        if not python.endswith("t")  # without the lock, never run yet
    ]
