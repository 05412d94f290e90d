"""Run the tests on every Python that this machine has, and print a table: `make matrix`, TESTS="tests/test_x.py …"."""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OLDEST = [3, 11]
ASK = """
import json, sys, sysconfig
print(json.dumps([list(sys.version_info[:3]), "t" * bool(sysconfig.get_config_var("Py_GIL_DISABLED"))]))
"""


def pythons(folders: list[Path]) -> dict[str, Path]:
    """Find the newest Python of each minor version, by a name such as 3.14.1 or 3.14.1t (free-threaded)."""
    found: dict[tuple[int, ...], tuple[str, Path]] = {}
    for folder in folders:
        for path in sorted(folder.glob("python3.*")):
            if not re.fullmatch(r"python3\.\d+t?", path.name):
                continue
            answer = subprocess.run([path, "-c", ASK], capture_output=True, text=True, check=False)
            if answer.returncode == 0:
                numbers, kind = json.loads(answer.stdout)
                version = (*numbers[:2], len(kind))
                if numbers >= OLDEST and (
                    version not in found or numbers[2] > int(found[version][0].strip("t").split(".")[2])
                ):
                    found[version] = f"{'.'.join(map(str, numbers))}{kind}", path
    return dict(found[version] for version in sorted(found))


def folders() -> list[Path]:
    """Name where Pythons are: PATH, and where pyenv and uv put theirs."""
    kept = [Path.home() / ".pyenv/versions", Path.home() / ".local/share/uv/python"]
    return [
        *map(Path, os.environ["PATH"].split(os.pathsep)),
        *(folder for root in kept for folder in root.glob("*/bin")),
    ]


def run(name: str, python: Path, tests: list[str]) -> tuple[str, bool]:
    """Run the tests in an environment of this Python's own. Gives pytest's last line, and whether all passed."""
    environment = ROOT / ".cache" / "matrix" / name
    own = environment / "bin" / "python"
    install: list[str | Path] = ["uv", "pip", "install", "-q", "--python", own]
    commands: list[list[str | Path]] = [
        ["uv", "venv", "-q", "--clear", "--seed", "--python", python, environment],
        [*install, "--require-hashes", "-r", "requirements-dev.txt"],
        [*install, "--no-build-isolation", "--no-deps", "-e", "."],
        [own, "-m", "pytest", "-q", "-n", "6", *tests],
    ]
    for command in commands:
        done = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if done.returncode:
            sys.stderr.write(done.stdout)
            break
    return (done.stdout.strip().splitlines() or [""])[-1].strip("= "), done.returncode == 0


def main() -> int:
    """Run them all, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tests", nargs="*")
    rows = []
    for name, python in pythons(folders()).items():
        began = time.monotonic()
        said, passed = run(name, python, parser.parse_args().tests)
        rows.append(f"{name:10}  {'passed' if passed else 'FAILED'}  {time.monotonic() - began:5.0f} s  {said}")
        print(rows[-1], file=sys.stderr, flush=True)
    print("\n".join(rows))
    return any(" FAILED " in row for row in rows)


if __name__ == "__main__":
    sys.exit(main())
