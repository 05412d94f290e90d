"""The programs of README.md run, offline, as a reader would run them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from listenkey.sandbox import FAULTS, Sandbox

from .conftest import API_KEY

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = [token for token in MarkdownIt().parse(README) if token.type == "fence"]
# The one change: the programs ask Binance, the tests ask the sandbox.
CLIENT = 'ListenKeyClient(os.environ["BINANCE_API_KEY"]'


def programs(info: str) -> list[object]:
    return [
        pytest.param(block.content, id=f"line {block.map[0] + 2}")
        for block in BLOCKS
        if block.info == info and block.map is not None
    ]


@pytest.mark.parametrize("program", programs("python"))
def test_program(program: str, listenkey_sandbox: Sandbox, tmp_path: Path) -> None:
    program = program.replace(CLIENT, CLIENT + ', base_url=os.environ["LISTENKEY_BASE_URL"]')
    env = {**os.environ, "BINANCE_API_KEY": API_KEY, "LISTENKEY_BASE_URL": listenkey_sandbox.url}
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout
    # A comment behind a print shows what it prints.
    for shown in re.findall(r"print\(error[^#\n]*# (.*)", program):
        assert shown in run.stdout


@pytest.mark.parametrize("program", programs("python test"))
def test_pytest_example(program: str, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(program)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_the_first_twenty_lines_hold_a_whole_program() -> None:
    first = next(block for block in BLOCKS if block.info == "python")
    assert first.map is not None
    assert first.map[1] <= 20
    assert "pip install" in README[: README.index(first.content)]


def test_every_fault_is_named() -> None:
    paragraph = README[README.index("The faults are") :].split("\n\n")[0]
    assert set(FAULTS) <= set(re.findall(r"`([\w-]+)`", paragraph))


def test_every_public_name_is_mentioned() -> None:
    import listenkey

    assert [name for name in listenkey.__all__ if not re.search(rf"\b{name}\b", README)] == []


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)", README)
    assert links
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []
