"""Each example runs as a real process against the sandbox; the Dockerfile and the unit are read by their own tools."""

import configparser
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import nbclient
import nbformat
import pytest
from ruamel.yaml import YAML

from listenkey.cli import _exits, _options
from listenkey.sandbox import Sandbox
from tests.conftest import API_KEY

EXAMPLES = Path(__file__).parents[2] / "examples"
BIN = Path(sys.executable).parent
Process = subprocess.Popen[str]


@pytest.fixture
def environment(listenkey_sandbox: Sandbox) -> dict[str, str]:
    return {**os.environ, "BINANCE_API_KEY": API_KEY, "LISTENKEY_BASE_URL": listenkey_sandbox.url}


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Callable[..., Process]]:
    """Start a program in examples/, and see to its end."""
    processes: list[Process] = []

    def run(*command: str) -> Process:
        process = subprocess.Popen(
            command, env=environment, cwd=EXAMPLES, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def line(process: Process) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def end(process: Process, number: int) -> tuple[int, str, str]:
    """Send a signal: exit status, what was printed since the last line, errors."""
    process.send_signal(number)
    out, errors = process.communicate(timeout=30)
    return process.returncode, out, errors


def test_each_example_is_in_the_table() -> None:
    table = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    files = {path.name for path in EXAMPLES.iterdir() if path.is_file()} - {"README.md"}
    assert {name for name in files if f"| [{name}]({name}) |" not in table} == set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asyncio_bot(start: Callable[..., Process], listenkey_sandbox: Sandbox, number: int) -> None:
    bot = start(sys.executable, "-W", "error", "asyncio_bot.py")
    assert line(bot) == "snapshot, because started\n"
    document = YAML(typ="safe").load(EXAMPLES.parent / "asyncapi.yaml")
    event = document["components"]["messages"]["orderTradeUpdate"]["examples"][0]["payload"]
    assert listenkey_sandbox.emit(event) == 1
    assert line(bot) == f"order {event['o']['c']} is {event['o']['X']}\n"
    assert end(bot, number) == (0, "stopped\n", "")
    assert [request.method for request in listenkey_sandbox.requests if "listenKey" in request.path] == ["POST"]


def test_threads(start: Callable[..., Process], listenkey_sandbox: Sandbox) -> None:
    program = start(sys.executable, "-W", "error", "threads.py")
    (first, key), (second, same) = sorted(line(program).split(" uses ") for _ in range(2))
    assert (first, second, same) == ("orders", "positions", key)
    assert end(program, signal.SIGINT) == (0, "stopping\n", "")
    assert len(listenkey_sandbox.requests) == 1


@pytest.mark.parametrize("program", ["open_orders.py", "open_orders_async.py"])
def test_open_orders(start: Callable[..., Process], listenkey_sandbox: Sandbox, program: str) -> None:
    number = listenkey_sandbox.order("BTC-260626-90000-C", "BUY", 2, 100)
    bot = start(sys.executable, "-W", "error", program)
    assert line(bot) == "['BTC-260626-90000-C 0/2']\n"
    listenkey_sandbox.fill(number, 1)
    assert line(bot) == "['BTC-260626-90000-C 1/2']\n"
    assert len((EXAMPLES / program).read_text(encoding="utf-8").splitlines()) < 60


@pytest.mark.long
def test_the_tests_that_users_copy_pass(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES, tmp_path, dirs_exist_ok=True)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n", encoding="utf-8")
    run = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "test_open_orders.py",
        "test_open_orders_async.py",
    ]
    result = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, "8 passed" in result.stdout) == (0, True), result.stdout


@pytest.mark.parametrize(("program", "why"), [("asyncio_bot.py", "no events"), ("threads.py", "no listen key")])
def test_a_refused_api_key_is_one_line(
    start: Callable[..., Process], listenkey_sandbox: Sandbox, program: str, why: str
) -> None:
    listenkey_sandbox.faults.add("status", status=401)
    process = start(sys.executable, "-W", "error", program)
    out, errors = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, "")
    assert re.fullmatch(rf"{why}: Binance does not accept the API key\. .*\(HTTP 401\)\n", errors)


