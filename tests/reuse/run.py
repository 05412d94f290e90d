"""Generate, build and run clients of openapi.yaml in many languages, all through scenarios.yaml: `make reuse`.

README.md beside this file says how a client is described and how to add one.
"""

import argparse
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from listenkey.sandbox import Sandbox

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = ROOT / ".cache" / "reuse"
TOOLS = CACHE / "tools"
KEPT = {
    "node_modules",
    "target",
    ".venv",
}  # downloads, and what a compiler reuses; the rest of a work folder is made anew
API_KEY = "made-up-api-key"
PASSED = "passed"
_print = threading.Lock()
# npm: no lock file (it would record where this machine downloads from), no scripts of packages, none of its own advice.
NPM = {
    "npm_config_package_lock": "false",
    "npm_config_ignore_scripts": "true",
    "npm_config_audit": "false",
    "npm_config_fund": "false",
    "npm_config_loglevel": "error",
}


class CommandError(Exception):
    """A command failed or warned; the text is the line that says why, as it stands in shortfalls.yaml."""


def load(path: Path) -> dict[str, Any]:
    """Read YAML."""
    return dict(YAML(typ="safe").load(path))


def say(text: str) -> None:
    """Print one line of progress; the workers take turns."""
    with _print:
        print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


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


def shell(command: str, cwd: Path, log: Path, environment: Mapping[str, str]) -> str:
    """Run a command of a manifest and return what it printed, which is also appended to `log`."""
    run = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    with log.open("a") as file:
        file.write(f"$ {command}\n{run.stdout}")
    if run.returncode:
        raise CommandError(why(run.stdout))
    return run.stdout


