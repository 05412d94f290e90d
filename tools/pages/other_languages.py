"""Write docs/other-languages.md: the commands and the marked lines of the programs of `make reuse`.

The page begins with tests/reuse/page.md. Then each folder of tests/reuse with a `title` in reuse.yaml has a section.
"""

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
REUSE = ROOT / "tests" / "reuse"
PAGE = ROOT / "docs" / "other-languages.md"
BEGIN, END = "docs: begin\n", "docs: end"
FENCES = {".go": "go", ".java": "java", ".kt": "kotlin", ".py": "py", ".rs": "rust", ".ts": "ts"}


def rows() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Give each folder with a section, and the content of reuse.yaml."""
    for path in sorted(REUSE.glob("*/*/reuse.yaml")):
        manifest = YAML(typ="safe").load(path)
        if "title" in manifest:
            yield path.parent, manifest


def shown(program: Path) -> str:
    """Return the lines of a program between `docs: begin` and `docs: end`. Without marks: an empty text."""
    parts = []
    for part in program.read_text(encoding="utf-8").split(BEGIN)[1:]:
        lines, mark, _ = part.partition(END)
        if not mark:
            raise ValueError(f"{program}: {BEGIN.strip()!r} without {END!r}")
        parts.append(textwrap.dedent(lines.rpartition("\n")[0]).strip())
    return "\n\n".join(parts)


def section(folder: Path, manifest: dict[str, Any]) -> str:
    """Return the section of a folder: heading, words, command, program."""
    parts = [f"## {manifest['title']}", wrapped(manifest.get("about", "")), fence("sh", manifest.get("generate", ""))]
    parts += [fence(FENCES[path.suffix], shown(path)) for path in sorted(folder.rglob("*")) if path.suffix in FENCES]
    limits = [known for column, known in manifest.get("shortfalls", {}).items() if column != "no warning"]
    parts += [wrapped(f"Known limit: {known['note']} ([report]({known['bug']}))") for known in limits]
    return "\n\n".join(filter(None, parts))


def wrapped(text: str) -> str:
    """Wrap a paragraph for a page."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def fence(language: str, text: str) -> str:
    """Return a code block. Without a text: an empty text."""
    return f"```{language}\n{text.strip()}\n```" if text else ""


def page() -> str:
    """Return the whole page."""
    tested = [section(*row) for row in rows() if "run" in row[1]]
    others = [manifest for _, manifest in rows() if "run" not in manifest]
    titles = ", ".join(manifest["title"] for manifest in others)
    rest = f"## {titles}\n\nGenerated without a warning; neither compiled nor run here.\n\n" + fence(
        "sh", "\n".join(manifest["generate"] for manifest in others)
    )
    head = (REUSE / "page.md").read_text(encoding="utf-8").strip()
    return "\n\n".join([head, *tested, rest]) + "\n"