def may_unshare() -> bool:
    namespace = ["unshare", "--pid", "--fork", "--mount-proc", "true"]
    return shutil.which("unshare") is not None and subprocess.run(namespace, check=False).returncode == 0


@pytest.mark.skipif(not may_unshare(), reason="needs Linux, and the right to make a PID namespace")
@pytest.mark.parametrize("program", ["asyncio_bot.py", "container_bot.py", "shard.py", "threads.py"])
def test_sigterm_ends_the_first_process_of_a_container(
    start: Callable[..., Process], environment: dict[str, str], tmp_path: Path, program: str
) -> None:
    # The first process of a PID namespace gets only the signals that it handles.
    environment["LISTENKEY"] = "a-key"  # as `listenkey keep` gives it to a program
    (tmp_path / "accounts.txt").write_text(f"account {API_KEY}\n", encoding="utf-8")
    arguments = ["0", "1", str(tmp_path / "accounts.txt")] if program == "shard.py" else []
    host = start("unshare", "--pid", "--fork", "--mount-proc", sys.executable, program, *arguments)
    assert line(host)
    first = int(Path(f"/proc/{host.pid}/task/{host.pid}/children").read_text(encoding="ascii"))
    os.kill(first, signal.SIGTERM)
    out, errors = host.communicate(timeout=50)
    assert (host.returncode, errors) == (0, "")
    assert out.splitlines()[-1] in ("stopped", "stopping", "stopped in peace")


# Runs a program whose keys live for a second, and whose waits are short.
FAST = r"""
import re, sys
from pathlib import Path
from listenkey.keeper import _drivers
make = _drivers.Lease
_drivers.Lease = lambda life, *rest: make(1.0, *rest)
del sys.argv[0]
text = Path(sys.argv[0]).read_text(encoding="utf-8")
text, replaced = re.subn(r"FIRST_WAIT, LONGEST_WAIT = [\d.]+, [\d.]+", "FIRST_WAIT, LONGEST_WAIT = 0.05, 0.2", text)
assert replaced == ("WAIT" in text)  # the stream of asyncio_bot.py waits by itself
exec(compile(text, sys.argv[0], "exec"))
"""
BEGUN = {
    "asyncio_bot.py": "snapshot, because started",
    "shard.py": "account: snapshot, because started",
    "threads.py": "orders uses ",
}
BEGUN_AGAIN = {**BEGUN, "asyncio_bot.py": "snapshot, because key_expired"}
TROUBLE: dict[str, tuple[str, dict[str, Any]]] = {
    "no answer": ("reset", {}),
    "fault": ("status", {"status": 503}),
    "API key refused": ("status", {"status": 401, "body": {"code": -2015, "msg": "Invalid API-key."}}),
    "firewall": ("status", {"status": 403, "headers": {"Content-Type": "text/html"}, "body": "<html></html>"}),
    "login page": ("status", {"headers": {"Content-Type": "text/html"}, "body": "<html></html>"}),
}


@pytest.mark.long
@pytest.mark.parametrize("trouble", TROUBLE)
@pytest.mark.parametrize("program", BEGUN)
def test_a_lost_key_and_refusals_end_no_program(
    start: Callable[..., Process], listenkey_sandbox: Sandbox, tmp_path: Path, program: str, trouble: str
) -> None:
    (tmp_path / "accounts.txt").write_text(f"account {API_KEY}\n", encoding="utf-8")
    arguments = ["0", "1", str(tmp_path / "accounts.txt")] if program == "shard.py" else []
    process = start(sys.executable, "-c", FAST, program, *arguments)
    wait_for(process.stdout, BEGUN[program])
    name, options = TROUBLE[trouble]
    listenkey_sandbox.faults.add(name, times=None, **options)
    for _ in range(4):  # the key is lost; then new keepers are refused
        wait_for(process.stderr, "next try in " if program == "asyncio_bot.py" else "The next try is in ")
    listenkey_sandbox.faults.clear()
    wait_for(process.stdout, BEGUN_AGAIN[program])
    assert end(process, signal.SIGTERM)[0] == 0


def wait_for(pipe: IO[str] | None, text: str) -> None:
    """Read lines up to a line with this text."""
    assert pipe is not None
    assert any(text in row for row in iter(pipe.readline, "")), "the program ended"


