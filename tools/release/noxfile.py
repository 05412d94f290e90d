"""`make matrix`: run the tests on the other Pythons of pyproject.toml, as far as the machine has the Pythons.

`make test` runs the tests on the Python of .venv. `make matrix TESTS="tests/test_x.py"` runs a single file.
"""

import os
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parents[2]
OURS = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHONS = [each for each in nox.project.python_versions(nox.project.load_toml(ROOT / "pyproject.toml")) if each != OURS]
# nox finds the Pythons of PATH and of uv. pyenv has Pythons in folders outside PATH, so PATH gets these folders.
os.environ["PATH"] = os.pathsep.join([*map(str, Path.home().glob(".pyenv/versions/3.*/bin")), os.environ["PATH"]])
nox.options.envdir = ROOT / ".cache" / "nox"
nox.options.error_on_missing_interpreters = False
nox.options.download_python = "never"


@nox.session(python=[*PYTHONS, "3.14t"], venv_backend="uv", venv_params=["--seed"])
def tests(session: nox.Session) -> None:
    """Run the tests in a new environment of the Python, with the locked tools."""
    session.chdir(ROOT)
    session.install("-q", "--require-hashes", "-r", "requirements-dev.txt")
    session.install("-q", "--no-build-isolation", "--no-deps", "-e", ".")
    chosen = session.posargs or ["-m", "not toolchain and not long"]
    session.run("pytest", "-q", "-n", "6", *chosen)
