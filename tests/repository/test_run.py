"""`make run`: what it installs, and what a newcomer sees."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from listenkey.sandbox import Sandbox
from tests.conftest import API_KEY

ROOT = Path(__file__).parents[2]
RUN = (ROOT / "tools/run/requirements.txt").read_text(encoding="utf-8")
DEVELOPMENT = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")


def pins(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE))


def needs(requirements: list[str]) -> set[str]:
    """Name the packages that these need, and what they need in turn."""
    found: set[str] = set()
    waiting = [Requirement(each) for each in requirements]
    while waiting:
        each = waiting.pop()
        name = canonicalize_name(each.name)
        if name not in found and (each.marker is None or each.marker.evaluate({"extra": ""})):
            found.add(name)
            waiting += map(Requirement, requires(name) or [])
    return found


def test_it_installs_what_the_package_needs_and_no_more() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(pins(RUN)) == needs(project["dependencies"] + project["optional-dependencies"]["stream"])


def test_its_versions_are_those_that_the_tests_run_with() -> None:
    assert pins(RUN).items() <= pins(DEVELOPMENT).items()
    assert RUN.count("==") == len(pins(RUN))
    assert RUN.count("--hash=sha256:") >= len(pins(RUN))


def shown(environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "tools/run/demo.py"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_newcomer_sees_a_key_an_event_a_gap_and_where_to_read_on() -> None:
    text = shown({name: value for name, value in os.environ.items() if name != "BINANCE_API_KEY"})
    lines = [line.split(maxsplit=1)[0] for line in text.splitlines() if line and not line.startswith(" ")]
    assert lines == ["exchange", "listen", "gap", "event", "gap", "read"]
    assert "event       order my-first-order is FILLED at 1755\n" in text
    pages = re.findall(r"[\w./-]+\.md", text)
    assert len(pages) == 3
    assert all((ROOT / page).is_file() for page in pages)
    assert not re.search("[0-9A-Za-z]{20}", text)


def test_with_an_api_key_it_waits_for_no_event(listenkey_sandbox: Sandbox) -> None:
    text = shown({**os.environ, "BINANCE_API_KEY": API_KEY, "LISTENKEY_BASE_URL": listenkey_sandbox.url})
    assert text.startswith(f"exchange    {listenkey_sandbox.url}\n")
    assert "\ngap         started: " in text
    assert "an account without orders brings none" in text