# The same for a module that uvicorn serves.
FAST_APP = """
import sys, uvicorn
from listenkey.keeper import _drivers
make = _drivers.Lease
_drivers.Lease = lambda life, *rest: make(1.0, *rest)
sys.path.insert(0, ".")
import fastapi_app
fastapi_app.FIRST_WAIT, fastapi_app.LONGEST_WAIT = 0.05, 0.2
uvicorn.run(fastapi_app.app, port=0)
"""


def url_of(server: Process) -> str:
    assert server.stderr is not None
    for said in iter(server.stderr.readline, ""):
        if found := re.search(r"running on (http://[\d.:]+)", said):
            return found[1]
    pytest.fail("the server ended")


def health(url: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_fastapi(start: Callable[..., Process], listenkey_sandbox: Sandbox) -> None:
    server = start(str(BIN / "uvicorn"), "fastapi_app:app", "--port", "0")
    code, status = health(url_of(server))
    assert (code, status["state"], status["renewals"], status["last_error"]) == (200, "running", 1, None)
    assert status["time_left"] <= 3600
    ended, _, errors = end(server, signal.SIGTERM)
    assert ended in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
    assert "Application shutdown complete" in errors
    assert [request.method for request in listenkey_sandbox.requests] == ["POST"]


@pytest.mark.parametrize("trouble", TROUBLE)
def test_fastapi_is_healthy_again_after_a_lost_key(
    start: Callable[..., Process], listenkey_sandbox: Sandbox, trouble: str
) -> None:
    server = start(sys.executable, "-c", FAST_APP)
    url = url_of(server)
    name, options = TROUBLE[trouble]
    listenkey_sandbox.faults.add(name, times=None, **options)
    while health(url)[0] != 503:
        time.sleep(0.05)
    refused = len(listenkey_sandbox.requests)
    while len(listenkey_sandbox.requests) < refused + 3:
        time.sleep(0.05)
    listenkey_sandbox.faults.clear()
    while health(url)[0] != 200:
        time.sleep(0.05)


def test_fastapi_does_not_start_without_a_key(start: Callable[..., Process], listenkey_sandbox: Sandbox) -> None:
    listenkey_sandbox.faults.add("status", status=401)
    server = start(str(BIN / "uvicorn"), "fastapi_app:app", "--port", "0")
    _, errors = server.communicate(timeout=30)
    assert server.returncode != 0
    assert "Unauthorized" in errors
    assert API_KEY not in errors


def test_notebook(environment: dict[str, str], listenkey_sandbox: Sandbox) -> None:
    notebook = nbformat.read(EXAMPLES / "notebook.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(notebook)
    assert [cell for cell in notebook.cells if cell.get("outputs")] == [], "a saved output may hold a secret"
    nbclient.NotebookClient(notebook, timeout=50).execute(env=environment)
    printed = "".join(output["text"] for cell in notebook.cells for output in cell.get("outputs", []))
    assert re.match(
        r"<ListenKey valid until .* UTC; the key itself is \.value>\nKeeperStatus\(state='running'", printed
    )
    assert [request.method for request in listenkey_sandbox.requests] == ["POST"]


def test_container_bot(start: Callable[..., Process]) -> None:
    program = start(*command_of_the_dockerfile())
    assert re.fullmatch(r"listening with \w{6}…\n", line(program))
    status, out, _ = end(program, signal.SIGTERM)
    assert (status, out) == (128 + signal.SIGTERM, "stopped in peace\n")


def command_of_the_dockerfile() -> list[str]:
    """Give the command of the image, with the paths of this machine."""
    (text,) = re.findall(r"^CMD (.*)$", (EXAMPLES / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    paths = {"listenkey": str(BIN / "listenkey"), "python": sys.executable, "bot.py": "container_bot.py"}
    return [paths.get(word, word) for word in json.loads(text)]


def test_dockerfile() -> None:
    # No container engine is needed to test this project, so the image is not built.
    lint = subprocess.run(
        [str(BIN / "hadolint"), "--failure-threshold", "style", str(EXAMPLES / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (lint.returncode, lint.stdout + lint.stderr) == (0, "")
    copied = re.findall(r"^COPY (.*) \S+$", (EXAMPLES / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    missing = [name for names in copied for name in names.split() if not (EXAMPLES.parent / name).exists()]
    assert (copied != [], missing) == (True, [])


def test_the_images_can_read_the_stream() -> None:
    page = (EXAMPLES.parent / "docs" / "containers.md").read_text(encoding="utf-8")
    installs = re.findall(r"RUN pip install .*", (EXAMPLES / "Dockerfile").read_text(encoding="utf-8") + page)
    assert [install.rstrip("'\"").endswith("[stream]") for install in installs] == [True, True]


def test_the_compose_file_starts_the_bot_once_the_sandbox_listens(
    start: Callable[..., Process], free_port: int
) -> None:
    page = (EXAMPLES.parent / "docs" / "containers.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    services = YAML(typ="safe").load(text.replace("8080", str(free_port)))["services"]
    assert services["bot"]["depends_on"] == {"sandbox": {"condition": "service_healthy"}}
    kind, *probe = services["sandbox"]["healthcheck"]["test"]
    assert (kind, probe[0]) == ("CMD", "python"), "the image has no curl"
    probe[0] = sys.executable

    def healthy() -> bool:
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0

    assert not healthy()
    sandbox = start(str(BIN / "listenkey"), *services["sandbox"]["command"][1:])
    while not healthy():
        assert sandbox.poll() is None
    url = services["bot"]["environment"]["LISTENKEY_BASE_URL"].replace("//sandbox:", "//127.0.0.1:")
    bot = start(str(BIN / "listenkey"), "keep", "--base-url", url, "--", "printenv", "LISTENKEY")
    out, errors = bot.communicate(timeout=50)
    assert (bot.returncode, len(out), errors) == (0, 65, "")
    assert "Traceback" not in end(sandbox, signal.SIGTERM)[2]


def test_the_package_can_be_built_from_what_the_dockerfile_copies(tmp_path: Path) -> None:
    for names, target in re.findall(
        r"^COPY (.*) /src/(\S*)$", (EXAMPLES / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE
    ):
        for name in names.split():
            source = EXAMPLES.parent / name
            if source.is_dir():
                shutil.copytree(source, tmp_path / target)
            else:
                (tmp_path / target).mkdir(parents=True, exist_ok=True)
                shutil.copy(source, tmp_path / target)
    build = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert build.returncode == 0, build.stdout + build.stderr
    assert len(list((tmp_path / "dist").glob("binance_options_listenkey-*.whl"))) == 1


def test_unit_of_systemd(tmp_path: Path) -> None:
    text = (EXAMPLES / "listenkey-bot.service").read_text(encoding="utf-8")
    unit = configparser.RawConfigParser(strict=True)
    unit.optionxform = str  # type: ignore[assignment, method-assign]  # names keep their capitals
    unit.read_string(text)
    service = unit["Service"]
    name, *arguments = service["ExecStart"].removeprefix("/opt/bot/.venv/bin/").split()
    assert name == "listenkey"
    assert _options.parser().parse_args(arguments).program == ["/opt/bot/.venv/bin/python", "/opt/bot/bot.py"]
    told = dict(re.findall(r"^  (\d+) +(.*)$", _exits.STATUSES, re.MULTILINE))
    assert (unit["Unit"]["StartLimitIntervalSec"], service["Restart"]) == ("0", "on-failure"), "or systemd gives up"
    assert [told[status] for status in service["RestartPreventExitStatus"].split()] == [
        "usage, or a setting that cannot work"
    ]
    assert service["KillMode"] == "mixed", "or the bot would get two signals"
    assert int(service["TimeoutStopSec"]) > 10, "the command gives the bot 10 seconds"
    if systemd_analyze := shutil.which("systemd-analyze"):
        here = tmp_path / "listenkey-bot.service"
        here.write_text(text.replace("/opt/bot/.venv/bin", str(BIN)), encoding="utf-8")
        run = subprocess.run(
            [systemd_analyze, "verify", "--man=no", str(here)], capture_output=True, text=True, check=False
        )
        said = [row for row in run.stderr.splitlines() if "listenkey-bot" in row]
        assert (run.returncode, said) == (0, [])
