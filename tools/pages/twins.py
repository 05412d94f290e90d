"""Keep English pages and Chinese twins together: twins.json has the digests of both languages, by section.

If a section changed in both languages, `make twins` records the section. If a section changed in a single language,
`make twins` refuses. SAME=1 says: the other language needs no change.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
LOCK = Path("tools/pages/twins.json")


def twins(root: Path) -> dict[str, Path]:
    """Give each English page with a Chinese twin, and the twin."""
    pages = {f"docs/{page.name}": page for page in sorted((root / "docs/zh-CN").glob("*.md"))}
    return {"README.md": root / "README.zh-CN.md", **pages}


def sections(page: Path) -> list[tuple[str, str]]:
    """Give the heading and the digest of each section of a page."""
    text = page.read_text(encoding="utf-8")
    starts = [token.map[0] for token in MarkdownIt().parse(text) if token.type == "heading_open" and token.map]
    lines = text.splitlines()
    bodies = ["\n".join(lines[start:end]).strip() for start, end in zip(starts, [*starts[1:], None], strict=True)]
    return [(body.partition("\n")[0].strip("# "), hashlib.sha256(body.encode()).hexdigest()) for body in bodies]


def digests(root: Path) -> dict[str, list[list[str]]]:
    """Give of each English page: the English heading, the English digest and the Chinese digest of each section."""
    found = {}
    for name, chinese in twins(root).items():
        english, translated = sections(root / name), sections(chinese)
        if len(english) != len(translated):
            sys.exit(
                f"{name} has {len(english)} sections, {chinese.name} has {len(translated)}: first make them alike."
            )
        found[name] = [
            [heading, digest, other] for (heading, digest), (_, other) in zip(english, translated, strict=True)
        ]
    return found


def changes(root: Path) -> dict[str, bool]:
    """Name each section that differs from the record, and say whether both languages changed."""
    lock = root / LOCK
    recorded = json.loads(lock.read_text(encoding="utf-8")) if lock.exists() else {}
    changed = {}
    for name, rows in digests(root).items():
        known = {digest for row in recorded.get(name, []) for digest in row[1:]}
        for row in rows:
            if row not in recorded.get(name, []):
                changed[f"{name}: {row[0]}"] = known.isdisjoint(row[1:])
    return changed


def record(root: Path, *, same: bool) -> None:
    """Write the digests of today. Without `same`, refuse if a section changed in a single language."""
    alone = [section for section, both in changes(root).items() if not both]
    if alone and not same:
        names = "\n".join(alone)
        sys.exit(
            f"One side changed alone:\n{names}\nTranslate the change. If the other side needs none: make twins SAME=1"
        )
    text = json.dumps(digests(root), indent=1, ensure_ascii=False)
    (root / LOCK).parent.mkdir(parents=True, exist_ok=True)
    (root / LOCK).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    record(ROOT, same=os.environ.get("SAME") == "1")
