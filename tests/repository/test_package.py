"""What users install: the wheel, in an environment with no development tools, and types that a checker sees."""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import listenkey

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(240)  # installs from the registry

SMOKE = """
import importlib.metadata, sys
from listenkey import ListenKeyClient
from listenkey.sandbox import Sandbox
with Sandbox() as sandbox, ListenKeyClient("any-key", base_url=sandbox.url) as client:
    assert client.start().value == client.start().value
print(*sorted(dist.name.lower() for dist in importlib.metadata.distributions()))
"""

TYPED = """
import asyncio
from datetime import datetime
from typing import assert_type

from binance_options_client.models import ListenKeyResponse
from listenkey import ApiError, AsyncListenKeyClient, ListenKey, ListenKeyClient
from listenkey.sandbox import Sandbox


def use(client: ListenKeyClient) -> None:
    key = client.start()
    assert_type(key, ListenKey)
    assert_type(key.value, str)
    assert_type(key.expires_at, datetime)
    assert_type(key.estimated, bool)
    assert_type(client.keepalive(), None)
    assert_type(client.delete(), bool)
    assert_type(client.used_weight, int | None)


async def ause() -> None:
    async with AsyncListenKeyClient("key", timeout=1.0, attempts=1) as client:
        assert_type(client, AsyncListenKeyClient)
        assert_type(await client.start(), ListenKey)
        assert_type(await client.keepalive(), None)
        assert_type(await client.delete(), bool)
        assert_type(client.used_weight, int | None)
        assert_type(await client.aclose(), None)


def look(error: ApiError) -> None:
    assert_type(error.status, int)
    assert_type(error.code, int | None)
    assert_type(error.reason, str | None)
    assert_type(error.retry_after, float | None)


with Sandbox(life=1.0) as sandbox:
    assert_type(sandbox.url, str)
ListenKeyClient()  # type: ignore[call-arg]
ListenKeyClient("key", "https://eapi.binance.com")  # type: ignore[call-arg]
ListenKeyClient("key").start().value = ""  # type: ignore[misc]
ListenKeyResponse()  # type: ignore[call-arg]
"""


LIGHT = """
import sys
import listenkey
from listenkey import LeaseLost, errors
assert dir(listenkey) == sorted(dir(listenkey)) and set(listenkey.__all__) < set(dir(listenkey)), dir(listenkey)
try:
    listenkey.Nonsense
except AttributeError as error:
    assert str(error) == "module 'listenkey' has no attribute 'Nonsense'", error
heavy = ["httpx", "ssl", "asyncio", "listenkey.client", "listenkey.keeper"]
assert not sys.modules.keys() & set(heavy), sorted(sys.modules.keys() & set(heavy))
from listenkey import ListenKeyClient
assert "listenkey.keeper" not in sys.modules
from listenkey import *
assert all(globals()[name] is getattr(listenkey, name) for name in listenkey.__all__)
assert LeaseLost is errors.LeaseLost and "LeaseLost" in vars(listenkey)
"""

UNTYPED = """
import listenkey
from listenkey import Nonsense
listenkey.nonsense
"""


def run(*command: object, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run([*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (wheel,) = dist.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment that holds the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", folder, cwd=folder)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel, cwd=folder)
    return python


def test_the_wheel_holds_the_three_packages_and_no_more(wheel: Path) -> None:
    names = {Path(name).parts[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {
        "listenkey",
        "binance_options_client",
        "binance_options_events",
    }
    files = set(zipfile.ZipFile(wheel).namelist())
    assert {f"{name}/py.typed" for name in ("listenkey", "binance_options_client", "binance_options_events")} <= files


def test_the_wheel_tells_what_it_was_made_from(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        source = json.loads(archive.read("binance_options_client/source.json"))
        for name in ("openapi.yaml", "asyncapi.yaml", "account.yaml"):
            document = archive.read(f"binance_options_client/{name}")
            assert document == (ROOT / name).read_bytes()
            assert source["sha256"][name] == hashlib.sha256(document).hexdigest()
    assert source["generator"] == f"openapi-python-client=={importlib.metadata.version('openapi-python-client')}"


def test_the_version_is_told_once_more_where_programs_look() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert listenkey.__version__ == project["version"]


def test_the_sdist_holds_the_contract_and_builds(dist: Path, tmp_path: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    tools = "tools/generate/__main__.py"
    for needed in ("openapi.yaml", "Makefile", "requirements-dev.txt", "tests/conftest.py", tools):
        assert (source / needed).exists()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_errors.py"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (source, source / "generated")))}
    run(*command, cwd=source, env=environment)
    assert (source / "asyncapi.yaml").exists()
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path / "out", cwd=source)


def test_the_installed_wheel_works_without_development_tools(python: Path, tmp_path: Path) -> None:
    installed = set(run(python, "-W", "error", "-c", SMOKE, cwd=tmp_path).split())
    needed = {"binance-options-listenkey", "attrs", "httpx", "httpcore", "h11", "anyio", "certifi", "idna"}
    assert needed <= installed <= needed | {"pip", "setuptools", "typing_extensions", "sniffio"}
    assert "example:" in run(python.with_name("listenkey"), "start", "--help", cwd=tmp_path)


def test_each_name_is_loaded_when_it_is_asked_for(python: Path, tmp_path: Path) -> None:
    run(python, "-W", "error", "-c", LIGHT, cwd=tmp_path)


def test_a_type_checker_knows_which_names_there_are(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(UNTYPED)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file",
        "",
        "--cache-dir",
        tmp_path / "cache",
        "program.py",
    ]
    said = subprocess.run([*map(str, command)], cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    assert 'Module "listenkey" has no attribute "Nonsense"' in said
    assert 'Module has no attribute "nonsense"' in said


def test_a_typed_program_of_a_user(python: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(TYPED)
    options = ["--strict", "--python-executable", python, "--config-file", "", "--cache-dir", tmp_path / "cache"]
    run(sys.executable, "-m", "mypy", *options, "program.py", cwd=tmp_path)


def test_pyright_strict_on_a_program_of_a_user(python: Path, tmp_path: Path) -> None:
    program = TYPED.replace("import asyncio\n", "")  # which mypy does not mind
    for mypys, pyrights in {"call-arg": "reportCallIssue", "misc": "reportAttributeAccessIssue"}.items():
        program = program.replace(f"# type: ignore[{mypys}]", f"# pyright: ignore[{pyrights}]")
    (tmp_path / "program.py").write_text(program)
    (tmp_path / "pyrightconfig.json").write_text(
        '{"typeCheckingMode": "strict", "enableTypeIgnoreComments": false, "reportUnnecessaryTypeIgnoreComment": true}'
    )
    run(sys.executable, "-m", "basedpyright", "program.py", cwd=tmp_path, env=inside(python))


@pytest.mark.parametrize("package", ["listenkey", "binance_options_client", "binance_options_events"])
def test_every_public_name_has_a_type(python: Path, tmp_path: Path, package: str) -> None:
    extra = Path(str(importlib.util.find_spec("websockets").origin)).parent  # type: ignore[union-attr]
    shutil.copytree(extra, tmp_path / "extra" / "websockets")
    command = [sys.executable, "-m", "basedpyright", "--verifytypes", package, "--ignoreexternal"]
    env = {**inside(python), "PYTHONPATH": str(tmp_path / "extra")}
    said = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False).stdout
    assert "Type completeness score: 100%" in said, said


def inside(python: Path) -> dict[str, str]:
    return {**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
