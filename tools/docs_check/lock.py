"""What was accepted: digests in the lock file, and beside it what is kept of the vendor's schema files."""

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from docs_check import document
from docs_check.compare import Report
from docs_check.diff import Row
from docs_check.page import Unclear

LOCK = Path("tools/docs_check/pages.lock.json")
ABOUT = "What was accepted of Binance's pages and schemas, as digests. Written by `make docs-accept`, never by hand."


class Lock:
    """The lock file of a folder.

    Raises:
        Unclear: it has another form than the one that is written here.

    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            document.check(found, "another form", "lock")
        except FileNotFoundError:
            found = {"sources": {}}
        except (ValueError, Unclear) as error:
            raise Unclear(f"pages.lock.json: it cannot be read; restore it from git ({error})") from error
        self.sources: dict[str, Any] = found["sources"]

    def entry(self, names: list[str]) -> dict[str, Any]:
        """Return what was accepted of a source, by the first of its names that is known."""
        known = [self.sources[name] for name in names if name in self.sources]
        return deepcopy([*known, {"updated": "", "lines": {}, "facts": {}}][0])

    def accept(self, report: Report, reason: str, only: set[str]) -> None:
        """Write what differs, or with `only` these rows. Facts want a reason, but for titles and addresses."""
        entry, chosen = report.entry, choice(report.rows, reason, only)
        edits = [edit for row in chosen for edit in row.edits]
        for language, section, start, end, marks in sorted(
            edits, key=lambda edit: -edit[2] - edit[3]
        ):  # the last first
            entry["lines"].setdefault(language, {}).setdefault(section, [])[start:end] = marks
        entry["facts"] = {**left(report, chosen), **told(chosen, reason)}
        entry["updated"] = max(entry["updated"], report.updated)
        self.sources[report.key] = entry
        text = json.dumps({"about": ABOUT, "sources": self.sources}, indent=1, ensure_ascii=False, sort_keys=True)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(f"{text}\n", encoding="utf-8")
        if report.extract and report.differs == len(chosen):
            self.kept(report.key).parent.mkdir(exist_ok=True)
            write(self.kept(report.key), report.extract)

    def kept(self, key: str) -> Path:
        """Return where the operations or events of a schema file are kept, as they were when all was accepted."""
        return self.path.parent / "accepted" / f"{re.sub(r'[^a-z0-9]+', '-', key.casefold())}.yaml"


def write(path: Path, root: dict[str, Any]) -> None:
    """Write a YAML file."""
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.dump(root, path)


def choice(rows: list[Row], reason: str, only: set[str]) -> list[Row]:
    """Return the rows that are accepted."""
    wanted = [row for row in rows if not only or only.intersection(row.digests)]
    return [row for row in wanted if row.plain or (row.kind == "fact" and reason)]


def left(report: Report, chosen: list[Row]) -> dict[str, dict[str, str]]:
    """Return the facts that stay accepted: those that still differ, or are of a language that was not read."""
    stay = report.digests - {mark for row in chosen for mark in row.digests}
    read = report.lines.keys()
    return {m: each for m, each in report.entry["facts"].items() if m in stay or each["language"] not in read}


def told(rows: list[Row], reason: str) -> dict[str, dict[str, str]]:
    """Return what the lock file keeps of facts, by their digest in each language."""
    return {
        mark: {"fact": row.fact, "page": row.page, "document": row.document, "reason": reason, "language": language}
        for row in rows
        if row.kind == "fact"
        for mark, language in zip(row.digests, row.language.split(", "), strict=True)
    }
