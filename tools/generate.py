"""Write generated/ from openapi.yaml and asyncapi.yaml, or (--check) fail unless every byte is as it would be written.

Prints the changes: files, then models, fields, functions and parameters, as a user of the package sees them.
"""

import argparse
import ast
import filecmp
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import events
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "generator-config.yaml"
PACKAGE = Path("generated") / "binance_options_client"


class GenerationError(Exception):
    """The generator or one of its hooks failed or warned; the text is the output."""


def files(folder: Path) -> set[Path]:
    """Every file below the folder but Python's caches, by its path from there."""
    return {f.relative_to(folder) for f in folder.rglob("*") if f.is_file() and "__pycache__" not in f.parts}


def differences(old: Path, new: Path) -> list[str]:
    """One line for each file that is missing, extra or not the same to the byte."""
    before, after = files(old), files(new)
    rows = [(f, "extra") for f in before - after] + [(f, "missing") for f in after - before]
    rows += [(f, "differs") for f in before & after if not filecmp.cmp(old / f, new / f, shallow=False)]
    return [f"{what}: {f}" for f, what in sorted(rows)]


def surface(folder: Path) -> dict[str, str]:
    """Return a generated package as users see it: each model, field, function and parameter, with its type."""
    found: dict[str, str] = {}
    for file in sorted([*(folder / "models").glob("*.py"), *folder.glob("__init__.py")]):
        for item in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(item, ast.ClassDef):
                found |= model(item)
    for file in sorted((folder / "api").rglob("*.py")):
        for item in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and not item.name.startswith("_"):
                found |= function(".".join(file.relative_to(folder).with_suffix("").parts), item)
    return found


def model(of: ast.ClassDef) -> dict[str, str]:
    """Return a model's bases and the type of each of its fields."""
    found = {f"model {of.name}": ", ".join(map(ast.unparse, of.bases)) or "object"}
    for item in of.body:
        match item:
            case ast.AnnAssign(target=ast.Name(id=name)):
                found[f"field {of.name}.{name}"] = ast.unparse(item.annotation)
            case ast.Assign(targets=[ast.Name(id=name)]):
                found[f"field {of.name}.{name}"] = ast.unparse(item.value)
    return found


def function(module: str, of: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, str]:
    """Return the return type of a function, and the type and the default of each parameter."""
    name = f"{module}.{of.name}"
    found = {f"function {name}": ast.unparse(of.returns) if of.returns else "None"}
    positional: list[ast.expr | None] = [None] * (len(of.args.args) - len(of.args.defaults))
    defaults = [*positional, *of.args.defaults, *of.args.kw_defaults]
    for argument, default in zip([*of.args.args, *of.args.kwonlyargs], defaults, strict=True):
        kind = ast.unparse(argument.annotation) if argument.annotation else "Any"
        value = f" = {ast.unparse(default)}" if default else ""
        found[f"parameter {name}({argument.arg})"] = kind + value
    return found


def changes(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """One line for each model, field and function that was added, removed or retyped."""
    rows = [f"added: {name}: {new[name]}" for name in new if name not in old]
    rows += [f"removed: {name}: {old[name]}" for name in old if name not in new]
    return rows + [
        f"retyped: {name}: {old[name]} -> {new[name]}" for name in new if old.get(name, new[name]) != new[name]
    ]


def generate(document: Path, target: Path) -> None:
    """Run the generator, quiet unless something is wrong."""
    command = ["openapi-python-client", "generate", "--path", str(document), "--config", str(CONFIG)]
    run = subprocess.run(
        [*command, "--meta", "none", "--fail-on-warning", "--overwrite", "--output-path", str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode or run.stderr:
        raise GenerationError(run.stdout + run.stderr)
    # The generator hides the output of a hook unless the hook fails. Run each once more, for the warnings.
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / "again"
        shutil.copytree(target, again)
        for hook in YAML(typ="safe").load(CONFIG)["post_hooks"]:
            run = subprocess.run(hook, shell=True, cwd=again, capture_output=True, text=True, check=False)  # noqa: S602  the generator runs them so
            if run.returncode or run.stderr:
                raise GenerationError(f"post-hook `{hook}`:\n{run.stdout}{run.stderr}")
        if rows := differences(target, again):
            raise GenerationError("a second run of the post-hooks changed their output:\n" + "\n".join(rows))


def generate_events(document: Path, target: Path) -> None:
    """Write the package of the events."""
    try:
        source = events.source(YAML(typ="safe").load(document))
    except events.UnusableDocument as error:
        raise GenerationError(f"{document.name}: {error}") from error
    target.mkdir()
    (target / "py.typed").touch()
    (target / "__init__.py").write_text(source, encoding="utf-8")
    command = ["ruff", "format", "--isolated", "--no-cache", "--config", "line-length = 120", str(target)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode or run.stderr:
        raise GenerationError(run.stdout + run.stderr)


PACKAGES = {
    PACKAGE.name: ("openapi.yaml", generate),
    "binance_options_events": ("asyncapi.yaml", generate_events),
}


def main() -> int:
    """Generate aside, then compare or replace."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if anything would change")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        try:
            for name, (document, write) in PACKAGES.items():
                write(ROOT / document, Path(folder) / name)
        except GenerationError as error:
            print(f"generation failed; nothing was changed\n{error}", file=sys.stderr)
            return 1
        drift = 0
        for name, (document, _) in PACKAGES.items():
            committed, fresh = ROOT / "generated" / name, Path(folder) / name
            rows = differences(committed, fresh)
            seen = changes(surface(committed), surface(fresh))
            print("\n".join([*rows, *seen] if rows else [f"generated/{name}: nothing changed"]))
            if rows and not seen:
                print("no model, field or function changed: texts alone")
            if rows and check:
                print(f"generated/{name} is not what {document} gives: run `make generate`", file=sys.stderr)
                drift = 1
            elif rows:
                shutil.rmtree(committed, ignore_errors=True)
                shutil.copytree(fresh, committed)
    return drift


if __name__ == "__main__":
    sys.exit(main())
