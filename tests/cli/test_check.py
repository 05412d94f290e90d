"""`listenkey check`, as a person runs it. What each step says when it fails: tests/check/."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from listenkey import ConfigurationError, LeaseLost, RateLimited, TransportError, Unauthorized
from listenkey.check import STEPS, Finding
from listenkey.cli._check import as_text, status_of
from listenkey.sandbox import Sandbox
from tests.conftest import API_KEY

from .test_commands import environment, on_terminal, run

LIVES_ON = "listenkey: the listen key that the check made lives on, for an hour at most.\n"


def test_a_line_for_each_step(listenkey_sandbox: Sandbox) -> None:
    done = run(environment(listenkey_sandbox.url), "check", "--wait", "0.3")
    lines = [re.fullmatch(r"(ok|note|skipped) +(.{15}) (\S.*)", line) for line in done.stdout.splitlines()]
    assert [line and line[2].rstrip() for line in lines] == list(STEPS)
    assert (done.returncode, done.stderr) == (0, LIVES_ON)  # there is nobody to ask
    assert not re.search(rf"{API_KEY}|[0-9A-Za-z]{{64}}", done.stdout)
    picture = (Path(__file__).parents[2] / "docs/pictures/terminal.svg").read_text(encoding="utf-8")
    shown = re.findall(r">((?:ok|note)  .*?)</text>", picture)
    assert shown
    said = [re.sub(r"[\d.]+", "0", line) for line in done.stdout.splitlines()]
    assert [line for line in shown if re.sub(r"[\d.]+", "0", line) not in said] == []
    again = run(environment(listenkey_sandbox.url), "check", "--wait", "0.3", "--yes")
    assert again.stderr == ""  # the key was there before: nobody is asked, and nothing is ended
    assert "DELETE" not in [request.method for request in listenkey_sandbox.requests]


def test_as_json(listenkey_sandbox: Sandbox) -> None:
    done = run(environment(listenkey_sandbox.url), "check", "--wait", "0.3", "--json", "--yes")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["step"] for each in found] == list(STEPS)
    assert all(each.keys() == {"step", "verdict", "text", "facts"} for each in found)
    page = (Path(__file__).parents[2] / "docs/command-line.md").read_text(encoding="utf-8")
    for each in found:
        step = rf"(?:form \w+, )*{each['step']}(?:, form \w+)*"
        (row,) = re.findall(rf"^\| {step} \| (`.*) \|$", page, re.MULTILINE) or [""]
        assert set(each["facts"]) == set(re.findall(r"`(\w+)`", row)), each["step"]
    assert next(each["facts"] for each in found if each["step"] == "listen key")["new"] is True
    assert done.stderr == "listenkey: the listen key was ended.\n"
    assert run(environment(listenkey_sandbox.url), "keepalive").returncode == 4


def test_a_key_that_the_check_made_is_not_ended_after_a_429(listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("stream-refuse", status=429, headers={"Retry-After": "7"})
    done = run(environment(listenkey_sandbox.url), "check", "--wait", "0.3", "--yes")
    assert (done.returncode, done.stderr) == (9, LIVES_ON)
    assert [request.method for request in listenkey_sandbox.requests] == ["PUT", "POST", "PUT", "GET"]


def test_a_setting_that_cannot_work_is_the_first_step() -> None:
    done = run(environment("http://a.test"), "check")
    first, second, *_ = done.stdout.splitlines()
    assert first.startswith("failed  settings        --base-url or LISTENKEY_BASE_URL must start with https: ")
    assert second == "skipped connection      not reached: settings failed"
    assert (done.returncode, done.stderr) == (2, "")
    assert len(done.stdout.splitlines()) == len(STEPS)
    done = run(environment("https://a.test"), "check", "--wait", "0", "--stream-url", "wss://a.test")
    assert "--wait must be a number of seconds, above 0 and at most 1800." in done.stdout
    assert done.returncode == 2


def test_the_exit_status_is_of_the_first_step_that_failed(listenkey_sandbox: Sandbox) -> None:
    env = environment(listenkey_sandbox.url)
    listenkey_sandbox.faults.add("status", status=401, body={"code": -2015, "msg": "Invalid API-key."})
    done = run(env, "check")
    assert done.returncode == 3
    assert "failed  API key         Invalid API-key. Check the API key, its permissions and" in done.stdout
    listenkey_sandbox.faults.add("stream-refuse", times=None)
    assert run(env, "check", "--wait", "0.3").returncode == 9


def test_no_api_key(listenkey_sandbox: Sandbox) -> None:
    done = run(environment(listenkey_sandbox.url, None), "check")
    assert done.stderr == "listenkey: no API key: set BINANCE_API_KEY, or give it on standard input, as text.\n"
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("step", "error", "status"),
    [
        ("settings", ConfigurationError("a"), 2),
        ("connection", TransportError("a"), 6),
        ("API key", Unauthorized(401), 3),
        ("answer", RateLimited(429), 5),
        ("clock", None, 8),
        ("form path", None, 9),
        ("form path", Unauthorized(401), 9),
        ("closing", None, 9),
        ("keepalive", LeaseLost("a"), 7),
    ],
)
def test_exit_statuses(step: str, error: Exception | None, status: int) -> None:
    assert status_of(Finding(step, "failed", "", error=error)) == status  # type: ignore[arg-type]


def test_a_terminal_has_colours_and_lines_of_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    finding = Finding("API key", "failed", "Invalid API-key. Call start() for a new one. Wait, and try it again.")
    assert as_text(finding, 60).splitlines() == [
        "\x1b[31mfailed  \x1b[0mAPI key         Invalid API-key. `listenkey start`",
        "                        gets a new one. Wait, and try it",
        "                        again.",
    ]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in as_text(finding, 60)
    assert "\n" not in as_text(finding, None)
    assert as_text(finding, 40).splitlines() == [  # a text beside its step would have 16 columns
        "failed  API key         Invalid API-key.",
        "    `listenkey start` gets a new one.",
        "    Wait, and try it again.",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX terminals")
@pytest.mark.parametrize(("typed", "ended"), [("y\n", True), ("\n", False)])
def test_on_a_terminal_it_asks_before_it_ends_its_key(listenkey_sandbox: Sandbox, typed: str, ended: bool) -> None:
    question = "By now another program may use it, too. End it? [y/N] "
    env = environment(listenkey_sandbox.url)
    status, shown = on_terminal(env, "check", "--wait", "0.5", typed={question: typed}, columns=100)
    assert status == 0
    assert "○ waiting up to 0.5 s for an event: place and cancel an order now" in shown
    assert ("the listen key was ended" in shown) is ended
    assert (run(env, "keepalive").returncode == 4) is ended


def test_without_the_extra_it_says_which_package_is_missing() -> None:
    code = "import sys; sys.modules['websockets'] = None; from listenkey.cli import main; main(['check'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == (
        "listenkey: `listenkey check` needs the extra `stream`: "
        "in a clone of the repository, pip install '.[stream]'.\n"
    )


def test_a_terminal_without_the_characters_of_a_text(listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("status", status=429, body={"code": -1003, "msg": "请求过多"})
    done = run({**environment(listenkey_sandbox.url), "PYTHONIOENCODING": "ascii"}, "check")
    assert r"failed  answer          \u8bf7\u6c42\u8fc7\u591a. Stop" in done.stdout
    assert (done.returncode, done.stderr) == (5, "")
