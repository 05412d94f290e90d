"""docs/command-line.md, docs/containers.md and docs/testing.md say what is so."""

import re
import subprocess
import sys
from pathlib import Path

from markdown_it import MarkdownIt
from ruamel.yaml import YAML

from listenkey.cli import _exits, _options

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "command-line.md").read_text()


def blocks(page: str, info: str) -> list[str]:
    return [token.content for token in MarkdownIt().parse((DOCS / page).read_text()) if token.info == info]


def test_the_exit_statuses_are_those_of_help() -> None:
    told = re.findall(r"^\| ([\d, ]+) \| (.*) \|$", PAGE, re.MULTILINE)
    helped = re.findall(r"^  (\d+) +(.*)$", _exits.STATUSES, re.MULTILINE)
    assert told[:-2] == helped[:-2]
    assert (told[-2], helped[-2]) == (("130, 143", "Ctrl-C, SIGTERM"), ("130", "Ctrl-C; 143 SIGTERM"))
    assert told[-1] == helped[-1]


def test_every_command_and_shared_option_is_there() -> None:
    help_ = subprocess.run([sys.executable, "-m", "listenkey", "-h"], capture_output=True, text=True, check=True).stdout
    for command in re.findall(r"^    ([a-z]+)", help_.split("commands:")[1], re.MULTILINE):
        assert f"`listenkey {command}" in PAGE
    help_ = subprocess.run(
        [sys.executable, "-m", "listenkey", "start", "-h"], capture_output=True, text=True, check=True
    ).stdout
    for option in re.findall(r"^  (--[a-z-]+)", help_, re.MULTILINE):
        assert f"| `{option}" in PAGE


def test_the_compose_file_is_one_and_its_commands_are_ours() -> None:
    (text,) = blocks("containers.md", "yaml")
    services = YAML(typ="safe").load(text)["services"]
    for service in services.values():
        name, *arguments = service["command"]
        assert name == "listenkey"
        assert _options.parser().parse_args(arguments).command
    assert services["bot"]["environment"]["LISTENKEY_BASE_URL"] == "http://sandbox:8080"


def test_the_picture_shows_what_the_line_says() -> None:
    picture = (DOCS / "live-line.svg").read_text()
    said = Path(__file__).with_name("test_keep.py").read_text()
    for line in (
        "● alive · renews 14:32, in 27:10 · valid until 15:03",
        "▲ Binance had a fault. The call… · tries 14:33",
    ):
        assert line in picture
        assert line.partition(" · tries")[0] in said
