"""The command line, run as a person runs it: as a program, on a pipe and on a terminal."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
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
    cli,
)
from listenkey.sandbox import Sandbox

from .conftest import API_KEY

COMMAND = [sys.executable, "-m", "listenkey"]


def environment(url: str, api_key: str | None = API_KEY, without: str = "") -> dict[str, str]:
    left_out = ("BINANCE_API_KEY", "LISTENKEY_BASE_URL", without)
    found = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**found, "LISTENKEY_BASE_URL": url, **({"BINANCE_API_KEY": api_key} if api_key else {})}


def run(env: Mapping[str, str], *args: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *args], env=env, input=given, capture_output=True, text=True, check=False)


def on_terminal(env: Mapping[str, str], *args: str, typed: Mapping[str, str]) -> tuple[int, str]:
    """Run on a terminal, type each text once its prompt is seen, give exit status and all that was shown."""
    child, terminal = pty.fork()
    if child == 0:  # pragma: no cover  the child becomes the program
        os.execve(COMMAND[0], [*COMMAND, *args], env)
    shown = ""
    waiting = dict(typed)
    while select.select([terminal], [], [], 20)[0]:
        try:
            shown += os.read(terminal, 4096).decode()
        except OSError:  # the program has ended
            break
        for prompt in [prompt for prompt in waiting if prompt in shown]:
            time.sleep(0.2)  # the prompt is written a moment before echo goes off
            os.write(terminal, waiting.pop(prompt).encode())
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown


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
        "listenkey: This listenKey does not exist. Call start() for a new one. (HTTP 400, code -1125)\n"
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


@pytest.mark.parametrize(("answer", "status", "said"), [("y\n", 0, "ended"), ("\n", 2, "nothing was ended.")])
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


def test_ctrl_c_at_a_prompt(listenkey_sandbox: Sandbox) -> None:
    status, shown = on_terminal(environment(listenkey_sandbox.url, api_key=None), "start", typed={"API key: ": "\x03"})
    assert status == 130
    assert "Traceback" not in shown


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
    assert cli._status(error) == status


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
    assert run(env).returncode == 2
    assert run(env, "start", "--api-key", "x").returncode == 2
    assert run(env, "start", "--base-url", "http://eapi.binance.com").returncode == 2


@pytest.mark.parametrize("command", [[], ["start"], ["keepalive"], ["delete"], ["sandbox"]])
def test_help_has_an_example(command: list[str]) -> None:
    result = run(os.environ, *command, "--help")
    assert result.returncode == 0
    assert "exit status: 0 done" in result.stdout
    if command:
        assert f"listenkey {command[0]}" in result.stdout.split("example:")[1]


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
    assert (result.returncode, result.stderr) == (6, "listenkey: input or output failed: Broken pipe.\n")


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
    assert sandbox.wait(5) == 130
    assert sandbox.stderr is not None
    assert "Traceback" not in sandbox.stderr.read()


@pytest.mark.parametrize(
    "options",
    [
        ["--life", "0"],
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