@dataclass(frozen=True)
class Client:
    """One row of the table: a folder with a reuse.yaml."""

    folder: Path
    document: Path

    @property
    def name(self) -> str:
        """`language/generator`."""
        return self.folder.relative_to(HERE).as_posix()

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """The commands `install`, `generate`, `build` and `run` or `check`, and the programs they `need`."""
        manifest = load(self.folder / "reuse.yaml")
        if unknown := manifest.keys() - {"needs", "install", "generate", "build", "run", "check"}:
            raise SystemExit(f"{self.name}/reuse.yaml: unknown: {', '.join(sorted(unknown))}")
        return manifest

    @property
    def work(self) -> Path:
        """Where it is generated and built."""
        return CACHE / self.name

    @property
    def log(self) -> Path:
        """What the commands printed."""
        return self.work / "reuse.log"

    def needs(self) -> Iterator[Path]:
        """The toolchain's programs, from PATH."""
        for program in self.manifest.get("needs", []):
            found = shutil.which(program)
            if not found:
                raise CommandError(f"{program} is not on PATH; install it, or name it in REUSE_SKIP")
            yield Path(found).resolve()

    def stamped(self, step: str, stamp: str) -> bool:
        """Whether the step has been done with the same input."""
        path = self.work / f".{step}"
        return path.is_file() and path.read_text() == stamp

    def prepare(self) -> None:
        """Install, generate and build, unless that has been done with the same files."""
        # A toolchain counts by path and time of change: asking each for its version would take longer than the rest.
        toolchain = sys.version + "".join(f"{path}{path.stat().st_mtime_ns}" for path in self.needs())
        files = [path for path in sorted(self.folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
        shared = [HERE / "requirements.txt", ROOT / "requirements-dev.txt", ROOT / "generator-config.yaml"]
        installed = digest(*shared, *files, salt=toolchain)
        built = digest(self.document, salt=installed)
        if self.stamped("built", built):
            return
        start = time.monotonic()
        if not self.stamped("installed", installed):
            self.work.mkdir(parents=True, exist_ok=True)
            for path in self.work.iterdir():
                if path.name not in KEPT:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            shutil.copytree(self.folder, self.work, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
            self.step("install")
            (self.work / ".installed").write_text(installed)
        (self.work / ".built").unlink(missing_ok=True)
        for output in ("generated", "build"):
            shutil.rmtree(self.work / output, ignore_errors=True)
        shutil.copy(self.document, self.work / "openapi.yaml")
        printed = self.step("generate")
        if "generate" in self.manifest and not any((self.work / "generated").rglob("*.*")):
            raise CommandError("generate: writes nothing to generated/")
        self.step("build")
        warning = re.search(r"^.*\bwarn.*$", printed, re.IGNORECASE | re.MULTILINE)
        (self.work / ".warning").write_text(why(warning[0]) if warning else "")
        (self.work / ".built").write_text(built)
        say(f"{self.name}: ready in {time.monotonic() - start:.0f} s")

    def step(self, step: str) -> str:
        """Run one command of the manifest, if it is there."""
        if step not in self.manifest:
            return ""
        say(f"{self.name}: {step}")
        try:
            environment = {k: v for k, v in os.environ.items() if k != "BINANCE_API_KEY"} | NPM
            return shell(self.manifest[step], self.work, self.log, environment)
        except CommandError as error:
            raise CommandError(f"{step}: {error}") from None

    def act(self, scenario: Mapping[str, Any]) -> str:
        """Send the program through a scenario; `PASSED`, or how it falls short."""
        with Sandbox(**scenario.get("sandbox", {})) as sandbox:
            for fault in scenario.get("faults", []):
                sandbox.faults.add(fault["name"], **{k: v for k, v in fault.items() if k != "name"})
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
            seen = [request.method.lower() for request in sandbox.requests]
        outcome = judge(scenario, run)
        if outcome == PASSED and seen != scenario["steps"]:
            return f"sent {' '.join(seen)} for {' '.join(scenario['steps'])}"
        return outcome

    def cells(self, scenarios: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Every cell of the row, by the name of its column."""
        try:
            self.prepare()
        except CommandError as error:
            yield "ready", str(error)
            return
        yield "ready", PASSED
        if "generate" in self.manifest:
            yield "no warning", (self.work / ".warning").read_text() or PASSED
        if "check" in self.manifest:
            say(f"{self.name}: check")
            try:
                shell(self.manifest["check"], self.work, self.log, loopback())
            except CommandError as error:
                yield "check", str(error)
            else:
                yield "check", PASSED
        if "run" in self.manifest:
            say(f"{self.name}: {len(scenarios)} scenarios")
            for name, scenario in scenarios.items():
                yield name, self.act(scenario)


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
        for name, value in expected.items():
            got = seen.get(name)
            if isinstance(value, str) and value.startswith("$"):
                if not got or not isinstance(got, str):
                    return f"{step}: {name} is {json.dumps(got)}"
                value = bound.setdefault(value, got)
            if type(got) is not type(value) or got != value:
                return f"{step}: {name} is {json.dumps(got)}, not {json.dumps(value)}"
    if run.returncode or len(lines) != len(scenario["steps"]):
        return f"exit status {run.returncode} and {len(lines)} lines: {why(run.stderr)}"
    return PASSED


def verdict(name: str, outcome: str, known: Mapping[str, Any] | None) -> tuple[str, str]:
    """The mark of a cell, and the note to it; only a mark in capitals fails the run."""
    if known is None:
        return ("ok", "") if outcome == PASSED else ("FAILED", f"{name}: {outcome}")
    if outcome == PASSED:
        return "MENDED", f"{name}: passes; take it out of shortfalls.yaml"
    if outcome != known["how"]:
        return "FAILED", f"{name}: {outcome}\n    known was: {known['how']}"
    return "known", f"{name}: {outcome}\n    {known['note']} {known['bug']}"


def tools() -> None:
    """The Python programs that generate and check, in an environment of their own, behind the project's on PATH."""
    requirements = HERE / "requirements.txt"
    stamp = TOOLS / ".installed"
    if not stamp.is_file() or stamp.read_text() != digest(requirements):
        say("tools: install")
        subprocess.run([sys.executable, "-m", "venv", "--clear", TOOLS], check=True)
        subprocess.run([TOOLS / "bin" / "pip", "install", "-q", "-r", requirements], check=True)
        stamp.write_text(digest(requirements))
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], str(TOOLS / "bin")])


def main() -> int:
    """Run every client, print the table, and exit 0 only if each cell is what shortfalls.yaml says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--document", type=Path, default=ROOT / "openapi.yaml", help="another OpenAPI document")
    parser.add_argument("clients", nargs="*", help="language/generator; all unless given")
    arguments = parser.parse_args()
    if not arguments.document.is_file():
        parser.error(f"no such document: {arguments.document}")
    scenarios, shortfalls = load(HERE / "scenarios.yaml"), load(HERE / "shortfalls.yaml")
    clients = {c.name: c for c in (Client(p.parent, arguments.document) for p in sorted(HERE.glob("*/*/reuse.yaml")))}
    columns = ["ready", "no warning", "check", *scenarios]
    stale = [f"{n}: {s}" for n, cells in shortfalls.items() for s in cells if n not in clients or s not in columns]
    if stale or not set(arguments.clients) <= clients.keys():
        print(
            f"no such client or scenario: {stale or arguments.clients}; there are {', '.join(clients)}", file=sys.stderr
        )
        return 2
    skipped = set(os.environ.get("REUSE_SKIP", "").replace(",", " ").split())
    chosen = [clients[name] for name in arguments.clients or clients]
    tools()

    def row(client: Client) -> dict[str, tuple[str, str]]:
        if needed := skipped.intersection(client.manifest.get("needs", [])):
            return {"ready": ("skipped", f"{client.name}: REUSE_SKIP names {', '.join(needed)}")}
        known = shortfalls.get(client.name, {})
        return {
            column: verdict(f"{client.name}: {column}", outcome, known.get(column))
            for column, outcome in client.cells(scenarios)
        }

    start = time.monotonic()
    # The slow compilers first: two workers then end at about the same time.
    slow = sorted(chosen, key=lambda c: c.name.split("/")[0] not in ("rust", "kotlin"))
    with ThreadPoolExecutor(2) as workers:
        rows = dict(zip([client.name for client in slow], workers.map(row, slow), strict=True))
    table(columns, {client.name: rows[client.name] for client in chosen})
    cells = [cell for r in rows.values() for cell in r.values()]
    for _, note in cells:
        if note:
            print(note)
    bad = sum(mark.isupper() for mark, _ in cells)
    counts = {mark: sum(cell[0] == mark for cell in cells) for mark in dict(cells)}
    print(f"\n{counts}; {time.monotonic() - start:.0f} s; what the commands printed: .cache/reuse/*/*/reuse.log")
    return 1 if bad else 0


def table(columns: list[str], rows: Mapping[str, Mapping[str, tuple[str, str]]]) -> None:
    """Print a line for each client and a column for each scenario."""
    first = max(map(len, rows))
    widths = {
        column: max(len(column), *(len(row.get(column, ("-", ""))[0]) for row in rows.values())) for column in columns
    }
    print("\n" + " | ".join(["client".ljust(first), *(column.ljust(width) for column, width in widths.items())]))
    for name, row in rows.items():
        print(" | ".join([name.ljust(first), *(row.get(c, ("-", ""))[0].ljust(width) for c, width in widths.items())]))
    print()


if __name__ == "__main__":
    sys.exit(main())
