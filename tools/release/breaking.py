"""Say what changed in openapi.yaml since BASE, and the versions to be raised. BASE: a git ref, else the last tag.

Users of the API see changes of the document: oasdiff compares the documents, and this program compares security types,
weights and lifetimes. Users of the generated client see changes of models, fields, functions and parameters. Exit 1 if
a version number or CHANGELOG.md does not agree with the changes.
"""

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from generate.packages import CLIENT, ROOT
from generate.surface import changes, surface
from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode
from packaging.version import Version
from ruamel.yaml import YAML

OASDIFF = ROOT / ".cache" / "go" / "bin" / "oasdiff"
LEVELS = ("none", "patch", "minor", "major")  # nothing, texts, additions, something breaks


def git(*command: str) -> bytes:
    """Run git in the project, and return the output."""
    return subprocess.run(["git", *command], cwd=ROOT, capture_output=True, check=True).stdout


def api_changes(old: Path, new: Path) -> list[tuple[str, str]]:
    """Return the changes for callers of the API. Each change has a level: major or minor."""
    run = subprocess.run(
        [OASDIFF, "changelog", old, new, "--format", "json"], capture_output=True, text=True, check=True
    )
    rows = json.loads(run.stdout or "[]") or []
    # oasdiff's levels: 3 breaks, 2 may break, 1 is worth knowing. info.version is checked below.
    rows = [row for row in rows if row["id"] != "api-version-not-bumped"]
    return [
        ("minor" if row["level"] == 1 else "major", f"{row.get('operation', '')} {row['text']}".strip()) for row in rows
    ]


