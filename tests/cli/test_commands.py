"""The command line, run as a person runs it: as a program, on a pipe and on a terminal."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import httpx  # noqa: TID251  asks the sandbox that the command started
import pytest

from listenkey import (
    ApiError,
    Banned,
    ConfigurationError,
    KeyNotFound,
    ListenKeyError,
    RateLimited,
    ServerError,
    TransportError,
    Unauthorized,
    UnexpectedResponse,
)
from listenkey.cli import _commands, _options
from listenkey.cli._exits import status_of
from listenkey.cli._screen import Screen
from listenkey.sandbox import Sandbox
from tests.conftest import API_KEY

COMMAND = [sys.executable, "-m", "listenkey"]
TERMINAL_OF_ITS_OWN = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


def environment(url: str, api_key: str | None = API_KEY, without: str = "") -> dict[str, str]:
    left_out = ("BINANCE_API_KEY", "LISTENKEY_BASE_URL", without)
    found = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**found, "LISTENKEY_BASE_URL": url, **({"BINANCE_API_KEY": api_key} if api_key else {})}


def run(env: Mapping[str, str], *args: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *args], env=env, input=given, capture_output=True, text=True, check=False)


def spawn(command: list[str], env: Mapping[str, str], columns: int = 80) -> tuple[subprocess.Popen[str], int]:
    """Run a command on a terminal of its own. Gives the command, and our side of the terminal."""
    terminal, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    own = [sys.executable, "-I", "-S", "-c", TERMINAL_OF_ITS_OWN]  # pty.fork() would fork a process that has threads
    program = subprocess.Popen([*own, *command], env=env, stdin=its, stdout=its, stderr=its, text=True)
    os.close(its)
    return program, terminal


def on_terminal(
    env: Mapping[str, str],
    *args: str,
    typed: Mapping[str, str],
    command: list[str] | None = None,
    columns: int = 80,
    meanwhile: Callable[[str], object] = lambda _: None,
) -> tuple[int, str]:
    """Run on a terminal, type each text once its prompt is seen, give exit status and all that was shown."""
    program, terminal = spawn([*(command or COMMAND), *args], env, columns)
    shown = ""
    waiting = dict(typed)
    while select.select([terminal], [], [], 50)[0]:
        try:
            shown += os.read(terminal, 4096).decode()
        except OSError:  # the program has ended
            break
        meanwhile(shown)
        for prompt in [prompt for prompt in waiting if prompt in shown]:
            time.sleep(0.2)  # the prompt is written a moment before echo goes off
            os.write(terminal, waiting.pop(prompt).encode())
    os.close(terminal)
    return program.wait(30), shown


def test_start_prints_the_key_alone(listenkey_sandbox: Sandbox) -> None:
    env = environment(listenkey_sandbox.url)
    first = run(env, "start")
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.rstrip("\n").isalnum()
    assert len(first.stdout) == 65
    assert run(env, "start").stdout == first.stdout


def test_start_as_json(listenkey_sandbox: Sandbox) -> None:
    fields = json.loads(run(environment(listenkey_sandbox.url), "start", "--json").stdout)
    assert fields.keys() == {"listenKey", "expiresAt", "estimated"}
    assert fields["estimated"] is False
    assert datetime.fromisoformat(fields["expiresAt"]).utcoffset() is not None


def test_keepalive_and_delete(listenkey_sandbox: Sandbox) -> None:
    env = environment(listenkey_sandbox.url)
    none = run(env, "keepalive")
    assert none.returncode == 4
    assert none.stderr == (
        "listenkey: This listenKey does not exist. `listenkey start` gets a new one. (HTTP 400, code -1125)\n"
    )
    run(env, "start")
    assert run(env, "keepalive").stdout == "valid for another 60 minutes\n"
    assert run(env, "delete").stdout == "ended\n"
    again = run(env, "delete")
    assert (again.returncode, again.stdout) == (0, "there was no listen key\n")


def test_the_base_url_is_an_option_too(listenkey_sandbox: Sandbox, closed_port: str) -> None:
    assert run(environment(closed_port), "start", "--base-url", listenkey_sandbox.url).returncode == 0


def test_the_api_key_from_standard_input(listenkey_sandbox: Sandbox) -> None:
    env = environment(listenkey_sandbox.url, api_key=None)
    assert run(env, "start", given=f"{API_KEY}\r\nmore\n").returncode == 0
    assert run(environment(listenkey_sandbox.url), "keepalive").returncode == 0  # the same account
    refused = run(env, "delete", given=f"{API_KEY}\n")
    assert refused.returncode == 2
    assert "add --yes" in refused.stderr
    assert run(env, "delete", "--yes", given=f"{API_KEY}\n").stdout == "ended\n"


@pytest.mark.parametrize("given", ["", "\n"])
def test_no_api_key(listenkey_sandbox: Sandbox, given: str) -> None:
    result = run(environment(listenkey_sandbox.url, api_key=None), "start", given=given)
    assert result.returncode == 2
    assert result.stderr == "listenkey: no API key: set BINANCE_API_KEY, or give it on standard input, as text.\n"
    assert listenkey_sandbox.requests == []


def test_standard_input_that_is_closed_or_no_text(listenkey_sandbox: Sandbox) -> None:
    env = environment(listenkey_sandbox.url, api_key=None)
    closed = subprocess.run(
        ["sh", "-c", '"$0" -m listenkey start <&-', sys.executable],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (closed.returncode, closed.stderr.count("\n")) == (2, 1)
    noise = subprocess.run([*COMMAND, "start"], env=env, input=b"\xff\xfe\n", capture_output=True, check=False)
    assert (noise.returncode, noise.stderr.count(b"\n")) == (2, 1)


def test_a_terminal_is_asked_for_the_api_key_and_does_not_show_it(listenkey_sandbox: Sandbox) -> None:
    status, shown = on_terminal(
        environment(listenkey_sandbox.url, api_key=None), "start", typed={"API key: ": f"{API_KEY}\n"}
    )
    assert status == 0
    assert API_KEY not in shown
    assert len(shown.split()[-1]) == 64


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        ("y\n", 0, "ended"),
        ("\n", 1, "nothing was ended."),
        ("n\n", 1, "nothing was ended."),
        ("\x04", 1, "nothing was ended."),
    ],
)
def test_delete_asks_first_on_a_terminal(listenkey_sandbox: Sandbox, answer: str, status: int, said: str) -> None:
    env = environment(listenkey_sandbox.url)
    run(env, "start")
    result = on_terminal(env, "delete", typed={"End it? [y/N] ": answer})
    assert result[0] == status
    assert said in result[1]
    assert run(env, "keepalive").returncode == (4 if status == 0 else 0)


def test_delete_yes_does_not_ask(listenkey_sandbox: Sandbox) -> None:
    shown = on_terminal(environment(listenkey_sandbox.url), "delete", "--yes", typed={})[1]
    assert shown.strip() == "there was no listen key"


@pytest.mark.parametrize(("key", "status"), [("\x03", 130), ("\x04", 2)])
def test_ctrl_c_and_ctrl_d_at_a_prompt_end_its_line(listenkey_sandbox: Sandbox, key: str, status: int) -> None:
    env = environment(listenkey_sandbox.url, api_key=None)
    ended, shown = on_terminal(env, "start", typed={"API key: ": key})
    assert ended == status
    assert re.fullmatch(r"API key: (\^C)?\r\n(listenkey: no API key: [^\r\n]*\r\n)?", shown)
    ended, shown = on_terminal({**env, "BINANCE_API_KEY": "k"}, "delete", typed={"[y/N] ": "\x03"})
    assert ended == 130
    assert shown.endswith("[y/N] ^C\r\n")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigurationError("x"), 2),
        (Unauthorized(401), 3),
        (KeyNotFound(400), 4),
        (RateLimited(429), 5),
        (Banned(418), 5),
        (ServerError(500), 6),
        (ApiError(403), 6),
        (TransportError("x"), 6),
        (UnexpectedResponse(200, "x"), 6),
    ],
)
def test_each_error_has_its_status(error: ListenKeyError, status: int) -> None:
    def run() -> int:
        raise error

    assert status_of(run, Screen()) == status


@pytest.mark.parametrize(
    ("fault", "status"),
    [({"status": 429, "headers": {"Retry-After": "30"}}, 5), ({"status": 401}, 3), ({"status": 403}, 6), ({}, 6)],
)
def test_an_error_is_one_line(listenkey_sandbox: Sandbox, fault: dict[str, Any], status: int) -> None:
    listenkey_sandbox.faults.add("status", **fault)
    result = run(environment(listenkey_sandbox.url), "start")
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (status, "", 1)


@pytest.mark.parametrize("target", ["2>&-", "2>/dev/full"])
def test_a_standard_error_that_cannot_be_written(listenkey_sandbox: Sandbox, target: str) -> None:
    result = subprocess.run(
        ["sh", "-c", f'"$0" -m listenkey keepalive {target}', sys.executable],
        env=environment(listenkey_sandbox.url),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (4, "")  # above all, not on standard output


def test_usage_errors(closed_port: str) -> None:
    env = environment(closed_port)
    assert run(env, "start", "--api-key", "x").returncode == 2
    assert run(env, "start", "--base-url", "http://eapi.binance.com").returncode == 2
    empty = run(env, "sandbox", "--host", "")  # the same, and it would have meant every address of the machine
    assert (empty.returncode, empty.stdout) == (2, "")
    assert empty.stderr.endswith("argument --host: the text is empty\n")
    nothing = run(env, "keep", "--")  # a variable that was empty: without a program, keep would show the key
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert nothing.stderr.endswith("listenkey: error: no program follows --\n")
    assert run(env, "keep", "--", "program", "--").returncode == 6  # no answer: that was a program, and its argument


@pytest.mark.parametrize("columns", ["80", "200", "20"])
@pytest.mark.parametrize("command", [[], ["start"], ["keepalive"], ["delete"], ["keep"], ["sandbox"]])
def test_help_has_an_example_and_fits_80_columns(command: list[str], columns: str) -> None:
    result = run({**os.environ, "COLUMNS": columns}, *command, "--help")
    assert result.returncode == 0
    if command:
        assert f"listenkey {command[0]}" in result.stdout.split("example:")[1]
        assert "exit statuses: listenkey --help" in result.stdout
    else:
        assert result.stdout.count("exit statuses:\n  0    done") == 1
    if columns == "80":
        assert max(map(len, result.stdout.splitlines())) < 80


def test_without_a_command_it_shows_the_commands() -> None:
    alone, asked = run(os.environ), run(os.environ, "--help")
    assert (alone.returncode, alone.stdout, alone.stderr) == (2, asked.stdout, "")


def test_version() -> None:
    assert run(os.environ, "--version").stdout == f"listenkey {version('binance-options-listenkey')}\n"


def test_completion_for_shells_with_the_extra_and_its_name_without() -> None:
    script = run(os.environ, "--print-completion", "bash").stdout
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    assert "keepalive" in script
    assert "--plain-http" in script
    without = "import sys; sys.modules['shtab'] = None; from listenkey import cli; cli.main(sys.argv[1:])"
    for shell in ("bash", "zsh", "tcsh"):
        command = [sys.executable, "-c", without, "--print-completion", shell]
        missing = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (missing.returncode, missing.stdout) == (2, "")
        assert missing.stderr == (
            "listenkey: --print-completion needs the extra `completion`: in a clone of the repository, "
            "pip install '.[completion]'.\n"
        )


def test_json_of_every_command_that_prints(listenkey_sandbox: Sandbox) -> None:
    env = environment(listenkey_sandbox.url)
    before = datetime.now(UTC)
    started, kept, ended, none = (
        json.loads(run(env, command, "--json").stdout) for command in ("start", "keepalive", "delete", "delete")
    )
    assert list(started) == ["listenKey", "expiresAt", "estimated"]
    assert list(kept) == ["expiresAt", "estimated"]
    assert kept["estimated"] is True
    assert (
        timedelta(0) <= datetime.fromisoformat(kept["expiresAt"]) - before - timedelta(hours=1) < timedelta(minutes=1)
    )
    assert (ended, none) == ({"ended": True}, {"ended": False})


def test_verbose_tells_attempts_and_waits(listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("status", status=503)
    env = environment(listenkey_sandbox.url)
    result = run(env, "start", "-v")
    assert (result.returncode, len(result.stdout)) == (0, 65)
    told = [line.split("listenkey: ", 1)[1] for line in result.stderr.splitlines()]
    assert told[0].startswith("HTTP Request: POST http")
    assert told[1].startswith("attempt 1 failed, next in 0.")
    assert told[2].startswith("HTTP Request: POST http")
    assert result.stdout.strip() not in result.stderr
    assert API_KEY not in result.stderr
    listenkey_sandbox.faults.add("status", status=503)
    assert run(env, "start").stderr == ""


def test_timeout_and_attempts(listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("silent", times=None)
    result = run(environment(listenkey_sandbox.url), "start", "--timeout", "0.3", "--attempts", "2")
    assert result.returncode == 6
    assert "within 0.3 s" in result.stderr
    assert len(listenkey_sandbox.requests) == 2
    for option in (["--timeout", "0"], ["--timeout", "x"], ["--attempts", "0"], ["--attempts", "1.5"]):
        assert run(environment(listenkey_sandbox.url), "start", *option).returncode == 2


def test_a_terminal_is_told_of_a_wait_and_nobody_else(listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("silent", times=None)
    env, options = environment(listenkey_sandbox.url), ["start", "--timeout", "3.5", "--attempts", "1"]
    status, shown = on_terminal(env, *options, typed={})
    assert status == 6
    assert shown.startswith(f"○ waiting for {listenkey_sandbox.url} · 1 s\r\x1b[K○ waiting for ")
    assert shown.rpartition("\x1b[K")[2].startswith("listenkey: No answer from")
    assert "waiting" not in run(env, *options).stderr
    assert "\x1b" not in on_terminal({**env, "TERM": "dumb"}, *options, typed={})[1]


def test_plain_http_to_a_host_that_is_named() -> None:
    env = environment("http://sandbox.invalid")
    refused = run(env, "start", "--attempts", "1")
    assert (refused.returncode, "--base-url or LISTENKEY_BASE_URL must start with https" in refused.stderr) == (2, True)
    assert run(env, "start", "--attempts", "1", "--plain-http", "another.invalid").returncode == 2
    assert run({**env, "PLAIN_HTTP": "sandbox.invalid"}, "start", "--attempts", "1").returncode == 2
    assert run(env, "start", "--attempts", "1", "--plain-http", "Sandbox.invalid").returncode == 6  # asked for, in vain


def test_a_reader_that_leaves_early(listenkey_sandbox: Sandbox) -> None:
    read, write = os.pipe()
    os.close(read)
    result = subprocess.run(
        [*COMMAND, "start"],
        env=environment(listenkey_sandbox.url),
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (result.returncode, result.stderr) == (128 + signal.SIGPIPE, ""), "as other programs do: in silence"


@pytest.mark.parametrize(("target", "status"), [(">&-", 2), (">/dev/full", 6)])
def test_an_output_that_cannot_be_written(listenkey_sandbox: Sandbox, target: str, status: int) -> None:
    result = subprocess.run(
        ["sh", "-c", f'"$0" -m listenkey start {target}', sys.executable],
        env=environment(listenkey_sandbox.url),
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr.count("\n")) == (status, 1)


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    programs: list[subprocess.Popen[str]] = []
    yield programs
    for program in programs:
        with program:
            program.kill()


def test_the_sandbox_command(started: list[subprocess.Popen[str]]) -> None:
    options = ["--life", "2", "--no-expiration", "--limit", "0", "--fault", 'status {"status": 503, "times": 2}']
    sandbox = subprocess.Popen(
        [*COMMAND, "sandbox", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    started.append(sandbox)
    assert sandbox.stdout is not None
    assert sandbox.stderr is not None
    assert sandbox.stderr.readline().startswith("sandbox on http")
    export, _, url = sandbox.stdout.readline().strip().partition("=")
    assert export == "export LISTENKEY_BASE_URL"
    env = environment(url)
    began = time.monotonic()
    fields = json.loads(run(env, "start", "--json").stdout)
    assert time.monotonic() - began > 0.25 + 0.5  # the two faults were met, and waited for
    assert fields["estimated"] is True
    time.sleep(2.1)
    assert run(env, "keepalive").returncode == 4
    assert httpx.post(f"{url}/faults", json={"fault": "status", "status": 401}).status_code == 204
    assert run(env, "start").returncode == 3
    sandbox.send_signal(signal.SIGINT)
    assert sandbox.wait(30) == 130
    assert sandbox.stderr is not None
    assert "Traceback" not in sandbox.stderr.read()


def test_the_sandbox_command_for_programs_and_in_containers(started: list[subprocess.Popen[str]]) -> None:
    options = ["sandbox", "--json", "-v", "--host", "0.0.0.0"]
    sandbox = subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    started.append(sandbox)
    assert sandbox.stdout is not None
    assert sandbox.stderr is not None
    url = json.loads(sandbox.stdout.readline())["url"]
    assert url.startswith("http://127.0.0.1:")
    assert run(environment(url), "start").returncode == 0
    sandbox.send_signal(signal.SIGTERM)
    assert sandbox.wait(30) == 128 + signal.SIGTERM
    warning, running, request = sandbox.stderr.read().splitlines()
    assert warning.endswith("The sandbox is open to all who reach 0.0.0.0: they may use and steer it, in plain http.")
    assert running.startswith("sandbox on http")
    assert request.endswith("listenkey: POST /eapi/v1/listenKey: 200, fault None")


def test_the_sandbox_command_on_a_terminal() -> None:
    status, shown = on_terminal(os.environ, "sandbox", typed={"0 requests · Ctrl-C ends": "\x03"})
    assert status == 130
    assert re.search(r"sandbox on (http://127.0.0.1:\d+), .*\r\nexport LISTENKEY_BASE_URL=\1\r\n", shown)


@pytest.mark.parametrize(
    "options",
    [
        ["--life", "0"],
        ["--host", "sandbox.invalid"],
        ["--limit", "-1"],
        ["--port", "70000"],
        ["--fault", "nonsense"],
        ["--fault", "status {"],
        ["--fault", 'status {"colour": 1}'],
        ["--fault", "status []"],
        ["--fault", "status " + "[" * 5000],
    ],
)
def test_a_sandbox_that_cannot_be(options: list[str]) -> None:
    result = run(os.environ, "sandbox", *options)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)


def test_a_port_in_use(listenkey_sandbox: Sandbox) -> None:
    result = run(os.environ, "sandbox", "--port", listenkey_sandbox.url.rpartition(":")[2])
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith("listenkey: The sandbox cannot listen on 127.0.0.1 port ")


@pytest.mark.parametrize("command", ["start", "keepalive", "delete", "keep", "events", "check"])
def test_demo_is_for_every_command_and_goes_before_the_environment(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("LISTENKEY_BASE_URL", "http://127.0.0.1:1")
    assert _commands.base_url_of(_options.parsed([command, "--demo"])) == "https://demo-fapi.binance.com"
    assert _commands.base_url_of(_options.parsed([command])) == "http://127.0.0.1:1"
    monkeypatch.delenv("LISTENKEY_BASE_URL")
    assert _commands.base_url_of(_options.parsed([command])) == "https://eapi.binance.com"
