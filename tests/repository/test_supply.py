"""What a release relies on: breaks of the Python API are named, workflows are sound, the watch is not fooled."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from docs_check import watch
from ruamel.yaml import YAML

from tests.repository.test_readme import links

ROOT = Path(__file__).parents[2]
SCHEMA = (ROOT / "openapi.yaml").read_bytes()


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True)


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
    table, client = tmp_path / "listenkey" / "__init__.py", tmp_path / "listenkey" / "client.py"
    table.write_text(table.read_text().replace("        Banned,\n", "").replace('    "Banned",\n', ""))
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


# The watch

FIREWALL = b"<html><title>Attention required</title></html>"


@pytest.fixture
def vendor() -> Iterator[Any]:
    """Serve one answer, as told: `vendor.answer = (status, media type, body)`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, media_type, body = self.server.answer  # type: ignore[attr-defined]
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((200, "application/yaml", b""), "an empty answer"),
        ((200, "application/yaml", b" \n"), "an empty answer"),
        ((200, "text/html; charset=utf-8", FIREWALL), "an answer of type text/html"),
        ((200, "text/plain", FIREWALL), "no word of /eapi/v1/listenKey, in 46 bytes of text/plain"),
        ((200, "application/yaml", b"/eapi/v1/listenKey: ["), "schema.yaml"),
        ((200, "application/json", b"{}"), "no word of /eapi/v1/listenKey"),
        ((403, "text/html", FIREWALL), "no answer: HTTP Error 403"),
        ((503, "application/yaml", SCHEMA), "no answer: HTTP Error 503"),
    ],
)
def test_the_watch_cannot_tell(
    vendor: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: tuple[int, str, bytes], said: str
) -> None:
    vendor.answer = answer
    assert watch.main(f"http://127.0.0.1:{vendor.server_port}/", str(tmp_path)) == 2
    report = (tmp_path / "report.md").read_text()
    assert report.startswith("It cannot be told whether the schema differs.")
    assert said in report
    assert capsys.readouterr().out == report + "\n"


@pytest.mark.parametrize("url", ["", "nonsense", "http://127.0.0.1:1/"])
def test_the_watch_without_an_address_or_an_answer_cannot_tell(tmp_path: Path, url: str) -> None:
    assert watch.main(url, str(tmp_path)) == 2


def test_the_watch_sees_a_difference(vendor: Any, tmp_path: Path) -> None:
    vendor.answer = (200, "application/yaml", SCHEMA.replace(b"format: int64", b"format: int32"))
    assert watch.main(f"http://127.0.0.1:{vendor.server_port}/", str(tmp_path)) == 1
    assert "int32" in (tmp_path / "report.md").read_text()
