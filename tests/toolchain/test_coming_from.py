"""docs/coming-from.md: the same job by three libraries, each run against the sandbox."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from ruamel.yaml import YAML

from listenkey.sandbox import Sandbox

pytestmark = [pytest.mark.toolchain, pytest.mark.timeout(120)]
ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".cache" / "bench" / "venv" / "bin" / "python"
PAGE = (ROOT / "docs" / "coming-from.md").read_text(encoding="utf-8")
PROGRAMS = [token.content for token in MarkdownIt().parse(PAGE) if token.type == "fence" and token.info == "py"]
MESSAGES = YAML(typ="safe").load(ROOT / "asyncapi.yaml")["components"]["messages"]
ORDER = MESSAGES["orderTradeUpdate"]["examples"][0]["payload"]
CCXT = """
    base = os.environ["LISTENKEY_BASE_URL"]
    exchange.urls["api"]["eapiPrivate"] = base + "/eapi/v1"
    exchange.urls["api"]["ws"]["optionPrivate"] = base.replace("http", "ws") + "/private/ws"
    exchange.set_markets([])  # the sandbox has none
    exchange.secret = "for a call that the sandbox never sees"
    try:
"""
CLIENT = 'ListenKeyClient(os.environ["BINANCE_API_KEY"]'
# The one change to each program: it asks the sandbox, not Binance.
TO_THE_SANDBOX = {
    "listenkey": {CLIENT: CLIENT + ', base_url=os.environ["LISTENKEY_BASE_URL"]'},
    "ccxt": {"\n    try:\n": CCXT},
    "binance_sdk": {
        'os.environ["BINANCE_API_KEY"])': 'os.environ["BINANCE_API_KEY"], base_path=os.environ["LISTENKEY_BASE_URL"])',
        "Streams()": 'Streams(os.environ["LISTENKEY_BASE_URL"].replace("http", "ws"))',
    },
}
STATUS = {"listenkey": ORDER["o"]["X"], "binance_sdk": ORDER["o"]["X"], "ccxt": "closed"}


def library(program: str) -> str:
    """Name the library that a program imports."""
    (name,) = (name for name in TO_THE_SANDBOX if f"import {name}" in program or f"from {name}" in program)
    return name


def test_there_is_a_program_for_each_library() -> None:
    assert sorted(map(library, PROGRAMS)) == sorted(TO_THE_SANDBOX)


@pytest.mark.parametrize("program", PROGRAMS, ids=library)
def test_the_program_prints_the_order(program: str) -> None:
    name = library(program)
    for printed, changed in TO_THE_SANDBOX[name].items():
        assert program.count(printed) == 1
        program = program.replace(printed, changed)
    interpreter = sys.executable if name == "listenkey" else str(PEERS)
    with Sandbox() as sandbox:
        env = {**os.environ, "BINANCE_API_KEY": "SandboxTakesAnyKey0123456789", "LISTENKEY_BASE_URL": sandbox.url}
        with subprocess.Popen([interpreter, "-c", program], env=env, stdout=subprocess.PIPE, text=True) as process:
            try:
                while not sandbox.emit(ORDER):
                    assert process.poll() is None
                    time.sleep(0.1)
                assert process.stdout is not None
                expected = f"order {ORDER['o']['c']} {STATUS[name]}\n"
                assert expected in iter(process.stdout.readline, "")
            finally:
                process.send_signal(signal.SIGKILL)
