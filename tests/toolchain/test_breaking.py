"""`make breaking` in a repository of its own: what it says, which versions it asks for, when it fails."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.toolchain, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
FIELD = "        expiration:\n          description: >-\n"


class Project:
    """A copy of what `make breaking` reads, in a git repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def git(self, *command: str) -> None:
        who = {f"GIT_{role}_{part}": "test@localhost" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
        subprocess.run(["git", *command], cwd=self.folder, env={**os.environ, **who}, check=True, capture_output=True)

    def release(self, tag: str = "v1.4.0") -> None:
        self.git("add", "-A")
        self.git("commit", "-qm", "x")
        self.git("tag", tag)

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text(encoding="utf-8")
        assert old in text
        (self.folder / name).write_text(text.replace(old, new), encoding="utf-8")

    def generate(self) -> None:
        path = (
            f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # the generator and ruff are in .venv/bin
        )
        environment = {**os.environ, "PATH": path, "PYTHONPATH": "tools"}
        command = [sys.executable, "-m", "generate"]
        subprocess.run(command, cwd=self.folder, env=environment, check=True, capture_output=True)

    def breaking(self, *base: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "release.breaking", *base]
        environment = {**os.environ, "PYTHONPATH": "tools"}
        run = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert run.stderr == "" or run.returncode == 2, run.stderr
        return run.returncode, run.stdout + run.stderr


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tests' own document, the client made from it, and 1.4.0 of the package, not yet released."""
    folder = tmp_path_factory.mktemp("made")
    for name in ("tools", "generated"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("tests/pages/openapi.yaml", "asyncapi.yaml", "generator-config.yaml"):
        shutil.copy(ROOT / name, folder)
    (folder / ".cache").symlink_to(ROOT / ".cache")
    (folder / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1.4.0"\n', encoding="utf-8")
    (folder / "CHANGELOG.md").write_text("# Changelog\n\n## [1.4.0] - 2026-01-01\n\n- First.\n", encoding="utf-8")
    (folder / ".gitignore").write_text(".cache\n__pycache__\n", encoding="utf-8")
    project = Project(folder)
    project.edit("openapi.yaml", "  version: 1.0.0", "  version: 2.0.0")
    project.generate()
    project.git("init", "-q")
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Project:
    return Project(shutil.copytree(made, tmp_path / "project", symlinks=True))


def test_without_a_tag_it_says_so(project: Project) -> None:
    project.git("commit", "-q", "--allow-empty", "-m", "x")
    status, output = project.breaking()
    assert status == 0
    assert output.startswith("no tag yet")


def test_nothing_changed(project: Project) -> None:
    project.release()
    project.edit("openapi.yaml", "# A document", "# A comment is no change. A document")
    status, output = project.breaking()
    assert status == 0
    assert "for users of the API: nothing changes" in output
    assert "smallest honest step: none; openapi.yaml 2.0.0 -> 2.0.0, package 1.4.0 -> 1.4.0" in output


def test_the_documents_version_moves_only_with_it(project: Project) -> None:
    project.release()
    project.edit("openapi.yaml", "version: 2.0.0", "version: 2.0.1")
    status, output = project.breaking()
    assert status == 1
    assert "info.version moved from 2.0.0 to 2.0.1, and nothing else did: put it back" in output


def test_a_text_is_a_patch(project: Project) -> None:
    project.release()
    project.edit("openapi.yaml", "description: The account's listen key.", "description: The listen key of an account.")
    status, output = project.breaking()
    assert status == 1
    assert "smallest honest step: patch; openapi.yaml 2.0.0 -> 2.0.1, package 1.4.0 -> 1.4.1" in output


def test_a_new_optional_field_is_an_addition(project: Project) -> None:
    project.release()
    project.edit("openapi.yaml", FIELD, "        stream:\n          type: string\n" + FIELD)
    project.generate()
    status, output = project.breaking()
    assert status == 1
    assert "adds: POST added the optional property `stream`" in output
    assert "adds: added: field ListenKeyResponse.stream: str | Unset" in output
    assert "smallest honest step: minor; openapi.yaml 2.0.0 -> 2.1.0, package 1.4.0 -> 1.5.0" in output
    assert "openapi.yaml: info.version is 2.0.0: make it 2.1.0 or later" in output
    assert "CHANGELOG.md: say below `## [Unreleased]` what changed since v1.4.0, or release 1.5.0" in output
    project.edit("openapi.yaml", "version: 2.0.0", "version: 2.1.0")
    project.edit("CHANGELOG.md", "## [1.4.0]", "## [Unreleased]\n\n- A field.\n\n## [1.4.0]")
    assert project.breaking()[0] == 0
    project.edit("pyproject.toml", "1.4.0", "1.4.1")
    project.edit("CHANGELOG.md", "## [Unreleased]", "## [1.4.1]")
    status, output = project.breaking()
    assert status == 1
    assert "pyproject.toml: version 1.4.1 promises too much: make it 1.5.0 or later" in output
    project.edit("pyproject.toml", "1.4.1", "1.5.0")
    status, output = project.breaking()
    assert status == 1
    assert "CHANGELOG.md: its newest version is 1.4.1, pyproject.toml's is 1.5.0" in output
    project.edit("CHANGELOG.md", "1.4.1", "1.5.0")
    assert project.breaking() == (0, project.breaking("v1.4.0")[1])


@pytest.mark.parametrize(
    ("says", "edits"),
    [
        (
            "breaks: retyped: field ListenKeyResponse.expiration: int | Unset -> str | Unset",
            {"type: integer\n          format: int64\n": "type: string\n", "1762855900452\n": "'1762855900452'\n"},
        ),
        (
            "breaks: the component security scheme `ApiKey` api key name changed",
            {"name: X-MBX-APIKEY": "name: X-MBX-KEY"},
        ),
        ("breaks: POST api path removed without deprecation", {"/eapi/v1/listenKey:": "/eapi/v2/listenKey:"}),
        (
            "breaks: POST the response property `listenKey` became optional",
            {"required: [listenKey]": "required: [expiration]"},
        ),
        (
            "breaks: removed: function api.user_data_stream.start_user_data_stream.sync",
            {"[User Data Stream]": "[Stream]", "- name: User Data Stream": "- name: Stream"},
        ),
        ("breaks: removed: function api.user_data_stream.start_user", {"operationId: start": "operationId: begin"}),
        ("breaks: removed: model ListenKeyResponse", {"ListenKeyResponse": "ListenKeyAnswer"}),
    ],
)
def test_what_breaks_is_named(project: Project, says: str, edits: dict[str, str]) -> None:
    project.release()
    for old, new in edits.items():
        project.edit("openapi.yaml", old, new)
    project.generate()
    status, output = project.breaking()
    assert status == 1
    assert says in output
    assert "smallest honest step: major; openapi.yaml 2.0.0 -> 3.0.0, package 1.4.0 -> 2.0.0" in output


@pytest.mark.parametrize(
    ("level", "old", "new"),
    [
        ("major", "x-lifetime-minutes: 60", "x-lifetime-minutes: 30"),
        ("minor", "x-lifetime-minutes: 60", "x-lifetime-minutes: 90"),
        ("major", "      x-lifetime-minutes: 60\n", ""),
        ("major", "weight: 1\n", "weight: 50\n"),
        ("minor", "weight: 1\n", "weight: 0\n"),
        ("major", "weight: 1\n", "table: [[a, 1]]\n"),
        ("major", "scope: ip", "scope: uid"),
        ("major", "x-security-type: USER_STREAM", "x-security-type: USER_DATA"),
    ],
)
def test_the_terms_of_a_call(project: Project, level: str, old: str, new: str) -> None:
    project.release()
    project.edit("openapi.yaml", old, new)
    output = project.breaking()[1]
    assert f"{'breaks' if level == 'major' else 'adds'}: POST /eapi/v1/listenKey x-" in output
    assert f"smallest honest step: {level};" in output


def test_below_one_the_minor_number_breaks(project: Project) -> None:
    project.edit("pyproject.toml", "1.4.0", "0.3.2")
    project.release()
    project.edit("openapi.yaml", "name: X-MBX-APIKEY", "name: X-MBX-KEY")
    assert "package 0.3.2 -> 0.4.0" in project.breaking()[1]


def test_an_unknown_base(project: Project) -> None:
    project.release()
    status, output = project.breaking("v9")
    assert status == 2
    assert "'v9' is no commit of this repository" in output