def terms_changes(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the changes of security types, weights and lifetimes. oasdiff does not read these extensions."""
    rows = []
    for path, item in old["paths"].items():
        for method, was in item.items():
            now = new["paths"].get(path, {}).get(method)
            if not isinstance(was, dict) or now is None:  # no operation; or removed, and oasdiff tells
                continue
            cost, costs = was.get("x-request-weight", {}), now.get("x-request-weight", {})
            # If nobody can say whether a change is better (a table, another scope, a new number), the change breaks.
            cheaper = costs == {**cost, "weight": costs.get("weight")} and costs.get("weight", 1) < cost.get(
                "weight", 0
            )
            longer = now.get("x-lifetime-minutes", 0) > was.get("x-lifetime-minutes", 0) > 0
            for name, better in (
                ("x-security-type", False),
                ("x-request-weight", cheaper),
                ("x-lifetime-minutes", longer),
            ):
                if was.get(name) != now.get(name):
                    text = f"{method.upper()} {path} {name}: {was.get(name, 'none')} -> {now.get(name, 'none')}"
                    rows.append(("minor" if better else "major", text))
    return rows


def client_changes(old: dict[str, str], new: dict[str, str]) -> list[tuple[str, str]]:
    """Return the changes for importers of the generated client. A new parameter without a default breaks, too."""
    rows = []
    for row in changes(old, new):
        what, name, kind = row.split(": ", 2)
        forced = name.startswith("parameter ") and " = " not in kind
        forced = forced and f"function {name.removeprefix('parameter ').partition('(')[0]}" in old
        rows.append(("minor" if what == "added" and not forced else "major", row))
    return rows


def next_version(version: Version, level: str) -> Version:
    """Return the smallest honest version. Below 1.0.0 the minor number says that something breaks."""
    major, minor, patch = version.release
    step = LEVELS.index(level) - (1 if major == 0 and level in {"minor", "major"} else 0)
    after = (f"{major}.{minor}.{patch}", f"{major}.{minor}.{patch + 1}", f"{major}.{minor + 1}.0", f"{major + 1}.0.0")
    return Version(after[step])


def changelog() -> dict[str, bool]:
    """Return the versions in CHANGELOG.md, newest first, and whether a list stands below the heading."""
    found: dict[str, bool] = {}
    tokens = MarkdownIt("commonmark").parse((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    for node in SyntaxTreeNode(tokens).children:
        if node.tag == "h2":
            found[node.children[0].content.replace("[", " ").replace("]", " ").split()[0]] = False
        elif found and node.type == "bullet_list":
            found[list(found)[-1]] = True
    return found


def compare(base: str) -> list[str]:
    """Print the changes since BASE, and return the faults of versions and CHANGELOG.md."""
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder)
        with tarfile.open(
            fileobj=io.BytesIO(git("archive", base, "openapi.yaml", "pyproject.toml", str(CLIENT)))
        ) as files:
            files.extractall(before, filter="data")
        documents: list[dict[str, Any]] = [YAML(typ="safe").load(at / "openapi.yaml") for at in (before, ROOT)]
        was, now = (Version(document["info"].pop("version")) for document in documents)
        api = api_changes(before / "openapi.yaml", ROOT / "openapi.yaml") + terms_changes(*documents)
        client = client_changes(surface(before / CLIENT), surface(ROOT / CLIENT))
        released = package_version(before)
    show("the API", api)
    show("the generated client", client)
    levels = [level for level, _ in (*api, *client)] + ["patch" if documents[0] != documents[1] else "none"]
    level = max(levels, key=LEVELS.index)
    document, package = next_version(was, level), next_version(released, level)
    print(f"smallest honest step: {level}; openapi.yaml {was} -> {document}, package {released} -> {package} or later")
    return document_disagrees(level, was, now, document) + package_disagrees(base, level, released, package)


def show(audience: str, rows: list[tuple[str, str]]) -> None:
    """Print the changes for an audience."""
    print(f"for users of {audience}:{'' if rows else ' nothing changes'}")
    for level, row in rows:
        print(f"  {'breaks' if level == 'major' else 'adds'}: {row}")


def document_disagrees(level: str, was: Version, now: Version, honest: Version) -> list[str]:
    """Return the faults of info.version: `was` at BASE, `now` today."""
    if now < honest:
        return [f"openapi.yaml: info.version is {now}: make it {honest} or later"]
    if level == "none" and now != was:
        return [f"openapi.yaml: info.version moved from {was} to {now}, and nothing else did: put it back"]
    return []


def package_disagrees(base: str, level: str, released: Version, honest: Version) -> list[str]:
    """Return the faults of the package's version and of CHANGELOG.md. `released`: the package's version at BASE."""
    current = package_version(ROOT)
    if current < released:
        return [f"pyproject.toml: version {current} is below {released}, which is {base}'s"]
    if released < current < honest:
        return [f"pyproject.toml: version {current} promises too much: make it {honest} or later"]
    if level != "none" and current == released and not changelog().get("Unreleased"):
        return [f"CHANGELOG.md: say below `## [Unreleased]` what changed since {base}, or release {honest}"]
    return []


def package_version(folder: Path) -> Version:
    """Return the version in pyproject.toml."""
    return Version(tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def main() -> int:
    """Compare with BASE, then compare pyproject.toml with CHANGELOG.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", nargs="?", metavar="BASE", help="a git ref; default: the last tag")
    base = parser.parse_args().base
    if not base:
        base = git("tag", "--sort=-creatordate", "--merged", "HEAD").decode().partition("\n")[0]
    current = str(package_version(ROOT))
    wrong = []
    if base:
        try:
            git("rev-parse", "--verify", "--quiet", f"{base}^{{commit}}")
        except subprocess.CalledProcessError:
            print(f"{base!r} is no commit of this repository: give a tag, a branch or a hash", file=sys.stderr)
            return 2
        wrong = compare(base)
    else:
        print("no tag yet: there is nothing to compare with")
    entries = [name for name in changelog() if name != "Unreleased"]
    if current not in entries[:1]:
        wrong.append(
            f"CHANGELOG.md: its newest version is {', '.join(entries[:1]) or 'none'}, pyproject.toml's is {current}"
        )
    print("\n".join(wrong) or f"versions agree: package {current}, its entry in CHANGELOG.md")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
