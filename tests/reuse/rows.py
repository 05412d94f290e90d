"""One row of `make reuse`: a folder with a reuse.yaml, from which a client is generated, built and run."""

import fcntl
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from listenkey.sandbox import Sandbox

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = ROOT / ".cache" / "reuse"
KEPT = {".lock", "node_modules", "target", ".venv"}  # the last are downloads, and what a compiler reuses
KEYS = {"title", "about", "needs", "install", "generate", "build", "run", "check", "shortfalls"}
API_KEY = "made-up-api-key"
PASSED = "passed"
# npm: no lock file (it would record where this machine downloads from), no scripts of packages, none of its own advice.
NPM = {
    "npm_config_package_lock": "false",
    "npm_config_ignore_scripts": "true",
    "npm_config_audit": "false",
    "npm_config_fund": "false",
    "npm_config_loglevel": "error",
}


class CommandError(Exception):
    """A command of a manifest failed; the text is the line that says why."""


def load(path: Path) -> dict[str, Any]:
    """Read YAML."""
    return dict(YAML(typ="safe").load(path))


def digest(*paths: Path, salt: str = "") -> str:
    """Hash of the files' names and bytes."""
    total = hashlib.sha256(salt.encode())
    for path in paths:
        total.update(f"{path.name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return total.hexdigest()


def why(output: str) -> str:
    """The line of a program's output that says why it failed, without what differs from run to run."""
    lines = [line for line in re.sub(r"\x1b\[[0-9;]*m", "", output).splitlines() if line.strip()]
    thrown = re.compile(
        r"[\w.]+(Error|Exception)\b|error(\[\w+\])?: |\S+[:(][\d:,)]+ error"
        r"|Exception in thread|panic:|thread .* panicked"
    )
    telling = re.compile(r".*(error|failed|warn)", re.IGNORECASE)
    choice = [*filter(thrown.match, lines), *filter(telling.match, lines), *lines[-1:], "it printed nothing"]
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", choice[0].strip().replace(str(CACHE), "."))[:300]


def loopback() -> dict[str, str]:
    """The environment of what talks to a sandbox: no proxy in between, and no API key but the made-up one."""
    return {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")} | {"BINANCE_API_KEY": API_KEY}


SCENARIOS = load(HERE / "scenarios.yaml")
COLUMNS = ("ready", "no warning", "check", *SCENARIOS)


class Row:
    """One client of openapi.yaml, or what else holds the document against the sandbox."""

    def __init__(self, folder: Path, document: Path) -> None:
        self.folder, self.document = folder, document
        self.name = folder.relative_to(HERE).as_posix()  # language/generator
        self.manifest = load(folder / "reuse.yaml")
        if unknown := self.manifest.keys() - KEYS:
            raise ValueError(f"{self.name}/reuse.yaml: unknown: {', '.join(sorted(unknown))}")
        self.shortfalls: Mapping[str, Mapping[str, str]] = self.manifest.get("shortfalls", {})  # by column
        self.work = CACHE / self.name

    @cached_property
    def broken(self) -> str:
        """Install, generate and build, unless that has been done with the same files; why it failed, or nothing."""
        self.work.mkdir(parents=True, exist_ok=True)
        with (self.work / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two workers may come for the same row
            try:
                self._prepare()
            except CommandError as error:
                return str(error)
        return ""

    @property
    def warning(self) -> str:
        """What the generator warned of, or nothing."""
        return (self.work / ".warning").read_text()

    def check(self) -> str:
        """Let the row judge by itself; `PASSED`, or why it failed."""
        try:
            self._shell(self.manifest["check"], loopback())
        except CommandError as error:
            return str(error)
        return PASSED

    def act(self, scenario: Mapping[str, Any]) -> str:
        """Send the row's program through a scenario; `PASSED`, or how it falls short."""
        with Sandbox(**scenario.get("sandbox", {})) as sandbox, Sandbox() as elsewhere:
            # Another host by its name; both are this machine.
            there = elsewhere.url.replace("127.0.0.1", "localhost") + "/eapi/v1/listenKey"
            for fault in json.loads(json.dumps(scenario.get("faults", [])).replace("$elsewhere", there)):
                sandbox.faults.add(fault.pop("name"), **fault)
            try:
                run = subprocess.run(
                    shlex.split(self.manifest["run"]),
                    cwd=self.work,
                    env=loopback() | {"BASE_URL": sandbox.url, "STEPS": " ".join(scenario["steps"])},
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return "does not end within 60 s"
            sent = [request.method.lower() for request in sandbox.requests]
            carried = [request.method.lower() for request in elsewhere.requests if request.with_key]
        if carried:
            return f"carries the API key to another host, by {' '.join(carried)}"
        outcome = judge(scenario, run)
        if outcome == PASSED and sent != scenario["steps"]:
            return f"sends {' '.join(sent)} for {' '.join(scenario['steps'])}"
        return outcome

    def _needs(self) -> Iterator[Path]:
        """The toolchain's programs, from PATH."""
        for program in self.manifest.get("needs", []):
            found = shutil.which(program)
            if not found:
                raise CommandError(f"{program} is not on PATH; install it, or name it in REUSE_SKIP")
            yield Path(found).resolve()

    def _prepare(self) -> None:
        # A toolchain counts by path and time of change: asking each for its version would take longer than the rest.
        toolchain = sys.version + "".join(f"{path}{path.stat().st_mtime_ns}" for path in self._needs())
        commands = json.dumps([self.manifest.get(step) for step in ("install", "generate", "build")])
        files = [path for path in sorted(self.folder.rglob("*")) if path.is_file() and path.name != "reuse.yaml"]
        files = [path for path in files if path.parent.name != "__pycache__"]
        shared = [HERE / "requirements.txt", ROOT / "requirements-dev.txt", ROOT / "generator-config.yaml"]
        installed = digest(*shared, *files, salt=toolchain + commands)
        built = digest(self.document, salt=installed)
        if self._stamped("built", built):
            return
        (self.work / ".built").unlink(missing_ok=True)
        if not self._stamped("installed", installed):
            self._install()
            (self.work / ".installed").write_text(installed)
        self._build()
        (self.work / ".built").write_text(built)

    def _install(self) -> None:
        """Copy the folder anew, and run its `install`."""
        for path in self.work.iterdir():
            if path.name not in KEPT:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(self.folder, self.work, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        self._step("install")

    def _build(self) -> None:
        """Generate from the document and compile, and keep what the generator warned of."""
        for output in ("generated", "build"):
            shutil.rmtree(self.work / output, ignore_errors=True)
        shutil.copy(self.document, self.work / "openapi.yaml")
        printed = self._step("generate")
        if "generate" in self.manifest and not any((self.work / "generated").rglob("*.*")):
            raise CommandError("generate: writes nothing to generated/")
        self._step("build")
        warning = re.search(r"^.*\bwarn.*$", printed, re.IGNORECASE | re.MULTILINE)
        (self.work / ".warning").write_text(why(warning[0]) if warning else "")

    def _stamped(self, step: str, stamp: str) -> bool:
        """Whether the step has been done with the same input."""
        path = self.work / f".{step}"
        return path.is_file() and path.read_text() == stamp

    def _step(self, step: str) -> str:
        """Run one command of the manifest, if it is there."""
        if step not in self.manifest:
            return ""
        try:
            return self._shell(
                self.manifest[step], {k: v for k, v in os.environ.items() if k != "BINANCE_API_KEY"} | NPM
            )
        except CommandError as error:
            raise CommandError(f"{step}: {error}") from None

    def _shell(self, command: str, environment: Mapping[str, str]) -> str:
        """Run a command of the manifest and return what it printed, which is also appended to reuse.log."""
        run = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        with (self.work / "reuse.log").open("a") as file:
            file.write(f"$ {command}\n{run.stdout}")
        if run.returncode:
            raise CommandError(why(run.stdout))
        return run.stdout


def judge(scenario: Mapping[str, Any], run: subprocess.CompletedProcess[str]) -> str:
    """Compare what a program printed with what the scenario expects; `PASSED`, or the first difference."""
    lines = run.stdout.splitlines()
    bound: dict[str, object] = {}
    for number, (step, expected) in enumerate(zip(scenario["steps"], scenario["expect"], strict=True)):
        if number >= len(lines):
            return f"{step} crashes: {why(run.stderr)}"
        try:
            seen = json.loads(lines[number])
        except ValueError:
            return f"{step} prints something that is not JSON: {lines[number][:200]}"
        if difference := differs(seen, expected, bound):
            return f"{step}: {difference}"
    if run.returncode or len(lines) != len(scenario["steps"]):
        return f"exit status {run.returncode} and {len(lines)} lines: {why(run.stderr)}"
    return PASSED


def differs(seen: Mapping[str, Any], expected: Mapping[str, Any], bound: dict[str, object]) -> str:
    """Say in what a line falls short of what is expected, or nothing. `bound` is what each $name stands for so far."""
    for name, value in expected.items():
        got = seen.get(name)
        if isinstance(value, str) and value.startswith("$"):
            if not got or not isinstance(got, str):
                return f"{name} is {json.dumps(got)}"
            value = bound.setdefault(value, got)
        if type(got) is not type(value) or got != value:
            return f"{name} is {json.dumps(got)}, not {json.dumps(value)}"
    return ""
