"""Every program that README.md and docs/ print: run as printed, offline. They and examples/: read by two type checkers.

The words behind ```python say how a program is run: none, by itself to its end; `test`, by pytest; `bot.py`, by the
commands that README.md prints; `anew`, by test_anew.py; `follow`, by test_stream.py. The excerpts of
docs/other-languages.md are no whole programs: `make reuse` runs what they are taken from.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from listenkey.sandbox import Sandbox
from tests.conftest import API_KEY

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BIN = Path(sys.executable).parent
CACHE = f"--cache-dir={ROOT / '.mypy_cache/programs'}"  # what the programs import is checked once
# The one change, never in README.md: the programs of docs/ ask Binance, the tests ask the sandbox.
CLIENT = 'ListenKeyClient(os.environ["BINANCE_API_KEY"]'
KINDS = {"python", "python test", "python bot.py", "python anew", "python follow"}


@dataclass(frozen=True)
class Program:
    page: Path
    line: int
    info: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.stem}_{self.line}".replace("-", "_")


def fences(page: Path) -> list[Token]:
    return [token for token in MarkdownIt().parse(page.read_text(encoding="utf-8")) if token.type == "fence"]


PRINTED = [
    Program(page, block.map[0] + 2, block.info, block.content)
    for page in PAGES
    for block in fences(page)
    if block.info.split(" ")[0] == "python" and block.map is not None
]


def programs(info: str) -> list[Program]:
    return [program for program in PRINTED if program.info == info]


def test_it_is_known_how_to_run_each_program() -> None:
    assert {program.info for program in PRINTED} == KINDS


@pytest.mark.parametrize("program", programs("python"), ids=str)
def test_program(program: Program, listenkey_sandbox: Sandbox, tmp_path: Path) -> None:
    text = program.text.replace(CLIENT, CLIENT + ', base_url=os.environ["LISTENKEY_BASE_URL"]')
    env = {**os.environ, "BINANCE_API_KEY": API_KEY, "LISTENKEY_BASE_URL": listenkey_sandbox.url}
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", text], env=env, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    # A stream warns when nothing can come for a while: soon, where the life of a key is short and the machine is busy.
    said = re.sub(r"(?m)^(no events for|events come again).*\n", "", run.stderr)
    assert (run.returncode, said) == (0, "")
    assert run.stdout
    # A comment behind a print shows what it prints.
    for shown in re.findall(r"print\(error[^#\n]*# (.*)", text):
        assert shown in run.stdout


@pytest.mark.parametrize("program", programs("python test"), ids=str)
def test_pytest_example(program: Program, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(program.text)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


(BOT,) = programs("python bot.py")


def test_the_commands_of_the_readme_run_its_program_unedited(tmp_path: Path, free_port: int) -> None:
    (block,) = [block.content for block in fences(BOT.page) if "python bot.py" in block.content and block.info == "sh"]
    commands = [shlex.split(line, comments=True) for line in block.replace("8080", str(free_port)).splitlines()]
    (tmp_path / "bot.py").write_text(BOT.text, encoding="utf-8")
    sandbox, bot = (start(command, tmp_path) for command in commands)
    with sandbox, bot:
        try:
            assert bot.stdout is not None
            assert bot.stdout.readline() == "events may be missing: started\n"
            bot.send_signal(signal.SIGINT)
            assert bot.communicate(timeout=30) == ("stopped; the listen key lives on for other programs\n", "")
            assert bot.returncode == 0
        finally:
            bot.kill()
            sandbox.send_signal(signal.SIGINT)


def start(words: list[str], folder: Path) -> "subprocess.Popen[str]":
    """Start what a person types in a terminal; a sandbox is awaited, as a person would."""
    settings = [word for word in words if re.match("[A-Z_]+=", word)]
    command = words[len(settings) :]
    assert words == settings + command
    process = subprocess.Popen(
        [str(BIN / command[0]), *command[1:]],
        env={**os.environ, **dict(setting.split("=", 1) for setting in settings)},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    if "sandbox" in command:
        assert process.stdout.readline().startswith("export LISTENKEY_BASE_URL=")
    return process


@pytest.mark.parametrize("value", [None, ""])
def test_without_an_api_key_the_program_says_so(value: str | None) -> None:
    env = {name: text for name, text in os.environ.items() if name != "BINANCE_API_KEY"}
    env |= {} if value is None else {"BINANCE_API_KEY": value}
    run = subprocess.run([sys.executable, "-c", BOT.text], env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr == "no events: api_key is empty: pass the API key of your Binance account.\n"


@pytest.fixture(scope="module")
def as_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write each program to a file of its own: as printed, and the notebook as the body of a coroutine."""
    folder = tmp_path_factory.mktemp("printed")
    for program in PRINTED:
        (folder / f"{program}.py").write_text(program.text, encoding="utf-8")
    for example in (ROOT / "examples").glob("*.py"):
        shutil.copy(example, folder)
    for notebook in (ROOT / "examples").glob("*.ipynb"):
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        body = "async def notebook() -> None:\n" + textwrap.indent(code, "    ")
        (folder / f"{notebook.stem}.py").write_text(body, encoding="utf-8")
    return folder


@pytest.mark.timeout(300)
def test_mypy_has_nothing_to_say(as_files: Path) -> None:
    check(as_files, "mypy", "--strict", "--config-file=", "--python-executable", sys.executable, CACHE, ".")


@pytest.mark.timeout(300)
def test_pyright_has_nothing_to_say(as_files: Path) -> None:
    (as_files / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    check(as_files, "basedpyright", "--pythonpath", sys.executable)


def check(folder: Path, *command: str) -> None:
    run = subprocess.run([str(BIN / command[0]), *command[1:]], cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.long
@pytest.mark.timeout(180)
@pytest.mark.parametrize("program", [BOT, *programs("python follow")], ids=str)
def test_a_printed_bot_goes_on_whatever_happens(program: Program, tmp_path: Path) -> None:
    """Each fault that could end a stream or a bot, one after the other, at a three-hundredth of the pace."""
    life = 12.0
    text = program.text.replace("base_url=BASE_URL", f"base_url=BASE_URL, key_life={life}")
    text = text.replace(CLIENT, CLIENT + f', base_url=os.environ["LISTENKEY_BASE_URL"], key_life={life}')
    assert text.count("key_life") == 1
    with Sandbox(life=life) as sandbox:
        env = {**os.environ, "BINANCE_API_KEY": API_KEY, "LISTENKEY_BASE_URL": sandbox.url}
        command = [sys.executable, "-c", text]
        with subprocess.Popen(command, env=env, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as bot:
            assert bot.stdout is not None
            assert bot.stdout.readline()  # the first Gap
            for status in (401, 403, 404, 302):
                sandbox.faults.add("stream-refuse", status=status, times=5)
                sandbox.faults.add("stream-drop")
                assert bot.stdout.readline()
            sandbox.expire()
            assert bot.stdout.readline()
            sandbox.faults.add("status", status=503, times=None)
            time.sleep(life + 1)  # until the key is lost
            sandbox.faults.clear()
            before = len(sandbox.requests)
            while not any(each.status == 101 for each in sandbox.requests[before:]):
                assert bot.poll() is None
                time.sleep(0.05)
            assert bot.poll() is None
            bot.kill()
