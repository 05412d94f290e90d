"""Write the generated packages: the client from openapi.yaml, the events from asyncapi.yaml."""

import filecmp
import shutil
import subprocess
import tempfile
from pathlib import Path

from ruamel.yaml import YAML

from generate import events

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "generator-config.yaml"


class GenerationError(Exception):
    """The generator or a hook failed or warned. The text is the output."""


def files(folder: Path) -> set[Path]:
    """Give every file below a folder, without Python's caches. Paths are relative to the folder."""
    return {f.relative_to(folder) for f in folder.rglob("*") if f.is_file() and "__pycache__" not in f.parts}


def differences(old: Path, new: Path) -> list[str]:
    """Give a line for each file that is missing, extra or different."""
    before, after = files(old), files(new)
    rows = [(f, "extra") for f in before - after] + [(f, "missing") for f in after - before]
    rows += [(f, "differs") for f in before & after if not filecmp.cmp(old / f, new / f, shallow=False)]
    return [f"{what}: {f}" for f, what in sorted(rows)]


def generate_client(document: Path, target: Path) -> None:
    """Run the generator. The generator prints nothing if all is well."""
    command = ["openapi-python-client", "generate", "--path", str(document), "--config", str(CONFIG)]
    run([*command, "--meta", "none", "--fail-on-warning", "--overwrite", "--output-path", str(target)])
    # The generator hides the output of a hook if the hook succeeds. So run each hook once more, for the warnings.
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / "again"
        shutil.copytree(target, again)
        for hook in YAML(typ="safe").load(CONFIG)["post_hooks"]:
            done = subprocess.run(hook, shell=True, cwd=again, capture_output=True, text=True, check=False)  # noqa: S602  as the generator runs a hook
            if done.returncode or done.stderr:
                raise GenerationError(f"post-hook `{hook}`:\n{done.stdout}{done.stderr}")
        if rows := differences(target, again):
            raise GenerationError("a second run of the post-hooks changed their output:\n" + "\n".join(rows))


def generate_events(document: Path, target: Path) -> None:
    """Write the package of the events."""
    try:
        sources = events.sources(YAML(typ="safe").load(document))
    except events.UnusableDocument as error:
        raise GenerationError(f"{document.name}: {error}") from error
    target.mkdir()
    (target / "py.typed").touch()
    for name, source in sources.items():
        (target / name).write_text(source, encoding="utf-8")
    run(["ruff", "format", "--isolated", "--no-cache", "--config", "line-length = 120", str(target)])


def run(command: list[str]) -> None:
    """Run a program. If the program warns, that is a failure, too."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or done.stderr:
        raise GenerationError(done.stdout + done.stderr)


CLIENT = Path("generated/binance_options_client")
PACKAGES = {
    CLIENT: ("openapi.yaml", generate_client),
    Path("generated/binance_options_events"): ("asyncapi.yaml", generate_events),
}
